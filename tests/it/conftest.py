import os

import pytest

from lib.perfd import PERFCTL, PERFD, Perfd, run
from lib.postgres import Postgres
from lib.redis_server import RedisServer
from lib.upstream import Upstream


# Those that take longest begin first, so that none is left when the others have ended.
LONG = ["test_scripts.py", "test_failover.py", "test_replica.py", "test_listen.py", "test_database.py", "test_pipeline.py",
        "test_stream.py", "test_types.py", "test_upstream_pool.py", "test_machines.py"]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_runtest_setup(item):
    if item.get_closest_marker("fault_points") and "/test/" not in PERFD:
        pytest.skip("needs the build with fault points, which scripts/check tries in a step of its own")


def pytest_sessionstart(session):
    if not os.access(PERFD, os.X_OK) and not os.environ.get("PERFD_ABSENT"):
        pytest.exit(f"{PERFD} is not built: make MODE={os.environ.get('MODE', 'release')}", returncode=3)


@pytest.fixture(scope="session")
def pg():
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def redis():
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def backend():
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture
def well(pg, redis):
    """Servers as the next test expects them, whatever this one did."""
    yield
    if pg.pid is None:
        pg.start()
    pg.resume()
    if redis.process is None:
        redis.start()
    redis.resume()


def make_perfds():
    """Builds instances and ends them all, the last one first; every one must end well."""
    made = []

    def make(*args, **kwargs):
        perfd = Perfd(*args, **kwargs)
        made.append(perfd)
        return perfd

    yield make
    problems = []
    for perfd in reversed(made):
        try:
            perfd.finish()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


make_perfd = pytest.fixture(make_perfds)
make_module_perfd = pytest.fixture(make_perfds, scope="module")


@pytest.fixture
def perfctl():
    return lambda *args: run(PERFCTL, *args)

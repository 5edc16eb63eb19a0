"""What the server allows: the pools' size beside it, and no more sessions to be had."""
import contextlib
import threading
import time

import psycopg2
import pytest

from lib.load import Load, at_once
from lib.process import eventually

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; }
route GET /sleep/{s} { query "SELECT pg_sleep(:s::float8)::text AS s, 1 AS one"; result row; }
"""


@pytest.fixture(scope="module")
def db(pg):
    """As a role that is no superuser: the last connections are not for it."""
    database = pg.create_database("budget")
    database.run("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN CONNECTION LIMIT -1")
    yield database
    database.run("DROP OWNED BY plain; DROP ROLE plain")


@pytest.fixture
def start(make_perfd, db, well):
    url = f"postgresql://plain@/budget?host={db.server.folder}"
    return lambda pool, workers=1, **kwargs: make_perfd(CONF, url, pool=pool, workers=workers, **kwargs).start()


@pytest.fixture
def limit(db):
    yield lambda n: db.run(f"ALTER DATABASE budget CONNECTION LIMIT {n}")
    db.run("ALTER DATABASE budget CONNECTION LIMIT -1")


class Others:
    """Takes all sessions that the server still has."""

    def __init__(self, pg):
        self.sessions = []
        self.pg = pg
        self.enough = threading.Event()

    def keep_taking(self):
        """Whatever the pool gives up is gone."""
        while not self.enough.wait(0.01):
            with contextlib.suppress(psycopg2.OperationalError):
                self.sessions.append(psycopg2.connect(host=self.pg.folder, user="plain", dbname="budget"))

    @contextlib.contextmanager
    def greedy(self):
        self.enough.clear()
        thread = threading.Thread(target=self.keep_taking)
        thread.start()
        yield
        self.enough.set()
        thread.join(10)

    def take_all(self):
        with pytest.raises(psycopg2.OperationalError):
            while True:
                self.sessions.append(psycopg2.connect(host=self.pg.folder, user="plain", dbname="budget"))

    def leave(self):
        for session in self.sessions:
            session.close()
        self.sessions = []


@pytest.fixture
def others(pg):
    sessions = Others(pg)
    yield sessions
    sessions.leave()


def told(api):
    return [line for line in api.log().splitlines() if "the database allows" in line]


def test_pools_that_are_too_large_are_told_once(start):
    api = start("pool max=40 min=1;", workers=3)
    assert api.log_contains("3 workers x pool max 40 = 120 connections and one to listen, the database allows 97")
    assert len(told(api)) == 1
    checked = api.check()
    assert checked.code == 0 and "120 connections and one to listen, the database allows 97" in checked.err, checked
    assert api.stat("pool_max") == 120
    assert api.reload(api.conf).code == 0
    assert eventually(lambda: len(told(api)) == 2)
    fitting = start("pool max=30 min=1;", workers=3)
    assert fitting.check().err == "" and not told(fitting)


def test_auto_is_cut_to_what_fits(start, limit):
    limit(7)
    api = start("pool max=auto min=5;", workers=2)
    assert api.log_contains("the database allows 7: pool max=auto is cut to 2")
    assert eventually(lambda: api.stat("pool_max") == 4)
    assert {a.status for a in at_once(12, lambda i: api.get("/sleep/0.1"))} == {200}
    assert api.stat("pool_opened") == 4
    assert "cut to 2" in api.check().err


def test_auto_is_cut_where_another_host_was_found(make_perfd, db, limit):
    """The first host is none: its place is free, and what is open has a place above those that there may be."""
    limit(6)  # one for the listener
    api = make_perfd(CONF, f"postgresql://plain@/budget?host=/tmp/none,{db.server.folder}", pool="pool max=auto min=5;",
                     workers=2).start()
    assert eventually(lambda: api.stat("pool_max") == 2)
    assert {a.status for a in at_once(12, lambda i: api.get("/sleep/0.1"))} == {200}
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'perfd' AND datname = 'budget'"
    assert eventually(lambda: db.value(sessions) == 2 == api.stat("pool_active") + api.stat("pool_idle"))


def test_with_no_more_sessions_to_be_had_the_pool_goes_on_with_its_own(start, others):
    api = start("pool max=8 min=2 acquire_timeout=10s max_lifetime=500ms;")
    others.take_all()
    answers = at_once(16, lambda i: api.timed("/sleep/0.1"))
    assert {a.status for a, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < 10
    with Load(api.port, "/one", threads=3) as load, others.greedy():
        time.sleep(2)  # they grow old meanwhile
    assert not load.wrong and not load.failed and load.answered > 100
    assert "unreachable" not in api.log() and api.status("/readyz") == 200
    others.leave()
    opened = api.stat("pool_opened")
    assert eventually(lambda: api.stat("pool_opened") >= opened + 2, 5), "old ones are replaced again"


def test_with_none_at_all_it_is_503_until_there_is_one(start, others):
    api = start("pool max=4 min=1 max_lifetime=1h;")
    others.take_all()
    with psycopg2.connect(host=others.pg.folder, user="postgres", dbname="postgres") as admin:
        admin.autocommit = True
        admin.cursor().execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'perfd' "
                               "AND datname = 'budget'")
        others.take_all()
        answer, seconds = api.timed("/one")
        assert answer.status == 503 and answer.header("retry-after") and seconds < 2
    others.leave()
    assert eventually(lambda: api.get("/one").status == 200, 2.5)

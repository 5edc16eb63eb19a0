"""Connections to PostgreSQL that break in each of their states, a server that hangs or goes, a network that swallows
everything: every answer in time, with the right status, and never another request's."""
import contextlib
import os
import tempfile
import time
import types

import pytest

from lib import netns
from lib.load import Load, Volley, at_once
from lib.process import eventually
from lib.relay import STARTUP, TO_CLIENT, TO_SERVER, Relay

FRESH = 40
CONF = """
route GET /tag/{n} { query "SELECT :n::int8 AS tag"; result row; }
route GET /slow/{n} { query "SELECT :n::int8 AS tag, pg_sleep(0.3)::text AS s"; result row; }
route GET /rows/{n} { query "SELECT :n::int8 AS tag FROM generate_series(1, 200)"; result rows; }
route POST /mark/{n} { query "INSERT INTO marks VALUES (:n); SELECT :n::int8 AS tag"; result row; }
""" + "".join(f'route GET /fresh{i}/{{n}} {{ query "SELECT :n::int8 AS tag, {i} AS i"; result row; }}\n'
              for i in range(FRESH))
TIMES = "connect_timeout 500ms; statement_timeout 800ms;"
RECOVERY = 2.0


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("pool_faults", "CREATE TABLE marks (n int8)")


@pytest.fixture(scope="module")
def relay(db):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        with Relay(folder, f"{db.server.folder}/.s.PGSQL.5432") as passing:
            passing.url = db.url.replace(db.server.folder, folder)
            yield passing


@pytest.fixture(scope="module")
def api(make_module_perfd, relay):
    """One for all: what one test did to it must not be felt by the next. Its line sheds late: a busy machine is no fault."""
    behind = types.SimpleNamespace(url=relay.url)
    perfd = make_module_perfd(CONF, behind, pool=f"{TIMES} pool max=4 min=2 acquire_timeout=4s;", workers=1,
                              settings="request_timeout 4s;").start()
    yield perfd
    relay.thaw()


@pytest.fixture(autouse=True)
def recovers(api, well):
    """After each: right answers again within RECOVERY of the end of the fault."""
    yield
    begun = time.monotonic()
    assert eventually(lambda: {a.status for a in at_once(6, lambda i: api.get(f"/tag/{i}"))} == {200}, 10)
    assert time.monotonic() - begun < RECOVERY


tag = iter(range(10**6, 10**9))


def own(request, response):
    """What is wrong with an answer, whose target's number is its tag."""
    wanted = int(request.rsplit("/", 1)[1])
    if response.status != 200:
        return repr(response)
    body = response.json()
    tags = {row["tag"] for row in body} if isinstance(body, list) else {body["tag"]}
    return None if tags == {wanted} else f"{request}: {body}"


def tagged(paths):
    return lambda thread, turn: f"{paths[turn % len(paths)]}/{next(tag)}"


def assert_good(load):
    assert not load.wrong and not load.failed and load.answered, (load.wrong[:3], load.failed[:3])


def settle(api):
    """No connection is being made: two attempts in a row that fail are a database that is down."""
    time.sleep(0.3)  # the figures are from a moment ago
    assert eventually(lambda: api.stat("pool_connecting") == 0 and api.stat("pool_idle") >= 2)


# --- one connection, in each state

@pytest.mark.parametrize("cut", [
    (TO_SERVER, STARTUP), (TO_CLIENT, "R"), (TO_CLIENT, "K"), (TO_CLIENT, "Z")],
    ids=["startup", "authentication", "key", "ready"])
def test_one_that_breaks_while_it_connects_is_made_again(api, relay, cut):
    settle(api)
    opened = api.stat("pool_opened")
    armed = relay.cut_at(*cut)
    relay.cut_all()
    with Load(api.port, tagged(["/tag"]), check=own) as load:
        assert armed.done.wait(3)
        load.wait_for(50)
    assert_good(load)
    assert eventually(lambda: api.stat("pool_opened") > opened)


def test_one_that_breaks_while_it_is_set_up_is_made_again(api, relay):
    for _ in range(3):
        settle(api)
        relay.cut_all()
        armed = relay.cut_at(TO_SERVER, "S")
        with Load(api.port, tagged(["/tag"]), check=own) as load:
            assert armed.done.wait(3)
            load.wait_for(50)
        assert_good(load)


def test_idle_ones_that_break_are_not_missed(api, relay):
    for _ in range(3):
        settle(api)
        relay.cut_all()
        assert own("/tag/77", api.get("/tag/77")) is None


@pytest.mark.parametrize("cut", [(TO_SERVER, "P"), (TO_SERVER, "P", True), (TO_CLIENT, "1"), (TO_CLIENT, "1", True)],
                         ids=["before parse", "behind parse", "before its answer", "behind its answer"])
def test_one_that_breaks_while_it_prepares(api, relay, cut, request):
    first = 10 * ["before parse", "behind parse", "before its answer", "behind its answer"].index(
        request.node.callspec.id)
    for i in range(first, first + 10):
        armed = relay.cut_at(*cut)
        assert own(f"/fresh/{i}", api.get(f"/fresh{i}/{i}")) is None
        assert armed.done.is_set()


READ_CUTS = [(TO_SERVER, "B"), (TO_SERVER, "E", True), (TO_SERVER, "S"), (TO_SERVER, "S", True), (TO_CLIENT, "D"),
             (TO_CLIENT, "D", True), (TO_CLIENT, "C"), (TO_CLIENT, "Z")]


@pytest.mark.parametrize("cut", READ_CUTS, ids=lambda cut: " ".join(map(str, cut)))
def test_reads_alone_and_in_company_run_again(api, relay, cut):
    with Volley(api.port) as volley:
        for turn in range(4):
            path = ["/tag", "/rows", "/slow"][turn % 3]
            count = 40 if path != "/slow" else 2
            armed = relay.cut_at(*cut, behind="B")
            targets = [f"{path}/{next(tag)}" for _ in range(count)]
            wrong = [own(target, answer) for target, answer in zip(targets, volley.send(targets))]
            assert not any(wrong), [w for w in wrong if w][:3]
            assert armed.done.is_set()


@pytest.mark.parametrize("cut, stored", [
    ((TO_SERVER, "B"), False), ((TO_SERVER, "E"), False), ((TO_SERVER, "S"), False), ((TO_SERVER, "S", True), True),
    ((TO_CLIENT, "C"), True), ((TO_CLIENT, "Z"), True)], ids=lambda cut: str(cut))
def test_a_write_is_done_once_or_not_at_all_and_never_said_to_be(api, relay, db, cut, stored):
    for _ in range(5):
        assert api.request("POST", f"/mark/{next(tag)}").status == 200  # an idle connection is as a write needs it
        n = next(tag)
        armed = relay.cut_at(*cut, behind="B")
        answer = api.request("POST", f"/mark/{n}")
        assert answer.status == 503 and answer.header("retry-after"), answer
        assert armed.done.is_set()
        assert eventually(lambda: db.value("SELECT count(*) FROM marks WHERE n = %s", (n,)) == int(stored), 3)
    assert db.value("SELECT count(*) FROM (SELECT n FROM marks GROUP BY n HAVING count(*) > 1) twice") == 0


# --- all of them

def terminate_all(db):
    db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'perfd' "
           "AND datname = current_database()")


def test_sessions_ended_under_mixed_load(api, db):
    with Load(api.port, tagged(["/tag", "/rows", "/tag", "/slow"]), threads=6, check=own) as load:
        for _ in range(6):
            load.wait_for(10)
            terminate_all(db)
    assert_good(load)


def test_cuts_under_mixed_load_are_503_at_most(api, relay):
    """Cut again and again a read may have run twice in vain: then it says so, and at once."""
    with Load(api.port, tagged(["/tag", "/rows", "/tag", "/slow"]), threads=6,
              check=lambda request, response: None if response.status == 503 else own(request, response)) as load:
        for _ in range(10):
            load.wait_for(10)
            relay.cut_all()
    assert_good(load)
    assert load.longest < 4.5


def test_a_network_that_swallows_everything(api, relay):
    """No byte comes and nothing breaks: the time-outs alone find out."""
    assert api.get("/tag/1").status == 200
    relay.freeze()
    try:
        for _ in range(3):
            for answer in at_once(8, lambda i: api.timed(f"/tag/{next(tag)}")):
                response, seconds = answer
                assert response.status in (503, 504) and seconds < 4.5, answer
        assert api.status("/healthz") == 200
    finally:
        relay.thaw()


def test_a_network_that_swallows_for_a_moment(api, relay):
    """Shorter than any time-out: all are answered, each its own."""
    with Load(api.port, tagged(["/tag", "/rows"]), threads=6, check=own) as load:
        for _ in range(3):
            load.wait_for(30)
            relay.freeze()
            time.sleep(0.3)
            relay.thaw()
    assert_good(load)


@pytest.mark.parametrize("fault", ["pause", "restart"])
def test_a_server_that_stands_still_or_restarts(api, pg, fault):
    seen = set()

    def check(request, response):
        seen.add(response.status)
        return None if response.status in (503, 504) else own(request, response)

    with Load(api.port, tagged(["/tag", "/rows", "/slow"]), threads=6, check=check) as load:
        load.wait_for(50)
        if fault == "pause":
            pg.pause()
            time.sleep(1.5)
            pg.resume()
        else:
            pg.stop()
            time.sleep(0.5)
            pg.start()
        begun = time.monotonic()
        assert eventually(lambda: api.get(f"/tag/{next(tag)}").status == 200, 10)
        assert time.monotonic() - begun < RECOVERY
    assert_good(load)
    assert load.longest < 4.5 and seen <= {200, 503, 504}


# --- a real network

def cancelling(pid):
    """How many threads of the worker are in a cancel."""
    count = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as comm:
                count += comm.read().strip() == "perfd-cancel"
    return count


@pytest.mark.skipif(not netns.available(), reason="only root may make a network namespace, and not in every container")
def test_a_network_that_is_cut(make_perfd, db):
    with netns.Network(f"{db.server.folder}/.s.PGSQL.5432") as network:
        url = f"postgresql://{db.server.user}@{network.host}:{netns.PORT}/pool_faults"
        far = make_perfd(CONF, url, pool=f"{TIMES} pool max=4 min=2 acquire_timeout=1s;", workers=1,
                         settings="request_timeout 4s;").start()
        (worker,) = far.worker_pids()

        def check(request, response):
            return None if response.status in (503, 504) else own(request, response)

        with Load(far.port, tagged(["/tag", "/rows", "/slow"]), threads=6, check=check) as load:
            load.wait_for(30)
            network.cut()
            assert eventually(lambda: far.get(f"/tag/{next(tag)}").status in (503, 504), 3)
            time.sleep(1)
            assert cancelling(worker) <= 8
            network.join()
            begun = time.monotonic()
            assert eventually(lambda: far.get(f"/tag/{next(tag)}").status == 200, 10)
            assert time.monotonic() - begun < RECOVERY
        assert_good(load)
        assert load.longest < 4.5
        network.cut()
        at_once(8, lambda i: far.get(f"/tag/{i}"))
        assert eventually(lambda: cancelling(worker) == 0, 8), "threads wait for a network that is gone"
        network.join()
        assert eventually(lambda: far.get("/tag/1").status == 200, 10)
        far.finish()

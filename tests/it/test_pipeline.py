"""Short reads of several requests on one connection: each gets its own answer, whatever its neighbours do."""
import os
import tempfile
import threading
import time
import types

import pytest

from lib.far import Far
from lib.load import Load, Volley
from lib.process import eventually

CONF = """
route GET /items/{id} { query "SELECT id, name FROM items WHERE id = :id"; result row; }
route GET /others/{id} { query "SELECT id FROM others WHERE id = :id"; result row; }
route GET /inverse/{n} { query "SELECT 100 / :n::int AS inverse"; result value; }
route GET /pid { query "SELECT pg_backend_pid()"; result value; }
route GET /alone { query "SELECT set_config('perfd.mark', 'x', true)"; result value; share off; }
route GET /mark { query "SELECT current_setting('perfd.mark', true)"; result value; }
route GET /sleep { query "SELECT pg_sleep(:s)"; result value; }
route GET /next { query "SELECT nextval('numbers')"; result value; }
route GET /plan { query "SELECT * FROM changing"; result rows; }
route POST /items/{id} { query "UPDATE items SET name = name WHERE id = :id"; result none; }
"""
ITEMS = 1000
pytestmark = pytest.mark.calm


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("pipeline", f"""
        CREATE TABLE items AS SELECT id, 'item ' || id AS name FROM generate_series(1, {ITEMS}) id;
        ALTER TABLE items ADD PRIMARY KEY (id);
        CREATE TABLE others AS SELECT id FROM generate_series(1, {ITEMS}) id;
        ALTER TABLE others ADD PRIMARY KEY (id);
        CREATE TABLE changing (a int); INSERT INTO changing VALUES (1);
        CREATE SEQUENCE numbers""")


@pytest.fixture
def start(make_perfd, db, well):
    def started(pool="pool max=4 min=4;", **kwargs):
        return make_perfd(CONF, db, pool=pool, workers=1, **kwargs).start()
    return started


def warm(volley, *paths):
    """A route shares once it was measured often enough; on a machine that is busy with others that takes longer."""
    for path in paths:
        for _ in range(10):
            volley.send([path] * 40)


def until(seen, volleys, within=20):
    """Volleys, at least ten, until it was seen."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        for _ in range(10):
            volleys()
        if seen():
            return
    raise AssertionError("not seen")


def item(n):
    return {"id": n, "name": f"item {n}"}


def assert_items(volley, turns=1):
    for turn in range(turns):
        wanted = [(7 * n + turn) % ITEMS + 1 for n in range(len(volley.connections))]
        assert [a.json() for a in volley.send([f"/items/{n}" for n in wanted])] == [item(n) for n in wanted]


def test_a_statement_that_becomes_short_while_others_wait_for_it(start):
    api = start("pool max=1 min=1 acquire_timeout=1s;")
    with Volley(api.port, connections=400) as volley:
        assert {a.status for a in volley.send(["/sleep?s=0.03"] * 5)} == {200}

        def at_once():
            assert {a.status for a in volley.send(["/sleep?s=0"] * 400)} == {200}

        until(lambda: api.stat("pool_pipelined") > 100, at_once)


def test_what_waits_only_for_itself_is_not_short(start):
    """Its time must not be taken for the way to the server."""
    api = start("pool max=1 min=1;")
    with Volley(api.port) as volley:
        for _ in range(4):
            assert {a.status for a in volley.send(["/sleep?s=0.01"] * 40)} == {200}
        assert eventually(lambda: api.stat("pool_queries") >= 160)
        assert api.stat("pool_pipelined") == 0


def test_reads_share_a_connection(start):
    api = start()
    with Volley(api.port) as volley:
        warm(volley, "/items/1", "/pid")
        until(lambda: api.stat("pool_pipelined") > 500, lambda: assert_items(volley))
        # One that takes longer once is no short one for a moment.
        assert eventually(lambda: len({a.json() for a in volley.send(["/pid"] * 40)}) < 4), \
            "what waits for one connection went to several"
    assert api.stat("pool_repeated") == 0


def test_reads_share_where_the_database_is_far_away(make_perfd, db, well):
    """The way there and back takes longer than any short read may; it is not the read's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        with Far(folder, f"{db.server.folder}/.s.PGSQL.5432", 0.004):
            far = types.SimpleNamespace(url=db.url.replace(db.server.folder, folder))
            api = make_perfd(CONF, far, pool="pool max=4 min=4;", workers=1).start()
            time.sleep(1.5)  # idle, the pool must not take the way for nothing
            with Volley(api.port) as volley:
                until(lambda: api.stat("pool_pipelined") > 500, lambda: assert_items(volley))
            api.finish()


def test_a_depth_of_one_is_a_connection_each(start):
    api = start(pool="pool max=4 min=4 depth=1;")
    with Volley(api.port) as volley:
        warm(volley, "/items/1")
        assert_items(volley, turns=20)
    assert eventually(lambda: api.stat("pool_queries") >= 1000)
    assert api.stat("pool_pipelined") == 0


def test_an_error_is_its_own_requests_alone(start):
    api = start()
    with Volley(api.port) as volley:
        warm(volley, "/items/1", "/inverse/3")
        def send_some():
            wanted = [f"/inverse/{n % 4}" if n % 3 else f"/items/{n + 1}" for n in range(40)]
            for target, answer in zip(wanted, volley.send(wanted)):
                if target == "/inverse/0":
                    assert answer.status == 422, answer
                elif target.startswith("/inverse/"):
                    assert answer.json() == 100 // int(target[9:])
                else:
                    assert answer.json() == item(int(target[7:]))

        until(lambda: api.stat("pool_repeated") > 0, send_some)


def test_what_a_query_leaves_in_its_transaction_stays_there(start):
    api = start()
    with Volley(api.port) as volley:
        warm(volley, "/mark", "/alone")
        for _ in range(20):
            answers = volley.send(["/alone", "/mark"] * 20)
            assert [a.json() or None for a in answers] == ["x", None] * 20


def test_a_read_that_writes_fails_alone(start, db):
    api = start()
    with Volley(api.port) as volley:
        warm(volley, "/items/1")
        answers = volley.send(["/next", "/items/5"] * 20)
    assert {a.status for a in answers[0::2]} == {500} and {a.status for a in answers[1::2]} == {200}
    assert db.value("SELECT is_called FROM numbers") is False


def test_one_that_waits_for_a_lock_does_not_hold_up_the_others(start, db):
    api = start()
    with Volley(api.port) as volley, db.server.connect("pipeline") as locker:
        warm(volley, "/items/1", "/others/1")
        cursor = locker.cursor()
        cursor.execute("BEGIN; LOCK TABLE others IN ACCESS EXCLUSIVE MODE")
        blocked = []
        thread = threading.Thread(target=lambda: blocked.append(api.get("/others/7")))
        thread.start()
        assert eventually(lambda: db.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
        for _ in range(20):
            begun = time.monotonic()
            assert_items(volley)
            assert time.monotonic() - begun < 1
        # Those that were sent together with one that waits.
        begun = time.monotonic()
        for connection, n in zip(volley.connections, range(1, 41)):
            connection.send("GET", "/others/8" if n == 20 else f"/items/{n}")
        for connection, n in zip(volley.connections, range(1, 41)):
            if n != 20:
                assert connection.read().json() == item(n)
        assert time.monotonic() - begun < 1
        locker.rollback()
        assert volley.connections[19].read().json() == {"id": 8}
        thread.join(10)
    assert [a.json() for a in blocked] == [{"id": 7}]


def test_a_server_that_hangs_costs_its_connections(start, db):
    api = start(pool="statement_timeout 1s; pool max=2 min=2 acquire_timeout=1s;")
    with Volley(api.port) as volley:
        warm(volley, "/items/1")
        db.server.pause()
        try:
            begun = time.monotonic()
            assert {a.status for a in volley.send(["/items/1"] * 40)} <= {503, 504}
            assert time.monotonic() - begun < 4
            assert eventually(lambda: api.stat("pool_closed") >= 2, 5)
        finally:
            db.server.resume()
        assert eventually(lambda: {a.status for a in volley.send(["/items/1"] * 40)} == {200}, 5)


def test_sessions_that_end_under_it_are_not_seen(start, db):
    api = start()
    with Volley(api.port) as volley:
        warm(volley, "/items/1")
        for turn in range(20):
            for connection, n in zip(volley.connections, range(1, 41)):
                connection.send("GET", f"/items/{n}")
            db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'perfd' "
                   "AND datname = current_database()")
            assert [c.read().json() for c in volley.connections] == [item(n) for n in range(1, 41)]


def test_a_plan_that_changes_under_it(start, db):
    api = start()
    with Volley(api.port) as volley:
        warm(volley, "/plan", "/items/1")
        for change, rows in (("ADD b int DEFAULT 2", [{"a": 1, "b": 2}]), ("DROP b", [{"a": 1}])):
            db.run(f"ALTER TABLE changing {change}")
            answers = volley.send(["/plan", "/items/3"] * 20)
            assert [a.json() for a in answers] == [rows, item(3)] * 20


@pytest.mark.parametrize("max", [1, 2])
def test_writes_and_slow_reads_get_their_turn(start, max):
    api = start(pool=f"pool max={max} min={max};")
    with Load(api.port, lambda thread, turn: f"/items/{turn % ITEMS + 1}", threads=6) as load:
        load.wait_for(500)
        for n in range(1, 20):
            begun = time.monotonic()
            assert api.request("POST", f"/items/{n}").status == 204
            assert time.monotonic() - begun < 1
            assert api.get("/sleep?s=0.01").status == 200
    assert not load.wrong and not load.failed, (load.wrong + load.failed)[:3]


def test_slow_reads_leave_a_connection_to_short_ones(start):
    api = start()
    with Volley(api.port) as volley, Load(api.port, "/sleep?s=0.2", threads=8) as load:
        warm(volley, "/items/1")
        begun = time.monotonic()
        assert_items(volley, turns=20)
        assert time.monotonic() - begun < 1.5
    assert not load.wrong and not load.failed


def test_consumers_that_leave(start):
    api = start()
    with Volley(api.port) as volley:
        warm(volley, "/items/1")
        for _ in range(20):
            with Volley(api.port) as leaving:
                for connection in leaving.connections:
                    connection.send("GET", "/items/9")
            assert_items(volley)

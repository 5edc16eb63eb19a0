"""Who leaves or is late has its query cancelled in the server; nobody else notices."""
import threading
import time

import pytest

from lib.load import Load, Volley, at_once
from lib.process import eventually

CONF = """
route GET /items/{id} { query "SELECT id FROM items WHERE id = :id"; result row; timeout 20s; }
route GET /others/{id} { query "SELECT id FROM others WHERE id = :id"; result row; timeout 20s; }
route GET /brief/{id} { query "SELECT id FROM others WHERE id = :id"; result row; timeout 700ms; }
route GET /sleep/{s} { query "SELECT pg_sleep(:s::float8)::text AS s, 1 AS one"; result row; timeout 20s; }
route GET /short/{s} { query "SELECT pg_sleep(:s::float8)::text AS s, 1 AS one"; result row; timeout 700ms; }
route POST /sleep/{s} { query "UPDATE items SET id = id WHERE id = 1 AND pg_sleep(:s::float8) IS NOT NULL"; result none;
                        timeout 20s; }
"""
ITEMS = 1000
pytestmark = pytest.mark.calm


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("cancel", f"CREATE TABLE items AS SELECT id FROM generate_series(1, {ITEMS}) id;"
                                        f"CREATE TABLE others AS SELECT id FROM generate_series(1, {ITEMS}) id;"
                                        "ALTER TABLE items ADD PRIMARY KEY (id); ALTER TABLE others ADD PRIMARY KEY (id)")


@pytest.fixture
def start(make_perfd, db, well):
    return lambda pool="pool max=3 min=3;", **kwargs: make_perfd(CONF, db, pool=f"statement_timeout 20s; {pool}",
                                                                 workers=1, **kwargs).start()


def sessions(db, where):
    return int(db.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                        f"application_name = 'perfd' AND state = 'active' AND {where}"))


def cancel_all(db, where="true"):
    """How many an admin has cancelled."""
    return int(db.value("SELECT count(*) FROM (SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE "
                        "datname = current_database() AND application_name = 'perfd' AND state = 'active' "
                        f"AND {where} OFFSET 0) cancelled"))


def warm(api, volley, *paths):
    """Until they share connections."""
    for path in paths:
        before = api.stat("pool_pipelined")
        end = time.monotonic() + 20
        while api.stat("pool_pipelined") < before + 100:
            assert time.monotonic() < end, f"{path} never shared a connection"
            for _ in range(10):
                assert {a.status for a in volley.send([path] * 40)} == {200}


def test_who_leaves_a_shared_connection_has_its_query_cancelled(start, db):
    api = start()
    with Volley(api.port) as volley, db.server.connect("cancel") as locker:
        warm(api, volley, "/items/1", "/others/1")
        locker.cursor().execute("BEGIN; LOCK TABLE others IN ACCESS EXCLUSIVE MODE")
        leaving = api.connect()
        leaving.send("GET", "/others/7")
        assert eventually(lambda: sessions(db, "wait_event_type = 'Lock'") == 1)
        for connection, n in zip(volley.connections, range(1, 41)):
            connection.send("GET", f"/items/{n}")
        leaving.close()
        assert [c.read().json() for c in volley.connections] == [{"id": n} for n in range(1, 41)]
        assert eventually(lambda: sessions(db, "wait_event_type = 'Lock'") == 0, 3), "it waits on for its lock"
        assert eventually(lambda: api.stat("pool_cancelled") == 1)
        locker.rollback()
        assert [a.json() for a in volley.send(["/others/3"] * 40)] == [{"id": 3}] * 40


def test_who_leaves_while_it_is_quick_costs_no_connection(start):
    """A query to itself would be cancelled: on a busy machine the read may be taken for a slow one for a while."""
    api = start()

    def figures():
        time.sleep(0.6)  # two heartbeats
        return api.stat("pool_closed"), api.stat("pool_pipelined")

    with Volley(api.port) as volley:
        for _ in range(8):
            warm(api, volley, "/items/1")
            closed, pipelined = figures()
            for _ in range(10):
                with Volley(api.port) as leaving:
                    for connection in leaving.connections:
                        connection.send("GET", "/items/9")
                assert volley.send(["/items/5"])[0].json() == {"id": 5}
            now_closed, now_pipelined = figures()
            if now_closed - closed <= 1 and now_pipelined - pipelined > 100:
                return
    raise AssertionError("connections were closed each time")


def test_a_late_one_on_a_shared_connection_is_504_alone(start, db):
    api = start()
    with Volley(api.port) as volley, db.server.connect("cancel") as locker:
        warm(api, volley, "/items/1")
        for _ in range(10):
            volley.send(["/brief/1"] * 40)
        locker.cursor().execute("BEGIN; LOCK TABLE others IN ACCESS EXCLUSIVE MODE")
        begun = time.monotonic()
        for connection, n in zip(volley.connections, range(1, 41)):
            connection.send("GET", f"/brief/{n}" if n == 20 else f"/items/{n}")
        for connection, n in zip(volley.connections, range(1, 41)):
            if n != 20:
                assert connection.read().json() == {"id": n}
        assert time.monotonic() - begun < 0.6, "they waited for the late one"
        late = volley.connections[19].read()
        assert late.status == 504 and 0.6 < time.monotonic() - begun < 3, late
        assert eventually(lambda: sessions(db, "true") == 0)
        locker.rollback()


def test_a_late_one_does_not_stop_the_worker(start, db):
    api = start()
    with Load(api.port, "/items/3", threads=1) as load:
        assert {a.status for a in at_once(2, lambda i: api.get("/short/9"))} == {504}
        assert eventually(lambda: sessions(db, "query LIKE '%pg_sleep%'") == 0, 3)
    assert not load.wrong and not load.failed and load.longest < 0.6, load.longest


def test_a_read_that_an_admin_cancels_runs_again_once(start, db):
    api = start()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(api.timed("/sleep/0.6")))
    thread.start()
    assert eventually(lambda: sessions(db, "query LIKE '%pg_sleep%'") == 1)
    assert cancel_all(db) == 1
    thread.join(10)
    assert answers[0][0].status == 200 and answers[0][1] > 0.6
    thread = threading.Thread(target=lambda: answers.append(api.timed("/sleep/5")))
    thread.start()
    for _ in range(2):
        assert eventually(lambda: sessions(db, "query LIKE '%pg_sleep%'") == 1)
        assert cancel_all(db) == 1
    thread.join(10)
    assert answers[1][0].status == 503 and answers[1][1] < 4, answers
    assert answers[1][0].problem["code"] == "cancelled" and answers[1][0].header("retry-after")


def test_a_write_that_an_admin_cancels_does_not_run_again(start, db):
    api = start()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(api.request("POST", "/sleep/5")))
    thread.start()
    assert eventually(lambda: sessions(db, "query LIKE '%pg_sleep%'") == 1)
    assert cancel_all(db) == 1
    thread.join(10)
    assert answers[0].status == 503 and answers[0].problem["code"] == "cancelled"
    assert sessions(db, "true") == 0


def test_cancels_among_short_reads_are_not_seen(start, db):
    api = start()
    with Volley(api.port) as volley:
        warm(api, volley, "/items/1")
        hit = 0
        for turn in range(60):
            for connection, n in zip(volley.connections, range(1, 41)):
                connection.send("GET", f"/items/{n + turn}")
            hit += cancel_all(db)
            assert [c.read().json() for c in volley.connections] == [{"id": n + turn} for n in range(1, 41)]


# --- the lines

def test_one_route_does_not_fill_the_line_for_the_others(start):
    """The newest of those that wait in the largest crowd gives way."""
    api = start(pool="pool max=1 min=1 queue=10 acquire_timeout=10s;")
    with Volley(api.port, 24) as slow, Volley(api.port, 5) as others:
        for connection in slow.connections:
            connection.send("GET", "/sleep/0.3")
        assert eventually(lambda: api.stat("pool_rejected") >= 13, 3)
        for connection, n in zip(others.connections, range(1, 6)):
            connection.send("GET", f"/items/{n}")
        assert [c.read().json() for c in others.connections] == [{"id": n} for n in range(1, 6)]
        statuses = [c.read().status for c in slow.connections]
        assert statuses.count(200) in (5, 6) and statuses.count(503) == 24 - statuses.count(200)

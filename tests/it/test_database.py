"""The pool and what happens when the database does not do its part."""
import signal
import time

import pytest

from lib.load import Load, at_once
from lib.process import eventually, tell

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; }
route GET /pid { query "SELECT pg_backend_pid() AS pid"; result row; }
route GET /sleep { query "SELECT pg_sleep(:s), 1 AS one"; result row; param s default=0.3; timeout 20s; }
route GET /again { query "SELECT fail_late(:s)"; result row; timeout 20s; }
route GET /cached { query "SELECT 1 AS one"; result row; cache ttl=60s; }
route GET /table { query "SELECT id FROM t WHERE id = :id"; result row; cache off; }
route GET /wide { query "SELECT * FROM wide"; result rows; }
route POST /both { query "INSERT INTO log SELECT 1; SELECT * FROM wide, narrow"; result rows; }
route POST /deallocate { query "DEALLOCATE ALL"; result none; }
route POST /discard { query "DISCARD ALL"; result none; }
route POST /add { query "INSERT INTO t (id) VALUES (:id)"; result none; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("faults", "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"
                                        "CREATE TABLE wide (a int); INSERT INTO wide VALUES (1);"
                                        "CREATE TABLE narrow (n int); INSERT INTO narrow VALUES (2);"
                                        "CREATE TABLE log (n int);"
                                        "CREATE FUNCTION fail_late(s float8) RETURNS int LANGUAGE plpgsql AS "
                                        "$$ BEGIN PERFORM pg_sleep(s); RAISE SQLSTATE '40001'; END $$")


@pytest.fixture
def start(make_perfd, db, well):
    return lambda pool="", **kwargs: make_perfd(CONF, db, pool=pool, **kwargs).start()


def sessions(db):
    return db.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND application_name = 'perfd'")


# --- the pool

def test_min_is_kept_warm_and_max_is_not_passed(start, db):
    api = start("pool max=4 min=2;")
    assert eventually(lambda: sessions(db) == 4)  # two workers
    answers = at_once(30, lambda i: api.get("/sleep"))
    assert {a.status for a in answers} == {200}
    assert sessions(db) <= 8
    assert api.stat("pool_max") == 8


def test_idle_connections_go_and_old_ones_are_replaced(start, db):
    api = start("pool max=4 min=1 idle_timeout=600ms max_lifetime=2s;", workers=1)
    at_once(4, lambda i: api.get("/sleep"))
    assert sessions(db) == 4
    assert eventually(lambda: sessions(db) == 1, 4)
    first = api.get("/pid").json()
    assert eventually(lambda: api.get("/pid").json() != first, 5, every=0.2)


def test_old_connections_are_replaced_under_load_too(start):
    api = start("pool max=1 min=1 max_lifetime=500ms;", workers=1)
    sessions_seen = set()
    with Load(api.port, "/pid", threads=4, check=lambda request, response: sessions_seen.add(response.text)) as load:
        time.sleep(2.5)
    assert not load.failed and 3 <= len(sessions_seen) <= 10, sessions_seen


def test_a_full_queue_is_503_and_a_long_wait_504(start):
    api = start("pool max=1 min=1 queue=2 acquire_timeout=400ms;", workers=1)
    answers = at_once(6, lambda i: api.timed("/sleep?s=1.5"))
    statuses = sorted(response.status for response, _ in answers)
    assert statuses == [200, 503, 503, 503, 504, 504]
    for response, seconds in answers:
        if response.status == 503:
            assert response.header("retry-after") and seconds < 0.3
        if response.status == 504:
            assert 0.3 < seconds < 1
    assert api.get("/one").status == 200


def test_statements_are_prepared_once_a_connection(start, db):
    api = start("pool max=1 min=1;", workers=1)
    for i in range(20):
        assert api.get(f"/table?id={i % 2}").status in (200, 404)
    assert api.get("/one").status == 200


def test_a_statement_that_the_server_lost_is_prepared_again(start, db):
    api = start("pool max=1 min=1;", workers=1)
    assert api.get("/wide").json() == [{"a": 1}]
    db.run("ALTER TABLE wide ADD b int DEFAULT 7")
    assert api.get("/wide").json() == [{"a": 1, "b": 7}]
    db.run("ALTER TABLE wide DROP b")
    assert api.get("/wide").json() == [{"a": 1}]


@pytest.mark.parametrize("route", ["/deallocate", "/discard"])
def test_a_session_that_forgets_all_is_not_noticed(start, db, route):
    """Neither by reads, nor by writes (DISCARD ALL forgets the session's mode too), nor by two statements at once."""
    api = start("pool max=1 min=1;", workers=1)
    db.run("DELETE FROM t WHERE id > 1; DELETE FROM log")
    for turn in range(3):
        assert api.get("/wide").json() == [{"a": 1}]
        assert api.post("/both").json() == [{"a": 1, "n": 2}]
        assert api.post("/add", {"id": 200 + turn}).status == 204
        assert api.post(route).status == 204
    assert api.post("/add", {"id": 210}).status == 204
    assert api.get("/wide").status == 200
    assert api.post(route).status == 204
    assert api.post("/both").status == 200
    assert db.value("SELECT count(*) FROM log") == 4


def test_two_statements_whose_tables_changed_are_prepared_again(start, db):
    api = start("pool max=1 min=1;", workers=1)
    db.run("DELETE FROM log")
    assert api.post("/both").json() == [{"a": 1, "n": 2}]
    db.run("ALTER TABLE wide ADD b int DEFAULT 7; ALTER TABLE narrow ADD c int DEFAULT 8; ALTER TABLE log ADD x int")
    assert api.post("/both").json() == [{"a": 1, "b": 7, "n": 2, "c": 8}]
    db.run("ALTER TABLE wide DROP b; ALTER TABLE narrow DROP c; ALTER TABLE log DROP x")
    assert api.post("/both").json() == [{"a": 1, "n": 2}]
    assert db.value("SELECT count(*) FROM log") == 3


def test_nothing_blocks_the_loop(start):
    """While queries sleep in the database the same worker answers others."""
    api = start("pool max=4 min=4;", workers=1)
    with Load(api.port, "/sleep?s=1", threads=3) as slow:
        time.sleep(0.2)
        for _ in range(20):
            response, seconds = api.timed("/one")
            assert response.status == 200 and seconds < 0.2
    assert not slow.wrong and not slow.failed


# --- the server

def test_a_database_that_is_down_at_start(make_perfd, pg, db, well):
    pg.stop()
    api = make_perfd(CONF, db).start(path="/healthz")
    assert api.status("/readyz") == 503
    response, seconds = api.timed("/one")
    assert response.status == 503 and response.header("retry-after") and seconds < 1
    pg.start()
    assert eventually(lambda: api.status("/readyz") == 200, 3)
    assert eventually(lambda: api.get("/one").status == 200, 3)


def test_stopped_and_back(start, pg):
    api = start()
    assert eventually(api.is_whole, 10), "a worker that has not heard of a route's query yet has no hit either"
    assert api.get("/one").status == 200 and api.get("/cached").status == 200
    pg.stop()
    assert eventually(lambda: api.status("/readyz") == 503, 3)
    response, seconds = api.timed("/one")
    assert response.status == 503 and seconds < 1
    assert api.get("/cached").cache == "HIT"
    pg.start()
    began = time.monotonic()
    assert eventually(lambda: api.get("/one").status == 200, 5)
    assert time.monotonic() - began < 2.5
    assert eventually(lambda: [api.get("/one").status for _ in range(6)] == [200] * 6, 3)


def test_sessions_that_the_server_ends_are_not_seen_by_readers(start, db):
    api = start()
    with Load(api.port, "/one", threads=3) as load:
        load.wait_for(50)
        for _ in range(5):
            db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'perfd' "
                   "AND datname = current_database()")
            load.wait_for(50)
    assert not load.wrong and not load.failed, (load.wrong[:3], load.failed[:3])


def test_a_write_is_never_sent_twice(start, db):
    api = start("pool max=2 min=2;", workers=1)
    for i in range(100, 140):
        if i % 5 == 0:
            db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'perfd' "
                   "AND datname = current_database()")
        status = api.post("/add", {"id": i}).status
        assert status in (204, 503), (i, status)  # 409 would be the second time


def test_a_paused_server_costs_its_timeout(start, pg):
    api = start("statement_timeout 500ms; connect_timeout 500ms; pool max=2 min=1 acquire_timeout=600ms;")
    assert api.get("/one").status == 200
    pg.pause()
    for _ in range(4):
        response, seconds = api.timed("/one")
        assert response.status in (503, 504) and seconds < 3, (response, seconds)
        assert api.status("/healthz") == 200
    pg.resume()
    assert eventually(lambda: api.get("/one").status == 200, 5)


def test_a_worker_that_asked_in_vain_asks_again_at_once(start, pg):
    """One that starts beside a database that stands still learns nothing of its queries until that goes on."""
    api = start("pool max=2 min=1 acquire_timeout=300ms;", workers=1)
    pg.pause()
    (old,) = api.worker_pids()
    tell(old, signal.SIGKILL)
    assert eventually(lambda: api.worker_pids() not in ([], [old]) and api.status("/healthz") == 200, 10)
    assert api.get("/one").status in (503, 504)
    pg.resume()
    answer, seconds = api.timed("/one")
    assert answer.status == 200, (answer, seconds)


def test_out_of_connections(start, db, pg):
    """The server refuses more sessions; those that there are go on serving."""
    api = start("pool max=6 min=1;", workers=1)
    db.run("ALTER DATABASE faults CONNECTION LIMIT 3")
    role = "postgres"
    try:
        db.run(f"CREATE ROLE small LOGIN; ALTER DATABASE faults OWNER TO {role}")
        answers = at_once(12, lambda i: api.get("/sleep?s=0.1"))
        assert {a.status for a in answers} == {200}
    finally:
        db.run("ALTER DATABASE faults CONNECTION LIMIT -1")
        db.run("DROP ROLE small")


def test_a_table_that_is_missing_is_500_until_it_is_there(make_perfd, db, well):
    conf = 'route GET /late { query "SELECT n FROM late"; result row; }\n'
    db.run("DROP TABLE IF EXISTS late")
    api = make_perfd(conf + CONF, db)
    assert api.check().code == 2
    api.start()
    assert api.get("/late").status == 500 and api.get("/one").status == 200
    assert api.log_contains('relation "late" does not exist')
    db.run("CREATE TABLE late AS SELECT 5 AS n")
    assert eventually(lambda: api.get("/late").status == 200, 4)


def test_a_request_ends_within_its_time_whatever_its_route_allows(start):
    api = start(settings="request_timeout 700ms;")
    response, seconds = api.timed("/sleep?s=5")
    assert response.status == 504 and 0.5 < seconds < 1.5
    assert api.get("/sleep?s=0.1").status == 200


def test_waiting_and_running_again_are_part_of_a_requests_time(start):
    api = start("pool max=1 min=1;", workers=1, settings="request_timeout 1500ms;")
    with Load(api.port, "/sleep?s=1.2", threads=1):
        time.sleep(0.1)
        response, seconds = api.timed("/sleep?s=5")  # waits for a second, then has half of one
    assert response.status == 504 and 1.2 < seconds < 2, (response, seconds)
    response, seconds = api.timed("/again?s=1")
    assert response.status == 504 and 1.2 < seconds < 2, (response, seconds)


def test_a_host_whose_name_is_not_known(make_perfd, well):
    """Names are resolved beside the loop, which goes on answering."""
    api = make_perfd(CONF, "postgresql://perfd@no-such-host.invalid/x",
                     settings="redis { url redis://no-such-host.invalid; }").start(path="/healthz")
    assert eventually(lambda: api.get("/one").status == 503, 5)
    assert eventually(lambda: api.status("/readyz") == 503, 5)
    for _ in range(10):
        response, seconds = api.timed("/healthz")
        assert response.status == 200 and seconds < 0.2


def test_a_database_by_its_hosts_name(make_perfd, well, db):
    """Nothing listens there: that the address was found is told by the error."""
    api = make_perfd(CONF, "postgresql://perfd@localhost:1/x").start(path="/healthz")
    assert eventually(lambda: api.get("/one").status == 503, 5)
    assert api.log_contains("refused")

"""`prepare off`: behind a pooler in transaction mode each transaction may run in another session of the server."""
import time

import pytest

from lib.load import Load, at_once
from lib.pooler import Pooler
from lib.process import eventually

CONF = """
route GET /item { query "SELECT id, name FROM items WHERE id = :id"; result row; }
route GET /pid { query "SELECT pg_backend_pid()"; result value; }
route GET /sleep { query "SELECT pg_sleep(:s), pg_backend_pid() AS pid"; result row; param s default=0.3; }
route GET /slow { query "SELECT pg_sleep(5)"; result value; timeout 300ms; }
route GET /settings {
    query "SELECT current_setting(n) FROM unnest(string_to_array(:names, ',')) n"; result rows;
}
route GET /typed {
    query "SELECT now() AS now, 'a'::bytea AS bytes, 0.1::float8 + 0.2::float8 AS sum, date '2024-02-01' AS day";
    result row;
}
route GET /writes { query "SELECT write_item(:id)"; result value; }
route GET /wide { query "SELECT * FROM wide"; result rows; }
route POST /items { query "INSERT INTO items (id, name) VALUES (:id, :name)"; result none; }
route POST /two {
    query "INSERT INTO items (id, name) VALUES (:id, :name); UPDATE items SET name = upper(name) WHERE id = :id RETURNING *";
    result row;
}
"""
POOL = "prepare off; statement_timeout 2s; pool max=4 min=2;"


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("pooled", """
        CREATE TABLE items (id int PRIMARY KEY, name text);
        INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 1000) i;
        CREATE TABLE wide (a int); INSERT INTO wide VALUES (1);
        CREATE FUNCTION write_item(i int) RETURNS int LANGUAGE sql AS
            $$ INSERT INTO items (id) VALUES (i) RETURNING id $$""")


@pytest.fixture(scope="module")
def pooler(pg, db):
    with Pooler(pg, pool_size=2) as two:
        yield two


@pytest.fixture
def start(make_perfd, pooler):
    return lambda pool=POOL, **kwargs: make_perfd(CONF, pooler.url("pooled"), pool=pool, **kwargs).start()


def on_all_sessions(pooler, sql):
    """Of the server, of which the pooler has two: each transaction holds one."""
    clients = [pooler.connect("pooled") for _ in range(2)]
    try:
        for client in clients:
            client.autocommit = False
        for client in clients:
            with client.cursor() as cursor:
                cursor.execute(sql)
        for client in clients:
            client.commit()
    finally:
        for client in clients:
            client.close()


def test_with_prepared_statements_it_does_not_go(make_perfd, pooler):
    """The pooler refuses what perfd asks of its sessions: without this, the other tests would prove nothing."""
    api = make_perfd(CONF, pooler.url("pooled")).start(path="/healthz")
    assert eventually(lambda: api.status("/item?id=1") == 503)
    assert api.log_contains("unsupported startup parameter")


def test_reads_writes_and_transactions(start, db):
    api = start()
    assert api.get("/item?id=7").json() == {"id": 7, "name": "item 7"}
    assert api.get("/item?id=seven").status == 400
    assert api.get("/item?id=5000").status == 404
    assert api.post("/items", {"id": 5001, "name": "new"}).status == 204
    assert api.post("/items", {"id": 5001, "name": "new"}).status == 409
    assert api.post("/two", {"id": 5002, "name": "new"}).json() == {"id": 5002, "name": "NEW"}
    assert api.post("/two", {"id": 5002, "name": "again"}).status == 409
    assert db.value("SELECT name FROM items WHERE id = 5002") == "NEW"


def test_a_read_cannot_write(start, db):
    api = start()
    for _ in range(5):
        assert api.get("/writes?id=6000").status == 500
    assert api.post("/items", {"id": 6001, "name": "x"}).status == 204  # the same sessions of the server
    assert api.get("/writes?id=6000").status == 500
    assert db.value("SELECT count(*) FROM items WHERE id = 6000") == 0


def test_what_perfd_relies_on_holds_whatever_others_left_in_the_session(start, db, pooler):
    api = start()
    wanted = {"TimeZone": "UTC", "DateStyle": "ISO, MDY", "bytea_output": "hex", "extra_float_digits": "1",
              "statement_timeout": "2s", "transaction_read_only": "on"}
    others = {"TimeZone": "Asia/Tokyo", "DateStyle": "German, DMY", "bytea_output": "escape",
              "extra_float_digits": "-10", "statement_timeout": "30", "default_transaction_read_only": "off"}
    # By set_config(), which the pooler does not see: it gives a session back as its own clients had set it.
    leave = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in others.items())
    try:
        on_all_sessions(pooler, f"SELECT {leave}")
        for _ in range(6):
            got = [row["current_setting"] for row in api.get(f"/settings?names={','.join(wanted)}").json()]
            assert dict(zip(wanted, got)) == wanted
        assert api.get("/typed").json()["sum"] == 0.30000000000000004
    finally:
        on_all_sessions(pooler, "RESET ALL")


def test_time_outs_hold(start):
    api = start()
    for _ in range(3):
        response, seconds = api.timed("/slow")
        assert response.status == 504 and 0.2 < seconds < 1.5
    names = "statement_timeout,transaction_read_only,TimeZone"
    assert [row["current_setting"] for row in api.get(f"/settings?names={names}").json()] == ["2s", "on", "UTC"]


def test_perfctl_asks_through_it(start, pooler):
    """It needs no options, and what others have prepared and set in the server's sessions stays."""
    api = start()
    on_all_sessions(pooler, "PREPARE theirs AS SELECT 1")
    try:
        plan, broken = api.perfctl("explain", "GET /item"), api.perfctl("explain", "GET /pid", "--url", pooler.url("none"))
        assert plan.code == 0 and "items_pkey" in plan.out and broken.code == 1, (plan, broken)
        advice = api.perfctl("advise")
        assert advice.code == 0 and advice.out == "nothing to advise\n", advice
        assert "rows in 2 tables" in api.perfctl("check", "--checklist").out
        on_all_sessions(pooler, "DO $$ BEGIN ASSERT (SELECT array_agg(name) FROM pg_prepared_statements) = '{theirs}';"
                                "ASSERT current_setting('plan_cache_mode') = 'auto' AND current_setting('statement_timeout') = '0'"
                                "; END $$")
    finally:
        on_all_sessions(pooler, "DEALLOCATE ALL")


def test_nothing_of_one_request_is_seen_by_the_next(start, pooler):
    """Other users of the pooler get the sessions as they would without perfd."""
    api = start()
    for i in range(6):
        api.get("/item?id=1")
        api.post("/items", {"id": 7000 + i, "name": "x"})
    with pooler.connect("pooled") as other, other.cursor() as cursor:
        for _ in range(4):
            cursor.execute("SELECT current_setting('default_transaction_read_only'), current_setting('statement_timeout'), "
                           "(SELECT count(*) FROM pg_prepared_statements)")
            assert cursor.fetchall() == [("off", "0", 0)]
    other.close()


def test_a_table_that_changes_is_no_matter(start, db):
    api = start()
    assert api.get("/wide").json() == [{"a": 1}]
    db.run("ALTER TABLE wide ADD b int DEFAULT 7")
    assert api.get("/wide").json() == [{"a": 1, "b": 7}]
    db.run("ALTER TABLE wide DROP b")
    assert api.get("/wide").json() == [{"a": 1}]


@pytest.mark.calm
def test_short_reads_share_a_transaction_and_its_settings(start, db):
    """Once they are known to be short. Every answer is the right one, and beside them one that fails fails alone."""
    api = start("prepare off; pool max=1 min=1;", workers=1)
    wrong = []

    def check(request, response):
        expected = int(request.split("=")[1])
        if response.status != 200 or response.json() != {"id": expected, "name": f"item {expected}"}:
            wrong.append((request, response))

    with Load(api.port, lambda thread, turn: f"/item?id={1 + (thread * 100 + turn) % 1000}", threads=16, check=check) as load:
        load.wait_for(1500)
        db.forget_calls()
        before = api.stat("pool_queries")
        for _ in range(10):
            assert api.get("/item?id=seven").status == 400
            assert api.get("/writes?id=6000").status == 500
        load.wait_for(1500)
    assert not wrong and not load.failed, (wrong[:3], load.failed[:3])
    assert eventually(lambda: api.stat("pool_queries") - before >= 1500)
    assert api.stat("pool_pipelined") > 500
    assert db.calls("%set_config%") < 0.9 * db.calls("SELECT id, name FROM items%")


def test_the_pooler_has_fewer_sessions_than_perfd(start, db):
    api = start("prepare off; pool max=8 min=4;")
    answers = at_once(16, lambda i: api.get("/sleep?s=0.1"))
    assert {a.status for a in answers} == {200}
    assert len({a.json()["pid"] for a in answers}) <= 2


def test_a_pooler_that_goes_and_comes_back(make_perfd, pg, db):
    with Pooler(pg) as bouncer:
        api = make_perfd(CONF, bouncer.url("pooled"), pool=POOL).start()
        assert api.get("/item?id=1").status == 200
        bouncer.kill()
        assert eventually(lambda: api.get("/item?id=1").status == 503)
        bouncer.start()
        began = time.monotonic()
        assert eventually(lambda: [api.get("/item?id=1").status for _ in range(6)] == [200] * 6)
        assert time.monotonic() - began < 4

"""Slow queries: kept for perfctl, told in the log, explained by PostgreSQL."""
import signal

import pytest

from lib.process import eventually, tell

CONF = """
route GET /both { fan { one /items/1; other /items/2; } }
route GET /sleep/{s} { query "SELECT pg_sleep(:s::float8)::text AS s, :mark::text AS mark"; result row; timeout 1s; }
route GET /quick { query "SELECT pg_sleep(0.15)::text AS s"; result row; slow_query 1s; }
route GET /never { query "SELECT pg_sleep(0.15)::text AS s"; result row; slow_query 0; }
route GET /fails { query "SELECT 1 / (count(*) - 1) AS n FROM pg_sleep(0.15)"; result row; }
route GET /items/{id} { query "SELECT id, name FROM items WHERE id = :id"; result row; slow_query 1ms; }
route GET /pages { query "SELECT id, name FROM items"; result rows; page keyset id; slow_query 1ms; }
route GET /combined/{id} { query "SELECT id FROM items WHERE id = :id AND pg_sleep(0.15) IS NOT NULL"; result row;
                           combine on; }
route GET /named/{name} { query "SELECT (SELECT count(*) FROM items WHERE name = :name) AS n, pg_sleep(0.11)::text AS s";
                         result row; }
route GET /items { query "SELECT id FROM items, pg_sleep(0.11)"; result rows; }
route POST /items/{id} { query "UPDATE items SET name = name WHERE id = :id; SELECT pg_sleep(0.15)::text AS s"; result row; }
"""
NOTHING = "nothing to be seen by others"


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("slow", "CREATE TABLE items AS SELECT id, 'item ' || id AS name "
                                      "FROM generate_series(1, 5000) id; ALTER TABLE items ADD PRIMARY KEY (id); ANALYZE")


@pytest.fixture
def start(make_perfd, db):
    return lambda pool="pool max=2 min=1;", workers=1, **kwargs: make_perfd(CONF, db, pool=pool, workers=workers,
                                                                            **kwargs).start()


def slow(api):
    return api.perfctl_json("slow")["queries"]


def the_slow(api, route):
    return eventually(lambda: next((q for q in slow(api) if q["route"] == route), None))


def test_what_took_long_is_kept_and_told(start):
    api = start()
    assert api.perfctl("slow").code == 0 and slow(api) == []
    assert api.get(f"/sleep/0.2?mark={NOTHING.replace(' ', '%20')}").status == 200
    assert api.get("/items").status == 200
    assert api.get("/fails").status == 422
    assert api.get("/sleep/9").status == 504
    assert api.request("POST", "/items/7").status == 200
    assert eventually(lambda: len(slow(api)) == 5), slow(api)
    write, late, failed, rows, first = slow(api)
    assert [q["number"] for q in slow(api)] == [5, 4, 3, 2, 1]
    assert first["route"] == "GET /sleep/{s}" and 200_000 <= first["run_us"] < 5_000_000 and first["rows"] == 1
    assert first["state"] is None and first["params"] is None and first["slot"] == 0
    assert first["pid"] in api.worker_pids() and first["at_us"] <= rows["at_us"]
    assert rows["rows"] == 5000 and rows["fingerprint"] != first["fingerprint"]
    assert failed["state"] == "22012" and failed["rows"] == 0
    assert late["state"] == "57014" and late["fingerprint"] == first["fingerprint"]
    assert write["route"] == "POST /items/{id}" and write["rows"] == 2
    assert api.stat("slow_queries") == 5
    assert api.log_contains("slow query: GET /sleep/{s} ran 2")
    table = api.perfctl("slow").out
    assert "GET /sleep/{s}" in table and "57014" in table
    assert NOTHING not in api.log() and NOTHING not in table
    with open(f"{api.run_dir}/perfd.stats", "rb") as stats:
        assert NOTHING.encode() not in stats.read()


def test_what_is_slow_is_the_routes_to_say(start):
    api = start()
    assert api.get("/quick").status == api.get("/never").status == api.get("/items").status == 200
    assert [q["route"] for q in slow(api)] == ["GET /items"]
    quiet = start(pool="slow_query 0; pool max=2 min=1;")
    assert quiet.get("/items").status == 200 and quiet.get("/sleep/0.2").status == 200
    assert slow(quiet) == []


def test_the_wait_for_a_connection_is_told_apart(start):
    api = start(pool="pool max=1 min=1;")
    with api.connect() as one, api.connect() as other:
        one.send("GET", "/sleep/0.9")
        assert eventually(lambda: api.stat("pool_active") == 1)
        other.send("GET", "/sleep/0.15")
        assert one.read().status == other.read().status == 200
    second, first = slow(api)
    assert first["wait_us"] < second["wait_us"] and 100_000 < second["wait_us"] < 2_000_000
    assert 150_000 <= second["run_us"] < 1_000_000


def test_parameters_are_kept_where_they_may_be(start):
    api = start(pool="slow_query_params on; pool max=2 min=1;")
    assert api.get("/sleep/0.2?mark=it%27s").status == 200
    assert api.get("/sleep/0.2").status == 200
    assert api.get(f"/sleep/0.2?mark={'x' * 2000}").status == 200
    large, without, first = slow(api)
    assert first["params"] == ["0.2", "it's"] and without["params"] == ["0.2", None] and large["params"] is None
    assert "$1=0.2 $2=it's" in api.perfctl("slow").out
    assert "it's" not in api.log()


def test_one_that_left_is_told_too(start):
    api = start()
    connection = api.connect()
    connection.send("GET", "/sleep/0.9")
    assert eventually(lambda: api.stat("pool_active") == 1)
    eventually(lambda: False, 0.2)
    connection.close()
    assert the_slow(api, "GET /sleep/{s}")["state"] == "gone"


def test_the_ring_outlives_workers_and_is_read_while_they_stand_still(start):
    api = start(pool="slow_query 1ms; pool max=2 min=1;", workers=2)
    for _ in range(30):
        assert api.get("/sleep/0.002").status == 200
    tell(api.worker_pids()[0], signal.SIGKILL)
    assert eventually(lambda: len(api.worker_pids()) == 2 and api.status("/readyz") == 200)
    assert len(slow(api)) >= 30
    api.pause_master()
    for pid in api.worker_pids():
        tell(pid, signal.SIGSTOP)
    try:
        assert len(slow(api)) >= 30
    finally:
        for pid in api.worker_pids():
            tell(pid, signal.SIGCONT)
        api.resume_master()
    assert eventually(lambda: api.get("/sleep/0.002").status == 200)


# --- explain

def test_a_routes_plan(start, db):
    api = start()
    plan = api.perfctl("explain", "GET", "/items/{id}")
    assert plan.code == 0 and "GET /items/{id}, generic plan" in plan.out, plan
    assert "Index Scan using items_pkey" in plan.out and "id = $1" in plan.out
    assert api.perfctl("explain", "GET /items/{id}").out == plan.out
    document = api.perfctl("explain", "GET /items/{id}", "-o", "json").json
    assert document["statements"][0][0]["Plan"]["Node Type"] == "Index Scan" and document["plan"] == "generic"
    write = api.perfctl("explain", "POST /items/{id}")
    assert write.code == 0 and "Update on items" in write.out and "Result" in write.out, write


def test_the_plan_of_a_slow_query_with_its_parameters(start, db):
    api = start(pool="slow_query_params on; pool max=2 min=1;")
    assert api.get("/sleep/0.2?mark=x").status == 200
    number = the_slow(api, "GET /sleep/{s}")["number"]
    plan = api.perfctl("explain", str(number))
    assert plan.code == 0 and "custom plan" in plan.out and "$1" not in plan.out, plan
    assert "actual time" not in plan.out
    ran = api.perfctl("explain", str(number), "--analyze")
    assert ran.code == 0 and "actual time=2" in ran.out, ran
    assert api.request("POST", "/items/7").status == 200
    write = api.perfctl("explain", str(the_slow(api, "POST /items/{id}")["number"]), "--analyze")
    assert write.code == 1 and "read-only transaction" in write.err, write


def test_a_consumer_does_not_steer_the_terminal(start):
    """U+009B begins a control sequence as ESC [ does."""
    api = start(pool="slow_query_params on; pool max=2 min=1;")
    assert api.get("/named/%1B%5B2J%C2%9B2Jx").status == 200
    number = the_slow(api, "GET /named/{name}")["number"]
    for shown in (api.perfctl("slow"), api.perfctl("explain", str(number))):
        assert shown.code == 0 and "?[2J??2Jx" in shown.out and not set("\x1b\x9b") & set(shown.out), shown


def test_pages_and_combined_lookups(start):
    api = start(pool="slow_query_params on; pool max=2 min=1;")
    plan = api.perfctl("explain", "GET /pages")
    assert plan.code == 0 and "Limit" in plan.out and "Index Scan using items_pkey" in plan.out, plan
    with api.connect() as one, api.connect() as other:
        one.send("GET", "/combined/1")
        other.send("GET", "/combined/2")
        assert one.read().status == other.read().status == 200
    number = the_slow(api, "GET /combined/{id}")["number"]
    plan = api.perfctl("explain", str(number))
    assert plan.code == 0 and "generic plan" in plan.out and "items_pkey" in plan.out, plan


def test_what_cannot_be_explained(start, db):
    api = start()
    assert api.get("/sleep/0.2").status == 200
    number = str(the_slow(api, "GET /sleep/{s}")["number"])
    assert "generic plan" in api.perfctl("explain", number).out
    refused = api.perfctl("explain", number, "--analyze")
    assert refused.code == 1 and "slow_query_params" in refused.err, refused
    assert api.perfctl("explain", "99").code == 1 and api.perfctl("explain", "GET /nowhere").code == 1
    assert api.perfctl("explain").code == api.perfctl("slow", "--analyze").code == 64
    assert api.perfctl("explain", "GET", "/items", "x").code == 64
    api.configure(CONF.replace("pg_sleep(:s::float8)", "pg_sleep(2 * :s::float8)"))
    changed = api.perfctl("explain", number)
    assert changed.code == 1 and "no more" in changed.err, changed
    none = api.perfctl("explain", "GET /both")
    assert none.code == 1 and "GET /both: it has no query" in none.err, none
    lost = api.perfctl("explain", "GET /items", "--url", f"postgresql:///slow?host={api.folder}")
    assert lost.code == 1 and api.folder in lost.err, lost
    api.write("perfd.conf", "nonsense;")
    broken = api.perfctl("explain", "GET /items")
    assert broken.code == 1 and "perfd.conf:1:1" in broken.err, broken
    api.configure(CONF)

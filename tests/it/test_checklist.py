"""perfctl check --checklist: what is measured, found wanting, and told where it cannot be known."""
import pytest

CONF = """
route GET /items/{id} { query "SELECT id, name FROM items WHERE id = :id"; result row; cache ttl=60s; }
route GET /named { query "SELECT id FROM items WHERE name = :name"; result rows; slow_query 1ms; }
route POST /items { query "INSERT INTO items VALUES (:id, :name)"; result none; }
"""
LIMITS = "max_concurrent 40; rate_limit all { rate 10000/s; burst 10000; routes all; }\n"
ITEMS = ["hits", "queries", "pool", "memory", "slow", "slow_log", "indexes", "headroom", "volumes", "limits", "flame"]


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("checklist", "CREATE TABLE items AS SELECT id, 'item ' || id AS name FROM "
                                           "generate_series(1, 120000) id; ALTER TABLE items ADD PRIMARY KEY (id); ANALYZE")


def items(api, *more):
    result = api.perfctl("check", "--checklist", "-o", "json", *more)
    found = result.json["items"]
    assert [item["item"] for item in found] == ITEMS and all(item["state"] for item in found)
    assert all((item["verdict"] == "ok") == (item["todo"] == "") for item in found)
    verdicts = [item["verdict"] for item in found]
    assert result.code == (2 if "bad" in verdicts else 1 if "look" in verdicts else 0), result
    return {item["item"]: item for item in found}


def test_what_is_well_and_what_is_not(make_perfd, db):
    api = make_perfd(LIMITS + CONF, db).start()
    for _ in range(150):
        assert api.get("/items/7").status == 200
    assert api.get("/named?name=item%207").status == 200
    found = items(api)
    assert found["limits"]["verdict"] == found["volumes"]["verdict"] == found["slow_log"]["verdict"] == "ok", found
    assert found["hits"]["verdict"] == "look" or "99" in found["hits"]["state"], "gauges are some moments old"
    assert found["indexes"]["verdict"] == "bad" and "GET /named reads public.items (120,000 rows" in found["indexes"]["state"], found
    assert found["slow"]["verdict"] == "look" and "GET /named" in found["slow"]["state"], found
    assert "120,000 rows in 1 tables" in found["volumes"]["state"] and "items" in found["volumes"]["state"]
    db.run("CREATE INDEX ON items (name)")
    assert items(api)["indexes"]["verdict"] == "ok"
    table = api.perfctl("check", "--checklist").out
    assert "reads public.items" not in table and "cache hit ratio" in table and "  -> perfctl slow" in table
    lost = items(api, "--url", "postgresql:///none?host=/none")
    for item in ("indexes", "volumes"):
        assert lost[item]["verdict"] == "look" and "the database cannot be asked: " in lost[item]["state"], lost
    api.kill_master()
    assert api.perfctl("check", "--checklist").code == 3


def test_limits_and_log_that_are_not_set(make_perfd, db):
    api = make_perfd(CONF, db, pool="slow_query 0;").start()
    found = items(api)
    assert found["slow_log"]["verdict"] == "look" and found["slow_log"]["state"] == "off"
    assert found["limits"]["state"] == "not set: max_concurrent, rate_limit" and found["hits"]["verdict"] == "look"
    assert "cannot be read" in items(api, "--conf", "/none")["limits"]["state"]

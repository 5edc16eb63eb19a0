"""What perfctl cache tells of each route, beside what was done to it, and the keys that are asked for most."""
import os
import signal
import time

import pytest

from lib.items import CACHE, ROUTE, SCHEMA, get
from lib.process import eventually

CHECKED = """
CREATE FUNCTION checked(version int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    IF version = 0 THEN RAISE EXCEPTION 'out of order' USING ERRCODE = 'XX000'; END IF;
    RETURN version;
END $$;
"""
CONF = ROUTE + """
route PATCH /items/{id} { query "UPDATE items SET version = version + 1 WHERE id = :id RETURNING version"; result value;
    invalidates item:{id}; }
route GET /short { query "SELECT 1"; result value; cache ttl=100ms; }
route GET /kept { query "SELECT checked(version) FROM items WHERE id = 999"; result value;
    cache ttl=100ms stale_if_error=60s; }
route GET /idle { query "SELECT 1"; result value; cache ttl=60s tti=100ms; }
route GET /other/{id} { query "SELECT repeat('x', 100) || :id::text"; result value; cache ttl=300s; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("cache_figures", SCHEMA + CHECKED)


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db, cache=CACHE).start()


def figures(api, name):
    routes = api.perfctl_json("cache")["routes"]
    return next((route for route in routes if route["route"] == name), None)


def adds(api, name, ask, **wanted):
    """What ask() adds to a route's counters."""
    before = figures(api, name) or {}
    ask()
    after = figures(api, name)
    found = {key: after[key] - before.get(key, 0) for key in wanted}
    assert found == wanted, (name, before, after)


def test_hits_and_misses(api):
    adds(api, "GET /items/{id}", lambda: get(api, "/items/1", 5), misses=1, hits=4, expired=0, idle=0, dropped=0)
    assert figures(api, "GET /items/{id}")["hit_ratio"] == pytest.approx(0.8)


def test_what_a_write_dropped(api):
    get(api, "/items/2")
    assert api.request("PATCH", "/items/2", {}).status == 200
    adds(api, "GET /items/{id}", lambda: get(api, "/items/2", 3), misses=1, dropped=1, hits=2, expired=0, idle=0)


def test_what_was_too_old(api):
    get(api, "/short")
    time.sleep(0.15)
    adds(api, "GET /short", lambda: get(api, "/short"), misses=1, expired=1, idle=0, dropped=0)


def test_what_was_too_old_but_is_kept_for_a_failing_source(api, db):
    """It stays where it is, and is met by each request."""
    db.run("UPDATE items SET version = 1 WHERE id = 999")
    get(api, "/kept")
    db.run("UPDATE items SET version = 0 WHERE id = 999")
    time.sleep(0.15)
    adds(api, "GET /kept", lambda: get(api, "/kept", 3), misses=3, expired=3)


def test_what_nobody_asked_for(api):
    get(api, "/idle")
    time.sleep(0.2)
    adds(api, "GET /idle", lambda: get(api, "/idle"), misses=1, idle=1, expired=0)


def test_entries_and_bytes(api):
    assert api.perfctl("purge", "all").code == 0
    assert eventually(lambda: figures(api, "GET /other/{id}") is None or figures(api, "GET /other/{id}")["entries"] == 0)
    for i in range(20):
        get(api, f"/other/{i}")
    get(api, "/items/3")
    assert eventually(lambda: figures(api, "GET /other/{id}")["entries"] == 20)
    assert 20 * 100 < figures(api, "GET /other/{id}")["kept_bytes"] < 20 * 350
    assert figures(api, "GET /items/{id}")["entries"] == 1


def test_what_had_to_go(api):
    """Whichever process did it."""
    with api.connect() as connection:
        for i in range(500):
            assert connection.request("GET", f"/other/{i}").status == 200
    assert eventually(lambda: figures(api, "GET /other/{id}")["evicted"] >= 300)

    def told():
        total = api.perfctl_json("cache")
        return sum(route["evicted"] for route in total["routes"]) == total["cache_evicted"]
    assert eventually(told)


def test_a_reload_that_changes_a_route(make_perfd, db):
    """What it has stored since counts as its own, in a keeper that goes on; what it had before nobody can get."""
    api = make_perfd(CONF, db, cache=CACHE).start()
    get(api, "/other/1")
    assert eventually(lambda: (figures(api, "GET /other/{id}") or {}).get("entries") == 1)
    keeper = api.keeper_pid()
    api.reload(CONF.replace("100) || :id", "101) || :id"))
    for i in range(3):
        get(api, f"/other/{i}")
    assert eventually(lambda: figures(api, "GET /other/{id}")["entries"] == 3)
    assert figures(api, "(other)")["entries"] == 1 and api.keeper_pid() == keeper


# ---- keys


def keys(api, *options):
    document = api.perfctl("cache", "--keys", "-o", "json", *options).json
    return {key["key"]: key for key in document["keys"]}, document


def ask_often(api, target, times):
    with api.connect() as connection:
        for _ in range(times // 50):
            for _ in range(50):
                connection.send("GET", target)
            for _ in range(50):
                assert connection.read().status == 200


@pytest.mark.once
def test_the_key_that_is_asked_for_most(make_perfd, db):
    """One hit in 16 is counted, at random: of 4000 that is right by a third far beyond six sigma."""
    api = make_perfd(CONF, db, cache=CACHE).start()
    ask_often(api, "/items/7", 4000)
    ask_often(api, "/other/7", 1000)
    found, document = keys(api)
    assert list(found)[0] == "/items/7" and found["/items/7"]["route"] == "GET /items/{id}"
    assert 2700 < found["/items/7"]["count"] < 5300 and found["/items/7"]["error"] == 0
    assert 300 < found["/other/7"]["count"] < 2000
    assert document["total"] == sum(key["count"] for key in found.values())
    assert list(keys(api, "--top", "1")[0]) == ["/items/7"]
    lines = api.perfctl("cache", "--keys", "--top", "2").out.splitlines()
    assert len(lines) == 3 and lines[1].split()[-1] == "/items/7"
    for pid in api.worker_pids():
        os.kill(pid, signal.SIGKILL)
    assert eventually(api.is_whole, 10)
    assert keys(api)[0]["/items/7"]["count"] >= found["/items/7"]["count"]


@pytest.mark.parametrize("options", [["--top", "0", "--keys"], ["--top", "x", "--keys"], ["--top", "3"]])
def test_wrong_words(api, options):
    assert api.perfctl("cache", *options).code == 64

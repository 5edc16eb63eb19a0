"""The shared cache, Redis behind it, single flight, invalidation."""
import os
import signal
import time

import pytest

from lib.load import Load, at_once
from lib.process import eventually

SCHEMA = """
CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL, version int NOT NULL DEFAULT 0);
INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 1000) g;
CREATE FUNCTION slow_name(item bigint, seconds float8) RETURNS text LANGUAGE sql AS
    $$ SELECT name FROM items, pg_sleep(seconds) WHERE id = item $$;
"""

CONF = """
route GET /items/{id} { query "SELECT id, name, version FROM items WHERE id = :id"; result row; cache ttl=60s tags=item:{id}; }
route GET /items { query "SELECT count(*) AS n, sum(version) AS versions FROM items"; result row; cache ttl=60s tags=items; }
route PATCH /items/{id} { query "UPDATE items SET version = version + 1, name = coalesce(:name, name) WHERE id = :id
    RETURNING version"; result row; invalidates items item:{id}; }
route GET /short { query "SELECT clock_timestamp() AS t"; result row; cache ttl=1s; }
route GET /idle { query "SELECT clock_timestamp() AS t"; result row; cache ttl=60s tti=700ms; }
route GET /slow/{id} { query "SELECT slow_name(:id, :s) AS name"; result row; cache ttl=60s tags=item:{id}; param s default=0.5; }
route GET /failing { query "SELECT 1 / (count(*) - 1000) AS n, pg_sleep(0.3) FROM items"; result row; cache ttl=60s; }
route GET /gone/{id} { query "SELECT n FROM (SELECT count(pg_sleep(0.3)) AS n FROM items WHERE id = :id) x WHERE n = 0"; result row; cache ttl=60s; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("cache", SCHEMA)


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db, cache="size 16MB; entries 1000; tti 60s;").start()


def test_a_repeat_is_a_hit_in_every_worker(api, db):
    db.forget_calls()
    first = api.get("/items/1")
    assert first.cache == "MISS" and first.header("age") is None
    answers = [api.get("/items/1") for _ in range(20)]  # connections of their own, so both workers
    assert {a.cache for a in answers} == {"HIT"} and {a.body for a in answers} == {first.body}
    assert answers[0].header("age") == "0"
    assert db.calls("%FROM items WHERE id%") == 1


def test_equal_values_are_one_entry(api, db):
    assert api.get("/items/0002").cache == "MISS"
    assert api.get("/items/2").cache == "HIT" and api.get("/items/+2").cache in ("HIT", None)


def test_304_comes_from_the_cache(api, db):
    etag = api.get("/items/3").header("etag")
    db.forget_calls()
    assert api.get("/items/3", {"If-None-Match": etag}).status == 304
    assert db.calls("%FROM items WHERE id%") == 0


def test_a_writer_reads_its_write_through_any_worker(api):
    for turn in range(30):
        api.get("/items/4")
        api.get("/items")
        version = api.request("PATCH", "/items/4", {}).json()["version"]
        seen = [api.get("/items/4").json()["version"] for _ in range(4)]
        assert seen == [version] * 4, turn
        assert api.get("/items").json()["versions"] >= version


def test_ttl_and_tti(api):
    first = api.get("/short").json()
    assert api.get("/short").json() == first
    time.sleep(1.15)
    assert api.get("/short").json() != first
    first = api.get("/idle").json()
    for _ in range(4):
        time.sleep(0.35)
        assert api.get("/idle").json() == first
    time.sleep(0.9)
    assert api.get("/idle").json() != first


def test_many_at_once_ask_the_database_once(api, db):
    db.forget_calls()
    answers = at_once(40, lambda i: api.get("/slow/5?s=0.5"))
    assert {a.status for a in answers} == {200} and len({a.body for a in answers}) == 1
    assert db.calls("SELECT slow_name%") == 1
    kinds = [a.cache for a in answers]
    assert kinds.count("MISS") == 1 and set(kinds) <= {"MISS", "COALESCED", "HIT"}


def test_errors_and_absence_are_shared_too(api, db):
    db.forget_calls()
    answers = at_once(10, lambda i: api.get("/gone/1000"))
    assert {a.status for a in answers} == {404}
    assert db.calls("SELECT n FROM%") <= 2
    db.forget_calls()
    answers = at_once(10, lambda i: api.get("/failing"))
    assert {a.status for a in answers} == {422}


def test_a_write_during_a_fetch_is_not_covered_by_its_old_value(api):
    """The fetch reads, then sleeps; what it stores must not answer those who come after the write."""
    conf_answer = []

    def ask(i):
        if i == 0:
            conf_answer.append(api.get("/slow/7?s=0.6"))
        else:
            time.sleep(0.25)
            api.request("PATCH", "/items/7", {"name": "renamed"})
            return api.get("/slow/7?s=0.6").json()["name"]
        return None

    assert at_once(2, ask)[1] == "renamed"
    assert api.get("/slow/7?s=0.6").json()["name"] == "renamed"


def test_capacity_holds(api):
    for i in range(1, 1001):
        api.get(f"/items/{i}")
    usage = api.perfctl_json("cache")
    text = str(usage)
    assert api.stat("cache_entries") <= 1100, text
    assert api.stat("cache_used_bytes") <= api.stat("cache_size_bytes")


def test_the_cache_survives_a_killed_worker(api):
    body = api.get("/items/9").body
    killed = api.worker_pids()[0]
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: killed not in api.worker_pids() and api.is_whole(), 5)
    answers = [api.get("/items/9") for _ in range(10)]
    assert {a.body for a in answers} == {body} and {a.cache for a in answers} == {"HIT"}


def test_the_owner_of_a_fetch_is_killed_and_the_waiters_are_answered(api, db):
    """Whoever waits for a fetch in another worker joins again when that worker dies."""
    pids = api.worker_pids()

    def ask(i):
        if i == 20:
            time.sleep(0.5)
            os.kill(pids[0], signal.SIGKILL)
            return None
        return api.get("/slow/11?s=1.2", timeout=20)

    outcomes = at_once(21, ask)[:20]
    answers = [a for a in outcomes if not isinstance(a, Exception)]
    assert answers, f"the other worker's requests were lost: {outcomes}\n{api.accepts_for()}\n{api.log()[-3000:]}"
    assert {a.status for a in answers} == {200} and {a.json()["name"] for a in answers} == {"item 11"}


# --- Redis

@pytest.fixture
def with_redis(make_perfd, db, redis, well):
    redis.flush()
    return make_perfd(CONF, db, redis, cache="size 16MB; entries 1000; tti 60s;").start()


def test_redis_answers_what_a_restart_forgot(with_redis, make_perfd, db):
    api = with_redis
    first = api.get("/items/20")
    assert first.cache == "MISS"
    assert api.term() == 0
    api.start()
    again = api.get("/items/20")
    assert again.cache == "REDIS" and again.body == first.body and again.header("etag") == first.header("etag")
    assert api.get("/items/20").cache == "HIT"


def test_a_write_reaches_redis(with_redis):
    api = with_redis
    api.get("/items/21")
    version = api.request("PATCH", "/items/21", {}).json()["version"]
    api.term()
    api.start()
    again = api.get("/items/21")
    assert again.cache == "MISS" and again.json()["version"] == version


def test_values_in_redis_have_a_life(with_redis, redis):
    with_redis.get("/items/22")
    assert eventually(lambda: [k for k in redis.keys() if ":e:" in k])
    keys = [k for k in redis.keys() if ":e:" in k]
    assert all(0 < redis.command("PTTL", k) <= 66_000 for k in keys)


def test_a_damaged_value_is_a_miss(with_redis, redis):
    api = with_redis
    body = api.get("/items/23").body
    assert eventually(lambda: [k for k in redis.keys() if ":e:" in k])
    for key in [k for k in redis.keys() if ":e:" in k]:
        redis.command("SETRANGE", key, 300, "damage")
    api.term()
    api.start()
    assert api.get("/items/23").cache == "MISS" and api.get("/items/23").body == body


def test_after_an_unclean_end_redis_is_not_trusted(with_redis, db):
    """Its invalidations may have died with it."""
    api = with_redis
    api.get("/items/24")
    workers = api.worker_pids()
    api.kill_master()
    for pid in workers:
        eventually(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), 8)
    db.run("UPDATE items SET version = 1000 WHERE id = 24")
    api.start()
    assert api.get("/items/24").json()["version"] == 1000


def test_redis_down_is_no_reason_to_fail(with_redis, redis):
    api = with_redis
    assert api.get("/items/30").status == 200
    redis.stop()
    for i in range(31, 60):
        response, seconds = api.timed(f"/items/{i}")
        assert response.status == 200 and seconds < 0.5
    assert api.request("PATCH", "/items/31", {}).status == 200
    redis.start()
    assert eventually(lambda: api.get("/readyz").status == 200)


def test_redis_paused_costs_its_timeout_and_no_more(with_redis, redis):
    api = with_redis
    api.get("/items/60")
    redis.pause()
    start = time.monotonic()
    for i in range(61, 101):
        response, seconds = api.timed(f"/items/{i}")
        assert response.status == 200 and seconds < 0.5, (i, seconds)
    # 50 ms at most for each of the first commands; then the server is left alone.
    assert time.monotonic() - start < 3
    redis.resume()


def test_what_redis_missed_is_never_read_from_it(with_redis, redis):
    """An invalidation that Redis did not hear of: its old value must not come back when it does."""
    api = with_redis
    api.get("/items/70")
    assert eventually(lambda: [k for k in redis.keys() if ":e:" in k])
    redis.pause()
    version = api.request("PATCH", "/items/70", {}).json()["version"]
    redis.resume()
    for _ in range(20):
        assert api.get("/items/70").json()["version"] == version
        time.sleep(0.02)
    time.sleep(1.5)  # the debt is paid
    api.term()
    api.start()
    assert api.get("/items/70").json()["version"] == version


def test_hits_stay_right_under_writes_from_both_sides(api):
    """Readers never see a version older than one that was acknowledged before they asked."""
    acknowledged = [0]
    wrong = []

    def targets(thread, turn):
        return ("PATCH", "/items/90", b"{}") if thread == 0 and turn % 3 == 0 else ("GET", "/items/90", None)

    def check(request, response):
        if response.status != 200:
            return repr(response)
        version = response.json()["version"]
        if request[0] == "PATCH":
            acknowledged[0] = max(acknowledged[0], version)
        return None

    with Load(api.port, targets, threads=3, check=check) as load:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            least = acknowledged[0]
            seen = api.get("/items/90").json()["version"]
            if seen < least:
                wrong.append((least, seen))
    assert not wrong and not load.wrong and not load.failed

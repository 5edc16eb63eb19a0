"""What the cache answers when a value's time is over, when the source fails, when there is nothing, and compressed."""
import gzip
import time

import pytest

from lib.load import at_once
from lib.process import eventually

SCHEMA = """
CREATE TABLE things (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO things SELECT g, 'thing ' || g FROM generate_series(1, 100) g;
CREATE TABLE trouble (on_purpose bool NOT NULL);
INSERT INTO trouble VALUES (false);
CREATE FUNCTION ticking(seconds float8) RETURNS float8 LANGUAGE sql AS
    $$ SELECT extract(epoch FROM clock_timestamp())::float8 FROM pg_sleep(seconds) $$;
CREATE FUNCTION fallible() RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT on_purpose FROM trouble) THEN PERFORM * FROM no_such_table; END IF;
    RETURN extract(epoch FROM clock_timestamp());
END $$;
"""

CONF = """
route GET /stale { query "SELECT ticking(:s) AS t"; result row; cache ttl=1s stale=30s tags=stale; param s default=0; }
route GET /hard { query "SELECT ticking(0) AS t"; result row; cache ttl=1s; }
route GET /spare { query "SELECT fallible() AS t"; result row; cache ttl=1s stale_if_error=30s tags=spare; }
route GET /failing { query "SELECT fallible() AS t"; result row; cache ttl=1s negative=3s tags=failing; }
route GET /things/{id} { query "SELECT id, name FROM things WHERE id = :id"; result row;
    cache ttl=60s negative=20s tags=thing:{id}; }
route GET /unshared/{id} { query "SELECT id, name FROM things WHERE id = :id"; result row; cache ttl=60s; }
route PUT /things/{id} { query "INSERT INTO things VALUES (:id, :name) RETURNING id"; result row; invalidates thing:{id}; }
route POST /drop { query "SELECT 1 AS one"; result row; invalidates stale spare failing; }
route GET /early { query "SELECT ticking(0.2) AS t"; result row; cache ttl=2s; }
route GET /long { query "SELECT repeat('compressible ', 1000) AS text"; result row; cache ttl=60s; }
route GET /noise { query "SELECT string_agg(md5(random()::text || i), '') AS text FROM generate_series(1, 100) i";
    result row; cache ttl=60s; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("freshness", SCHEMA)


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db, cache="size 16MB; entries 1000; tti 0;").start()


@pytest.fixture
def trouble(db):
    def make(on):
        db.run(f"UPDATE trouble SET on_purpose = {on}")

    yield make
    make(False)


def value(response):
    assert response.status == 200, response
    return response.json()["t"]


def test_a_stale_value_is_given_at_once_and_fetched_anew_behind_it(api, db):
    first = value(api.get("/stale?s=0.3"))
    time.sleep(1.1)
    db.forget_calls()
    answers = at_once(20, lambda i: api.timed("/stale?s=0.3"))
    assert {a.cache for a, _ in answers} == {"STALE"} and {value(a) for a, _ in answers} == {first}
    assert max(seconds for _, seconds in answers) < 0.25, "a consumer waited for the refresh"
    assert eventually(lambda: value(api.get("/stale?s=0.3")) != first, 2)
    assert api.get("/stale?s=0.3").cache == "HIT"
    assert db.calls("SELECT ticking%") == 1, "one refresh, whoever asked"


def test_without_stale_the_end_of_ttl_is_a_miss(api):
    first = value(api.get("/hard"))
    time.sleep(1.1)
    again = api.get("/hard")
    assert again.cache == "MISS" and value(again) != first


def test_what_a_write_dropped_is_never_given_stale(api):
    first = value(api.get("/stale?s=0"))
    time.sleep(1.1)
    assert api.post("/drop", {}).status == 200
    again = api.get("/stale?s=0")
    assert again.cache == "MISS" and value(again) != first


def test_when_the_source_fails_the_spare_value_answers(api, trouble):
    first = value(api.get("/spare"))
    time.sleep(1.1)
    trouble(True)
    again = api.get("/spare")
    assert again.cache == "STALE" and value(again) == first
    assert int(again.header("age")) >= 1
    shared = at_once(10, lambda i: api.get("/spare"))
    assert {value(a) for a in shared} == {first}
    trouble(False)
    fresh = api.get("/spare")
    assert fresh.cache == "MISS" and value(fresh) != first


def test_a_spare_value_that_a_write_dropped_does_not_answer(api, trouble):
    api.get("/spare")
    time.sleep(1.1)
    api.post("/drop", {})
    trouble(True)
    assert api.get("/spare").status == 500


def test_an_absence_is_remembered_until_a_write_ends_it(api, db):
    db.forget_calls()
    answers = [api.get("/things/500") for _ in range(10)]
    assert {a.status for a in answers} == {404}
    assert {a.problem["code"] for a in answers} == {"not_found"}
    assert len({a.problem["request_id"] for a in answers}) == 10, "each has its own id"
    assert db.calls("SELECT id, name FROM things%") == 1
    assert api.request("PUT", "/things/500", {"name": "new"}).status == 200
    assert api.get("/things/500").json()["name"] == "new"


def test_absences_are_not_remembered_unless_asked_for(api, db):
    db.forget_calls()
    for _ in range(3):
        assert api.get("/unshared/600").status == 404
    assert db.calls("SELECT id, name FROM things%") == 3


def test_failures_are_remembered_for_their_time(api, db, trouble):
    trouble(True)
    assert api.get("/failing").status == 500
    trouble(False)
    assert api.get("/failing").status == 500
    time.sleep(3.1)
    assert api.get("/failing").status == 200


def test_absences_do_not_push_out_values(api):
    for i in range(1, 101):
        api.get(f"/things/{i}")
        api.get(f"/things/{i}")
    for i in range(10_000, 13_000):
        api.get(f"/things/{i}")
    assert [api.get(f"/things/{i}").cache for i in range(1, 101)].count("HIT") >= 90


def test_a_hot_key_is_fetched_anew_before_its_end(api, db):
    """XFetch: over many lives, asked for all the time, hardly anyone waits."""
    api.get("/early")
    waited = 0
    end = time.monotonic() + 7
    while time.monotonic() < end:
        response, seconds = api.timed("/early")
        waited += seconds > 0.15
        assert response.status == 200
        time.sleep(0.002)
    assert api.stat("cache_refreshes") >= 3
    assert waited == 0


def test_a_repeat_gets_gzip_once_it_is_made(api):
    plain = api.get("/long", {"Accept-Encoding": "identity"})
    assert plain.header("content-encoding") is None and plain.header("vary") == "Accept-Encoding"
    zipped = eventually(lambda: (r := api.get("/long", {"Accept-Encoding": "gzip"})).header("content-encoding") and r)
    assert zipped.cache == "HIT" and zipped.header("content-encoding") == "gzip"
    assert gzip.decompress(zipped.body) == plain.body and len(zipped.body) < len(plain.body) / 10
    assert int(zipped.header("content-length")) == len(zipped.body)
    assert zipped.header("etag") != plain.header("etag")
    assert api.get("/long").header("content-encoding") is None
    assert api.get("/long", {"Accept-Encoding": "gzip;q=0"}).body == plain.body
    for etag in (plain.header("etag"), zipped.header("etag")):
        assert api.get("/long", {"If-None-Match": etag, "Accept-Encoding": "gzip"}).status == 304
    head = api.request("HEAD", "/long", headers={"Accept-Encoding": "gzip"})
    assert head.header("content-length") == zipped.header("content-length") and head.body == b""


def test_what_was_compressed_once_stays_so(api):
    api.get("/noise")
    eventually(lambda: api.get("/noise", {"Accept-Encoding": "gzip"}).header("content-encoding"))
    time.sleep(0.5)  # the figures are written every quarter of a second
    before = api.stat("cache_compressed")
    for _ in range(20):
        assert api.get("/noise", {"Accept-Encoding": "gzip"}).header("content-encoding") == "gzip"
        time.sleep(0.02)
    time.sleep(0.5)
    assert api.stat("cache_compressed") == before

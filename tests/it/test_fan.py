"""One answer composed of those of other routes, asked at the same time."""
import time

import pytest

from lib.load import at_once
from lib.process import eventually

SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO users SELECT g, 'user ' || g FROM generate_series(1, 100) g;
CREATE TABLE posts (id bigint PRIMARY KEY, user_id bigint NOT NULL, title text NOT NULL);
INSERT INTO posts SELECT g, 1 + g % 100, 'post ' || g FROM generate_series(1, 500) g;
CREATE TABLE words (name text PRIMARY KEY);
INSERT INTO words VALUES ('a/b?c=d&e #%ü+ "'), ('..');
CREATE TABLE broken (yes bool); INSERT INTO broken VALUES (false);
CREATE FUNCTION count_posts(who bigint, seconds float8) RETURNS bigint LANGUAGE sql AS
    $$ SELECT count(*) FROM posts, (SELECT pg_sleep(seconds)) s WHERE user_id = who $$;
"""

CONF = """
route GET /users/{id} { query "SELECT id, name FROM users WHERE id = :id"; result row; cache ttl=60s tags=user:{id}; }
route PATCH /users/{id} { query "UPDATE users SET name = :name WHERE id = :id RETURNING id"; result row;
    invalidates user:{id}; }
route DELETE /users/{id} { query "DELETE FROM users WHERE id = :id"; result none; invalidates user:{id}; }
route PUT /users/{id} { query "INSERT INTO users VALUES (:id, :name)"; result none; invalidates user:{id}; }
route GET /users/{id}/posts { query "SELECT id, title FROM posts WHERE user_id = :id AND (:from::int8 IS NULL OR id >= :from)
    ORDER BY id LIMIT :limit"; param limit default=2 min=1 max=100; cache ttl=60s tags=posts:{id}; }
route POST /users/{id}/posts { query "INSERT INTO posts VALUES (:post, :id, :title)"; result none; invalidates posts:{id}; }
route GET /count/{id} { query "SELECT count_posts(:id, :s)"; result value; param s default=0; cache ttl=60s tags=posts:{id}; }
route GET /words/{name} { query "SELECT name, :q::text AS q FROM words WHERE name = :name"; result row; }
route GET /maybe { query "SELECT 1 / CASE WHEN yes THEN 0 ELSE 1 END AS x FROM broken"; result row; }
route GET /nothing { query "SELECT 1"; result none; }
route GET /sleep/{n} { query "SELECT :n::int AS n, pg_sleep(:s::float8)::text"; result row; param s default=0.2; timeout 20s; }
route GET /beside/{n} { query "SELECT pg_sleep(0.05)::text, (SELECT count(*) FROM pg_stat_activity WHERE state = 'active'
    AND query LIKE '%beside%' AND application_name = 'perfd')::int AS sessions, :n::int AS n"; result row; }
route GET /long { query "SELECT repeat('x', 1000) AS x FROM generate_series(1, :n::int)"; }

route GET /profile/{id} { fan { user /users/{id}; posts /users/{id}/posts?limit={limit}&from={from}; count /count/{id}; }
    param limit max=3; }
route GET /kept/{id} { fan { user /users/{id}; posts /users/{id}/posts; count /count/{id}?s={s}; } cache ttl=60s;
    param s default=0; }
route GET /outer/{id} { fan { inner /kept/{id}; plain /profile/{id}; first /users/1; } cache ttl=60s; }
route GET /either/{id} { fan { maybe /maybe optional; user /users/{id} optional; count /count/{id}; } cache ttl=60s; }
route GET /around/{id} { fan { either /either/{id}; } cache ttl=60s; }
route GET /stale/{id} { fan { user /users/{id}; posts /users/{id}/posts; } cache ttl=300ms stale=60s; }
route GET /strict { fan { count /count/1; maybe /maybe; sleep /sleep/1?s=9; } }
route GET /word { fan { word /words/{name}?q={name}; } param name required; }
route GET /words/special { query "SELECT 'other' AS name, :q::text AS q"; result row; cache ttl=60s tags=special; }
route GET /kept-word/{name} { fan { word /words/{name}?q={q}; } cache ttl=60s; }
route GET /words/loop { fan { word /words/{name}; } param name default=loop; }
route GET /kinds { fan { nothing /nothing; rows /users/1/posts?limit=1; value /count/1; } }
route GET /sleeps/{s} { fan concurrency=2 { a /sleep/1?s={s}; b /sleep/2?s={s}; c /sleep/3?s={s}; d /sleep/4?s={s}; } }
route GET /quick { fan { a /sleep/1; b /sleep/2; c /sleep/3; d /sleep/4; e /sleep/5; } }
route GET /narrow { fan concurrency=2 { a /beside/1; b /beside/2; c /beside/3; d /beside/4; e /beside/5; } }
route GET /wide { fan { n /narrow; m /narrow; } }
route GET /large { fan max_answer=20KB { a /long?n=5; b /long?n=50000 optional; } }
batch /batch { concurrency 3; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("fan", SCHEMA)


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db, pool="pool max=16 min=2;", cache="size 16MB; entries 1000;", workers=1).start()


def user(n):
    return {"id": n, "name": f"user {n}"}


def posts(*ids):
    return [{"id": n, "title": f"post {n}"} for n in ids]


# ---- the answer


def test_the_parts_in_order(api):
    answer = api.get("/profile/7")
    assert answer.status == 200 and answer.header("content-type") == "application/json"
    assert answer.json() == {"user": user(7), "posts": posts(6, 106), "count": 5}
    assert list(answer.json()) == ["user", "posts", "count"] and answer.cache is None
    assert api.get("/profile/7", {"If-None-Match": answer.header("etag")}).status == 304
    head = api.request("HEAD", "/profile/7")
    assert (head.status, int(head.header("content-length"))) == (200, len(answer.body))
    assert api.request("OPTIONS", "/profile/7").header("allow") == "GET, HEAD, OPTIONS"


def test_parameters_go_on_to_the_parts(api):
    assert api.get("/profile/7?limit=3&from=100").json()["posts"] == posts(106, 206, 306)
    assert api.get("/profile/7?limit=1").json()["posts"] == posts(6)
    assert api.get("/profile/7?limit=9").bad_parameters == ["limit"], "its own rule"
    assert api.get("/profile/7?offset=1").bad_parameters == ["offset"]
    wrong = api.get("/profile/7?from=x").problem
    assert (wrong["status"], wrong["part"], wrong["code"]) == (400, "posts", "bad_parameter")
    assert wrong["errors"] == [{"parameter": "from", "detail": "must be an integer"}]


@pytest.mark.parametrize("name", ['a/b?c=d&e #%ü+ "', ".."])
def test_a_value_is_encoded_in_the_path_and_in_the_query_string(api, name):
    encoded = "".join(f"%{byte:02x}" for byte in name.encode())
    assert api.get(f"/word?name={encoded}").json() == {"word": {"name": name, "q": name}}


def test_kinds_of_answers(api):
    assert api.get("/kinds").json() == {"nothing": None, "rows": posts(100), "value": 5}


def test_what_kind_of_answer_the_consumer_wants_is_not_handed_on(api):
    answer = api.get("/kinds", {"Accept": "text/csv"})
    assert answer.status == 200 and answer.json()["rows"] == posts(100)


# ---- parts that fail


def test_a_part_that_fails_is_the_answer(api):
    absent = api.get("/profile/9999").problem
    assert (absent["status"], absent["code"], absent["part"]) == (404, "not_found", "user")
    assert absent["detail"] == "user: there is no such row"


def test_the_others_are_not_waited_for(api, db):
    db.run("UPDATE broken SET yes = true")
    before = api.stat("pool_cancelled")
    try:
        begin = time.monotonic()
        problem = api.get("/strict").problem
        assert (problem["status"], problem["part"]) == (422, "maybe") and time.monotonic() - begin < 5
        assert eventually(lambda: api.stat("pool_cancelled") == before + 1, 3), "the slow part runs on"
    finally:
        db.run("UPDATE broken SET yes = false")


def test_an_optional_part_is_null_and_so_only_as_long_as_it_fails(api, db):
    assert api.get("/either/5").json() == {"maybe": {"x": 1}, "user": user(5), "count": 5}
    assert api.get("/either/5").cache == "HIT"
    assert api.get("/either/9999").json() == {"maybe": {"x": 1}, "user": None, "count": 0}
    db.run("UPDATE broken SET yes = true")
    assert api.get("/either/6").json() == {"maybe": None, "user": user(6), "count": 5}
    db.run("UPDATE broken SET yes = false")
    assert eventually(lambda: api.get("/either/6").json()["maybe"] == {"x": 1}, 4), "the null is kept"


def test_a_gap_does_not_stay_in_the_fan_around_it(api, db):
    db.run("UPDATE broken SET yes = true")
    assert api.get("/either/8").json()["maybe"] is None
    assert api.get("/around/8").json()["either"]["maybe"] is None
    db.run("UPDATE broken SET yes = false")
    assert eventually(lambda: api.get("/around/8").json()["either"]["maybe"] == {"x": 1}, 4), "the null is kept"


def test_an_answer_too_large(api):
    before = api.stat("pool_cancelled")
    answer = api.get("/large").json()
    assert len(answer["a"]) == 5 and answer["b"] is None
    assert eventually(lambda: api.stat("pool_cancelled") == before + 1, 3), "it is read on"


# ---- how they run


def test_parts_run_at_the_same_time(api):
    begin = time.monotonic()
    assert [part["n"] for part in api.get("/quick").json().values()] == [1, 2, 3, 4, 5]
    assert 0.2 <= time.monotonic() - begin < 0.9


def test_never_more_at_a_time_than_the_route_allows(api):
    sessions = [part["sessions"] for part in api.get("/narrow").json().values()]
    assert max(sessions) <= 2, sessions


def test_a_fan_within_another_request_has_one_at_a_time(api):
    wide = api.get("/wide").json()
    assert max(part["sessions"] for fan in wide.values() for part in fan.values()) <= 2, wide
    answers = api.request("POST", "/batch", [{"path": "/narrow"}] * 6).json()
    assert max(part["sessions"] for a in answers for part in a["body"].values()) <= 3, answers


def test_the_consumer_of_a_fan_leaves(make_perfd, db):
    api = make_perfd(CONF, db, workers=1).start()
    connection = api.connect()
    connection.send("GET", "/sleeps/9", headers={"X-Request-Id": "left"})
    assert eventually(lambda: api.stat("in_flight") == 3, 5)
    connection.close()
    assert eventually(lambda: api.stat("in_flight") == 0 and api.stat("pool_cancelled") == 2, 3)
    assert api.access_line("left")["status"] == 499 and api.access_line("left.b")["status"] == 499
    assert api.stat("inner_requests") == 2, "what had not begun was begun"


def test_a_fan_that_takes_too_long(make_perfd, db):
    api = make_perfd(CONF, db, workers=1, settings="request_timeout 500ms;").start()
    problem = api.get("/sleeps/9").problem
    assert problem["status"] == 504 and problem["part"] in ("a", "b")
    assert eventually(lambda: api.stat("in_flight") == 0, 5)


# ---- cached


def change(api, method, path, body=None):
    answer = api.request(method, path, body)
    assert 200 <= answer.status < 300, answer


def test_it_is_dropped_with_any_of_its_parts(api):
    first = api.get("/kept/30")
    assert (first.cache, api.get("/kept/30").cache) == ("MISS", "HIT")
    change(api, "PATCH", "/users/30", {"name": "changed"})
    second = api.get("/kept/30")
    assert second.cache == "MISS" and second.json()["user"]["name"] == "changed"
    change(api, "POST", "/users/30/posts", {"post": 1000, "title": "new"})
    third = api.get("/kept/30")
    assert third.cache == "MISS" and third.json()["count"] == 6
    change(api, "PATCH", "/users/31", {"name": "other"})
    assert api.get("/kept/30").cache == "HIT", "what it does not show"


def test_a_value_has_the_tag_that_its_part_has(api):
    """7, 07 and +7 are one user, whose tag is user:7."""
    assert api.get("/kept/07").json()["user"]["id"] == 7
    change(api, "PATCH", "/users/7", {"name": "seven"})
    assert api.get("/kept/07").json()["user"]["name"] == "seven"
    change(api, "PATCH", "/users/7", {"name": "user 7"})


def test_a_fan_of_fans_is_dropped_with_what_they_are_made_of(api):
    assert api.get("/outer/40").json()["inner"]["user"] == user(40)
    assert api.get("/outer/40").cache == "HIT" and api.get("/kept/40").cache == "HIT"
    change(api, "PATCH", "/users/40", {"name": "changed"})
    assert api.get("/outer/40").json()["inner"]["user"]["name"] == "changed"
    change(api, "PATCH", "/users/1", {"name": "first"})
    assert api.get("/outer/40").json()["first"]["name"] == "first"
    change(api, "PATCH", "/users/1", {"name": "user 1"})


def test_one_fan_a_key_is_under_way(api, db):
    db.forget_calls()
    answers = at_once(8, lambda _: api.get("/kept/50?s=0.3"))
    assert {answer.status for answer in answers} == {200}
    assert db.calls("%count_posts%") == 1
    assert [answer.cache for answer in answers].count("MISS") == 1


def test_a_write_while_a_fan_is_under_way_is_seen_afterwards(api):
    """Neither the fan that is under way nor what it stores is good enough afterwards."""
    for user, meanwhile in ((60, False), (61, True)):
        connection = api.connect()
        connection.send("GET", f"/kept/{user}?s=0.6", headers={"X-Request-Id": f"while-{user}"})
        assert eventually(lambda: api.access_line(f"while-{user}.user"), 2)
        change(api, "PATCH", f"/users/{user}", {"name": "changed"})
        if meanwhile:
            assert api.get(f"/kept/{user}?s=0.6").json()["user"]["name"] == "changed"
        assert connection.read().json()["user"]["name"] == f"user {user}"
        assert api.get(f"/kept/{user}?s=0.6").json()["user"]["name"] == "changed"


def test_an_absence_is_no_longer_one_when_the_row_is_there(api):
    assert api.get("/kept/7000").status == 404
    change(api, "PUT", "/users/7000", {"name": "born"})
    assert api.get("/kept/7000").json()["user"] == {"id": 7000, "name": "born"}
    change(api, "DELETE", "/users/7000")
    assert api.get("/kept/7000").status == 404


def test_a_value_that_leads_to_another_route(api):
    """Whose tags perfd.conf did not show to be of the fan: such an answer is not kept."""
    for _ in range(2):
        answer = api.get("/kept-word/special?q=1")
        assert (answer.status, answer.cache, answer.json()) == (200, "MISS", {"word": {"name": "other", "q": "1"}})
    assert [api.get("/kept-word/..?q=1").cache for _ in range(2)] == ["MISS", "HIT"]


def test_a_value_that_leads_back_to_the_fan(api):
    problem = api.get("/words/loop").problem
    assert (problem["status"], problem["code"]) == (500, "nested_too_deep") and problem["part"].startswith("word.word")
    assert api.get("/words/loop?name=..").json() == {"word": {"name": "..", "q": None}}


def test_a_stale_fan_is_fetched_anew_behind_its_answer(api):
    assert api.get("/stale/20").cache == "MISS"
    time.sleep(0.4)
    before = api.stat("cache_refreshes")
    assert api.get("/stale/20").cache == "STALE"
    assert eventually(lambda: api.get("/stale/20").cache == "HIT", 3) and api.stat("cache_refreshes") > before
    change(api, "PATCH", "/users/20", {"name": "changed"})
    assert api.get("/stale/20").json()["user"]["name"] == "changed"


def test_redis_has_it_until_a_part_is_dropped(make_perfd, db, redis):
    api = make_perfd(CONF, db, redis=redis, workers=1).start()

    def after_a_restart():
        time.sleep(0.1)
        assert api.term() == 0
        return api.start().get("/kept/70")

    assert api.get("/kept/70").cache == "MISS"
    assert after_a_restart().cache == "REDIS"
    change(api, "PATCH", "/users/70", {"name": "changed"})
    answer = after_a_restart()
    assert answer.cache == "MISS" and answer.json()["user"]["name"] == "changed"


def test_changed_parts_do_not_answer_out_of_the_old_ones_cache(make_perfd, db):
    api = make_perfd(CONF, db, workers=1).start()
    assert [api.get("/outer/3").cache for _ in range(2)] == ["MISS", "HIT"]
    changed = api.reload(CONF.replace("SELECT id, name FROM users WHERE", "SELECT id, upper(name) AS name FROM users WHERE"))
    assert changed.code == 0, changed
    assert eventually(lambda: api.get("/outer/3").json()["inner"]["user"]["name"] == "USER 3", 5)


def test_in_a_batch(api):
    answers = api.request("POST", "/batch", [{"path": "/profile/7"}, {"path": "/kept/9999"}, {"path": "/kept/8"}]).json()
    assert [answer["status"] for answer in answers] == [200, 404, 200]
    assert answers[0]["body"]["user"] == user(7) and answers[1]["body"]["part"] == "user"


def test_each_part_has_its_line_in_the_log(api):
    api.get("/profile/8", {"X-Request-Id": "fan-8"})
    assert api.access_line("fan-8.posts")["target"] == "/users/8/posts"
    assert api.access_line("fan-8")["route"] == "GET /profile/{id}"


def test_without_a_database(make_perfd):
    """Of which neither is in need."""
    api = make_perfd("batch /batch { }", workers=1).start()
    assert [a["status"] for a in api.request("POST", "/batch", [{"path": "/x"}, {"path": "/healthz"}]).json()] == [404, 200]

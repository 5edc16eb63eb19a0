"""Several requests in one: answered in order, each failing alone, never more of them at a time than the route allows."""
import json
import socket
import time

import pytest

from lib.http_client import request_bytes
from lib.load import at_once
from lib.process import eventually
from lib.upstream import after, answer

SCHEMA = """
CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 1000) g;
CREATE TABLE log (n bigserial, what text);
CREATE FUNCTION slow_name(item bigint, seconds float8) RETURNS text LANGUAGE sql AS
    $$ SELECT name FROM items, pg_sleep(seconds) WHERE id = item $$;
"""

CONF = """
route GET /items { query "SELECT id, name FROM items WHERE id <= :most ORDER BY id"; param most default=2; }
route GET /items/{id} { query "SELECT id, name FROM items WHERE id = :id"; result row; cache ttl=60s tags=item:{id}; }
route GET /plain/{id} { query "SELECT id, name FROM items WHERE id = :id"; result row; }
route GET /pages { query "SELECT id FROM items"; page keyset id; }
route GET /slow/{id} { query "SELECT slow_name(:id, :s) AS name"; result row; param s default=0.2; cache ttl=60s; }
route GET /sleep/{n} { query "SELECT :n::int AS n, pg_sleep(:s::float8)::text"; result row; param s default=0.01; timeout 20s; }
route GET /beside/{n} { query "SELECT pg_sleep(0.03)::text, (SELECT count(*) FROM pg_stat_activity WHERE state = 'active'
    AND query LIKE '%beside%' AND application_name = 'perfd')::int AS sessions, :n::int AS n"; result row; }
route GET /broken { query "SELECT 1 / 0 AS x"; result row; }
route GET /long { query "SELECT repeat('x', 1000) AS x FROM generate_series(1, :n::int)"; }
route POST /items { query "INSERT INTO items VALUES (:id, :name) RETURNING id"; result row; status 201; }
route PATCH /items/{id} { query "UPDATE items SET name = :name WHERE id = :id RETURNING id, name"; result row;
    invalidates item:{id}; }
route DELETE /items/{id} { query "DELETE FROM items WHERE id = :id"; result none; invalidates item:{id}; }
route POST /log { query "INSERT INTO log (what) SELECT :what FROM pg_sleep(:s::float8)"; result none; param s default=0; }
batch /batch { }
batch /few { concurrency 3; max_items 5; max_answer 20KB; }
batch /ordered { concurrency 1; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("batch", SCHEMA)


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db, pool="pool max=16 min=2;", cache="size 16MB; entries 1000;", workers=1).start()


def gets(*paths):
    return [{"path": path} for path in paths]


def send(api, items, path="/batch", **kwargs):
    answer = api.request("POST", path, items, **kwargs)
    assert answer.status == 200, answer
    return answer.json()


def statuses(answers):
    return [answer["status"] for answer in answers]


# ---- what is answered


def test_answers_come_in_order_with_their_ids(api):
    answers = send(api, [{"id": "a", "path": "/sleep/1?s=0.1"}, {"id": 7.50, "path": "/items/2"}, {"path": "/items/3"},
                         {"id": "ü\n", "method": "GET", "path": "/items?most=1"}])
    assert answers == [{"id": "a", "status": 200, "body": {"n": 1, "pg_sleep": ""}},
                       {"id": 7.5, "status": 200, "body": {"id": 2, "name": "item 2"}},
                       {"id": 2, "status": 200, "body": {"id": 3, "name": "item 3"}},
                       {"id": "ü\n", "status": 200, "body": [{"id": 1, "name": "item 1"}]}]


def test_an_id_is_given_back_as_it_was_written(api):
    answer = api.request("POST", "/batch", b'[{"id":12345678901234567890,"path":"/items/1"},{"id":1.0E2,"path":"/x"}]')
    assert b'{"id":12345678901234567890,' in answer.body and b'{"id":1.0E2,' in answer.body


def test_all_methods_and_their_answers(api, db):
    send(api, gets("/items/900", "/items/901"))
    answers = send(api, [
        {"method": "POST", "path": "/items", "body": {"id": 5000, "name": "new"}},
        {"method": "PATCH", "path": "/items/900", "body": {"name": "changed"}},
        {"method": "DELETE", "path": "/items/901"},
        {"method": "OPTIONS", "path": "/items/1"},
        {"method": "HEAD", "path": "/items/1"},
        {"method": "BREW", "path": "/items/1"},
        {"method": "DELETE", "path": "/items"}])
    assert [(a["status"], a["body"]) for a in answers[:5]] == [
        (201, {"id": 5000}), (200, {"id": 900, "name": "changed"}), (204, None), (204, None), (200, None)]
    assert answers[3]["headers"] == {"Allow": "GET, HEAD, PATCH, DELETE, OPTIONS"}
    assert statuses(answers[5:]) == [501, 405] and answers[6]["headers"] == {"Allow": "GET, HEAD, POST, OPTIONS"}
    assert api.get("/items/900").json()["name"] == "changed" and api.get("/items/901").status == 404
    assert db.value("SELECT name FROM items WHERE id = 5000") == "new"


def test_one_that_fails_fails_alone(api):
    answers = send(api, [*gets("/items/1", "/items/9999", "/items/abc", "/broken", "/nowhere", "items/1", "/items/%zz"),
                         {"method": "POST", "path": "/items", "body": {"id": 1, "name": "again"}},
                         {"method": "POST", "path": "/items", "body": [1]},
                         {"method": "POST", "path": "/batch", "body": [{"path": "/items/1"}]}, {"path": "/items/2"}])
    assert statuses(answers) == [200, 404, 400, 422, 404, 400, 400, 409, 400, 400, 200]
    assert answers[2]["body"]["errors"] == [{"parameter": "id", "detail": "must be an integer"}]
    assert [a["body"]["code"] for a in answers[3:10]] == ["unprocessable", "no_route", "bad_target", "bad_target",
                                                          "conflict", "bad_body", "nested_batch"]
    assert all(a["body"]["status"] == a["status"] for a in answers if a["status"] >= 400)


def test_a_page_tells_its_next_one(api):
    (first,) = send(api, gets("/pages?limit=2"))
    link = first["headers"]["Link"]
    (second,) = send(api, gets("/pages" + link[link.index("<") + 1:link.index(">")]))
    assert [row["id"] for row in first["body"] + second["body"]] == [1, 2, 3, 4]


def test_an_item_that_ran_out_of_time_fails_nobody_else(make_perfd, db, backend):
    """Its batch is nearly over when it begins; others who wait for the same fetch have all their time, and those who come
    later are not told that it failed."""
    backend.on("/8", after(0.9, answer({"name": "item 8"})))
    conf = CONF.replace("param s default=0.2; cache ttl=60s;", "param s default=0.9; cache ttl=60s negative=60s;")
    conf += f"upstream there {{ url {backend.url}; }} route GET /there/{{id}} {{ upstream there /{{id}}; cache ttl=60s; }}"
    api = make_perfd(conf, db, workers=1, settings="request_timeout 2s;").start()

    def ask(i):
        path = ("/slow/8", "/there/8")[i % 2]
        if i < 2:
            return send(api, gets("/sleep/1?s=1.4", path), "/ordered")[1]
        time.sleep(1.75)
        return api.get(path)
    *items, slow, there = at_once(4, ask)
    assert statuses(items) == [504, 504] and (slow.status, there.status) == (200, 200), (items, slow, there)
    assert (api.get("/slow/8").cache, api.get("/there/8").cache) == ("HIT", "HIT")


def test_an_empty_batch_and_one_item(api):
    assert send(api, []) == [] and statuses(send(api, gets("/items/1"))) == [200]


def test_what_kind_of_answer_the_consumer_wants_is_not_handed_on(api):
    headers = {"Accept": "text/csv", "Accept-Encoding": "gzip", "If-None-Match": "*", "X-Request-Id": "fields"}
    answers = send(api, gets("/items?most=1", "/items/1"), headers=headers)
    assert [a["body"] for a in answers] == [[{"id": 1, "name": "item 1"}], {"id": 1, "name": "item 1"}]


# ---- what is refused


@pytest.mark.parametrize("body, offset, detail", [
    (b"", 0, "the body is empty"),
    (b'{"path":"/"}', 0, "the body must be a JSON array"),
    (b'[{"path":"/items/1"},]', 21, "an object was expected"),
    (b'[{"path":"/items/1"} {"path":"/"}]', 21, "a comma or ] was expected"),
    (b'[{"path":"/items/1"}]x', 21, "something stands behind the array"),
    (b'[{"path":"/items/1"},{"path":"/","path":"/"}]', 33, "this name stands twice"),
    (b'[{"path":"/items/1"},{"id":1}]', 21, "the item has no path"),
    (b'[{"path":"/items/1"},{"path":7}]', 29, "a path is a string"),
    (b'[{"path":"/","method":1}]', 22, "a method is a string"),
    (b'[{"path":"/","id":null}]', 18, "an id is a string or a number"),
    (b'[{"path":"/","headers":{}}]', 23, "an item has id, method, path and body, and nothing else"),
    (b'[{"path":"/\xff"}]', 11, "this byte is not UTF-8"),
])
def test_a_bad_body_is_refused_whole_with_the_place(api, body, offset, detail):
    answer = api.request("POST", "/batch", body)
    assert answer.status == 400 and answer.problem["code"] == "bad_body"
    assert answer.problem["errors"] == [{"offset": offset, "detail": detail}]


def test_too_many_items_are_refused_before_any_is_tried(api, db):
    before = api.stat("inner_requests")
    for path, most in (("/batch", 100), ("/few", 5)):
        assert len(send(api, gets(*["/items/1"] * most), path)) == most
        for count in (most + 1, 1000):
            answer = api.request("POST", path, [{"method": "POST", "path": "/log", "body": {"what": "x"}}] * count)
            assert (answer.status, answer.problem["code"]) == (413, "too_many_items")
            assert answer.problem["detail"] == f"a batch has at most {most} items"
    assert api.stat("inner_requests") == before + 105 and db.value("SELECT count(*) FROM log WHERE what = 'x'") == 0


def test_other_methods_and_parameters(api):
    assert (api.get("/batch").status, api.get("/batch").header("allow")) == (405, "POST, OPTIONS")
    assert api.request("OPTIONS", "/batch").status == 204 and api.request("HEAD", "/batch").status == 405
    assert api.request("POST", "/batch?x=1", []).bad_parameters == ["x"]


def test_an_answer_too_large_for_the_batch_fails_alone(api):
    before = api.stat("pool_cancelled")
    answers = send(api, gets("/long?n=5", "/long?n=50", "/long?n=50000", "/items/1"), "/few")
    assert statuses(answers) == [200, 413, 413, 200]
    assert {a["body"]["code"] for a in answers[1:3]} == {"answer_too_large"}
    assert eventually(lambda: api.stat("pool_cancelled") == before + 1, 3), "the long one is read on"
    assert statuses(send(api, gets("/long?n=5000"))) == [200], "where there is room it is answered"


def test_a_path_that_is_too_long(api):
    answers = send(api, gets("/items/" + "1" * 9000, "/items/1"))
    assert statuses(answers) == [414, 200] and answers[0]["body"]["detail"] == "a target has at most 8192 bytes"


# ---- how they run


def test_never_more_at_a_time_than_the_route_allows(api):
    for path, most, count in (("/batch", 10, 60), ("/few", 3, 5), ("/ordered", 1, 6)):
        answers = send(api, gets(*[f"/beside/{n}" for n in range(count)]), path)
        sessions = [answer["body"]["sessions"] for answer in answers]
        assert [answer["body"]["n"] for answer in answers] == list(range(count))
        assert most / 2 < max(sessions) <= most, f"{path}: {sessions}"


def test_ten_at_a_time_take_a_tenth_of_the_time(api):
    begin = time.monotonic()
    answers = send(api, gets(*[f"/sleep/{n}?s=0.02" for n in range(100)]))
    took = time.monotonic() - begin
    assert statuses(answers) == [200] * 100 and 0.2 <= took < 1.5, took


def test_equal_items_share_one_fetch(api, db):
    db.forget_calls()
    answers = send(api, gets(*["/slow/7"] * 50))
    assert [answer["body"] for answer in answers] == [{"name": "item 7"}] * 50
    assert db.calls("%slow_name%") == 1


def test_a_batch_and_others_share_one_fetch(api, db):
    db.forget_calls()
    batch, alone = at_once(2, lambda i: send(api, gets("/slow/8", "/slow/8")) if i == 0 else api.get("/slow/8"))
    assert statuses(batch) == [200, 200] and alone.status == 200
    assert db.calls("%slow_name%") == 1 and api.get("/slow/8").cache == "HIT"


def test_one_at_a_time_keeps_the_order_of_writes(api, db):
    items = [{"method": "POST", "path": "/log", "body": {"what": f"ordered {n}", "s": 0.02 if n % 2 == 0 else 0}}
             for n in range(10)]
    assert statuses(send(api, items, "/ordered")) == [204] * 10
    assert db.value("SELECT array_agg(what ORDER BY n) FROM log WHERE what LIKE 'ordered%'") == [
        f"ordered {n}" for n in range(10)]


def test_a_batch_reads_its_own_writes_in_order(api):
    assert api.get("/items/77").json()["name"] == "item 77"
    answers = send(api, [{"path": "/items/77"}, {"method": "PATCH", "path": "/items/77", "body": {"name": "mine"}},
                         {"path": "/items/77"}], "/ordered")
    assert [answer["body"]["name"] for answer in answers] == ["item 77", "mine", "mine"]


def test_an_item_that_began_too_late_is_no_failure_for_others(make_perfd, db):
    """What is remembered of failures is of the route, not of how much time was left."""
    route = """route GET /negative/{id} { query "SELECT slow_name(:id, 0.5) AS name"; result row; cache ttl=60s negative=60s; }"""
    api = make_perfd(CONF + route, db, workers=1, settings="request_timeout 1s;").start()
    assert statuses(send(api, gets("/sleep/1?s=0.8", "/negative/1"), path="/ordered")) == [200, 504]
    assert eventually(lambda: api.stat("in_flight") == 0, 5)
    assert api.get("/negative/1").status == 200


def test_what_is_left_at_the_deadline_is_504(make_perfd, db):
    api = make_perfd(CONF, db, workers=1, settings="request_timeout 700ms;").start()
    begin = time.monotonic()
    items = gets("/items/1", "/sleep/1?s=5", "/items/2", *[f"/sleep/{n}?s=5" for n in range(20)])
    items.insert(1, {"method": "POST", "path": "/log", "body": {"what": "late", "s": 1.2}})
    answers = send(api, items)
    assert statuses(answers) == [200, 504, 504, 200] + [504] * 20 and time.monotonic() - begin < 3
    assert all(answer["body"]["status"] == 504 for answer in answers if answer["body"].get("status"))
    assert eventually(lambda: api.stat("in_flight") == 0 and api.stat("inner_requests") == 12, 5), "some began later"
    assert api.get("/items/1").status == 200


# ---- consumers


def leave(api, items):
    connection = api.connect()
    connection.write(request_bytes("POST", "/batch", items, {"X-Request-Id": "left"}))
    return connection


def running(db):
    return db.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' "
                    "AND pid <> pg_backend_pid()")


def test_the_items_of_one_that_left_are_cancelled(make_perfd, db):
    api = make_perfd(CONF, db, workers=1, pool="pool max=12 min=1 depth=1;").start()
    connection = leave(api, [*gets(*[f"/sleep/{n}?s=9" for n in range(40)])])
    assert eventually(lambda: running(db) == 10, 5), running(db)
    connection.close()
    assert eventually(lambda: running(db) == 0 and api.stat("in_flight") == 0, 3), "they run on"
    assert eventually(lambda: api.stat("pool_cancelled") == 10, 3)
    assert api.stat("inner_requests") == 10, "what had not begun was begun"
    assert api.access_line("left")["status"] == 499 and api.access_line("left.9")["status"] == 499


def test_a_write_of_one_that_left_is_finished(make_perfd, db):
    api = make_perfd(CONF, db, workers=1).start()
    connection = leave(api, [{"method": "POST", "path": "/log", "body": {"what": "kept", "s": 0.4}}, *gets("/sleep/1?s=9")])
    assert eventually(lambda: running(db) == 2, 5)
    connection.close()
    assert eventually(lambda: api.stat("in_flight") == 0, 5) and api.access_line("left.0")["status"] == 499
    assert db.value("SELECT count(*) FROM log WHERE what = 'kept'") == 1


def test_the_connection_goes_on(api):
    with api.connect() as connection:
        for n in range(3):
            answer = connection.request("POST", "/batch", gets(f"/items/{n + 1}"))
            assert answer.status == 200 and int(answer.header("content-length")) == len(answer.body)
            assert connection.request("GET", "/items/1").status == 200
        assert connection.request("POST", "/batch", b"[").status == 400
        assert connection.request("POST", "/batch", []).json() == []


def test_http_1_0(api):
    body = json.dumps(gets("/items/1", "/items/2")).encode()
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as sock:
        sock.sendall(b"POST /batch HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, answer = data.partition(b"\r\n\r\n")
    assert b"chunked" not in head and statuses(json.loads(answer)) == [200, 200]


def test_a_large_answer(api):
    with api.connect() as connection:
        for _ in range(2):
            answers = connection.request("POST", "/batch", gets("/long?n=2000", "/items/1", "/long?n=1000")).json()
            assert [len(a["body"]) for a in answers] == [2000, 2, 1000]


def test_a_large_body_is_read_by_a_thread(api):
    """As a short one is, with the same refusals."""
    before, filler = api.stat("offload_json"), "x" * 40_000
    answers = send(api, [{"id": filler, "path": "/items/1"}, {"path": "/items/2"}])
    assert [a["id"] for a in answers] == [filler, 1] and statuses(answers) == [200, 200]
    bad = api.request("POST", "/batch", b'[{"path":"/items/1","id":"%s"},]' % filler.encode())
    assert bad.status == 400 and bad.problem["errors"][0]["offset"] == len(filler) + 29
    many = api.request("POST", "/few", [{"path": "/items/1", "id": filler}] * 6)
    assert (many.status, many.problem["code"]) == (413, "too_many_items")
    assert api.stat("offload_json") == before + 3
    assert statuses(send(api, gets("/items/1"))) == [200] and api.stat("offload_json") == before + 3


def test_who_leaves_while_a_large_body_is_read(api, db):
    body = [{"method": "POST", "path": "/log", "body": {"what": "left", "s": 0}, "id": "x" * 60_000}] * 10
    leaving = request_bytes("POST", "/batch", json.dumps(body).encode())
    for turn in range(20):
        with socket.create_connection(("127.0.0.1", api.port), timeout=10) as sock:
            sock.sendall(leaving)
            time.sleep(0.0003 * turn)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    assert eventually(lambda: api.stat("in_flight") == 0 and api.stat("offload_active") == 0, 10)
    assert statuses(send(api, gets("/items/1"))) == [200]


def test_each_item_has_its_line_in_the_log_and_its_route_s_figures(make_perfd, db):
    api = make_perfd(CONF, db, workers=1).start()
    before = {name: api.stat(name) for name in ("requests", "inner_requests", "responses_4xx")}
    trace = {"traceparent": f"00-{'a' * 31}1-{'b' * 16}-01", "X-Request-Id": "mine"}
    send(api, gets("/items/1", "/items/1", "/items/9999"), headers=trace)
    whole, item, absent = (api.access_line(name) for name in ("mine", "mine.1", "mine.2"))
    assert (whole["route"], whole["target"]) == ("POST /batch", "/batch")
    assert (item["route"], item["target"], item["status"]) == ("GET /items/{id}", "/items/1", 200)
    assert item["cache"] in ("HIT", "COALESCED") and absent["status"] == 404
    assert {line["trace_id"] for line in (whole, item, absent)} == {"a" * 31 + "1"}
    assert {line["remote"] for line in (whole, item, absent)} == {"127.0.0.1"}
    assert {name: api.stat(name) - before[name] for name in before} == {
        "requests": 1, "inner_requests": 3, "responses_4xx": 0}
    routes = {row["route"]: row for row in api.perfctl_json("routes")["routes"]}
    assert (routes["GET /items/{id}"]["requests"], routes["POST /batch"]["requests"]) == (3, 1)

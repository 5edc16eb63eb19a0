"""rate_limit: a consumer's bucket is one over all workers, is told in the answers, and never charged for hits."""
import os
import time

import pytest

from lib.load import at_once
from lib.process import eventually
from lib.workers import connect_to

CONF = """
rate_limit few { rate 6/h; burst 5; }
rate_limit keyed { rate 6/h; burst 3; by header X-Api-Key; }
rate_limit brisk { rate 10/s; burst 1; }
route GET /few { query "SELECT 1 AS one"; result row; rate_limit few; }
route POST /few { query "SELECT 1 AS one"; result row; rate_limit few; }
route GET /few/{id} { query "SELECT :id::int AS id"; result row; rate_limit few; cache ttl=1h tti=1h; }
route GET /keyed { query "SELECT 1 AS one"; result row; rate_limit keyed; }
route GET /brisk { query "SELECT 1 AS one"; result row; rate_limit brisk; }
route GET /stream { query "SELECT g, repeat('x', 1000) AS x FROM generate_series(1, 1000) g"; rate_limit few; }
route GET /pair { fan { one /keyed; two /few; } }
route GET /kept-pair/{id} { fan { one /keyed; two /few/{id}; } cache ttl=1h tti=1h; }
route GET /lean { fan { one /keyed optional; } cache ttl=1h tti=1h; }
route GET /leaner { fan { lean /lean; } cache ttl=1h tti=1h; }
batch /batch { concurrency 10; }
route GET /free { query "SELECT 1 AS one"; result row; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("rates")


@pytest.fixture
def api(make_perfd, db):
    return make_perfd(CONF, db).start()


def limits(response):
    return response.header("ratelimit-policy"), response.header("ratelimit")


def assert_tells(answer, left, refilled_s):
    """refilled_s is when it came to be so; some seconds of it may have gone by."""
    policy, limit = limits(answer)
    assert policy == '"few";q=5;w=3000'
    name, r, t = limit.split(";")
    assert (name, r) == ('"few"', f"r={left}")
    assert refilled_s - 10 <= int(t.removeprefix("t=")) <= refilled_s, limit


def test_a_consumer_s_bucket_empties_and_says_so(api):
    for left in (4, 3, 2, 1):
        answer = api.get("/few")
        assert answer.status == 200
        assert_tells(answer, left, 600 * (5 - left))
    assert_tells(api.post("/few"), 0, 600)
    refused = api.get("/few")
    assert refused.status == 429
    assert refused.problem["code"] == "rate_limited" and refused.problem["title"] == "Too Many Requests"
    assert_tells(refused, 0, 600)
    assert refused.header("ratelimit").endswith(f";t={refused.header('retry-after')}")
    row = next(r for r in api.perfctl_json("routes")["routes"] if r["route"] == "GET /few")
    assert row["limited"] == 1 and api.stat("rate_limited") == 1


def test_what_is_not_limited_says_nothing(api):
    for path in ("/free", "/healthz", "/nowhere"):
        assert limits(api.get(path)) == (None, None)


def test_both_workers_share_a_bucket(api):
    first, second = (connect_to(api, pid, "/free") for pid in api.worker_pids())
    with first, second:
        left = [connection.request("GET", "/few").header("ratelimit").split(";")[1]
                for connection in (first, second, first, second, first)]
        assert left == ["r=4", "r=3", "r=2", "r=1", "r=0"]
        assert [c.request("GET", "/few").status for c in (first, second)] == [429, 429]


def test_many_at_once_get_what_there_is(api):
    answers = at_once(20, lambda i: api.get("/few"))
    assert sorted(a.status for a in answers) == [200] * 5 + [429] * 15


def test_hits_are_free_and_pass_with_an_empty_bucket(api):
    """So are faults of the request: only what would be worked on counts."""
    assert_tells(api.get("/few/1"), 4, 600)
    for _ in range(20):
        hit = api.get("/few/1")
        assert hit.cache == "HIT" and limits(hit) == (None, None)
        assert api.get("/few/wrong").status == 400
    assert [api.get("/few").status for _ in range(5)] == [200] * 4 + [429]
    assert api.get("/few/2").status == 429
    assert api.get("/few/1").cache == "HIT"
    assert api.status("/healthz") == 200 and api.status("/readyz", api.admin) == 200


def test_it_fills_again_evenly(api):
    assert api.get("/brisk").status == 200
    passed, began = 0, time.monotonic()
    while time.monotonic() < began + 1:
        passed += api.get("/brisk").status == 200
        time.sleep(0.005)
    assert 3 <= passed <= 10 * (time.monotonic() - began) + 1


def test_a_header_tells_consumers_apart_and_who_has_none_counts_by_address(api):
    def ask(key):
        return api.get("/keyed", {"X-Api-Key": key} if key else None).status
    assert [ask("a") for _ in range(4)] == [200] * 3 + [429]
    assert [ask("b") for _ in range(4)] == [200] * 3 + [429]
    assert [ask(None) for _ in range(4)] == [200] * 3 + [429]


def test_the_consumer_is_who_a_trusted_proxy_names(make_perfd, db):
    api = make_perfd("trusted_proxies 127.0.0.1;" + CONF, db).start()

    def drain(address):
        return [api.get("/few", {"X-Forwarded-For": address}).status for _ in range(6)].count(200)
    assert drain("192.0.2.1") == 5 and drain("192.0.2.2") == 5 and drain("192.0.2.1") == 0
    assert drain("2001:db8:0:1::1") == 5
    assert drain("2001:db8:0:1:ffff::2") == 0  # the same network of 64 bits
    assert drain("2001:db8:0:2::1") == 5


def test_a_proxy_that_is_not_trusted_names_nobody(api):
    assert [api.get("/few", {"X-Forwarded-For": f"192.0.2.{i}"}).status for i in range(6)] == [200] * 5 + [429]


def test_streams_tell_it_too(api):
    answer = api.get("/stream")
    assert answer.header("transfer-encoding") == "chunked"
    assert_tells(answer, 4, 600)


def test_it_is_for_all_routes_but_those_that_say_otherwise(make_perfd, db):
    api = make_perfd("""
rate_limit everybody { rate 6/h; burst 2; routes all; }
rate_limit own { rate 6/h; burst 1; }
route GET /a { query "SELECT 1 AS one"; result row; }
route GET /b { query "SELECT 1 AS one"; result row; }
route GET /own { query "SELECT 1 AS one"; result row; rate_limit own; }
route GET /off { query "SELECT 1 AS one"; result row; rate_limit off; }
""", db).start()
    assert [api.get(path).status for path in ("/a", "/b", "/a", "/b")] == [200, 200, 429, 429]
    assert [api.get("/own").status for _ in range(2)] == [200, 429]
    assert {api.get("/off").status for _ in range(5)} == {200}


def test_a_reload_keeps_the_buckets(api):
    assert [api.get("/few").status for _ in range(5)] == [200] * 5
    assert api.reload(CONF.replace("rate 6/h; burst 5;", "rate 6/h; burst 6;")).code == 0
    assert [api.get("/few").status for _ in range(2)] == [200, 429]


def test_a_faster_rate_holds_nothing_of_the_slower_one_against_anybody(api):
    assert [api.get("/few").status for _ in range(6)] == [200] * 5 + [429]
    assert api.reload(CONF.replace("rate 6/h; burst 5;", "rate 10/s; burst 5;", 1)).code == 0
    assert eventually(lambda: api.get("/few").status == 200, 5)


@pytest.mark.parametrize("conf, says", [
    ("rate_limit a { burst 2; }", "needs a rate such as 100/s"),
    ("rate_limit a { rate 100; }", "\"100\" is no rate"),
    ("rate_limit a { rate 0/s; }", "rate is outside 1 to 1000000"),
    ("rate_limit a { rate 1/d; }", "is no rate"),
    ("rate_limit a { rate 1/s; by cookie; }", "by is address | header NAME"),
    ("rate_limit a { rate 1/s; by header \"a b\"; }", "is no name of a header field"),
    ("rate_limit a { rate 1/s; } rate_limit a { rate 1/s; }", "is given already"),
    ("rate_limit off { rate 1/s; }", "is no name"),
    ("rate_limit a { rate 1/s; routes all; } rate_limit b { rate 1/s; routes all; }", "is for all routes already"),
    ("rate_limit a;", "needs a block"),
    ("route GET /x { query \"SELECT 1\"; rate_limit a; }", "there is no rate_limit a"),
])
def test_mistakes_are_told_where_they_are(make_perfd, db, conf, says):
    perfd = make_perfd(conf, db)
    checked = perfd.check()
    assert checked.code == 2 and says in checked.err, checked
    assert f"{os.path.basename(perfd.conf_file)}:" in checked.err


def test_the_configuration_is_printed_as_it_counts(make_perfd, db):
    perfd = make_perfd("max_concurrent 50;" + CONF.replace("result row; rate_limit brisk;",
                                                           "result row; rate_limit brisk; max_concurrent 7;"), db)
    printed = perfd.command("-T")
    for line in ("max_concurrent 50;", "rate_limit few {", "    rate 6/h;", "    burst 5;", "    by header X-Api-Key;",
                 "    by address;", "    rate_limit few;", "    max_concurrent 7;"):
        assert line in printed.out.splitlines(), (line, printed)
    again = make_perfd("", db)
    again.configure(printed.out, whole=True)
    assert again.command("-T").out == printed.out


def test_items_of_a_batch_count_one_by_one(api):
    answer = api.post("/batch", [{"path": "/few"}] * 7)
    assert answer.status == 200 and limits(answer) == (None, None)
    assert sorted(item["status"] for item in answer.json()) == [200] * 5 + [429] * 2
    assert api.get("/few").status == 429


@pytest.mark.parametrize("path", ["/pair", "/kept-pair/{}"])
def test_parts_of_a_fan_count_for_who_asks_for_the_whole(api, path):
    """Also those of a kept one, which see nothing else of him."""
    alice, bob = {"X-Api-Key": "alice"}, {"X-Api-Key": "bob"}
    for i in range(3):
        assert api.get(path.format(i), headers=alice).status == 200
    refused = api.get(path.format(3), headers=alice)
    assert refused.status == 429 and refused.problem["code"] == "rate_limited"
    assert api.get("/keyed", headers=alice).status == 429
    assert api.get(path.format(4), headers=bob).status == 200
    assert api.get("/keyed", headers=bob).header("ratelimit").split(";")[1] == "r=1"


@pytest.mark.parametrize("path", ["/lean", "/leaner"])
def test_who_has_asked_too_often_leaves_no_gap_in_what_others_get(api, path):
    alice, bob = {"X-Api-Key": "alice"}, {"X-Api-Key": "bob"}
    while api.get("/keyed", headers=alice).status == 200:
        pass
    gap = api.get(path, headers=alice)
    assert gap.status == 200 and b"null" in gap.body
    whole = api.get(path, headers=bob)
    assert whole.cache == "MISS" and b'{"one":{"one":1}}' in whole.body
    assert api.get(path, headers=alice).cache == "HIT"

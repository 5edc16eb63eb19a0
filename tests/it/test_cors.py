"""What a browser asks before it gives an answer to a program of another origin."""
import pytest

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }
route POST /one { query "SELECT 2 AS two"; result row; }
"""
APP = "https://app.example"


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("cors")


@pytest.fixture
def server(make_perfd, db):
    return lambda cors: make_perfd(CONF, db, workers=1, settings=f"cors {{ {cors} }}").start()


def ask(api, origin=APP, method="GET", **more):
    return api.request(method, "/one", headers={"Origin": origin, **more} if origin else more)


def test_an_origin_that_may_is_told_so_on_hits_too(server):
    api = server(f"origins {APP} http://*.test:81; expose X-Cache ETag; credentials on;")
    for cache in ("MISS", "HIT"):
        answer = ask(api)
        assert answer.cache == cache and answer.header("access-control-allow-origin") == APP
        assert answer.header("access-control-allow-credentials") == "true"
        assert answer.header("access-control-expose-headers") == "X-Cache, ETag"
        assert answer.header("vary") == "Origin"
    assert ask(api, "http://a.b.test:81").header("access-control-allow-origin") == "http://a.b.test:81"


@pytest.mark.parametrize("origin", ["https://app.example.evil", "http://app.example", "null", "http://test:81",
                                    "http://evil/x.test:81", "http://a.test:8", None])
def test_others_are_told_nothing(server, origin):
    answer = ask(server(f"origins {APP} http://*.test:81;"), origin)
    assert answer.status == 200 and answer.header("access-control-allow-origin") is None
    assert answer.header("vary") == "Origin"


def test_a_browser_may_ask_beforehand(server):
    api = server(f"origins {APP}; max_age 5m;")
    answer = ask(api, method="OPTIONS", **{"Access-Control-Request-Method": "POST",
                                           "Access-Control-Request-Headers": "x-a, content-type"})
    assert answer.status == 204 and answer.header("access-control-allow-methods") == "GET, HEAD, POST, OPTIONS"
    assert answer.header("access-control-allow-headers") == "x-a, content-type"
    assert answer.header("access-control-max-age") == "300"
    assert ask(api, method="POST").header("access-control-allow-methods") is None


def test_everybody_may(server):
    api = server("origins *; headers X-One X-Two;")
    assert ask(api).header("access-control-allow-origin") == "*" and ask(api).header("vary") is None
    answer = ask(api, method="OPTIONS", **{"Access-Control-Request-Method": "GET"})
    assert answer.header("access-control-allow-headers") == "X-One, X-Two"


@pytest.mark.parametrize("cors, word", [
    ("", "needs origins"), ("origins ftp://x;", "ftp://x"), ("origins https://x/;", "https://x/"),
    ("origins * https://x;", "no other origin"), ("origins *; credentials on;", "credentials"),
    ("origins https://x; headers \"a b\";", "a b")])
def test_a_wrong_word_is_named(make_perfd, db, cors, word):
    result = make_perfd(CONF, db, settings=f"cors {{ {cors} }}").check()
    assert result.code != 0 and word in result.err and "perfd.conf:" in result.err

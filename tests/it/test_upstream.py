"""Routes that answer from an HTTP API: what passes in either direction, and an API that misbehaves."""
import gzip
import json
import threading
import time

import pytest

from lib.process import eventually
from lib.upstream import after, answer, in_turn, reset, slowly, then_close

LEAST = 64 << 10  # max_response
CONF = """
upstream api {{
    url {url}/base; max_response 64KB;
    forward Accept-Language Authorization Cookie X-Custom X-Hop;
    take Location X-Answer Set-Cookie X-Hop;
}}
upstream hasty {{ url {url}/base; timeout 300ms; }}
route GET    /any/{{name}}   {{ upstream api /{{name}}; }}
route POST   /any/{{name}}   {{ upstream api /{{name}}; }}
route PUT    /any/{{name}}   {{ upstream api /{{name}}; }}
route PATCH  /any/{{name}}   {{ upstream api /{{name}}; }}
route DELETE /any/{{name}}   {{ upstream api /{{name}}; }}
route GET    /find/{{name}}  {{ upstream api /find/{{name}}?q={{q}}&lang={{lang}}; param lang default=en enum=en,de; }}
route GET    /kept/{{name}}  {{ upstream api /{{name}}; cache ttl=60s tags=kept:{{name}}; }}
route POST   /kept/{{name}}  {{ upstream api /{{name}}; invalidates kept:{{name}}; }}
route GET    /spare/{{name}} {{ upstream api /{{name}}; cache ttl=20ms tti=0 stale_if_error=60s; }}
route GET    /aging/{{name}} {{ upstream api /{{name}}; cache ttl=100ms stale=1s; }}
route GET    /gone/{{name}}  {{ upstream api /{{name}}; cache ttl=60s negative=60s; }}
route GET    /hasty/{{name}} {{ upstream hasty /{{name}}; }}
"""


@pytest.fixture(scope="module")
def module_api(make_module_perfd, backend):
    return make_module_perfd(CONF.format(url=backend.url), workers=1).start()


@pytest.fixture
def api(module_api, backend):
    """The next test finds nothing of this one: no failures in a row, no behaviour."""
    yield module_api
    backend.behaviours.clear()
    assert eventually(lambda: module_api.get("/any/well").status == 200, 5)
    backend.asked.clear()


def last(backend):
    return backend.asked[-1]


# --- what passes

def test_parameters_are_encoded_into_the_target(api, backend):
    assert api.get("/find/a%2Fb%20%3F%23?q=x%26y%3D%C3%A4+z").status == 200
    assert last(backend).target == "/base/find/a%2Fb%20%3F%23?q=x%26y%3D%C3%A4%20z&lang=en"
    assert api.get("/find/a").status == 200
    assert last(backend).target == "/base/find/a?lang=en"


def test_no_value_leads_out_of_its_segment(api, backend):
    for value in ("..", "%2e%2e", ".", "%2E", "..%2F..%2Fetc", "a%2F%2e%2E%5cb"):
        assert api.get(f"/any/{value}").bad_parameters == ["name"]
    assert backend.asked == []
    assert api.get("/any/a%2F..b").status == 200
    assert last(backend).target == "/base/a%2F..b"
    assert api.get("/any/a%0D%0AX-Evil:%20b").status == 200
    assert last(backend).target == "/base/a%0D%0AX-Evil%3A%20b" and last(backend).header("X-Evil") is None


def test_rules_of_parameters_hold(api, backend):
    assert api.get("/find/a?lang=fr").bad_parameters == ["lang"]
    assert api.get("/find/a?typo=1").bad_parameters == ["typo"]
    assert backend.asked == []


@pytest.mark.parametrize("route, words", [
    ("GET /a/{x} { upstream u /v1; }", "path /a/{x}: the upstream's target has no parameter x"),
    ("GET /a { upstream u /v1; cache ttl=1s tags=t:{x}; }", "tag t:{x}: the upstream's target has no parameter x"),
    ("POST /a { upstream u /v1; invalidates t:{x}; }", "invalidates t:{x}: the upstream's target has no parameter x"),
    ("GET /a { upstream u /v1; param x max=3; }", "param x: the upstream's target has no parameter x"),
    ("GET /a { upstream v /v1; }", "no upstream \"v\""),
])
def test_names_are_checked(make_perfd, route, words):
    perfd = make_perfd(f"upstream u {{ url http://127.0.0.1:9; }}\nroute {route}\n")
    result = perfd.check()
    line, _ = perfd.line_of("route ")
    assert result.code == 2 and f"perfd.conf:{line}:" in result.err + result.out and words in result.err + result.out, result


def test_only_what_is_listed_passes_to_the_upstream(api, backend):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = {"Accept-Language": "de", "X-Custom": "1", "X-Other": "2", "X-Request-Id": "my-id-7", "traceparent": trace,
            "Accept": "text/html", "User-Agent": "me", "Range": "bytes=0-1", "If-None-Match": '"x"', "TE": "trailers", "X-Hop": "3",
            "Connection": "close, TE, x-hop"}
    assert api.get("/any/a", headers=sent).status == 200
    got = {name.lower(): value for name, value in last(backend).headers}
    assert got.pop("user-agent").startswith("perfd/")
    assert got == {"host": f"127.0.0.1:{backend.port}", "accept-encoding": "identity", "accept-language": "de",
                   "x-custom": "1", "x-request-id": "my-id-7", "traceparent": trace}


def test_only_what_is_listed_passes_to_the_consumer(api, backend):
    fields = ["Location: /there", "X-Answer: 1", "X-Secret: 2", "Keep-Alive: timeout=5", "ETag: \"theirs\"",
              "Server: theirs", "X-Hop: 3", "Connection: close, x-hop"]
    backend.on("/base/a", then_close(answer(b"<p>", 302, fields, kind="text/html; charset=utf-8")))
    response = api.get("/any/a")
    assert (response.status, response.body) == (302, b"<p>")
    assert response.header("location") == "/there" and response.header("x-answer") == "1"
    assert response.header("content-type") == "text/html; charset=utf-8"
    assert not {"x-secret", "keep-alive", "server", "x-hop"} & {name for name, _ in response.headers}
    assert response.header("etag") != '"theirs"'
    assert backend.count("/base/there") == 0, "a redirect was followed"


@pytest.mark.parametrize("status", [200, 201, 400, 401, 404, 409, 418, 429, 500, 501])
def test_a_status_passes_as_it_is(api, backend, status):
    backend.on("/base/a", answer({"status": status}, status))
    response = api.get("/any/a")
    assert (response.status, response.json()) == (status, {"status": status})


def test_an_error_is_never_a_304(api, backend):
    backend.on("/base/a", answer({"why": "not"}, 404))
    tag = api.get("/any/a").header("etag")
    assert api.get("/any/a", headers={"If-None-Match": tag or "*"}).status == 404
    backend.on("/base/a", answer({"why": "so"}))
    assert api.get("/any/a", headers={"If-None-Match": "*"}).status == 304


@pytest.mark.parametrize("method, body", [("POST", b'{ "a" : 1, "unknown":[2] }'), ("PUT", b"not json"), ("PATCH", b"\x00\xff"),
                                          ("DELETE", None), ("POST", b""), ("POST", b"x" * 70000)])
def test_a_body_passes_as_it_came(api, backend, method, body):
    backend.on("/base/a", lambda sock, asked: answer(asked.method.encode() + asked.body, 201, kind="text/plain"))
    response = api.request(method, "/any/a", body, {"Content-Type": "application/x-mine"} if body else {})
    if len(body or b"") < LEAST:
        assert (response.status, response.body) == (201, method.encode() + (body or b""))
    assert last(backend).body == (body or b"")
    assert last(backend).header("Content-Type") == ("application/x-mine" if body else None)
    assert last(backend).header("Expect") is None and last(backend).header("Transfer-Encoding") is None


def test_head_has_the_length_and_no_body(api, backend):
    backend.on("/base/a", answer(b"12345"))
    response = api.request("HEAD", "/any/a")
    assert (response.status, response.header("content-length"), response.body) == (200, "5", b"")
    assert last(backend).method == "GET"


def test_the_log_tells_where_the_time_went(api, backend):
    backend.on("/base/a", after(0.05, answer()))
    response = api.get("/any/a", headers={"X-Request-Id": "timed"})
    assert "upstream;dur=" in response.header("server-timing") and "queue;dur=" in response.header("server-timing")
    assert api.access_line("timed") is not None
    times = api.perfctl_json("stats")["histograms"]["upstream"]
    assert times["count"] > 0, times


# --- the cache and whose answers are whose

def test_an_answer_is_kept_with_its_kind_and_status(api, backend):
    backend.on("/base/kept1", answer(b"abc", 203, ["X-Answer: 7"], kind="text/plain"))
    first, second = api.get("/kept/kept1"), api.get("/kept/kept1")
    assert (first.cache, second.cache) == ("MISS", "HIT")
    assert (second.status, second.body, second.header("content-type"), second.header("x-answer")) == \
        (203, b"abc", "text/plain", "7")
    assert backend.count("/base/kept1") == 1


@pytest.mark.parametrize("status", [302, 404, 400, 500])
def test_no_other_status_is_kept(api, backend, status):
    name = f"unkept{status}"
    backend.on(f"/base/{name}", answer({}, status))
    assert [api.get(f"/kept/{name}").status for _ in range(2)] == [status, status]
    assert backend.count(f"/base/{name}") == 2


def test_an_absence_is_kept_where_the_route_says_so(api, backend):
    backend.on("/base/nobody", answer({"who": "nobody"}, 404))
    assert [api.get("/gone/nobody").json() for _ in range(2)] == [{"who": "nobody"}] * 2
    assert backend.count("/base/nobody") == 1


def test_what_answers_vary_by_tells_them_apart(api, backend):
    backend.on("/base/lang", lambda sock, asked: answer({"lang": asked.header("Accept-Language")},
                                                        fields=["Vary: Accept-Language"]))
    for _ in range(2):
        for lang in ("de", "en", None):
            got = api.get("/kept/lang", headers={"Accept-Language": lang} if lang else {})
            assert got.json() == {"lang": lang}
    assert backend.count("/base/lang") == 3


@pytest.mark.parametrize("field", ["Authorization", "Cookie"])
def test_credentials_reach_nobody_elses_answer(api, backend, field):
    path = f"/base/{field}"
    backend.on(path, lambda sock, asked: answer({"who": asked.header(field)}))
    for who in ("anna", "bert", "anna", None, "bert", None):
        response = api.get(f"/kept/{field}", headers={field: who} if who else {})
        assert response.json() == {"who": who}
        if who:
            assert response.cache == "MISS" and "private" in response.header("cache-control")
    assert backend.count(path) == 5, "only the two without credentials may share"


def test_requests_with_credentials_do_not_wait_for_each_other(api, backend):
    """Not even those of one consumer: each is under way while the others are."""
    met = threading.Barrier(4)

    def behave(_sock, asked):
        met.wait(5)
        return answer({"who": asked.header("Cookie")})
    backend.on("/base/meet", behave)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(api.get("/kept/meet", headers={"Cookie": "c=1"}).json()))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [{"who": "c=1"}] * 4


@pytest.mark.parametrize("trouble", [answer({}, 500), reset], ids=["an error", "no answer"])
def test_what_is_refused_to_credentials_is_refused_to_nobody_else(api, backend, trouble):
    """A consumer with credentials has an old answer, which is fetched anew with them; others wait for it meanwhile."""
    go_on = threading.Event()
    public = answer({"for": "all"}, 200, ["Cache-Control: public"])

    def behave(sock, asked):
        if not asked.header("Authorization"):
            return public
        go_on.wait(10)
        return trouble(sock, asked) if callable(trouble) else trouble
    backend.on("/base/aging", behave)
    assert api.get("/aging/aging").status == 200
    time.sleep(0.3)
    assert api.get("/aging/aging", {"Authorization": "mine"}).cache == "STALE"
    time.sleep(1.2)
    with api.connect() as other:
        other.send("GET", "/aging/aging")
        time.sleep(0.2)
        go_on.set()
        assert other.read().json() == {"for": "all"}


def test_an_answer_that_sets_a_cookie_is_kept_for_nobody(api, backend):
    backend.on("/base/login", in_turn(*(answer({"n": n}, 200, [f"Set-Cookie: id={n}", "Set-Cookie: b=2"]) for n in (1, 2))))
    first, second = api.get("/kept/login"), api.get("/kept/login")
    assert [value for name, value in second.headers if name == "set-cookie"] == ["id=2", "b=2"]
    assert first.json() == {"n": 1} and second.json() == {"n": 2}


def test_one_fetch_serves_all_that_wait(api, backend):
    backend.on("/base/herd", after(0.3, answer({"n": 1})))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(api.get("/kept/herd").json())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [{"n": 1}] * 8 and backend.count("/base/herd") == 1


def test_a_write_drops_its_tags(api, backend):
    value = {"n": 1}

    def behave(_sock, asked):
        if asked.method == "POST":
            value["n"] += 1
            return answer({}, 201)
        return answer(value)
    backend.on("/base/own", behave)
    assert api.get("/kept/own").json() == {"n": 1}
    assert api.post("/kept/own", {"x": 1}).status == 201
    assert api.get("/kept/own").json() == {"n": 2}


def test_a_refused_write_drops_nothing_and_a_doubtful_one_does(api, backend):
    backend.on("/base/doubt", lambda sock, asked: answer({}, 400 if asked.method == "POST" else 200))
    assert [api.get("/kept/doubt").cache for _ in range(2)] == ["MISS", "HIT"]
    assert api.post("/kept/doubt").status == 400
    assert api.get("/kept/doubt").cache == "HIT"
    backend.on("/base/doubt", lambda sock, asked: answer() if asked.method == "GET" else "close")
    assert api.post("/kept/doubt").status == 502
    assert api.get("/kept/doubt").cache == "MISS"


@pytest.mark.parametrize("trouble", [answer({}, 500), answer({}, 503), then_close(b""), then_close(b"rubbish\r\n\r\n")],
                         ids=["500", "503", "closed", "rubbish"])
def test_an_old_answer_is_better_than_a_failure(api, backend, trouble, request):
    name = request.node.callspec.id
    backend.on(f"/base/{name}", answer({"good": 1}))
    assert api.get(f"/spare/{name}").json() == {"good": 1}
    time.sleep(0.05)
    backend.on(f"/base/{name}", trouble)
    response = api.get(f"/spare/{name}")
    assert (response.status, response.cache, response.json()) == (200, "STALE", {"good": 1})


# --- an API that misbehaves

LARGE = b"x" * (LEAST + 1)
CHUNKED = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n"
BROKEN = {
    "garbage": (then_close(b"\x16\x03\x01nothing that is HTTP\r\n\r\n"), 502, "upstream_invalid"),
    "no status line": (then_close(b"Content-Length: 2\r\n\r\nab"), 502, "upstream_invalid"),
    "no head at all": (then_close(b"<html>"), 502, "upstream_invalid"),
    "half a head": (then_close(b"HTTP/1.1 200 OK\r\nContent-Le"), 502, "upstream_invalid"),
    "half a body": (then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), 502, "upstream_invalid"),
    "half of the chunks": (then_close(CHUNKED + b"3\r\nabc\r\n"), 502, "upstream_invalid"),
    "a chunk of no size": (then_close(CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n"), 502, "upstream_invalid"),
    "negative length": (then_close(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), 502, "upstream_invalid"),
    "304 that nobody asked for": (answer(b"", 304, kind=None), 502, "upstream_invalid"),
    "206 that nobody asked for": (answer(b"a", 206), 502, "upstream_invalid"),
    "a large body": (answer(LARGE), 502, "upstream_too_large"),
    "large chunks": (then_close(CHUNKED + b"%x\r\n" % len(LARGE) + LARGE + b"\r\n0\r\n\r\n"), 502, "upstream_too_large"),
    "a body without end": (lambda sock, asked: endless(sock), 502, "upstream_too_large"),
    "a head without end": (lambda sock, asked: endless(sock, b"HTTP/1.1 200 OK\r\n", b"X-Y: %s\r\n" % (b"z" * 900)), 502,
                           "upstream_too_large"),
    "a bomb": (answer(gzip.compress(b"0" * (LEAST * 100)), 200, ["Content-Encoding: gzip"]), 502, "upstream_too_large"),
    "a coding of its own": (answer(b"abc", 200, ["Content-Encoding: mine"]), 502, "upstream_invalid"),
    "closed": (then_close(b""), 502, "upstream_unreachable"),
    "reset": (reset, 502, "upstream_unreachable"),
}


def endless(sock, head=b"HTTP/1.1 200 OK\r\n\r\n", piece=LARGE):
    """Ends when the other side has enough."""
    sock.sendall(head)
    for _ in range(1000):
        sock.sendall(piece)
    return "close"


@pytest.mark.parametrize("trouble", BROKEN)
def test_what_is_no_answer_is_a_problem(api, backend, trouble):
    behaviour, status, code = BROKEN[trouble]
    backend.on("/base/a", behaviour)
    response = api.get("/any/a")
    assert (response.status, response.problem["code"]) == (status, code), response.problem
    assert api.get("/any/good").json() == {"target": "/base/good"}


GOOD = {
    "chunks": (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n", 200, b"abcde"),
    "100 first": (b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n" + answer(b"abc"), 200, b"abc"),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\nX-Answer: early\r\n\r\n" + answer(b"abc"), 200, b"abc"),
    "until the end": (then_close(b"HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\nabc"), 200, b"abc"),
    "more than its length": (then_close(answer(b"abc") + b"and more"), 200, b"abc"),
    "204 with a body": (then_close(b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc"), 204, b""),
    "gzip unasked": (answer(gzip.compress(b"abc"), 200, ["Content-Encoding: gzip"]), 200, b"abc"),
    "an empty body": (answer(b""), 200, b""),
    "as large as may be": (answer(b"y" * LEAST), 200, b"y" * LEAST),
}


@pytest.mark.parametrize("oddity", GOOD)
def test_what_is_an_answer_passes(api, backend, oddity):
    behaviour, status, body = GOOD[oddity]
    backend.on("/base/a", behaviour)
    response = api.get("/any/a")
    assert (response.status, response.body) == (status, body)
    assert response.header("content-encoding") is None and response.header("x-answer") is None
    backend.behaviours.clear()
    assert api.get("/any/good").json() == {"target": "/base/good"}


@pytest.mark.parametrize("slow", [after(0.8, answer()), slowly(answer(b"x" * 40), 4, 0.05),
                                  slowly(b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 100, 2, 0.05)],
                         ids=["no head", "a slow body", "a slow head"])
def test_what_takes_too_long_is_a_504(api, backend, slow):
    backend.on("/base/a", slow)
    response = api.get("/hasty/a")
    assert (response.status, response.problem["code"]) == (504, "upstream_timeout")


def test_a_consumer_that_leaves_ends_its_request(api, backend):
    closed = threading.Event()

    def behave(sock, _asked):
        sock.settimeout(5)
        if sock.recv(1) == b"":
            closed.set()
        return "close"
    backend.on("/base/leave", behave)
    with api.connect() as connection:
        connection.send("GET", "/any/leave")
        assert eventually(lambda: backend.count("/base/leave") == 1)
    assert closed.wait(5)


def test_problems_are_json_without_secrets(api, backend):
    backend.on("/base/a", then_close(b""))
    text = json.dumps(api.get("/any/a").problem)
    assert str(backend.port) not in text and "127.0.0.1" not in text

"""Connections to an HTTP API: how many, for how long, what is sent again, and an API that is slow, gone or hangs."""
import os
import signal
import subprocess
import threading
import time

import pytest

from lib.fronts import path_of
from lib.load import Load, Volley
from lib.ports import free_ports
from lib.process import continue_family, eventually, stop_family, tell
from lib.upstream import Upstream, after, answer, in_turn, reset, start_api, then_close

METHODS = ["GET", "PUT", "DELETE", "POST", "PATCH"]


@pytest.fixture
def backend():
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture
def make_api(make_perfd, backend):
    return lambda directives="", url=None, **more: start_api(make_perfd, url or backend.url, directives, **more)


def figure(api, name, expected, within=5):
    """Gauges are written a few times a second."""
    found = None

    def is_so():
        nonlocal found
        found = api.stat(f"upstream_{name}")
        return expected(found) if callable(expected) else found == expected
    assert eventually(is_so, within), (name, found)
    return found


def all_at_once(api, count, path="/any/a", within=15.0):
    with Volley(api.port, count, within) as volley:
        return [response.status for response in volley.send([path] * count)]


# --- how many

def test_a_connection_serves_one_request_after_the_other(make_api, backend):
    api = make_api()
    with api.connect() as connection:
        for _ in range(50):
            assert connection.request("GET", "/any/a").status == 200
    assert backend.opened == 1
    figure(api, "opened", 1)
    figure(api, "reused", 49)
    figure(api, "idle", 1)


def test_there_are_no_more_connections_than_requests_at_a_time(make_api, backend):
    api = make_api()
    with Load(api.port, "/any/a", threads=10) as load:
        load.wait_for(500)
    assert not load.wrong and not load.failed
    assert backend.opened <= 10
    figure(api, "idle", lambda idle: idle <= 10)
    figure(api, "active", 0)


def test_max_connections_bounds_them_and_the_others_wait(make_api, backend):
    backend.on("/a", after(0.05, answer()))
    api = make_api("max_connections 3;")
    assert all_at_once(api, 20) == [200] * 20
    assert backend.opened == 3


def test_no_more_than_max_idle_are_kept(make_api, backend):
    backend.on("/a", after(0.1, answer()))
    api = make_api("max_idle 2;")
    assert all_at_once(api, 8) == [200] * 8
    assert backend.opened == 8
    assert eventually(lambda: len(backend.connections) == 2)
    figure(api, "idle", 2)
    figure(api, "closed", 6)


def test_an_idle_connection_is_closed_after_its_time(make_api, backend):
    api = make_api("idle_timeout 300ms;")
    assert api.get("/any/a").status == 200
    assert len(backend.connections) == 1
    assert eventually(lambda: not backend.connections, 3)
    figure(api, "idle", 0)
    assert api.get("/any/a").status == 200 and backend.opened == 2


def test_a_connection_is_closed_before_the_api_would(make_api, backend):
    backend.on("/a", answer(b"{}", 200, ["Keep-Alive: timeout=1, max=100"]))
    api = make_api()
    assert api.get("/any/a").status == 200
    assert eventually(lambda: not backend.connections, 3)


def test_an_old_connection_is_not_used_any_more(make_api, backend):
    api = make_api("max_lifetime 200ms;")
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        assert api.get("/any/a").status == 200
        time.sleep(0.01)
    assert backend.opened >= 3


def test_a_full_queue_is_a_503_at_once(make_api, backend):
    go_on = threading.Event()

    def behave(_sock, _asked):
        go_on.wait(10)
        return answer()
    backend.on("/a", behave)
    api = make_api("max_connections 2; queue 3;")
    with Volley(api.port, 8) as volley:
        for connection in volley.connections:
            connection.send("GET", "/any/a")
        figure(api, "waiting", 3)
        figure(api, "rejected", 3)
        go_on.set()
        answers = [connection.read() for connection in volley.connections]
    assert sorted(response.status for response in answers) == [200] * 5 + [503] * 3
    refused = next(response for response in answers if response.status == 503)
    assert refused.problem["code"] == "overloaded" and refused.header("retry-after")


def test_who_waits_too_long_gets_a_504(make_api, backend):
    backend.on("/slow", after(1.5, answer()))
    api = make_api("max_connections 1; timeout 10s;")
    api.configure(api.conf + "route GET /soon { upstream api /a; timeout 200ms; }\n")
    assert api.reload().code == 0
    with api.connect() as connection:
        connection.send("GET", "/any/slow")
        assert eventually(lambda: backend.count("/slow") == 1)
        response = api.get("/soon")
        assert (response.status, response.problem["code"]) == (504, "upstream_timeout")
        assert backend.count("/a") == 0
        assert connection.read().status == 200
    assert api.get("/soon").status == 200


def test_who_waits_and_leaves_makes_room(make_api, backend):
    backend.on("/slow", after(0.5, answer()))
    api = make_api("max_connections 1;")
    with api.connect() as first, api.connect() as second:
        first.send("GET", "/any/slow")
        assert eventually(lambda: backend.count("/slow") == 1)
        second.send("GET", "/any/never")
        figure(api, "waiting", 1)
        second.close()
        figure(api, "waiting", 0)
        assert first.read().status == 200
    assert backend.count("/never") == 0


def test_a_write_goes_on_when_its_consumer_has_gone(make_api, backend):
    body = os.urandom(6 << 20)  # more than sockets hold
    api = make_api(settings="max_body 8MB;")
    backend.takes_bodies.clear()
    with api.connect() as connection:
        connection.send("POST", "/any/a", body)
        figure(api, "active", 1)
    time.sleep(0.2)
    backend.takes_bodies.set()
    assert eventually(lambda: backend.count("/a") == 1)
    assert backend.asked[0].body == body
    assert api.get("/any/a").status == 200


# --- what the API closes

def test_idle_connections_that_the_api_closes_are_not_used(make_api, backend):
    api = make_api()
    assert api.get("/any/a").status == 200
    backend.drop()
    figure(api, "idle", 0)
    for method in METHODS:
        assert api.request(method, "/any/a").status == 200
        backend.drop()
        figure(api, "idle", 0)
    figure(api, "failures", 0)


def test_connection_close_is_heeded(make_api, backend):
    backend.on("/a", then_close(answer(b"{}", 200, ["Connection: close"])))
    api = make_api()
    for method in METHODS:
        assert api.request(method, "/any/a").status == 200
    assert backend.opened == 5


def test_closed_under_a_request(make_api, backend):
    """The API closes what it has kept just when the next request comes."""
    api = make_api("retries 0;")
    for method in METHODS:
        path = f"/second-{method}"
        backend.on(path, in_turn(then_close(b""), answer({"n": 2})))
        assert api.request(method, "/any/first").status == 200
        response = api.request(method, f"/any{path}")
        if method in ("GET", "PUT", "DELETE"):
            assert (response.status, backend.count(path)) == (200, 2)
        else:
            assert (response.status, response.problem["code"]) == (502, "upstream_unreachable")
            assert backend.count(path) == 1, "it was sent twice"


@pytest.mark.parametrize("trouble", [then_close(b""), reset], ids=["closed", "reset"])
def test_a_new_connection_that_breaks(make_api, backend, trouble):
    backend.on("/first", then_close(answer(b"{}", 200, ["Connection: close"])))
    api = make_api()
    for method in METHODS:
        path = f"/{method}"
        backend.on(path, in_turn(trouble, answer({"n": 2})))
        assert api.request(method, "/any/first").status == 200
        response = api.request(method, f"/any{path}")
        if method in ("GET", "PUT", "DELETE"):
            assert (response.status, backend.count(path)) == (200, 2)
        else:
            assert (response.status, backend.count(path)) == (502, 1)
    figure(api, "retries", 3)


def test_what_was_answered_in_part_is_not_sent_again(make_api, backend):
    backend.on("/a", in_turn(then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na"), answer()))
    backend.on("/b", in_turn(then_close(b"HTTP/1.1 100 Continue\r\n\r\n"), answer()))
    api = make_api("retries 5;")
    assert [api.get(path).status for path in ("/any/a", "/any/b")] == [502, 502]
    assert (backend.count("/a"), backend.count("/b")) == (1, 1)


def test_repetitions_are_bounded(make_api, backend):
    """By their number for one request, and by a budget for all."""
    backend.on("/a", then_close(b""))
    backend.on("/good", then_close(answer(b"{}", 200, ["Connection: close"])))
    api = make_api("retries 2;")
    assert api.get("/any/a").status == 502
    assert backend.count("/a") == 3
    for _ in range(40):
        assert api.get("/any/good").status == 200  # or the breaker opens
        assert api.get("/any/a").status == 502
    assert 10 <= backend.count("/a") - 41 <= 10 + 9


# --- an API in trouble

def fail_until_open(api, path="/any/a"):
    for _ in range(20):
        response = api.get(path)
        if response.status == 503:
            return response
        assert response.status in (502, 504), response
    raise AssertionError("the breaker does not open")


def test_a_dead_api_is_left_alone_and_found_again(make_api, backend):
    api = make_api()
    assert api.get("/any/a").status == 200
    backend.stop()
    assert api.get("/any/a").problem["code"] == "upstream_unreachable"
    refused = fail_until_open(api)
    assert refused.problem["code"] == "overloaded" and refused.header("retry-after")
    figure(api, "open", 1)
    assert api.log_contains("is left alone")
    backend.start()
    assert eventually(lambda: api.get("/any/a").status == 200, 5)
    figure(api, "open", 0)
    assert api.log_contains("upstream api answers")


def test_one_request_at_a_time_tries_a_failing_api(make_api, backend):
    backend.on("/a", answer({}, 503))
    api = make_api()
    for _ in range(5):
        assert api.get("/any/a").status == 503
    tried = backend.count("/a")
    end, answers = time.monotonic() + 1.2, 0
    while time.monotonic() < end:
        assert api.get("/any/a").status == 503
        answers += 1
    assert tried == 5 and 1 <= backend.count("/a") - tried <= 3 and answers > 20


def test_who_had_waited_for_long_tells_nothing_of_the_api(make_api, backend):
    """It answers well, but not within what is left of the time of those who waited for a connection."""
    backend.on("/a", after(1.2, answer()))
    api = make_api("max_connections 6; timeout 2s;")
    assert sorted(all_at_once(api, 18)) == [200] * 6 + [504] * 12
    assert api.get("/any/b").status == 200
    assert "is left alone" not in api.log()


def test_the_consumers_own_errors_open_nothing(make_api, backend):
    backend.on("/a", answer({}, 500))
    backend.on("/b", answer({}, 404))
    api = make_api()
    assert [api.get(path).status for path in ["/any/a", "/any/b"] * 10] == [500, 404] * 10
    assert backend.count("/a") == 10
    assert api.stat("upstream_open") == 0


def test_those_that_wait_are_refused_when_it_fails(make_api, backend):
    """Nobody waits for what will not be asked."""
    go_on = threading.Event()

    def behave(_sock, _asked):
        go_on.wait(10)
        return answer({}, 503)
    backend.on("/a", behave)
    api = make_api("max_connections 5; timeout 30s;")
    with Volley(api.port, 15) as volley:
        for connection in volley.connections:
            connection.send("GET", "/any/a")
        figure(api, "waiting", 10)
        go_on.set()
        begun = time.monotonic()
        assert [connection.read().status for connection in volley.connections] == [503] * 15
    assert time.monotonic() - begun < 5
    assert backend.count("/a") < 15


NGINX = """
{user} worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nb; proxy_temp_path {folder}/np; fastcgi_temp_path {folder}/nf;
    uwsgi_temp_path {folder}/nu; scgi_temp_path {folder}/ns;
    server {{ listen 127.0.0.1:{port}; keepalive_requests 7; location / {{ return 200 '{{"uri":"$request_uri"}}'; }} }}
}}
"""


class Nginx:
    def __init__(self, folder):
        (self.port,) = free_ports(1)
        self.conf = f"{folder}/nginx.conf"
        self.folder = folder
        with open(self.conf, "w", encoding="ascii") as out:
            out.write(NGINX.format(folder=folder, port=self.port, user="user root;" if os.geteuid() == 0 else ""))
        self.process = None

    def start(self):
        self.process = subprocess.Popen([path_of("nginx"), "-p", self.folder, "-c", self.conf], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        return self

    def stop(self, sig=signal.SIGTERM):
        continue_family(self.process.pid)
        tell(self.process.pid, sig)
        self.process.wait(5)


@pytest.fixture
def nginx(tmp_path):
    server = Nginx(str(tmp_path)).start()
    yield server
    if server.process.poll() is None:
        server.stop()


def test_a_server_that_closes_and_reloads_all_the_time_costs_no_request(make_api, nginx):
    """nginx ends each connection after seven requests, and all idle ones at a reload."""
    api = make_api(url=f"http://127.0.0.1:{nginx.port}")
    assert eventually(lambda: api.get("/any/a").json() == {"uri": "/a"})
    with Load(api.port, "/any/a", threads=4) as load:
        for _ in range(3):
            load.wait_for(200)
            tell(nginx.process.pid, signal.SIGHUP)
        load.wait_for(200)
    assert not load.wrong and not load.failed, (load.wrong[:3], load.failed[:3])
    assert api.stat("upstream_failures") == 0


def test_a_server_that_hangs_is_given_up_and_found_again(make_api, nginx):
    api = make_api("timeout 300ms;", url=f"http://127.0.0.1:{nginx.port}")
    api.configure(api.conf + "route GET /other { upstream other /b; }\n"
                  f"upstream other {{ url http://127.0.0.1:{nginx.port}; }}\n")
    assert api.reload().code == 0
    assert eventually(lambda: api.get("/any/a").status == 200)
    stop_family(nginx.process.pid)
    response = api.get("/any/a")
    assert (response.status, response.problem["code"]) == (504, "upstream_timeout")
    fail_until_open(api)
    continue_family(nginx.process.pid)
    assert eventually(lambda: api.get("/any/a").status == 200, 10)
    assert api.get("/other").status == 200


def test_an_ending_worker_finishes_what_it_has_and_keeps_nothing(make_api, backend):
    go_on = threading.Event()

    def behave(_sock, _asked):
        go_on.wait(10)
        return answer({"slow": 1})
    backend.on("/slow", behave)
    api = make_api()
    with api.connect() as connection:
        connection.send("GET", "/any/slow")
        assert eventually(lambda: backend.count("/slow") == 1)
        assert api.get("/any/a").status == 200
        assert len(backend.connections) == 2
        assert api.reload().code == 0
        assert eventually(lambda: len(backend.connections) == 1), "its idle connection stays open"
        go_on.set()
        assert connection.read().json() == {"slow": 1}
    assert eventually(lambda: not backend.connections)
    assert api.get("/any/a").status == 200


# --- what an admin sees

def test_a_plain_server_is_no_tls(make_api, nginx):
    api = make_api(url=f"https://localhost:{nginx.port}")
    assert api.get("/any/a").problem["code"] == "upstream_unreachable"


def test_environment_names_no_proxy(make_api, backend):
    nowhere = "http://127.0.0.1:9"
    api = make_api(env={name: nowhere for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY")})
    assert api.get("/any/a").status == 200


def test_a_reload_brings_another_upstream(make_api, backend):
    other = Upstream()
    try:
        other.on("/a", answer({"other": 1}))
        api = make_api()
        assert api.get("/any/a").json() == {"target": "/a"}
        assert api.reload(api.conf.replace(backend.url, other.url)).code == 0
        assert api.get("/any/a").json() == {"other": 1}
    finally:
        other.stop()

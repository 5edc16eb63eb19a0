"""perfctl load, against servers of the test's own."""
import collections
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from lib.perfd import PERFCTL, ROOT, run
from lib.ports import free_ports
from lib.process import eventually
from lib.upstream import Upstream, after, answer, then_close


@pytest.fixture
def server():
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture
def scenario(tmp_path, server):
    """A file with one request for each path, or what else it is told."""
    def write(*requests, **more):
        wanted = {"base_url": server.url, "users": [{"duration": "0s", "target": 1}, {"duration": "100ms", "target": 1}],
                  "requests": [{"name": r, "path": r} if isinstance(r, str) else r for r in requests], **more}
        path = tmp_path / "scenario.json"
        path.write_text(json.dumps({name: value for name, value in wanted.items() if value is not None}))
        return str(path)
    return write


# 5 MB, more than a socket and its peer's take.
LONG_BODY, LONG = "{a}" * 320_000, {"a": {"kind": "uniform", "from": 10**15, "to": 10**15}}


def load(*args, code=0):
    done = run(PERFCTL, "load", "-o", "json", *args)
    assert done.code == code, done
    return done.json


def failures(tally):
    return {name: tally[name] for name in ("no_connection", "lost", "timed_out", "malformed", "unsent") if tally[name]}


# --- what is sent and counted

def test_figures_are_those_of_the_server(server, scenario):
    server.on("/missing", answer(status=404))
    path = scenario({"name": "ok", "path": "/ok?u={user}", "weight": 3}, {"name": "missing", "path": "/missing"},
                    {"name": "write", "path": "/write", "method": "PATCH", "json": {"id": "{user}", "text": "is {user}"}},
                    variables={"user": {"kind": "uniform", "from": 7, "to": 9}},
                    thresholds={"http_req_failed": ["rate<0.9", "rate<0.01"], "http_reqs{name:ok}": ["count>=1"],
                                "checks": ["rate>0.1"]})
    report = load(path, "--rate", "300", "--duration", "500ms", "--seed", "4", code=99)
    assert report["seed"] == 4 and report["total"]["requests"] == 150 == len(server.asked)
    rows = {row["request"]: row for row in report["requests"]}
    assert {name: row["requests"] for name, row in rows.items()} == \
        {"ok": server.count("/ok"), "missing": server.count("/missing"), "write": server.count("/write")}
    assert rows["missing"]["failed"] == server.count("/missing") > 0 == rows["ok"]["failed"]
    assert report["total"]["expected"] == 150 - server.count("/missing")
    assert [t["ok"] for t in report["thresholds"]] == [True, False, True, True]
    assert report["thresholds"][0]["measured"] == pytest.approx(server.count("/missing") / 150, abs=1e-5)
    users = collections.Counter(json.loads(asked.body)["id"] for asked in server.asked if asked.method == "PATCH")
    assert set(users) == {7, 8, 9}
    assert all(asked.header("Content-Type") == "application/json" and json.loads(asked.body)["text"][:3] == "is "
               for asked in server.asked if asked.method == "PATCH")
    assert failures(report["total"]) == {}


def test_users_come_and_go_by_the_stages(server, scenario):
    server.on("/", after(0.03, answer()))
    path = scenario("/", users=[{"duration": "300ms", "target": 6}, {"duration": "50ms", "target": 6},
                                {"duration": "0s", "target": 2}, {"duration": "250ms", "target": 2}], think_time=["20ms", "20ms"])
    for _ in range(3):  # a busy machine may miss the 50 ms of six users
        opened = server.opened
        report = load(path)
        if report["connections"] == 6:
            break
    assert report["connections"] == 6 == server.opened - opened
    assert 600_000 <= report["span_us"]
    # 1.7 user seconds at 50 ms; a busy machine makes them fewer, an empty one hardly more.
    assert 8 <= report["total"]["requests"] <= 40
    assert report["total"]["min_us"] >= 30_000


# --- latency of an open loop

@pytest.mark.alone
def test_a_server_that_freezes_is_seen_by_all_that_were_due_meanwhile(server, scenario):
    """Of a rate of r for a period p with a freeze f at its end, r(f - x) are late by more than x: the p99 is f - 0.01 p
    beyond the service's time. The shape of 100/s, 1 s in 6 and 10 ms, scaled down; tests/bench/load has it whole."""
    period, freeze, service = 0.9, 0.15, 0.002
    arithmetic = freeze - 0.01 * period + service
    begun = []

    def frozen(_sock, _asked):
        begun.append(time.monotonic())
        at = time.monotonic() - begun[0] + service
        time.sleep(service if at < period - freeze else max(period - at, 0) + 2 * service)
        return answer()
    server.on("/", frozen)
    for _ in range(3):  # a busy machine makes it more, never less
        begun.clear()
        report = load(scenario("/"), "--rate", "300", "--duration", f"{int(period * 1000)}ms")
        total = report["total"]
        assert total["requests"] == 270
        assert total["p99_us"] / 1e6 > 0.9 * arithmetic and total["max_us"] / 1e6 >= freeze - service - 0.02, report
        if total["p99_us"] / 1e6 < 1.2 * arithmetic and total["p50_us"] < 50_000:
            break
    else:
        raise AssertionError(report)


def test_what_finds_no_free_connection_waits_and_its_latency_grows(server, scenario):
    server.on("/", after(0.05, answer()))
    report = load(scenario("/"), "--rate", "100", "--duration", "200ms", "--connections", "2")
    assert report["total"]["requests"] == 20 and report["connections"] == 2 == server.opened and report["waited"] == 18
    # Two at a time: the last of 20 is answered after 500 ms, and was due after 190.
    assert report["total"]["max_us"] >= 300_000 and report["total"]["min_us"] >= 50_000


@pytest.mark.once
def test_what_is_never_sent_has_failed(server, scenario):
    server.on("/", after(10, b""))
    report = load(scenario("/", timeout="200ms"), "--rate", "50", "--duration", "200ms", "--connections", "1")
    assert report["total"]["requests"] == 10 == report["total"]["failed"]
    assert failures(report["total"]) == {"timed_out": 2, "unsent": 8} and report["waited"] == 9


# --- connections

def test_a_connection_that_ended_while_idle_is_opened_again(server, scenario):
    """Those that end with the next request in them, too."""
    server.on("/closes", then_close(answer()))
    report = load(scenario("/closes"), "--rate", "50", "--duration", "200ms", "--connections", "1")
    assert failures(report["total"]) == {} and report["total"]["requests"] == 10
    assert (report["opened"], report["opened_again"]) == (server.opened, 9)


def test_a_connection_that_the_server_wants_closed_is_not_used_again(server, scenario):
    """The server itself leaves it open."""
    server.on("/", answer(fields=["Connection: close"]))
    report = load(scenario("/"), "--rate", "50", "--duration", "100ms", "--connections", "1")
    assert failures(report["total"]) == {} and report["opened"] == 5 == server.opened


def test_a_request_that_must_not_come_twice_is_not_sent_twice(server, scenario):
    def once(_sock, asked):
        return answer() if asked.connection not in seen and not seen.add(asked.connection) else "close"
    seen = set()
    server.on("/", once)
    path = scenario({"name": "w", "path": "/", "method": "POST", "body": "x"})
    report = load(path, "--rate", "50", "--duration", "200ms", "--connections", "1")
    assert failures(report["total"]) == {"lost": 5} and len(server.asked) == 10
    server.asked.clear()
    report = load(scenario("/"), "--rate", "50", "--duration", "200ms", "--connections", "1")
    assert failures(report["total"]) == {} and len(server.asked) == 19


def test_a_connection_is_kept_behind_each_way_in_which_an_answer_ends(server, scenario):
    server.on("/head", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    server.on("/none", b"HTTP/1.1 204 No Content\r\n\r\n")
    server.on("/chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
    path = scenario({"name": "head", "path": "/head", "method": "HEAD"}, {"name": "none", "path": "/none", "status": 204},
                    "/chunks", "/length")
    report = load(path, "--rate", "200", "--duration", "200ms", "--connections", "1", "--seed", "1")
    assert failures(report["total"]) == {} and report["total"]["expected"] == 40 and server.opened == 1
    assert all(row["requests"] > 0 for row in report["requests"])


def test_a_body_goes_out_in_parts(server, scenario):
    """The server begins to read when no more of it goes into the sockets."""
    def take():
        assert eventually(lambda: server.opened, 10)
        time.sleep(0.1)
        server.takes_bodies.set()
    server.takes_bodies.clear()
    threading.Thread(target=take, daemon=True).start()
    path = scenario({"name": "w", "path": "/", "method": "PUT", "body": LONG_BODY}, variables=LONG, timeout="5s")
    report = load(path, "--rate", "10", "--duration", "100ms")
    assert failures(report["total"]) == {} and [asked.body for asked in server.asked] == [b"%d" % 10**15 * 320_000]


def test_an_answer_before_the_body_is_out_counts_and_ends_the_connection(scenario):
    """What is left of the body must not be taken for the next request."""
    def refuse(listener):
        for _ in range(2):
            kept.append(listener.accept()[0])
            kept[-1].recv(1000)
            kept[-1].sendall(answer(status=413))
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        threading.Thread(target=refuse, args=(listener,), daemon=True).start()
        path = scenario({"name": "w", "path": "/", "method": "PUT", "body": LONG_BODY, "status": 413}, variables=LONG, timeout="5s")
        report = load(path, "--url", f"http://127.0.0.1:{listener.getsockname()[1]}", "--rate", "10", "--duration", "200ms",
                      "--connections", "1")
    assert report["total"]["expected"] == 2 == report["opened"], report


def test_of_several_addresses_the_one_that_is_served(server, scenario, tmp_path):
    """The server is on 127.0.0.1 alone, and ::1 stands before it, as localhost often has it."""
    (tmp_path / "hosts").write_text("::1 both.test\n127.0.0.1 both.test\n")
    command = f'mount --bind {tmp_path}/hosts /etc/hosts && exec "$0" "$@"'
    within = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c", command]
    if run(*within, "true").code != 0:
        pytest.skip("the kernel allows no mount namespace here, in which /etc/hosts would be another")
    done = run(*within, PERFCTL, "load", "-o", "json", scenario("/"), "--url", f"http://both.test:{server.port}", "--rate", "50",
               "--duration", "100ms")
    assert done.code == 0 and failures(done.json["total"]) == {} and done.json["total"]["expected"] == 5, done


@pytest.mark.parametrize("sent, outcome", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200", "malformed"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx", "lost")])
def test_answers_that_are_none(server, scenario, sent, outcome):
    server.on("/", then_close(sent))
    report = load(scenario("/"), "--rate", "50", "--duration", "100ms")
    assert failures(report["total"]) == {outcome: 5} and report["total"]["failed"] == 5


def test_nobody_listens(scenario):
    port = free_ports(1)[0]
    report = load(scenario("/"), "--url", f"http://127.0.0.1:{port}", "--rate", "50", "--duration", "100ms")
    assert failures(report["total"]) == {"no_connection": 5}


# --- its life

@pytest.mark.once
def test_an_interrupt_gives_the_report_so_far_and_a_terminal_sees_how_far_it_is(server, scenario):
    ours, theirs = pty.openpty()
    with subprocess.Popen([PERFCTL, "load", scenario("/"), "--vus", "2", "--duration", "60s"], stdout=subprocess.PIPE,
                          stderr=theirs, text=True) as process:
        seen = eventually(lambda: os.read(ours, 1000), 10)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=10)[0]
    os.close(ours), os.close(theirs)
    assert re.match(rb"\r\x1b\[K\d of 60 s: 2 users, [012] under way, [\d,]+ requests", seen), seen
    assert process.returncode == 1 and "interrupted: " in out and "\ntotal " in out, out


@pytest.mark.once
def test_a_generator_that_stood_still_tells(server, scenario):
    path = scenario("/")
    with subprocess.Popen([PERFCTL, "load", path, "--rate", "100", "--duration", "600ms"], stdout=subprocess.PIPE,
                          text=True) as process:
        assert eventually(lambda: server.asked)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        process.send_signal(signal.SIGCONT)
        out = process.communicate(timeout=10)[0]
    assert process.returncode == 0 and re.search(r"^the generator was the limit in \d of \d seconds", out, re.M), out


@pytest.mark.once
def test_mistakes(scenario, tmp_path):
    wrong = run(PERFCTL, "load", scenario("/", think_time=["1s"]))
    assert wrong.code == 64 and "scenario.json:1:" in wrong.err and "think_time: must be [" in wrong.err
    assert run(PERFCTL, "load", f"{tmp_path}/absent").code == 64
    path = scenario("/")
    for args, words in [(["--vus", "1", "--rate", "1"], "--vus and --rate"), (["--duration", "1s"], "--duration"),
                        (["--rate", "x"], '--rate: "x" is no number'),
                        (["--vus", "1.5"], '--vus: "1.5" is no whole number from 1 to 100000'), (["--url", "ftp://x"], "http://")]:
        done = run(PERFCTL, "load", path, *args)
        assert done.code == 64 and words in done.err, done


@pytest.mark.once
def test_the_scenario_of_the_repository_is_good():
    """No server: its one user is refused each time."""
    with open(f"{ROOT}/scripts/load-test.json", encoding="utf-8") as file:
        names = [request["name"] for request in json.load(file)["requests"]]
    report = load(f"{ROOT}/scripts/load-test.json", "--url", f"http://127.0.0.1:{free_ports(1)[0]}", "--rate", "10",
                  "--duration", "100ms", code=99)
    assert [row["request"] for row in report["requests"]] == names and report["total"]["requests"] == 1

"""Behind Debian's nginx and haproxy, and asked by curl and ab: all that they make of a request comes through. A short
run here; FRONT_REQUESTS sets how many requests the load sends through each."""
import asyncio
import hashlib
import json
import os
import random
import re
import subprocess

import pytest

from lib.fronts import Front
from lib.http_client import Connection, request_bytes, request_once
from lib.process import eventually

REQUESTS = int(os.environ.get("FRONT_REQUESTS", "2500"))
LANES = 32
CONF = """
route GET /text/{n}/{bytes} { query "SELECT repeat(md5(:n::text), :bytes::int / 32) AS text"; result row;
    cache ttl=300s tti=300s; }
route GET /plain/{n} { query "SELECT :n::int AS n"; result row; }
route GET /absent/{n} { query "SELECT 1 WHERE :n::int < 0"; result row; cache negative=60s; }
route POST /echo { query "SELECT :text::text AS text"; result row; status 201; }
route DELETE /plain/{n} { query "SELECT :n::int"; result none; }
"""


@pytest.fixture(scope="module")
def api(make_module_perfd, pg):
    db = pg.create_database("fronts")
    return make_module_perfd(CONF, db, pool="pool max=8 min=2;", cache="size 32MB;", settings="max_body 1MB;").start()


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def front(request, api):
    front = Front(request.param, api.port)
    try:
        front.start()
        assert eventually(lambda: api.status("/healthz", front.port) == 200, 5), front.said()
        yield front
    finally:
        front.stop()


@pytest.fixture
def curl():
    def run(*argv, data=None):
        done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--max-time", "20", *argv], input=data, check=False,
                              capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done

    return run


def text_of(n, size):
    return ('{"text":"' + hashlib.md5(str(n).encode()).hexdigest() * (size // 32) + '"}').encode()


def chunked(body, size=1000):
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# --- nginx and haproxy

def test_kept_connections_are_used_again(api, front):
    assert eventually(lambda: api.stat("in_flight") == 0)
    with Connection(front.port) as connection:
        for n in range(200):
            assert connection.request("GET", f"/plain/{n}").json() == {"n": n}
            assert connection.request("GET", "/text/1/4096").body == text_of(1, 4096)
        assert not connection.closing
    assert eventually(lambda: 1 <= api.stat("connections") <= 4, 3), "one to each worker, by the front, and no more"


def test_pipelined(front):
    with Connection(front.port) as connection:
        connection.write(b"".join(request_bytes("GET", f"/plain/{n}" if n % 2 else f"/text/{n}/320") for n in range(60)))
        for n in range(60):
            assert connection.read().body == (b'{"n":%d}' % n if n % 2 else text_of(n, 320))


def test_bodies(front):
    with Connection(front.port) as connection:
        for size in (0, 1, 1000, 70_000, 600_000):
            text = "".join(random.Random(size).choices("abcdefghijklm", k=size))
            body = json.dumps({"text": text}).encode()
            answer = connection.request("POST", "/echo", body)
            assert answer.status == 201 and answer.json() == {"text": text}
            connection.write(request_bytes("POST", "/echo", None, {"Transfer-Encoding": "chunked"}))
            for piece in range(0, len(body), 40_000):
                connection.write(chunked(body[piece:piece + 40_000])[:-5])
            connection.write(b"0\r\n\r\n")
            answer = connection.read()
            assert answer.status == 201 and answer.json() == {"text": text}


def test_a_body_that_is_too_long_is_told_so_through_it(front):
    """The answer comes while it is still sent, on a connection that ends with it."""
    for _ in range(5):
        answer = request_once(front.port, "POST", "/echo", b"x" * 3_000_000)
        assert answer.status == 413 and answer.problem["code"] == "body_too_large"
    assert request_once(front.port, "GET", "/plain/1").status == 200


def test_without_bodies(front):
    with Connection(front.port) as connection:
        whole = connection.request("GET", "/text/2/40000")
        head = connection.request("HEAD", "/text/2/40000")
        assert head.status == 200 and head.header("content-length") == str(len(whole.body))
        assert head.header("etag") == whole.header("etag")
        for _ in range(3):
            held = connection.request("GET", "/text/2/40000", headers={"If-None-Match": whole.header("etag")})
            assert held.status == 304 and held.header("etag") == whole.header("etag")
        gone = connection.request("DELETE", "/plain/1")
        assert gone.status == 204 and gone.header("content-length") is None
        assert connection.request("HEAD", "/absent/1").status == 404
        assert connection.request("GET", "/absent/1").problem["status"] == 404
        assert connection.request("GET", "/plain/7").json() == {"n": 7}


def test_http_1_0_in_front(front):
    for fields in ("", "Connection: keep-alive\r\n"):
        for target, body in (("/text/1/320", text_of(1, 320)), ("/plain/4", b'{"n":4}')):
            with Connection(front.port) as connection:
                connection.write(f"GET {target} HTTP/1.0\r\nHost: x\r\n{fields}\r\n".encode())
                answer = connection.read()
                assert answer.status == 200 and answer.body == body


def test_expect_through_it(front):
    body = json.dumps({"text": "x" * 5000}).encode()
    with Connection(front.port) as connection:
        connection.write(request_bytes("POST", "/echo", body, {"Expect": "100-continue"})[:-len(body)])
        assert connection.read().status == 100
        connection.write(body)
        assert connection.read().status == 201


# --- a load through each

class Lane:
    """One consumer: what it sends tells what must come back."""

    def __init__(self, port, number, unexpected, answered):
        self.port = port
        self.answered = answered
        self.choose = random.Random(number)
        self.unexpected = unexpected
        self.stream = None
        self.etags = {}

    def next(self, turn):
        """The bytes, the method, and what the answer is: (status, body)."""
        kind, n = self.choose.randrange(8), self.choose.randrange(1, 1_000_000)
        if kind < 3:
            n, size = n % 200, 32 * (1 + n % 300)
            return request_bytes("GET", f"/text/{n}/{size}"), "GET", 200, text_of(n, size)
        if kind == 3:
            return request_bytes("GET", f"/plain/{n}"), "GET", 200, b'{"n":%d}' % n
        if kind == 4:
            text = f"{turn}." * (n % 900)
            body = json.dumps({"text": text}).encode()
            if n % 2:
                data = request_bytes("POST", "/echo", body)
            else:
                data = request_bytes("POST", "/echo", None, {"Transfer-Encoding": "chunked"}) + chunked(body)
            return data, "POST", 201, ('{"text":"%s"}' % text).encode()
        if kind == 5:
            return request_bytes("HEAD", f"/text/{n % 200}/320"), "HEAD", 200, len(text_of(1, 320))
        if kind == 6 and self.etags:
            target, etag = self.choose.choice(list(self.etags.items()))
            return request_bytes("GET", target, None, {"If-None-Match": etag}), "GET", 304, b""
        target = f"/text/{n % 20}/640"
        return request_bytes("GET", target), target, 200, text_of(n % 20, 640)

    async def run(self, count):
        for turn in range(count):
            data, method, status, wanted = self.next(turn)
            try:
                async with asyncio.timeout(20):
                    got = await self.ask(data, method)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                got = repr(error), None
            if got != (status, wanted):
                self.unexpected.append((data[:200], str(got)[:300], status))
            self.answered()
        if self.stream:
            self.stream[1].close()

    async def ask(self, data, method):
        if self.stream is None:
            self.stream = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        reader, writer = self.stream
        try:
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            status, length = int(head[9:12]), re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", head)
            body = b""
            if method == "HEAD":
                body = int(length[1])
            elif status not in (204, 304):
                body = await reader.readexactly(int(length[1]))
        except BaseException:
            writer.close()
            self.stream = None
            raise
        if method.startswith("/"):
            self.etags[method] = re.search(rb"(?i)\r\netag: ([^\r]*)\r\n", head)[1].decode()
        if re.search(rb"(?i)\r\nconnection: close\r\n", head):
            writer.close()
            self.stream = None
        return status, body


async def load(port, api):
    """With a reload once a quarter of it is done, and every 100,000 answers."""
    unexpected, done = [], 0

    def answered():
        nonlocal done
        done += 1
        if done % 100_000 == min(REQUESTS, 100_000) // 4:
            api.sighup()

    await asyncio.gather(*(Lane(port, n, unexpected, answered).run(REQUESTS // LANES) for n in range(LANES)))
    return unexpected


def test_a_load_is_answered_right(api, front):
    before = api.worker_pids()
    unexpected = asyncio.run(load(front.port, api))
    assert not unexpected, (len(unexpected), unexpected[:3])
    assert eventually(lambda: not set(before) & set(api.worker_pids()), 15)
    assert eventually(lambda: len(api.worker_pids()) == 2, 15)


# --- curl and ab

def test_curl_keeps_its_connection(api, curl):
    urls = [f"http://127.0.0.1:{api.port}/plain/{n}" for n in range(20)]
    done = curl("-w", "\n%{http_code} %{num_connects}\n", *urls)
    wanted = [(f'{{"n":{n}}}', "200", "0" if n else "1") for n in range(20)]
    assert done.stdout.decode().split() == [word for answer in wanted for word in answer]


def test_curl_waits_for_its_100(api, curl):
    text = "y" * 200_000
    done = curl("-v", "--expect100-timeout", "15", "-H", "Expect: 100-continue", "--json", "@-",
                f"http://127.0.0.1:{api.port}/echo", data=json.dumps({"text": text}).encode())
    assert json.loads(done.stdout) == {"text": text} and b"HTTP/1.1 100 Continue" in done.stderr
    done = curl("-v", "--expect100-timeout", "15", "-H", "Expect: 100-continue", "--json", "@-",
                f"http://127.0.0.1:{api.port}/echo", data=b" " * 2_000_000)
    assert json.loads(done.stdout)["status"] == 413 and b"100 Continue" not in done.stderr


def test_curl_uploads_in_chunks(api, curl):
    text = "z" * 300_000
    done = curl("-X", "POST", "-H", "Transfer-Encoding: chunked", "--json", "@-", f"http://127.0.0.1:{api.port}/echo",
                data=json.dumps({"text": text}).encode())
    assert json.loads(done.stdout) == {"text": text}


def test_curl_speaks_1_0_and_asks_for_heads_and_changes(api, curl):
    url = f"http://127.0.0.1:{api.port}/text/3/3200"
    assert curl("-0", url).stdout == text_of(3, 3200)
    head = curl("-I", url).stdout.decode()
    assert head.startswith("HTTP/1.1 200 OK\r\n") and f"Content-Length: {len(text_of(3, 3200))}\r\n" in head
    etag = re.search(r"ETag: (\S+)", head)[1]
    assert curl("-w", "%{http_code}", "-H", f"If-None-Match: {etag}", url).stdout == b"304"
    assert curl("--compressed", url).stdout == text_of(3, 3200)


@pytest.mark.parametrize("keep", [[], ["-k"]], ids=["a connection each", "keep-alive"])
def test_ab(api, keep):
    api.get("/text/5/4096")
    for target in ("/text/5/4096", "/plain/5"):
        done = subprocess.run(["ab", "-q", "-n", "2000", "-c", "16", *keep, f"http://127.0.0.1:{api.port}{target}"],
                              capture_output=True, text=True, timeout=60, check=True)
        figures = dict(re.findall(r"^([A-Z][^:]+):\s+(\d+)", done.stdout, re.MULTILINE))
        assert figures["Complete requests"] == "2000" and figures["Failed requests"] == "0", done.stdout
        assert "Non-2xx responses" not in figures, done.stdout
        assert figures.get("Keep-Alive requests") == ("2000" if keep else None), done.stdout

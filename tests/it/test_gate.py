"""What the gate promises beside framing: the short way answers as the long one does, deadlines, limits, order."""
import hashlib
import io
import json
import random
import re
import socket
import threading
import time

import pytest

from lib.http_client import Connection, request_bytes
from lib.perfd import SANITIZED
from lib.process import eventually
from lib.usage import cpu_seconds, memory_kb

SCHEMA = """
CREATE TABLE counters (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
INSERT INTO counters SELECT g, 0 FROM generate_series(1, 10) g;
"""
CONF = """
route GET /text/{n}/{bytes} { query "SELECT repeat(md5(:n::text), :bytes::int / 32) AS text"; result row;
    cache ttl=300s tti=300s; }
route GET /plain/{n} { query "SELECT :n::int AS n"; result row; }
route GET /absent/{n} { query "SELECT 1 AS one WHERE :n::int < 0"; result row; cache ttl=300s tti=300s negative=300s; }
route GET /query { query "SELECT :a::text AS a, :b::int AS b"; result row; cache ttl=300s tti=300s; }
route GET /rows { query "SELECT g FROM generate_series(1, 3) g"; result rows; cache ttl=300s tti=300s; }
route GET /value { query "SELECT 'one'"; result value; cache ttl=300s tti=300s; }
route GET /sleep/{n} { query "SELECT :n::int AS n, pg_sleep(:s::float8)::text AS slept"; result row; timeout 20s; }
route GET /counters/{id} { query "SELECT n FROM counters WHERE id = :id"; result row;
    cache ttl=300s tti=300s tags=counter:{id}; }
route PATCH /counters/{id} { query "UPDATE counters SET n = n + 1 WHERE id = :id RETURNING n"; result row;
    invalidates counter:{id}; }
route POST /echo { query "SELECT :text::text AS text"; result row; }
"""
CACHE = "size 32MB; entries 1000;"  # segments of 128 KB, values up to 512 KB


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("gate", SCHEMA)


@pytest.fixture
def start(make_perfd, db):
    def run(settings="", workers=1, pool="pool max=4 min=1;", within=()):
        return make_perfd(CONF, db, workers=workers, pool=pool, cache=CACHE, settings=settings, within=within).start()

    return run


@pytest.fixture(scope="module")
def hasty(make_module_perfd, db):
    return make_module_perfd(CONF, db, workers=1, cache=CACHE, settings="""head_timeout 500ms; body_timeout 500ms;
        keepalive_timeout 800ms; keepalive_min 500ms; send_timeout 1s; max_body 64KB;""").start()


def text_of(n, size):
    return ('{"text":"' + hashlib.md5(str(n).encode()).hexdigest() * (size // 32) + '"}').encode()


class Narrow(Connection):
    """The kernel takes little on this consumer's behalf."""

    def __init__(self, port, timeout=15.0):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(timeout)
        self.sock.connect(("127.0.0.1", port))
        self.stream = self.sock.makefile("rb")
        self.closing = False


def get(target):
    return request_bytes("GET", target)


def connections(perfd):
    return perfd.stat("connections")


# --- the short way and the long one

LARGE = "/text/7/300000"
ZIPPED = "/text/9/60000"
TAG, GZIP_TAG = "<tag>", "<gzip tag>"  # places for what ZIPPED and its compressed twin are called
TABLE = [
    ("GET", "/text/1/200", {}), ("GET", "/text/2/4096", {}), ("GET", "/text/3/40000", {}), ("GET", LARGE, {}),
    ("GET", "/rows", {}), ("GET", "/value", {}), ("GET", "/plain/1", {}),
    ("GET", "/query?a=%C3%A4%20+b&b=7", {}), ("GET", "/query?b=007&a=%c3%a4%20%20b", {}), ("GET", "/query?a=x&b=", {}),
    ("GET", "/query?b=x&a=1", {}), ("GET", "/query?a=1", {}), ("GET", "/query?a=1&b=2&c=3", {}),
    ("GET", "http://test/text/1/200", {}), ("GET", "/text/%31/200", {}), ("GET", "//text/1/200", {}),
    ("HEAD", "/text/1/200", {}), ("HEAD", LARGE, {}), ("HEAD", "/absent/1", {}),
    ("HEAD", ZIPPED, {"Accept-Encoding": "gzip"}), ("GET", ZIPPED, {}), ("GET", ZIPPED, {"Accept-Encoding": "gzip"}),
    ("GET", ZIPPED, {"Accept-Encoding": "br, gzip;q=0.5"}),
    ("GET", ZIPPED, {"Accept-Encoding": "gzip;q=0"}), ("GET", ZIPPED, {"Accept-Encoding": "*"}),
    ("GET", ZIPPED, {"Accept-Encoding": "identity"}), ("GET", ZIPPED, {"Accept-Encoding": "gzip;q=junk"}),
    ("GET", ZIPPED, {"If-None-Match": TAG}), ("GET", ZIPPED, {"If-None-Match": f'"other", W/{TAG}'}),
    ("GET", ZIPPED, {"If-None-Match": "*"}), ("HEAD", ZIPPED, {"If-None-Match": TAG}),
    ("GET", ZIPPED, {"If-None-Match": GZIP_TAG, "Accept-Encoding": "gzip"}),
    ("GET", ZIPPED, {"If-None-Match": GZIP_TAG}), ("GET", ZIPPED, {"If-None-Match": '"other"'}),
    ("GET", ZIPPED, {"If-None-Match": TAG, "Connection": "close"}),
    ("GET", "/absent/1", {}), ("GET", "/absent/1", {"Connection": "close"}), ("GET", "/no/route/here", {}),
    ("GET", "/text/x/y", {}), ("GET", "/text/1/200", {"Connection": "close"}), ("GET", LARGE, {"Connection": "close"}),
    ("GET", "/text/1/200", {"Connection": "keep-alive, Close"}), ("GET", "/text/1/200", {"Connection": "te"}),
    ("GET", "/text/1/200", {"Origin": "https://app.example"}), ("GET", "/absent/1", {"Origin": "https://app.example"}),
    ("GET", "/text/1/200", {"Origin": "https://evil.example"}),
    ("HEAD", "/text/1/200", {"Origin": "https://app.example"}),
    ("GET", ZIPPED, {"Origin": "https://app.example", "If-None-Match": TAG}),
    ("GET", "/text/1/200", {"X-Request-Id": "my-own.1"}), ("GET", "/absent/1", {"X-Request-Id": "my-own.2"}),
    ("GET", "/text/1/200", {"X-Request-Id": "not fit"}), ("GET", "/text/1/200", {"Content-Length": "0"}),
    ("GET", "/text/1/200", {"Expect": "100-continue"}), ("GET", "/text/1/200", {"Range": "bytes=0-3"}),
    ("OPTIONS", "/text/1/200", {}), ("DELETE", "/text/1/200", {}),
]
OLD = [("GET", "/text/1/200", {}), ("GET", "/text/1/200", {"Connection": "keep-alive"}), ("GET", LARGE, {}),
       ("GET", LARGE, {"Connection": "keep-alive"}), ("HEAD", "/text/1/200", {"Connection": "keep-alive"}),
       ("GET", "/absent/1", {}), ("GET", ZIPPED, {"If-None-Match": TAG, "Connection": "keep-alive"}),
       ("GET", "/text/1/200", {"Host": None})]
REQUESTS = [(request, "1.1") for request in TABLE] + [(request, "1.0") for request in OLD]


def exchange(perfd, request, version, tags):
    """All that comes, and whether the connection goes on."""
    method, target, fields = request
    for place, tag in tags.items():
        fields = {name: value and value.replace(place, tag) for name, value in fields.items()}
    data = request_bytes(method, target, None, fields).replace(b" HTTP/1.1\r\n", b" HTTP/%s\r\n" % version.encode(), 1)
    with perfd.connect() as connection:
        connection.write(data)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = connection.stream.readline()
            assert line, (request, head)
            head += line
        length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
        bodiless = method == "HEAD" or head.split(b" ")[1] in (b"204", b"304")
        body = connection.stream.read(int(length[1])) if length and not bodiless else b""
        try:
            connection.write(get("/healthz"))
            goes_on = connection.read().text == '{"status":"ok"}\n'
        except ConnectionError:
            goes_on = False
    return head, body, goes_on


def without_chance(request, head, body):
    """Values that no two answers share, and those that tell how it was made."""
    if "my-own" not in request[2].get("X-Request-Id", ""):
        request_id = re.search(rb"\r\nX-Request-Id: ([^\r]*)\r\n", head)[1]
        head, body = head.replace(request_id, b"<id>"), body.replace(request_id, b"<id>")
    return re.sub(rb"\r\n(Date|X-Cache|Age|Server-Timing): [^\r]*", rb"\r\n\1: <>", head), body


def warm(perfd):
    """All that can be in the cache is, the compressed twin too; the entity tags."""
    for _ in range(2):
        for request, version in REQUESTS:
            exchange(perfd, request, version, {})
    accept = {"Accept-Encoding": "gzip"}
    assert eventually(lambda: perfd.get(ZIPPED, accept).header("content-encoding") == "gzip")
    return {TAG: perfd.get(ZIPPED).header("etag"), GZIP_TAG: perfd.get(ZIPPED, accept).header("etag")}


def test_answers_are_the_same_to_the_byte_whichever_way_they_take(start):
    answers = {}
    for way in ("on", "off"):
        perfd = start(f"fast_path {way}; cors {{ origins https://app.example; expose X-Cache; }}")
        tags = warm(perfd)
        assert len(set(tags.values())) == 2
        answers[way] = [exchange(perfd, request, version, tags) for request, version in REQUESTS]
    statuses = set()
    for (request, version), short, long in zip(REQUESTS, answers["on"], answers["off"]):
        assert without_chance(request, *short[:2]) == without_chance(request, *long[:2]), (request, version)
        assert short[2] == long[2], (request, version, "goes on", short[2], long[2])
        statuses.add(int(short[0].split(b" ")[1]))
    assert statuses == {200, 204, 304, 400, 404, 405}


def test_a_hit_is_told_to_be_one_and_counted_either_way(start):
    for way in ("on", "off"):
        perfd = start(f"fast_path {way};")
        perfd.get("/text/1/200")
        assert [perfd.get("/text/1/200").cache for _ in range(5)] == ["HIT"] * 5
        assert perfd.stat("cache_hits") == 5
        assert eventually(lambda: [line.get("cache") for line in perfd.access_lines()].count("HIT") == 5)


# --- deadlines

def trickle(connection, data, every):
    """One byte at a time until the server has had enough: the answer, and the seconds that it took."""
    begun = time.monotonic()
    connection.sock.settimeout(every)
    for byte in data:
        connection.write(bytes([byte]))
        try:
            if connection.sock.recv(1, socket.MSG_PEEK) is not None:
                break
        except TimeoutError:
            pass
    took = time.monotonic() - begun
    connection.sock.settimeout(5)
    return connection.read(), took


def test_a_head_that_trickles_is_cut_at_its_deadline(hasty):
    with hasty.connect() as connection:
        time.sleep(0.4)  # the deadline is that of the head, not of the connection
        answer, took = trickle(connection, get("/text/1/200"), 0.1)
        assert answer.status == 408 and answer.problem["code"] == "request_timeout"
        assert 0.5 <= took < 1.0
        assert connection.closed_by_server()


def test_the_next_head_has_a_deadline_of_its_own(hasty):
    with hasty.connect() as connection:
        for _ in range(3):
            data = get("/text/1/200")
            connection.write(data[:20])
            time.sleep(0.3)
            connection.write(data[20:])
            assert connection.read().status == 200
        connection.write(get("/text/1/200") + b"GET /te")
        assert connection.read().status == 200
        begun = time.monotonic()
        assert connection.read().status == 408
        assert 0.4 < time.monotonic() - begun < 1.0


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_may_take_long_but_not_pause(hasty, chunked):
    body = b'{"text":"' + b"x" * 4 + b'"}'
    pieces = [b"1\r\n%c\r\n" % byte for byte in body] + [b"0\r\n\r\n"] if chunked else [b"%c" % byte for byte in body]
    head = request_bytes("POST", "/echo", None, {"Transfer-Encoding": "chunked"} if chunked
                         else {"Content-Length": str(len(body))})
    with hasty.connect() as connection:
        connection.write(head)
        for piece in pieces:
            time.sleep(0.1)
            connection.write(piece)
        assert connection.read().json() == {"text": "xxxx"}
        connection.write(head + pieces[0] + pieces[1])
        begun = time.monotonic()
        assert connection.read().status == 408
        assert 0.4 < time.monotonic() - begun < 1.0
        assert connection.closed_by_server()


def test_an_idle_connection_ends_without_a_word(hasty):
    with hasty.connect() as unused, hasty.connect() as used:
        begun = time.monotonic()
        for _ in range(4):
            time.sleep(0.3)
            used_at = time.monotonic()
            assert used.request("GET", "/text/1/200").status == 200
        assert unused.closed_by_server() and time.monotonic() - begun < 2.4
        used.sock.settimeout(3)
        assert used.stream.read() == b""
        assert 0.7 < time.monotonic() - used_at < 1.6


def test_a_consumer_that_takes_nothing_is_let_go_and_gives_back_what_it_was_lent(hasty):
    hasty.get(LARGE)
    assert eventually(lambda: connections(hasty) == 0, 3)
    slow = [Narrow(hasty.port) for _ in range(3)]
    for connection in slow:
        connection.write(get(LARGE) * 60)
    assert eventually(lambda: hasty.stat("cache_lent") > 0, 3), "nothing was sent from shared memory"
    assert eventually(lambda: connections(hasty) == 0, 4), "it is still kept"
    assert hasty.stat("cache_lent") == 0
    for connection in slow:
        with pytest.raises(ConnectionError):
            for _ in range(60):
                connection.read()
        connection.close()


def test_a_consumer_that_takes_a_little_now_and_then_is_kept(hasty):
    hasty.get(LARGE)
    with Narrow(hasty.port) as connection:
        connection.write(get(LARGE) * 9 + request_bytes("GET", LARGE, None, {"Connection": "close"}))
        begun, data = time.monotonic(), b""
        while time.monotonic() - begun < 2.5:  # beyond send_timeout, with something to send all the time
            data += connection.stream.read1(20_000)
            time.sleep(0.1)
        assert len(data) < 1_500_000
        connection.stream = io.BytesIO(data + connection.stream.read())
        for _ in range(10):
            assert connection.read().body == text_of(7, 300_000)


# --- refused while it is sent

@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_who_sends_too_much_can_read_why(hasty, chunked):
    piece = b"4000\r\n" + b"x" * 0x4000 + b"\r\n" if chunked else b"x" * 0x4000
    head = request_bytes("POST", "/echo", None, {"Transfer-Encoding": "chunked"} if chunked
                         else {"Content-Length": "100000000"})
    with hasty.connect() as connection:
        connection.write(head)
        for _ in range(100):  # a reset would come with the second, and take the answer with it
            connection.write(piece)
            time.sleep(0.003)
        answer = connection.read()
        assert answer.status == 413 and answer.problem["code"] == "body_too_large"
        assert connection.closing and connection.stream.read() == b""
        begun = time.monotonic()
        with pytest.raises(ConnectionError):  # it is not listened to for ever
            while time.monotonic() - begun < 6:
                connection.write(piece)
                time.sleep(0.02)


# --- more consumers than there is room for

def has_ended(connection):
    connection.sock.setblocking(False)
    try:
        return connection.sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    finally:
        connection.sock.settimeout(15)


def test_without_descriptors_those_connected_are_served_and_nothing_spins(start):
    perfd = start("head_timeout 60s;", within=["prlimit", "--nofile=256:256"])
    [worker] = perfd.worker_pids()
    perfd.get("/text/1/200")
    target = {True: "/text/1/200", False: "/plain/3"}
    crowd = [perfd.connect() for _ in range(300)]
    for i, connection in enumerate(crowd):
        connection.write(get(target[i % 2 == 0])[:-2])
    assert perfd.log_contains("cannot accept a connection")
    used, begun = cpu_seconds(worker), time.monotonic()
    time.sleep(1)
    used, took = cpu_seconds(worker) - used, time.monotonic() - begun
    assert used < 0.2 * took, f"{used} s of CPU in {took} s"
    assert sum(has_ended(connection) for connection in crowd) < 40, "those that wait are sent away at once"
    for i, connection in enumerate(crowd[:20]):
        connection.write(b"\r\n")
        assert connection.read().json() == ({"n": 3} if i % 2 else json.loads(text_of(1, 200)))
    assert len(re.findall(r"cannot accept a connection", perfd.log())) == 1
    for connection in crowd:
        connection.close()
    assert eventually(lambda: perfd.status("/plain/1") == 200, 3)
    assert eventually(lambda: connections(perfd) == 0, 3)
    again = [perfd.connect() for _ in range(20)]
    assert [connection.request("GET", "/plain/4").status for connection in again] == [200] * 20


def is_served(connection):
    try:
        return connection.request("GET", "/plain/5").status == 200
    except ConnectionError:
        return False


def test_of_too_many_those_idle_for_longest_give_way(start):
    perfd = start("max_connections 20;")
    all_of_them = []
    for i in range(40):
        all_of_them.append(perfd.connect())
        assert all_of_them[-1].request("GET", f"/plain/{i}").json() == {"n": i}
    time.sleep(0.3)
    served = [is_served(connection) for connection in all_of_them[::-1]][::-1]
    kept = served.count(True)
    assert 18 <= kept <= 20 and served == [False] * (40 - kept) + [True] * kept


def test_with_all_busy_others_wait_and_are_served(start):
    perfd = start("max_connections 20;", pool="pool max=10 min=10;")
    perfd.get("/text/1/200")
    assert eventually(lambda: connections(perfd) == 0, 3)
    busy = []
    for i in range(20):
        busy.append(perfd.connect())
        busy[-1].write(get(f"/sleep/{i}?s=0.8"))
        time.sleep(0.01)
    waiting = [perfd.connect() for _ in range(10)]
    for connection in waiting:
        connection.write(get("/text/1/200"))
    with pytest.raises(TimeoutError):
        waiting[0].sock.settimeout(0.3)
        waiting[0].sock.recv(1, socket.MSG_PEEK)
    waiting[0].sock.settimeout(15)
    for connection in waiting:
        assert connection.read().body == text_of(1, 200)
    for i, connection in enumerate(busy):
        assert connection.read().json()["n"] == i


def test_no_new_connection_gives_way_before_it_is_heard(start):
    perfd = start("max_connections 20;", pool="pool max=20 min=20;")
    assert eventually(lambda: connections(perfd) == 0, 3)
    busy = [perfd.connect() for _ in range(18)]
    for i, connection in enumerate(busy):
        connection.write(get(f"/sleep/{i}?s=1"))
    assert eventually(lambda: perfd.stat("in_flight") == 18, 2)
    newer = []
    for i in range(30):
        newer.append(perfd.connect())
        newer[-1].write(get(f"/plain/{i}"))
    for i, connection in enumerate(newer + busy):
        assert connection.read().json()["n"] == (i if i < 30 else i - 30)
        if i < 30:
            connection.close()


# --- pipelines

def test_two_thousand_requests_in_one_write_to_a_slow_reader(start):
    perfd = start()
    [worker] = perfd.worker_pids()
    ones = [n % 50 for n in range(2000)]
    for n in range(50):
        perfd.get(f"/text/{n}/4096")
    with perfd.connect() as connection:  # what the worker keeps of a burst is there already
        connection.write(get("/text/1/4096") * 20)
        for _ in range(20):
            connection.read()
    before = memory_kb(worker, "RssAnon")
    with Narrow(perfd.port) as connection:
        sender = threading.Thread(target=connection.write, args=(b"".join(get(f"/text/{n}/4096") for n in ones),))
        sender.start()
        most = 0
        for i, n in enumerate(ones):
            answer = connection.read()
            assert answer.status == 200 and answer.body == text_of(n, 4096), i
            if i % 20 == 0:
                most = max(most, memory_kb(worker, "RssAnon"))
                time.sleep(0.005)
        sender.join()
    # A tenth of the answers, and less than the kernel's buffers leave of them.
    assert SANITIZED or most - before < 2048, f"{most - before} KB"


def test_a_pipeline_of_hits_misses_and_writes_is_answered_in_order(start):
    choose = random.Random(3)
    perfd = start()
    sent, wanted, counters = [], [], {id: 0 for id in range(1, 11)}
    for id in counters:
        counters[id] = perfd.get(f"/counters/{id}").json()["n"]
    perfd.get("/text/1/200")
    for i in range(600):
        kind = choose.choice("hhhmmwrrbn")
        if kind == "h":
            sent.append(get("/text/1/200"))
            wanted.append((200, json.loads(text_of(1, 200))))
        elif kind == "m":
            sent.append(get(f"/plain/{i}"))
            wanted.append((200, {"n": i}))
        elif kind == "w":
            id = choose.randint(1, 10)
            counters[id] += 1
            sent.append(request_bytes("PATCH", f"/counters/{id}", {}))
            wanted.append((200, {"n": counters[id]}))
        elif kind == "r":
            id = choose.randint(1, 10)
            sent.append(get(f"/counters/{id}"))
            wanted.append((200, {"n": counters[id]}))
        elif kind == "b":
            sent.append(request_bytes("POST", "/echo", {"text": "x" * (i * 7)}))
            wanted.append((200, {"text": "x" * (i * 7)}))
        else:
            sent.append(get(f"/nowhere/{i}"))
            wanted.append((404, None))
    with perfd.connect() as connection:
        sender = threading.Thread(target=connection.write, args=(b"".join(sent),))
        sender.start()
        for i, (status, body) in enumerate(wanted):
            answer = connection.read()
            assert answer.status == status and body in (None, answer.json()), (i, answer)
        sender.join()


# --- those who leave

def test_who_leaves_while_a_query_runs_is_noticed(start):
    perfd = start(pool="pool max=2 min=2;")
    perfd.get("/text/1/200")
    leaving = [perfd.connect() for _ in range(6)]
    for connection in leaving:
        connection.write(get("/sleep/1?s=15"))
    assert eventually(lambda: perfd.stat("in_flight") == 6, 3)
    assert perfd.get("/text/1/200", timeout=2).status == 200
    for connection in leaving:
        connection.close()
    assert eventually(lambda: connections(perfd) == 0, 3), "they still count as connected"
    assert eventually(lambda: perfd.stat("in_flight") == 0, 3), "their queries still run"
    assert perfd.get("/plain/1", timeout=3).json() == {"n": 1}


def test_who_leaves_behind_many_more_requests_is_noticed_too(start):
    perfd = start()
    with perfd.connect() as connection:
        connection.write(get("/sleep/1?s=15"))
        assert eventually(lambda: perfd.stat("in_flight") == 1, 3)
        for _ in range(3):  # more than is read before the first is answered
            connection.write(get("/plain/1") * 1000)
            time.sleep(0.1)
    assert eventually(lambda: connections(perfd) == 0, 3), "it still counts as connected"


def test_a_reset_is_noticed_too_and_costs_nothing(start):
    perfd = start()
    [worker] = perfd.worker_pids()
    with perfd.connect() as connection:
        connection.write(get("/sleep/1?s=3"))
        assert eventually(lambda: perfd.stat("in_flight") == 1, 3)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert eventually(lambda: connections(perfd) == 0, 2)
    used = cpu_seconds(worker)
    time.sleep(0.5)
    assert cpu_seconds(worker) - used < 0.1, "it spins"
    assert perfd.get("/plain/1").status == 200


def test_half_a_close_ends_what_is_worked_on_but_not_what_is_there(start):
    perfd = start()
    perfd.get("/text/1/200")
    perfd.get(LARGE)
    for targets in (["/text/1/200"], ["/text/1/200"] * 50, [LARGE] * 10):
        with Narrow(perfd.port) as connection:
            connection.write(b"".join(get(target) for target in targets))
            connection.sock.shutdown(socket.SHUT_WR)
            time.sleep(0.1)
            for target in targets:
                assert connection.read().body == (text_of(7, 300_000) if target == LARGE else text_of(1, 200))
            assert connection.closed_by_server()
    with perfd.connect() as connection:
        connection.write(get("/text/1/200") + get("/sleep/1?s=5"))
        assert connection.read().body == text_of(1, 200)
        begun = time.monotonic()
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.stream.read() == b"" and time.monotonic() - begun < 2
    assert eventually(lambda: connections(perfd) == 0, 2)


# --- across a reload

def test_hits_and_misses_in_turn_while_workers_are_replaced(start):
    perfd = start(workers=2)
    perfd.get("/text/1/200")
    generation, answered, moves = perfd.worker_pids(), 0, 0
    ended, waiting = threading.Event(), list(range(100_000))[::-1]

    def reload_twice():
        for _ in range(2):
            before = set(perfd.worker_pids())
            perfd.sighup()
            eventually(lambda: not before & set(perfd.worker_pids()), 10)
        ended.set()

    reloads = threading.Thread(target=reload_twice)
    reloads.start()
    while not ended.is_set():
        with perfd.connect() as connection:  # until an answer says that it ends
            while not connection.closing and not ended.is_set():
                batch = [waiting.pop() for _ in range(4)]
                connection.write(b"".join(get("/text/1/200") + get(f"/plain/{n}") for n in batch))
                while batch and not connection.closing:
                    assert connection.read().body == text_of(1, 200)
                    if not connection.closing:
                        assert connection.read().json() == {"n": batch.pop(0)}
                        answered += 1
                waiting += batch[::-1]  # behind an answer that says so nothing was begun
            moves += connection.closing
    reloads.join()
    assert not set(generation) & set(perfd.worker_pids())
    assert answered > 20 and moves >= 1


# --- bodies in many pieces

def cut(data, choose):
    at = 0
    while at < len(data):
        size = choose.choice((1, 2, 7, 100, 1460, 5000, 65536, 200_000))
        yield data[at:at + size]
        at += size


def chunks_of(data, choose):
    out = b""
    for piece in cut(data, choose):
        extension = choose.choice((b"", b";a", b';name="a;b"', b" ; b=c"))
        out += choose.choice((b"%x", b"%X", b"000%x")) % len(piece) + extension + b"\r\n" + piece + b"\r\n"
    return out + choose.choice((b"0\r\n\r\n", b"000;x\r\nTrailer: 1\r\n\r\n"))


MAX_BODY = 1 << 20
SIZES = (11, 12, 100, 4096, 65_535, 65_536, 65_537, 131_072, 200_001, 500_000, MAX_BODY - 1, MAX_BODY)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_bodies_in_many_pieces_come_back_right(start, chunked):
    perfd = start()
    choose = random.Random(11)
    with perfd.connect() as connection:
        for size in SIZES:
            text = "".join(choose.choices("abcdefgh0123456789äöü", k=1000)) * (size // 1000 + 1)
            body = b'{"text":"' + text.encode()[:size - 11].decode(errors="ignore").encode() + b'"}'
            body += b" " * (size - len(body))
            if chunked:
                data = request_bytes("POST", "/echo", None, {"Transfer-Encoding": "chunked"}) + chunks_of(body, choose)
            else:
                data = request_bytes("POST", "/echo", body)
            for piece in cut(data, choose):
                connection.write(piece)
            assert connection.read().json() == json.loads(body), size
        over = b" " * (MAX_BODY + 1)
        if chunked:
            head = request_bytes("POST", "/echo", None, {"Transfer-Encoding": "chunked"})
            connection.write(head + chunks_of(over, choose))
        else:
            connection.write(request_bytes("POST", "/echo", over))
        assert connection.read().status == 413

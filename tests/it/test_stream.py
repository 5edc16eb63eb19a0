"""Results too large to be held: sent while they are read, in every form, at the consumer's speed."""
import csv
import io
import json
import os
import socket
import subprocess
import time

import pytest

from lib.http_client import request_bytes
from lib.load import Load, at_once
from lib.process import eventually

ROW = """SELECT n, 'row ' || n AS name, repeat('x', :width::int) AS filler
    FROM (SELECT generate_series(1, :rows::int) AS n) n"""  # made as they are read
CONF = f"""
route GET /rows {{ query "{ROW}"; result rows; timeout 60s; param width default=100; }}
route GET /kept {{ query "{ROW}"; result rows; timeout 60s; param width default=100; cache ttl=60s; }}
route GET /nested {{ query "SELECT p AS id, c AS \\"children[].id\\", repeat('x', 50) AS \\"children[].text\\"
    FROM generate_series(1, :rows::int) p, generate_series(1, 3) c ORDER BY p, c"; result rows; timeout 60s; }}
route GET /breaks {{ query "SELECT n, 100 / (50000 - n) AS inverse FROM generate_series(1, 100000) n"; result rows; }}
route GET /late {{ query "SELECT n, pg_sleep(CASE WHEN n = 50000 THEN 30 ELSE 0 END)::text AS s
    FROM generate_series(1, 60000) n"; result rows; timeout 1s; }}
route GET /pid {{ query "SELECT pg_backend_pid()"; result value; }}
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("stream")


@pytest.fixture
def start(make_perfd, db):
    def started(settings="", pool="pool max=4 min=2;", database="", **kwargs):
        return make_perfd(CONF, db, workers=1, settings=settings, pool=pool + database, **kwargs).start()
    return started


def rows_of(count, width=100):
    return [{"n": n, "name": f"row {n}", "filler": "x" * width} for n in range(1, count + 1)]


def is_chunked(answer):
    return answer.header("Transfer-Encoding") == "chunked" and answer.header("Content-Length") is None


BOTH_WAYS = pytest.mark.parametrize("way", ["on", "off"], ids=["by_the_gate", "by_evhttp"])


@BOTH_WAYS
def test_rows(start, way):
    api = start(f"fast_path {way};")
    for count in (0, 1, 1500, 3000, 50_000):
        answer = api.get(f"/rows?rows={count}")
        assert answer.status == 200 and answer.json() == rows_of(count)
        assert is_chunked(answer) == (count >= 3000), count
        assert (answer.header("ETag") is None) == is_chunked(answer)
    assert eventually(lambda: api.stat("streams") == 2) and api.stat("streams_cut") == 0


def accept(api, target, what):
    return api.get(target, headers={"Accept": what})


@pytest.mark.parametrize("count", [0, 3, 5000])
@pytest.mark.parametrize("route", ["rows", "kept"])
def test_forms(start, route, count):
    api = start()
    target = f"/{route}?rows={count}"
    for _ in range(2):  # the second from the cache, if it may be kept
        lines = accept(api, target, "application/x-ndjson")
        assert lines.header("Content-Type") == "application/x-ndjson" and "Accept" in lines.header("Vary")
        assert [json.loads(line) for line in lines.text.splitlines()] == rows_of(count)
        table = accept(api, target, "text/csv")
        assert table.header("Content-Type") == "text/csv; charset=utf-8; header=present"
        read = list(csv.DictReader(io.StringIO(table.text, newline="")))
        assert [{**row, "n": int(row["n"])} for row in read] == rows_of(count)
        assert table.text.startswith("n,name,filler\r\n")
        plain = api.get(target)
        assert plain.header("Content-Type") == "application/json" and plain.json() == rows_of(count)
        assert "Accept" in plain.header("Vary")
    if route == "kept" and count == 3:
        assert {lines.cache, table.cache, plain.cache} == {"HIT"}


def test_what_a_consumer_prefers(start):
    api = start()
    for what, form in (("*/*", "json"), ("text/html, */*;q=0.8", "json"), ("image/png", "json"),
                       ("application/json, text/csv", "json"), ("text/csv, application/json;q=0.9", "csv"),
                       ("text/*", "csv"), ("text/csv;q=0", "json"), ("application/*;q=0.5, application/ndjson", "ndjson"),
                       ("application/x-ndjson;q=0.2, application/json;q=0.1", "ndjson")):
        assert form in accept(api, "/rows?rows=1", what).header("Content-Type"), what
    assert "json" in accept(api, "/pid", "text/csv").header("Content-Type")


def test_nested_rows(start):
    answer = start().get("/nested?rows=5000")
    assert is_chunked(answer)
    assert answer.json() == [{"id": p, "children": [{"id": c, "text": "x" * 50} for c in (1, 2, 3)]}
                             for p in range(1, 5001)]


@BOTH_WAYS
def test_the_connection_lives_on(start, way):
    """Requests behind a streamed one on the same connection are answered in order."""
    api = start(f"fast_path {way};")
    with api.connect() as connection:
        for count in (5000, 1, 5000):
            connection.send("GET", f"/rows?rows={count}")
        for count in (5000, 1, 5000):
            assert connection.read().json() == rows_of(count)


@BOTH_WAYS
def test_an_old_consumer_gets_it_until_the_end_of_the_connection(start, way):
    api = start(f"fast_path {way};")
    with socket.create_connection(("127.0.0.1", api.port)) as sock:
        sock.sendall(b"GET /rows?rows=5000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        with sock.makefile("rb") as stream:
            head, body = stream.read().split(b"\r\n\r\n", 1)
    assert b"chunked" not in head and b"Content-Length" not in head and json.loads(body) == rows_of(5000)


@BOTH_WAYS
def test_head(start, way):
    api = start(f"fast_path {way};")
    with api.connect() as connection:
        for target in ("/rows?rows=5000", "/rows?rows=1", "/kept?rows=50000"):
            connection.send("HEAD", target)
            answer = connection.read("HEAD")
            assert answer.status == 200 and answer.body == b"" and "json" in answer.header("Content-Type")
        assert connection.request("GET", "/rows?rows=1").json() == rows_of(1)


@BOTH_WAYS
@pytest.mark.parametrize("target", ["/breaks", "/late"])
def test_an_error_behind_the_begin_is_seen(start, target, way):
    """By curl too, whose 18 is a partial file."""
    api = start(f"fast_path {way};")
    done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{api.port}{target}"],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode in (18, 56) and done.stdout == "200"
    done = subprocess.run(["curl", "-sS", "-0", "-o", "/dev/null", f"http://127.0.0.1:{api.port}{target}"],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 56, done.stderr
    assert eventually(lambda: api.stat("streams_cut") == 2)
    assert eventually(lambda: [line.get("cut") for line in api.access_lines()].count(True) == 2)
    assert api.get("/rows?rows=1").json() == rows_of(1)


def test_an_error_ahead_of_the_begin_is_an_answer(start):
    api = start(settings="stream_above 1GB;")
    assert api.get("/breaks").status == 422 and api.get("/late").status == 504


@pytest.mark.calm
def test_a_short_read_that_grows_runs_again_alone(start):
    api = start(pool="pool max=1 min=1;")
    with Load(api.port, "/rows?rows=1", threads=8) as load:
        assert eventually(lambda: api.stat("pool_pipelined") > 200, 10)
        answers = at_once(4, lambda i: api.get("/rows?rows=20000"))
        assert {a.json() == rows_of(20_000) for a in answers} == {True}
        load.wait_for(50)
    assert not load.wrong and not load.failed


def test_what_is_too_large_for_the_cache(start, db):
    api = start(cache="size 64MB;")
    size = 5_000
    first = api.get(f"/kept?rows={size}&width=1000")
    assert first.json() == rows_of(size, 1000) and first.cache == "MISS" and is_chunked(first)
    answers = at_once(2, lambda i: api.get(f"/kept?rows={size}&width=1000"))
    assert [a for a in answers if a.status != 200 or a.json() != rows_of(size, 1000)] == []
    small = [api.get("/kept?rows=4000") for _ in range(2)]
    assert [a.cache for a in small] == ["MISS", "HIT"] and small[1].json() == rows_of(4000)


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["RssAnon"].split()[0])


class Consumer:
    """Takes so many bytes, then none until it is told."""

    def __init__(self, port, target, form="application/json"):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.sock.sendall(request_bytes("GET", target, headers={"Accept": form, "Connection": "close"}))
        self.taken = 0

    def take(self, size=1 << 62):
        while self.taken < size and (data := self.sock.recv(1 << 20)):
            self.taken += len(data)

    def close(self):
        self.sock.close()


ROWS = int(os.environ.get("STREAM_ROWS", "80000"))  # of 1 KB
KEEPS_LITTLE = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}  # of what was freed


def first_byte(api, target, form):
    consumer = Consumer(api.port, target, form)
    begun = time.monotonic()
    consumer.take(1)
    seconds = time.monotonic() - begun
    return consumer, seconds


@pytest.mark.parametrize("form", ["application/json", "application/x-ndjson", "text/csv"])
def test_memory_does_not_grow_with_the_result(start, form):
    api = start(env=KEEPS_LITTLE)
    api.get("/rows?rows=3000")
    pid = api.worker_pids()[0]
    before, most = resident_kb(pid), 0
    fast, seconds = first_byte(api, f"/rows?rows={ROWS}&width=1000", form)
    slow, _ = first_byte(api, f"/rows?rows={ROWS}&width=1000", form)
    assert seconds < 1
    for size in range(10 << 20, ROWS << 10, 10 << 20):
        fast.take(size)
        most = max(most, resident_kb(pid))
    slow.take(1 << 20)
    fast.take()
    slow.close()
    fast.close()
    assert fast.taken > ROWS * 1000
    print(f"{(most - before) >> 10} MiB more, first byte after {seconds * 1e3:.0f} ms")
    assert most - before < 32 << 10


def settled_kb(pid):
    """Once it has not grown for half a second."""
    most = -1
    while (now := resident_kb(pid)) > most:
        most = now
        time.sleep(0.5)
    return now


@pytest.mark.once
def test_slow_consumers_share_the_memory(start):
    """Eight that take nothing, each of whose answers may leave a megabyte; or all together two."""
    kept = {}
    for settings in ("stream_memory 64MB;", "stream_memory 2MB;"):
        api = start(settings, pool="pool max=16 min=16;", env=KEEPS_LITTLE)
        api.get("/rows?rows=3000")
        before = resident_kb(api.worker_pids()[0])
        consumers = [first_byte(api, "/rows?rows=100000&width=1000", "text/csv")[0] for _ in range(8)]
        assert eventually(lambda: api.stat("pool_active") == 8)
        kept[settings] = settled_kb(api.worker_pids()[0]) - before
        consumers[0].take()
        assert consumers[0].taken > 100_000_000
        for consumer in consumers:
            consumer.close()
    few, many = sorted(kept.values())
    assert kept["stream_memory 2MB;"] == few and many - few > 3000, kept


def test_slow_consumers_have_their_share_of_the_connections(start):
    api = start(pool="pool max=4 min=4 acquire_timeout=25s;")
    consumers = [first_byte(api, "/rows?rows=30000&width=1000", "text/csv")[0] for _ in range(2)]
    waiting = Consumer(api.port, "/rows?rows=30000&width=1000")
    for _ in range(20):
        assert api.get("/pid").status == 200
    assert eventually(lambda: api.stat("pool_active") == 2)
    consumers[0].take()
    waiting.take()
    assert waiting.taken > 30_000_000
    for consumer in [*consumers, waiting]:
        consumer.close()


def test_a_consumer_may_be_slow_for_so_long(start):
    api = start(database="stream_timeout 500ms;")
    consumer, _ = first_byte(api, "/rows?rows=100000&width=1000", "text/csv")
    assert eventually(lambda: api.stat("streams_cut") == 1)
    assert eventually(lambda: api.stat("pool_active") == 0)
    with pytest.raises(ConnectionError):
        consumer.take()
    assert consumer.taken < 100_000_000


def test_a_consumer_that_leaves_ends_the_query(start, db):
    api = start()
    consumer, _ = first_byte(api, "/rows?rows=10000000&width=100", "text/csv")
    consumer.close()
    assert eventually(lambda: db.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
                                       "AND query LIKE '%filler%' AND pid <> pg_backend_pid()") == 0)
    assert eventually(lambda: api.stat("streams_cut") == 1) and api.get("/rows?rows=1").status == 200


def test_the_database_ends_it(start, db):
    api = start()
    consumer, _ = first_byte(api, "/rows?rows=1000000&width=1000", "text/csv")
    db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%filler%' "
           "AND pid <> pg_backend_pid() AND datname = current_database()")
    with pytest.raises(ConnectionError):
        consumer.take()
    assert eventually(lambda: api.stat("streams_cut") == 1) and api.get("/rows?rows=1").status == 200

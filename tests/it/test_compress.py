"""Answers that are compressed for one consumer: fetched for it, not cached at all, or sent while their rows are read."""
import json
import subprocess
import time
import zlib

import pytest

from lib.load import Load, at_once
from lib.process import eventually

ROW = "SELECT n, 'row ' || n AS name, md5(n::text) AS filler FROM (SELECT generate_series(1, :rows::int) AS n) n"
CONF = f"""
route GET /rows {{ query "{ROW}"; result rows; timeout 60s; }}
route GET /kept {{ query "{ROW}"; result rows; cache ttl=60s; }}
route GET /plain {{ query "{ROW}"; result rows; compress off; }}
route GET /slow {{ query "SELECT n, pg_sleep(CASE WHEN n = 20000 THEN :s::float8 ELSE 0 END)::text AS s, 'row ' || n AS name,
    md5(n::text) AS filler FROM generate_series(1, 20100) n"; result rows; timeout 60s; }}
route GET /breaks {{ query "SELECT n, md5(n::text) AS filler, 100 / (50000 - n) AS inverse
    FROM generate_series(1, 100000) n"; result rows; }}
route GET /pair {{ fan {{ one /rows?rows={{rows}}; two /plain?rows={{rows}}; }} param rows required; }}
route GET /kept-pair {{ fan {{ one /rows?rows={{rows}}; }} param rows required; cache ttl=60s; }}
route GET /plain-pair {{ fan {{ one /rows?rows={{rows}}; }} param rows required; compress off; }}
batch /batch {{ }}
batch /plain-batch {{ compress off; }}
route POST /echo {{ query "SELECT repeat(:text::text, 2000) AS text"; result row; }}
"""

GZIP = {"Accept-Encoding": "gzip"}
WAYS = {"by_the_gate": "", "by_evhttp": "fast_path off;", "by_the_loop": "offload off;"}
# Bytes as JSON: not worth it; compressed at once; by a thread; while they are read.
COUNTS = {5: 400, 100: 8_000, 1500: 130_000, 20_000: 1_700_000}


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("compress")


@pytest.fixture(scope="module", params=WAYS)
def each(request, make_module_perfd, db):
    perfd = make_module_perfd(CONF, db, workers=1, settings=WAYS[request.param], pool="pool max=4 min=2;").start()
    perfd.way = request.param
    return perfd


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db, workers=1, pool="pool max=4 min=2;", cache="size 64MB; entries 1000;").start()


@pytest.fixture
def start(make_perfd, db):
    def started(settings="", pool="pool max=4 min=2;", **kwargs):
        return make_perfd(CONF, db, workers=1, settings=settings, pool=pool, **kwargs).start()
    return started


def unzip(answer):
    """By one member alone, to its very end."""
    inflater = zlib.decompressobj(31)
    text = inflater.decompress(answer.body)
    assert inflater.eof and not inflater.unused_data
    return text


def unzip_any(answer):
    return unzip(answer) if answer.header("Content-Encoding") == "gzip" else answer.body


def is_stream(answer):
    return answer.header("Content-Length") is None


def test_every_size_and_form(each):
    api = each
    for count in COUNTS:
        for form in ("application/json", "application/x-ndjson", "text/csv"):
            plain = api.get(f"/rows?rows={count}", {"Accept": form})
            zipped = api.get(f"/rows?rows={count}", {"Accept": form, **GZIP})
            assert zipped.status == 200 and zipped.header("Content-Type") == plain.header("Content-Type")
            assert plain.header("Content-Encoding") is None
            if count == 5:
                assert zipped.header("Content-Encoding") is None and zipped.body == plain.body
                continue
            assert zipped.header("Content-Encoding") == "gzip" and unzip(zipped) == plain.body, (count, form)
            assert len(zipped.body) < 0.7 * len(plain.body)
            for answer in (plain, zipped):
                assert [v for k, v in answer.headers if k == "vary" and "Accept-Encoding" in v], answer.headers
            assert is_stream(zipped) == is_stream(plain)
            if not is_stream(plain):
                assert zipped.header("ETag") == plain.header("ETag")[:-1] + '-gz"'
    assert eventually(lambda: api.stat("compressed_answers") == 9)
    by_threads = api.stat("offload_gzip")
    assert by_threads == 0 if api.way == "by_the_loop" else by_threads >= 6, by_threads


def test_head_tells_what_get_does(each):
    api = each
    for count in COUNTS:
        get, head = (api.request(method, f"/rows?rows={count}", headers=GZIP) for method in ("GET", "HEAD"))
        assert head.body == b"" and head.status == 200
        for name in ("Content-Encoding", "Content-Length", "ETag", "Vary", "Content-Type"):
            assert head.header(name) == get.header(name), (count, name)


def test_old_consumers(each):
    api = each
    for count in COUNTS:
        plain = api.get(f"/rows?rows={count}")
        zipped, = api.raw(b"GET /rows?rows=%d HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n" % count)
        assert zipped.header("Transfer-Encoding") is None
        assert (unzip(zipped) if count > 5 else zipped.body) == plain.body


def test_who_has_it_already(each):
    api = each
    for count in (100, 1500):
        plain, zipped = api.get(f"/rows?rows={count}"), api.get(f"/rows?rows={count}", GZIP)
        jobs = api.stat("offload_gzip")
        for held in (plain.header("ETag"), zipped.header("ETag")):
            again = api.get(f"/rows?rows={count}", {**GZIP, "If-None-Match": held})
            assert again.status == 304 and again.body == b"" and again.header("ETag") == held
            assert again.header("Content-Encoding") is None and "Accept-Encoding" in again.header("Vary")
        assert api.stat("offload_gzip") == jobs  # it is not compressed to find that out
        other = api.get(f"/rows?rows={count}", {**GZIP, "If-None-Match": '"other"'})
        assert other.status == 200 and unzip(other) == plain.body


def test_what_the_cache_takes_is_compressed_for_the_first_one_too(api):
    for count in (5, 100, 1500):
        first, second = api.get(f"/kept?rows={count}", GZIP), api.get(f"/kept?rows={count}")
        assert (first.cache, second.cache) == ("MISS", "HIT")
        assert first.header("Content-Encoding") == ("gzip" if count > 5 else None)
        assert (unzip(first) if count > 5 else first.body) == second.body
        if count > 5:
            assert first.header("ETag") == second.header("ETag")[:-1] + '-gz"'
            twin = eventually(lambda: (r := api.get(f"/kept?rows={count}", GZIP)).header("Content-Encoding") and r)
            assert twin.cache == "HIT" and unzip(twin) == second.body and twin.header("ETag") == first.header("ETag")


def test_writes_are_compressed_too(api):
    plain = api.post("/echo", {"text": "what was sent. "})
    zipped = api.request("POST", "/echo", {"text": "what was sent. "}, GZIP)
    assert zipped.header("Content-Encoding") == "gzip" and unzip(zipped) == plain.body
    assert zipped.header("ETag") is None and zipped.header("Cache-Control") == "no-store"


def test_fans_and_batches_are_compressed_too(each):
    """What they are made of is not."""
    api = each
    for count in (5, 100, 1500):
        items, by_threads = [{"path": f"/rows?rows={count}"}] * 2, api.stat("offload_gzip")
        for plain, zipped in ((api.get(f"/pair?rows={count}"), api.get(f"/pair?rows={count}", GZIP)),
                              (api.post("/batch", items), api.request("POST", "/batch", items, GZIP))):
            assert plain.header("Content-Encoding") is None
            if count == 5:
                assert zipped.header("Content-Encoding") is None and zipped.body == plain.body
                continue
            assert zipped.header("Content-Encoding") == "gzip" and unzip(zipped) == plain.body
            assert all("Accept-Encoding" in answer.header("Vary") for answer in (plain, zipped))
        assert api.stat("offload_gzip") - by_threads == (2 if count == 1500 and api.way != "by_the_loop" else 0)
        assert unzip_any(api.get(f"/kept-pair?rows={count}", GZIP)) == api.get(f"/kept-pair?rows={count}").body
        for plain in (api.get(f"/plain-pair?rows={count}", GZIP), api.request("POST", "/plain-batch", items, GZIP)):
            assert plain.header("Content-Encoding") is None and plain.json()
    etag = api.get("/pair?rows=1500", GZIP).header("ETag")
    assert etag.endswith('-gz"') and api.get("/pair?rows=1500", {**GZIP, "If-None-Match": etag}).status == 304


@pytest.mark.once
def test_who_does_not_want_it(start):
    api = start()
    for headers in ({}, {"Accept-Encoding": "br"}, {"Accept-Encoding": "gzip;q=0"}, {"Accept-Encoding": "gzip;q=0.1, identity"}):
        for count in COUNTS:
            assert api.get(f"/rows?rows={count}", headers).header("Content-Encoding") is None
    for count in COUNTS:
        plain = api.get(f"/plain?rows={count}", GZIP)
        assert plain.header("Content-Encoding") is None and "Accept-Encoding" not in (plain.header("Vary") or "")
    assert api.stat("compressed_answers") == 0
    api.configure(CONF)
    api.head += "compress off;\n"
    assert api.reload(CONF).code == 0
    assert eventually(lambda: api.get("/rows?rows=1500", GZIP).header("Content-Encoding") is None)


def test_rows_can_be_read_when_they_arrive(start):
    api = start("stream_above 64KB;")
    with api.connect() as connection:
        began = time.monotonic()
        connection.send("GET", "/slow?s=2", headers={"Accept": "application/x-ndjson", **GZIP})
        inflater, text, seen = zlib.decompressobj(31), b"", []
        while (line := connection.stream.readline()) != b"\r\n":
            assert line
        while size := int(connection.stream.readline(), 16):
            text += inflater.decompress(connection.stream.read(size))
            connection.stream.read(2)
            seen.append((time.monotonic() - began, len(text)))
    assert inflater.eof and [json.loads(line)["n"] for line in text.splitlines()] == list(range(1, 20101))
    early = max(length for seconds, length in seen if seconds < 1.5)
    assert len(text) - early < 90_000 and seen[-1][0] > 1.5, "all but less than a piece, and what came after the pause"


def test_a_stream_that_fails_is_seen_to(api):
    with pytest.raises(ConnectionError):
        api.get("/breaks", GZIP)
    assert eventually(lambda: api.stat("streams_cut") == 1)


def test_in_order_behind_one_that_is_compressed(api):
    one = b"GET /rows?rows=1500 HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n"
    other = b"GET /rows?rows=3 HTTP/1.1\r\nHost: t\r\n\r\n"
    answers = api.raw((one + other) * 3, answers=6)
    assert [answer.header("Content-Encoding") for answer in answers] == ["gzip", None] * 3
    assert {len(json.loads(unzip(answer))) for answer in answers[::2]} == {1500}
    assert {len(answer.json()) for answer in answers[1::2]} == {3}


def test_a_full_line_leaves_them_as_they_are(start):
    api = start("offload_threads 1; offload_queue 1;", pool="pool max=8 min=8;")
    plain = api.get("/rows?rows=2500").body

    def right(_, answer):
        zipped = answer.header("Content-Encoding") == "gzip"
        return None if (unzip(answer) if zipped else answer.body) == plain else repr(answer)
    with Load(api.port, lambda *_: "/rows?rows=2500", threads=1, check=right):
        answers = at_once(16, lambda _: [api.get("/rows?rows=2500", GZIP) for _ in range(5)])
    assert all(right(None, answer) is None for some in answers for answer in some)
    assert eventually(lambda: api.stat("offload_refused") > 0)


def test_what_waits_for_a_thread_is_bounded(start):
    api = start("stream_memory 100KB; offload_threads 1;")
    large = api.get("/rows?rows=1500", GZIP)  # 110 KB
    assert large.header("Content-Encoding") is None and len(large.json()) == 1500
    assert unzip(api.get("/rows?rows=1000", GZIP)) == api.get("/rows?rows=1000").body


def test_who_goes_away_leaves_nothing_behind(start):
    api = start("offload_threads 1;")
    for turn in range(25):  # the last one is cut in the middle
        with api.connect() as connection:
            connection.send("GET", f"/rows?rows={1500 if turn % 2 else 100_000}", headers=GZIP)
            time.sleep(0.001 * turn)
            if turn % 2 == 0:
                connection.stream.read(2000)  # in the middle of it
    assert eventually(lambda: api.stat("in_flight") == 0 and api.stat("offload_active") == 0)
    for _ in range(6):  # with what they left of their compressors
        assert unzip(api.get("/rows?rows=1500", GZIP)) == api.get("/rows?rows=1500").body


def test_one_that_reads_slowly(start):
    api = start("stream_memory 1MB;")
    whole = api.get("/rows?rows=150000").body
    with api.connect() as connection:
        connection.send("GET", "/rows?rows=150000", headers=GZIP)
        time.sleep(1)
        assert api.get("/rows?rows=5").status == 200
        assert unzip(connection.read()) == whole


def test_curl(api):
    for count in COUNTS:
        got = subprocess.run(["curl", "-sS", "--compressed", f"http://127.0.0.1:{api.port}/rows?rows={count}"],
                             capture_output=True, timeout=20, check=True)
        assert got.stdout == api.get(f"/rows?rows={count}").body


def test_the_log_tells_what_was_sent(api):
    answer = api.get("/rows?rows=1500", {**GZIP, "X-Request-Id": "zipped"})
    assert api.access_line("zipped")["bytes"] == len(answer.body)

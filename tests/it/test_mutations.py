"""Valid requests with a few bytes changed, by the thousand: whatever comes, there is an answer or a close in time, no
more answers than requests, and a server that goes on. A short run here; MUTATIONS sets how many, MUTATIONS_SEED
which."""
import asyncio
import os
import random
import re
import time

import pytest

from lib.process import eventually
from test_http_vectors import CONF, KNOWN_ANSWER, KNOWN_GOOD, SETTINGS, VECTORS, Got, Wire, Wrong

COUNT = int(os.environ.get("MUTATIONS", "3000"))
SEED = int(os.environ.get("MUTATIONS_SEED", str(int(time.time()))))
LANES = 256
WITHIN = 10.0  # seconds for all of one connection; those of the server are far below
STATUSES = {100, 200, 201, 204, 304, 400, 404, 405, 408, 409, 413, 414, 417, 422, 431, 501, 505}
INTERESTING = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"0", b"1", b"-1", b"+3", b"0x10",
               b"99999999999999999999", b"\xff", b"\x7f", b"%00", b"%zz", b"//", b"?", b"#", b"..", b",", b";",
               b'"', b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"GET ", b"HEAD ", b"POST ", b"\r\n\r\n",
               b"\r\n ", b"Content-Length: 5\r\n",
               b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
               b"Expect: 100-continue\r\n", b"Host: a\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"chunked", b"close",
               b"keep-alive", b"identity", b"gzip", b"x" * 300, b"A: b\r\n" * 30, b"{", b"}", b"[", b"\\u0000"]


def seeds():
    """What valid vectors send, waits left out."""
    for vector in VECTORS:
        good = all(status < 400 for answer in vector.answers for status in answer.statuses)
        data = b"".join(part for part in vector.parts({"/things/1": '"x"', "/things/2": '"x"', "/query?q=a": '"x"'})
                        if isinstance(part, bytes)) if not needs_etags(vector) else b""
        if good and data and len(data) < 20_000:
            yield data


def needs_etags(vector):
    return any("{etag:" in step for step in vector.steps if isinstance(step, str))


def mutate(data, choose, others):
    data = bytearray(data)
    for _ in range(choose.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        at = choose.randrange(len(data) + 1)
        kind = choose.randrange(10)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << choose.randrange(8)
        elif kind == 1 and data:
            data[min(at, len(data) - 1)] = choose.randrange(256)
        elif kind == 2:
            data.insert(at, choose.randrange(256))
        elif kind == 3:
            del data[at:at + choose.choice((1, 1, 2, 5, 20))]
        elif kind == 4:
            to = min(len(data), at + choose.randrange(1, 40))
            data[at:at] = data[at:to] * choose.choice((1, 1, 3))
        elif kind == 5:
            other = choose.choice(others)
            data[at:at + choose.randrange(0, 30)] = other[choose.randrange(len(other)):][:choose.randrange(1, 60)]
        elif kind == 6:
            data[at:] = choose.choice(others)
        elif kind == 7:
            data += choose.choice(others)
        else:
            data[at:at + choose.choice((0, 0, 1, 3))] = choose.choice(INTERESTING)
    return bytes(data[:60_000])


def sent_in(data, choose):
    """Whole as a rule, else in a few pieces."""
    cuts = sorted(choose.randrange(len(data) + 1) for _ in range(choose.choice((0, 0, 0, 1, 2, 5))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]


async def answers(wire):
    """The status of each answer up to the close. To HEAD there is no body, so it may look like one that is cut off or be
    followed by the next answer at once: a status line where a body should begin is taken for that."""
    got = []
    while True:
        while (end := wire.buffer.find(b"\r\n\r\n")) < 0:
            if not await wire.more():
                if wire.buffer and wire.ended == "closed":
                    raise Wrong(f"closed within a head: {wire.buffer[:80]!r}")
                return got
        one = Got(wire.buffer[:end])
        got.append(one.status)
        wire.buffer = wire.buffer[end + 4:]
        left = one.length(False)
        while len(wire.buffer) < left and not wire.buffer.startswith(b"HTTP/1.") and await wire.more():
            pass
        if not wire.buffer.startswith(b"HTTP/1."):
            if 0 < len(wire.buffer) < left and wire.ended == "closed":
                raise Wrong(f"closed within the body of a {one.status}")
            wire.buffer = wire.buffer[left:]
        if one.status not in STATUSES:
            raise Wrong(f"a status {one.status}")


async def try_one(port, data, pieces, half):
    wire = await Wire.open(port)
    statuses = None
    try:
        async with asyncio.timeout(WITHIN):
            reading = asyncio.ensure_future(answers(wire))
            try:
                for piece in pieces:
                    await wire.send(piece)
                    await asyncio.sleep(0 if piece is pieces[-1] else 0.001)
                if half:
                    wire.end()
                statuses = await reading
            finally:
                reading.cancel()
    except Wrong as wrong:
        return str(wrong)
    except TimeoutError:
        return "neither an answer nor a close in time"
    finally:
        wire.sock.close()
    finals = [status for status in statuses if status >= 200]
    most = data.count(b" HTTP/1.") + 1  # what is no request is answered once, and ends the connection
    return f"{len(finals)} answers to at most {most} requests: {finals}" if len(finals) > most else None


async def try_all(port, count, choose):
    """[(data, what is wrong)], and the statuses that came."""
    originals, wrong, done = list(seeds()), [], 0
    assert len(originals) > 200

    async def lane():
        nonlocal done
        while done < count and len(wrong) < 10:
            done += 1
            data = mutate(choose.choice(originals), choose, originals)
            what = await try_one(port, data, sent_in(data, choose), half=choose.random() < 0.3)
            if what:
                wrong.append((data, what))

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return wrong


@pytest.fixture
def api(make_perfd, pg):
    # What waits for more of a request is cut soon, and an idle connection closed, so that every connection ends.
    return make_perfd(CONF, pg.create_database("mutations"), workers=2, pool="pool max=4 min=2;", settings=SETTINGS + """
        head_timeout 300ms; body_timeout 300ms; keepalive_timeout 100ms; keepalive_min 50ms;""")


def test_no_bytes_make_it_hang_lie_or_fall(api):
    api.start()
    told = len(api.log())
    print(f"MUTATIONS={COUNT} MUTATIONS_SEED={SEED}")
    workers = api.worker_pids()
    wrong = asyncio.run(try_all(api.port, COUNT, random.Random(SEED)))
    assert not wrong, f"MUTATIONS_SEED={SEED}\n" + "\n".join(f"{what}: {data!r}" for data, what in wrong)
    assert api.worker_pids() == workers, api.log()
    with api.connect() as connection:
        connection.write(KNOWN_GOOD)
        assert connection.read().body == KNOWN_ANSWER
    assert eventually(lambda: api.stat("connections") == 0 and api.stat("in_flight") == 0, 5)
    complaints = [line for line in api.log()[told:].splitlines() if (" error " in line or " warn " in line)
                  and not re.search(r"the loop was|slow query:", line)]  # a busy machine's fault
    assert not complaints, f"MUTATIONS_SEED={SEED}\n" + "\n".join(complaints[:10])

"""What raw bytes are answered: the vectors of http/, each sent whole, and those marked so cut at every byte too."""
import asyncio
import glob
import itertools
import os
import re
import socket

import pytest

from lib.perfd import SANITIZED
from lib.vectors import read_vectors

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "http")
FILES = sorted(os.path.basename(path) for path in glob.glob(f"{FOLDER}/*.vectors"))
LANES = 48           # connections at a time
ANSWER_WITHIN = 8.0  # seconds for a whole exchange, above what the vector itself waits
PAUSE = 0.001        # between the parts of one that is cut; loop and socket deliver them apart
GIVE_UP_AFTER = 3    # cuts of one vector that went wrong

CONF = """
route GET /things/{id} { query "SELECT :id::int8 AS id"; result row; cache ttl=300s tti=300s; }
route PUT /things/{id} { query "SELECT :id::int8 AS id, :name::text AS name"; result row; }
route PATCH /things/{id} { query "SELECT :id::int8 AS id, :name::text AS name"; result row; }
route DELETE /things/{id} { query "SELECT 1 WHERE :id::int8 > 0"; result none; }
route POST /things { query "SELECT :name::text AS name"; result row; status 201; }
route GET /text/{s} { query "SELECT :s::text AS s"; result row; }
route GET /query { query "SELECT :q::text AS q"; result row; cache ttl=300s tti=300s; }
route GET /plain { query "SELECT 1 AS n"; result row; }
route GET /empty { query "SELECT 1 WHERE false"; result none; }
"""
SETTINGS = "max_body 64KB; max_uri 8KB; max_head 16KB;"
WARM = [f"/things/{i}" for i in range(1, 21)] + ["/query?q=a"]
KNOWN_GOOD = b"GET /things/2 HTTP/1.1\r\nHost: t\r\n\r\n"
KNOWN_ANSWER = b'{"id":2}'


# --- reading the vectors

ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
NOTATION = re.compile(r"""\\x(?P<hex>[0-9a-fA-F]{2})|\\(?P<escape>[rnt0\\])|(?P<wrong>\\)|
    \{(?P<what>(?:\\.|[^{}\\])+)\*(?P<times>\d+)\}|\{etag:(?P<etag>[^{}]+)\}|(?P<plain>.)""", re.VERBOSE | re.DOTALL)


def to_bytes(text, etags=None):
    """etags None leaves their places as they are written."""
    out = []
    for found in NOTATION.finditer(text):
        assert not found["wrong"], f"an escape that the README does not know in {text!r}"
        if found["hex"]:
            out.append(bytes([int(found["hex"], 16)]))
        elif found["escape"]:
            out.append(ESCAPES[found["escape"]])
        elif found["times"]:
            out.append(to_bytes(found["what"], etags) * int(found["times"]))
        elif found["etag"]:
            out.append(found[0].encode() if etags is None else etags[found["etag"]].encode())
        else:
            out.append(found["plain"].encode("ascii"))
    return b"".join(out)


class Answer:
    """An expected one. `HEAD:200`, `100?`, `400|505`."""

    def __init__(self, word):
        self.word = word
        self.to_head = word.startswith("HEAD:")
        word = word.removeprefix("HEAD:")
        self.optional = word.endswith("?")
        self.statuses = [int(number) for number in word.rstrip("?").split("|")]
        self.fields = []  # (name, value), value None: the field is absent
        self.body = None


READ = object()  # a step: read the next answer before sending on
END = object()   # a step: nothing more will be sent


class Vector:
    def __init__(self, file, line, words):
        self.file = file
        self.line = line
        self.name, *self.flags = words
        self.steps = []  # notation, seconds, READ or END
        self.answers = []
        self.after = None

    def take(self, line):
        kind, rest = line[0], line[2:]
        if kind in ">|":
            text = rest + (r"\r\n" if kind == ">" else "")
            if self.steps and isinstance(self.steps[-1], str):
                self.steps[-1] += text
            else:
                self.steps.append(text)
        elif kind == "~":
            self.steps.append({"": READ, "end": END}[rest] if not rest.endswith("ms") else int(rest[:-2]) / 1000)
        elif kind == "=":
            *words, self.after = rest.split()
            for word in words:
                status, _, times = word.partition("*")
                self.answers += [Answer(status) for _ in range(int(times or 1))]
            assert self.after in ("open", "closed")
        elif kind == "+":
            name, value = rest.split(": ", 1)
            self.answers[-1].fields.append((name.lower(), value))
        elif kind == "-":
            self.answers[-1].fields.append((rest.lower(), None))
        elif kind == '"':
            next(answer for answer in self.answers if answer.body is None and answer.statuses != [100]).body = to_bytes(rest)
        else:
            raise AssertionError(f"{self.file}:{self.line}: what is {line!r}?")

    def parts(self, etags):
        return [to_bytes(step, etags) if isinstance(step, str) else step for step in self.steps]

    @property
    def as_sent(self):
        return tuple(to_bytes(step) if isinstance(step, str) else step for step in self.steps)


VECTORS = [vector for file in FILES for vector in read_vectors(FOLDER, file, Vector)]


# --- talking

class Wrong(Exception):
    pass


class Got:
    """An answer as it came, and what is wrong with it whatever was asked."""

    def __init__(self, head):
        line, *fields = head.split(b"\r\n")
        found = re.fullmatch(rb"HTTP/1\.([01]) ([1-5]\d\d) [\t\x20-\x7e]*", line)
        if not found:
            raise Wrong(f"a status line {line[:80]!r}")
        self.minor, self.status = int(found[1]), int(found[2])
        self.fields = []
        for field in fields:
            found = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*", field)
            if not found:
                raise Wrong(f"a field {field[:80]!r}")
            self.fields.append((found[1].decode().lower(), found[2].decode("latin-1")))
        self.body = b""

    def field(self, name):
        values = [value for key, value in self.fields if key == name]
        if len(values) > 1:
            raise Wrong(f"{self.status} with {name} twice")
        return values[0] if values else None

    def length(self, to_head):
        """Of the body that follows."""
        length = self.field("content-length")
        if self.field("transfer-encoding") is not None:
            raise Wrong(f"{self.status} with Transfer-Encoding")
        if self.status < 200 or self.status == 204:
            if length is not None:
                raise Wrong(f"{self.status} with Content-Length")
            return 0
        if self.status == 304:
            return 0
        if length is None or not re.fullmatch(r"\d+", length):
            raise Wrong(f"{self.status} with Content-Length {length}")
        return 0 if to_head else int(length)

    @property
    def closes(self):
        options = [word.strip().lower() for word in (self.field("connection") or "").split(",")]
        return "close" in options or (self.minor == 0 and "keep-alive" not in options)

    def check(self, wanted):
        if self.status < 200:
            return
        if not re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", self.field("date") or ""):
            raise Wrong(f"{self.status} with Date {self.field('date')}")
        if self.status >= 400 and self.field("content-type") != "application/problem+json":
            raise Wrong(f"{self.status} with Content-Type {self.field('content-type')}")
        if self.status >= 400 and not wanted.to_head and not self.body.lstrip().startswith(b"{"):
            raise Wrong(f"{self.status} with the body {self.body[:60]!r}")
        for name, value in wanted.fields:
            if self.field(name) != value:
                raise Wrong(f"{self.status} with {name} {self.field(name)!r}, not {value!r}")
        if wanted.body not in (None, b"*", self.body):
            raise Wrong(f"{self.status} with the body {self.body[:60]!r}, not {wanted.body[:60]!r}")


class Wire:
    def __init__(self, sock):
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.buffer = b""
        self.ended = None    # how the server closed
        self.refuses = False  # it takes no more bytes

    @classmethod
    async def open(cls, port):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = cls(sock)
        try:
            await wire.loop.sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return wire

    async def send(self, data):
        try:
            if not self.refuses:
                await self.loop.sock_sendall(self.sock, data)
        except (BrokenPipeError, ConnectionResetError):
            self.refuses = True  # an answer may still wait to be read

    def end(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.refuses = True

    async def more(self):
        """False at the end."""
        try:
            data = await self.loop.sock_recv(self.sock, 1 << 17)
        except ConnectionResetError:
            self.ended = "reset"
            return False
        self.buffer += data
        if not data:
            self.ended = "closed"
        return bool(data)

    async def answer(self, to_head):
        """None when the server closed instead."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if not await self.more():
                if self.buffer:
                    raise Wrong(f"{self.ended} within a head: {self.buffer[:80]!r}")
                return None
        got = Got(self.buffer[:end])
        whole = end + 4 + got.length(to_head)
        while len(self.buffer) < whole:
            if not await self.more():
                raise Wrong(f"{self.ended} within the body of a {got.status}")
        got.body = self.buffer[end + 4:whole]
        self.buffer = self.buffer[whole:]
        return got


class Exchange:
    """One vector on a connection of its own."""

    def __init__(self, vector, wire):
        self.vector = vector
        self.wire = wire
        self.wanted = list(vector.answers)
        self.got = []

    async def run(self, parts):
        for part in parts:
            if part is READ:
                await self.read()
            elif part is END:
                self.wire.end()
            elif isinstance(part, float):
                await asyncio.sleep(part)
            else:
                await self.wire.send(part)
        while self.wanted:
            await self.read()
        if self.vector.after == "open":
            await self.is_open()
        else:
            await self.is_closed()

    async def read(self):
        got = await self.wire.answer(self.wanted[0].to_head)
        wanted = self.wanted.pop(0)
        if got is not None:
            self.got.append(got.status)
        while wanted.optional and (got is None or got.status not in wanted.statuses):
            if not self.wanted:
                if got is None:
                    return
                break
            wanted = self.wanted.pop(0)
        if got is None or got.status not in wanted.statuses:
            raise Wrong(self.wire.ended if got is None else repr(got.body[:100]))
        got.check(wanted)
        last = not self.wanted and got.status >= 200
        if got.closes and not (last and self.vector.after == "closed"):
            raise Wrong(f"{got.status} announces that the connection closes")
        if last and self.vector.after == "closed" and not got.closes:
            raise Wrong(f"{got.status} without Connection: close")

    async def is_open(self):
        if self.wire.buffer:
            raise Wrong(f"behind the answer comes {self.wire.buffer[:80]!r}")
        await self.wire.send(KNOWN_GOOD)
        got = await self.wire.answer(False)
        if got is None:
            raise Wrong(f"{self.wire.ended} afterwards")
        if got.status != 200 or got.body != KNOWN_ANSWER or got.closes or self.wire.buffer:
            raise Wrong(f"a good request afterwards gets {got.status} {got.body[:60]!r} {self.wire.buffer[:60]!r}")

    async def is_closed(self):
        while await self.wire.more():
            pass
        if self.wire.buffer:
            raise Wrong(f"behind the answer comes {self.wire.buffer[:80]!r}")


async def try_one(port, vector, parts):
    """What is wrong, or None."""
    wire = await Wire.open(port)
    exchange = Exchange(vector, wire)
    try:
        async with asyncio.timeout(ANSWER_WITHIN + sum(part for part in parts if isinstance(part, float))):
            await exchange.run(parts)
        return None
    except Wrong as wrong:
        what = str(wrong)
    except TimeoutError:
        what = "still open" if not exchange.wanted else "no answer"
    finally:
        wire.sock.close()
    wanted = " ".join([answer.word for answer in vector.answers[:10]] + [vector.after])
    return f"expected {wanted}, got {' '.join(map(str, exchange.got[-10:])) or 'nothing'}: {what}"


async def try_all(port, jobs):
    """jobs: (vector, how, parts). Lines on those that went wrong."""
    jobs, wrong, spoilt = iter(jobs), [], {}

    async def lane():
        for vector, how, parts in jobs:
            if spoilt.get(vector.name, 0) >= GIVE_UP_AFTER:
                continue
            if (what := await try_one(port, vector, parts)) is not None:
                spoilt[vector.name] = spoilt.get(vector.name, 0) + 1
                if spoilt[vector.name] <= GIVE_UP_AFTER:
                    wrong.append(f"{vector.file}:{vector.line} {vector.name}{how}: {what}")

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return sorted(wrong)


def whole(vectors, etags):
    return ((vector, "", vector.parts(etags)) for vector in vectors)


def cut_at_every_byte(vectors, etags):
    """Under a sanitizer at each fifth: the gate is fuzzed under it, too."""
    for vector in vectors:
        [data] = vector.parts(etags)
        for at in range(1, len(data), 5 if SANITIZED else 1):
            yield vector, f", cut at {at}", [data[:at], PAUSE, data[at:]]


def byte_by_byte(vectors, etags):
    for vector in vectors:
        [data] = vector.parts(etags)
        pieces = [[data[at:at + 1], PAUSE] for at in range(len(data))]
        yield vector, ", byte by byte", list(itertools.chain.from_iterable(pieces))[:-1]


# --- the server

@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("vectors")


@pytest.fixture(scope="module", params=["on", "off"], ids=["fast_path_on", "fast_path_off"])
def start(request, make_module_perfd, db):
    def run(more=""):
        perfd = make_module_perfd(CONF, db, workers=1, pool="pool max=4 min=1;",
                                  settings=f"{SETTINGS} fast_path {request.param}; {more}").start()
        for path in WARM:
            assert perfd.get(path).status == 200
            assert perfd.get(path).cache == "HIT"
        return perfd

    return run


@pytest.fixture(scope="module")
def api(start):
    return start()


@pytest.fixture(scope="module")
def hasty(start):
    return start("head_timeout 1s;")


def attempt(perfd, make_jobs, vectors):
    etags = {path: perfd.get(path).header("etag") for path in WARM}
    wrong = asyncio.run(try_all(perfd.port, make_jobs(vectors, etags)))
    vectors = len({line.split(" ")[0] for line in wrong})
    assert not wrong, "\n".join([f"{vectors} vectors went wrong", *wrong])


# --- tests

def test_the_vectors_are_many_and_no_two_alike():
    names = [vector.name for vector in VECTORS]
    assert len(names) >= 500
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    sent = {}
    for vector in VECTORS:
        assert vector.as_sent not in sent, f"{vector.name} sends what {sent[vector.as_sent]} does"
        sent[vector.as_sent] = vector.name
        assert vector.after and set(vector.flags) <= {"cut", "slow"}, vector.name
        assert "cut" not in vector.flags or len(vector.steps) == 1, f"{vector.name} waits, so it cannot be cut"
    assert sum("cut" in vector.flags for vector in VECTORS) >= 100


@pytest.mark.parametrize("file", FILES)
def test_whole(api, file):
    attempt(api, whole, [vector for vector in VECTORS if vector.file == file and "slow" not in vector.flags])


@pytest.mark.parametrize("cutting", [cut_at_every_byte, byte_by_byte])
def test_cut(api, cutting):
    attempt(api, cutting, [vector for vector in VECTORS if "cut" in vector.flags])


def test_slow_heads(hasty):
    attempt(hasty, whole, [vector for vector in VECTORS if "slow" in vector.flags])

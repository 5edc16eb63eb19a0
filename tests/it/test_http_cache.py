"""What is kept of an upstream's answers (RFC 9111): the vectors of http_cache/, all played at the same time."""
import glob
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.http_client import request_bytes
from lib.origin import Answer, Origin, dates
from lib.vectors import read_vectors

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "http_cache")
FILES = sorted(os.path.basename(path) for path in glob.glob(f"{FOLDER}/*.vectors"))
LANES = 16
AFTER = 0.4  # seconds: what the upstream has said is stored by then
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
FORWARD = "Accept Accept-Language Authorization Cookie X-Tenant"
UPSTREAMS = {"said": f"forward {FORWARD}; take X-Note Location;", "bare": "", "cookies": "take Set-Cookie;"}
ROUTES = {  # name: upstream and cache directive
    "plain": ("said", "cache;"),
    "bare": ("bare", "cache;"),
    "cookies": ("cookies", "cache;"),
    "off": ("said", ""),
    "ttl": ("said", "cache ttl=60s;"),
    "short": ("said", "cache ttl=1s;"),
    "negative": ("said", "cache negative=60s;"),
    "stale": ("said", "cache stale=60s;"),
    "spare": ("said", "cache stale_if_error=60s;"),
}


def conf(origin):
    """An upstream that fails is left alone for a while (its breaker): a vector in which it does has one of its own."""
    blocks = [f"upstream {name} {{ url {origin.url}; retries 0; {more} }}" for name, more in UPSTREAMS.items()]
    for name, (upstream, cache) in ROUTES.items():
        blocks += routes(name, upstream, cache)
    for number, vector in enumerate(vector for vector in VECTORS if vector.fails):
        upstream, cache = ROUTES[vector.route]
        blocks.append(f"upstream failing{number} {{ url {origin.url}; retries 0; {UPSTREAMS[upstream]} }}")
        blocks += routes(vector.name, f"failing{number}", cache)
    return "\n".join(blocks)


def routes(name, upstream, cache):
    return [f"route {method} /{name}/{{id}} {{ upstream {upstream} /t/{{id}}?q={{q}}; {cache if method == 'GET' else ''} }}"
            for method in METHODS if method != "HEAD"]


# --- reading the vectors

def fields_of(text):
    """`Name: value | Name: value` as pairs; a name with a minus in front has the value None."""
    pairs = []
    for part in filter(None, (part.strip() for part in text.split(" | "))):
        name, colon, value = part.partition(":")
        pairs.append((name, value.strip()) if colon else (name.removeprefix("-"), None))
    return pairs


def fill(text, vector, origin):
    """A text with its {now-60} and the like filled in; a date counts from when it is said."""
    def one(found):
        kind, seconds = found[1], int(found[2] or 0)
        if kind == "path":
            return f"/t/{vector.name}"
        if kind == "origin":
            return origin.url
        return dates(seconds)[kind]

    return re.sub(r"\{(now|850|asctime|path|origin)([+-]\d+)?\}", one, text)


class Step:
    """A request, and what it is to give."""

    def __init__(self, text):
        words = text.split(" ", 1) if text.split(" ", 1)[0] in METHODS else ["GET", text]
        self.method, text = words[0], words[1] if len(words) > 1 else ""
        query = text.startswith("?")
        self.query, _, text = text.partition(" ") if query else ("", "", text)
        self.fields = fields_of(text)
        self.wait = 0.0
        self.asked = []    # fields of what the upstream was asked with
        self.times = None  # that it has been asked by then, where the source does not tell

    def expect(self, text):
        text, _, times = text.partition(" # ")
        words, _, fields = text.partition(" | ")
        self.times = times or None
        source, *rest = words.split()
        self.source = source
        self.status = rest.pop(0) if re.fullmatch(r"\d{3}|\*", rest[0]) and len(rest) > 1 else "200"
        if re.fullmatch(r"\d{3}", rest[0]):
            self.status = rest.pop(0)
        (self.body,) = rest
        self.has = fields_of(fields)


class Vector:
    def __init__(self, file, line, words):
        self.file = file
        self.line = line
        self.name, *routes = words
        self.route = routes[0][1:] if routes else "plain"
        self.answers = []
        self.steps = []
        self.pause = 0.0

    @property
    def fails(self):
        return any(answer[0] in "5c" for answer in self.answers)

    @property
    def place(self):
        return f"/{self.name if self.fails else self.route}/{self.name}"

    def take(self, line):
        kind, rest = line[0], line[2:]
        if kind == "<":
            self.answers.append(rest)
        elif kind == ">":
            self.steps.append(Step(rest))
            self.steps[-1].wait, self.pause = self.pause, 0.0
        elif kind == "=":
            self.steps[-1].expect(rest)
        elif kind == "^":
            self.steps[-1].asked = fields_of(rest)
        elif kind == "~":
            self.pause = float(rest)
        else:
            raise AssertionError(f"{self.file}:{self.line}: what is {line!r}?")


VECTORS = [vector for file in FILES for vector in read_vectors(FOLDER, file, Vector)]


# --- playing them

class Wrong(Exception):
    pass


class Said(Answer):
    """An answer of a vector: its fields are filled in when it is said."""

    def __init__(self, text, vector, origin):
        status, _, fields = text.partition(" ")
        super().__init__(200 if status == "cut" else int(status), cut=status == "cut")
        self.text, self.vector, self.origin = fields, vector, origin

    def to_bytes(self, number):
        self.fields = fields_of(fill(self.text, self.vector, self.origin))
        return super().to_bytes(number)


def holds(expected, found):
    if expected is None or found is None:
        return expected is None and found is None
    if expected.endswith(".."):
        return found.isdigit() and int(found) >= int(expected[:-2])
    return expected in ("*", found)


def ask(api, vector, step):
    lines = [f"{name}: {value}" for name, value in step.fields]
    head = request_bytes(step.method, f"{vector.place}{step.query}", None, {"Connection": "close"})
    head = head[:-2] + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
    with api.connect() as connection:
        connection.write(head)
        return connection.read(step.method)


def check(step, number, response, origin, path, asked_before):
    def wrong(what):
        raise Wrong(f"request {number}: {what}; got {response} {response.headers}, the upstream "
                    f"{[(asked, asked.headers) for asked in origin.asked_for(path)]}")

    if step.source not in ("*", response.cache or "-"):
        wrong(f"is {response.cache}, not {step.source}")
    if step.status not in ("*", str(response.status)):
        wrong(f"status {response.status}, not {step.status}")
    if step.body not in ("*", response.text or "-"):
        wrong(f"body {response.text!r}, not {step.body!r}")
    for name, value in step.has:
        if not holds(value, response.header(name)):
            wrong(f"{name} is {response.header(name)!r}, not {value!r}")
    times = {"HIT": asked_before, "MISS": asked_before + 1}.get(step.source) if step.times is None else \
        None if step.times == "*" else int(step.times)
    if times is not None and not (origin.was_asked(path, times) and origin.count(path) == times):
        wrong(f"the upstream was asked {origin.count(path)} times, not {times}")
    for name, value in step.asked:
        if not holds(value, origin.last(path).header(name)):
            wrong(f"the upstream got {name} {origin.last(path).header(name)!r}, not {value!r}")


def play(api, origin, vector):
    """None, or what is wrong."""
    path = f"/t/{vector.name}"
    origin.says(path, *[Said(text, vector, origin) for text in vector.answers])
    try:
        for number, step in enumerate(vector.steps, 1):
            time.sleep(step.wait)
            before = origin.count(path)
            check(step, number, ask(api, vector, step), origin, path, before)
            if step.source == "STALE":
                time.sleep(AFTER)
    except (Wrong, OSError) as problem:
        return str(problem)
    return None


@pytest.fixture(scope="module")
def origin():
    origin = Origin()
    yield origin
    origin.stop()


@pytest.fixture(scope="module")
def api(make_module_perfd, origin):
    return make_module_perfd(conf(origin), cache="size 32MB; entries 20000;").start()


@pytest.fixture(scope="module")
def played(api, origin):
    with ThreadPoolExecutor(LANES) as pool:
        return dict(zip((vector.name for vector in VECTORS), pool.map(lambda vector: play(api, origin, vector), VECTORS)))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector(played, vector):
    wrong = played[vector.name]
    assert wrong is None, f"{vector.file}:{vector.line}: {wrong}"


def test_there_are_enough_and_each_has_a_name_of_its_own():
    assert len(VECTORS) >= 150 and len({vector.name for vector in VECTORS}) == len(VECTORS)
    assert all(vector.answers and vector.steps for vector in VECTORS)

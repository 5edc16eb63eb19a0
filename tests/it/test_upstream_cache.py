"""What is kept of an upstream's answers, where the vectors of http_cache/ do not reach: consumers that come at once, large
bodies, an upstream that is gone, Redis, other workers, and whether a credential lies anywhere in shared memory."""
import os
import threading

import pytest

from lib.http_client import Connection
from lib.origin import Answer, Origin
from lib.process import eventually

FRESH = [("Cache-Control", "max-age=60")]
OLD = [("Cache-Control", "max-age=10"), ("Age", "20")]
CONF = """
upstream api {{ url {url}; forward Accept-Language Authorization Cookie; take X-Note; retries 0; }}
route GET /kept/{{id}} {{ upstream api /{{id}}; cache; }}
route GET /spare/{{id}} {{ upstream api /{{id}}; cache stale_if_error=60s; }}
route GET /tagged/{{id}} {{ upstream api /{{id}}; cache tags=thing:{{id}},a,b,c,d,e,f,g; }}
route POST /kept/{{id}} {{ upstream api /{{id}}; }}
route POST /things/{{id}} {{ upstream api /else/{{id}}; invalidates thing:{{id}}; }}
"""


@pytest.fixture(scope="module")
def origin():
    origin = Origin()
    yield origin
    origin.stop()


@pytest.fixture(scope="module")
def api(make_module_perfd, origin):
    return make_module_perfd(CONF.format(url=origin.url), cache="size 64MB;").start()


@pytest.fixture
def path(request):
    """Each test's own."""
    return f"/{request.node.name}"


class Crowd:
    """Consumers that have all asked before anything is answered."""

    def __init__(self, api, target, fields):
        self.connections = [Connection(api.port) for _ in fields]
        for connection, more in zip(self.connections, fields):
            connection.send("GET", target, headers=more)

    def answers(self):
        answers = [connection.read() for connection in self.connections]
        for connection in self.connections:
            connection.close()
        return answers


# --- at once

def test_one_fetch_for_all_who_may_share_it(api, origin, path):
    gate = threading.Event()
    origin.says(path, Answer(fields=FRESH, gate=gate))
    before = api.stat("cache_misses")
    crowd = Crowd(api, f"/kept{path}", [{}] * 20)
    assert origin.was_asked(path, 1)
    assert eventually(lambda: api.stat("cache_misses") == before + 20)
    gate.set()
    answers = crowd.answers()
    assert {answer.text for answer in answers} == {"1"} and origin.count(path) == 1
    assert sorted(answer.cache for answer in answers) == ["COALESCED"] * 19 + ["MISS"]


def test_one_fetch_for_each_form(api, origin, path):
    """What Vary names is not known yet when all come: who waited for the answer to others asks for its own, once."""
    gate = threading.Event()
    origin.says(path, Answer(fields=[*FRESH, ("Vary", "Accept-Language")], gate=gate))
    languages = ["de", "en", "fr"] * 8
    before = api.stat("cache_misses")
    crowd = Crowd(api, f"/kept{path}", [{"Accept-Language": language} for language in languages])
    assert eventually(lambda: api.stat("cache_misses") == before + 24)
    gate.set()
    said = {}
    for language, answer in zip(languages, crowd.answers()):
        said.setdefault(language, set()).add(answer.text)
    assert origin.count(path) == 3
    assert sorted(map(len, said.values())) == [1, 1, 1] and len(set.union(*said.values())) == 3


def test_who_tells_who_it_is_waits_for_nobody_and_nobody_waits_for_it(api, origin, path):
    gate = threading.Event()
    origin.says(path, Answer(fields=FRESH, gate=gate))
    crowd = Crowd(api, f"/kept{path}", [{"Authorization": f"Basic {i}"} for i in range(6)] + [{"Cookie": "a=1"}] * 6 + [{}] * 6)
    assert origin.was_asked(path, 6 + 6 + 1)
    gate.set()
    texts = [answer.text for answer in crowd.answers()]
    assert len(set(texts[:12])) == 12 and len(set(texts[12:])) == 1 and texts[12] not in texts[:12]


def test_what_must_not_be_shared_is_not_waited_for_again(api, origin, path):
    gate = threading.Event()
    private = [("Cache-Control", "private")]
    origin.says(path, Answer(fields=private), Answer(fields=private, gate=gate))
    assert api.get(f"/kept{path}").text == "1"
    crowd = Crowd(api, f"/kept{path}", [{}] * 6)
    assert origin.was_asked(path, 7), "all six at the same time"
    gate.set()
    assert sorted(answer.text for answer in crowd.answers()) == list("234567")


def test_what_is_asked_about_each_time_is_not_waited_for(api, origin, path):
    gate = threading.Event()
    fields = [("Cache-Control", "no-cache"), ("ETag", '"a"')]
    origin.says(path, Answer(fields=fields), Answer(304, gate=gate))
    assert api.get(f"/kept{path}").text == "1"
    before = api.stat("upstream_confirmed")
    crowd = Crowd(api, f"/kept{path}", [{}] * 6)
    assert origin.was_asked(path, 7), "all six at the same time"
    gate.set()
    assert [answer.text for answer in crowd.answers()] == ["1"] * 6
    assert eventually(lambda: api.stat("upstream_confirmed") == before + 6)


# --- bodies

def test_a_large_body_is_confirmed_without_being_sent_again(api, origin, path):
    body = os.urandom(200_000).hex()
    origin.says(path, Answer(fields=[*OLD, ("ETag", '"a"'), ("X-Note", "old")], body=body),
                Answer(304, fields=[*FRESH, ("X-Note", "new")]))
    etag = api.get(f"/kept{path}").header("etag")
    for source, note in (("MISS", "new"), ("HIT", "new"), ("HIT", "new")):
        answer = api.get(f"/kept{path}")
        assert (answer.cache, answer.header("x-note"), answer.header("etag")) == (source, note, etag)
        assert answer.text == body
    assert origin.count(path) == 2 and origin.last(path).header("If-None-Match") == '"a"'


def test_a_body_that_the_cache_does_not_take_is_passed_on_and_waited_for_by_nobody(api, origin, path):
    body = "x" * 3_000_000
    gate = threading.Event()
    origin.says(path, Answer(fields=FRESH, body=body), Answer(fields=FRESH, body=body, gate=gate))
    assert api.get(f"/kept{path}").text == body
    crowd = Crowd(api, f"/kept{path}", [{}] * 3)
    assert origin.was_asked(path, 4)
    gate.set()
    assert {answer.text == body for answer in crowd.answers()} == {True}


def test_a_gzipped_copy_outlives_a_confirmation(api, origin, path):
    body = "the same words again and again " * 500
    origin.says(path, Answer(fields=[("Cache-Control", "max-age=1"), ("ETag", '"a"')], body=body), Answer(304, fields=FRESH))
    zipped = {"Accept-Encoding": "gzip"}
    api.get(f"/kept{path}", headers=zipped)
    assert eventually(lambda: api.get(f"/kept{path}", headers=zipped).header("content-encoding") == "gzip", 5)
    assert eventually(lambda: origin.count(path) == 2 or not api.get(f"/kept{path}", headers=zipped), 5)
    assert api.get(f"/kept{path}", headers=zipped).header("content-encoding") == "gzip"
    assert api.get(f"/kept{path}").text == body and origin.count(path) == 2


# --- an upstream that is gone

def test_old_answers_while_the_upstream_is_gone(make_perfd):
    origin = Origin()
    api = make_perfd(CONF.format(url=origin.url)).start()
    must = [("Cache-Control", "max-age=10, must-revalidate"), ("Age", "20"), ("ETag", '"m"')]
    origin.says("/theirs", Answer(fields=[("Cache-Control", "max-age=10, stale-if-error=60"), ("Age", "20")]))
    origin.says("/own", Answer(fields=OLD))
    origin.says("/must", Answer(fields=must))
    origin.says("/plain", Answer(fields=OLD))
    for target in ("/kept/theirs", "/spare/own", "/spare/must", "/kept/plain"):
        assert api.get(target).text == "1"
    origin.stop()
    for _ in range(8):  # before and after the breaker has opened
        assert (api.get("/kept/theirs").cache, api.get("/spare/own").cache) == ("STALE", "STALE")
        assert api.get("/spare/must").status in (502, 503) and api.get("/kept/plain").status in (502, 503)
    origin.start()
    assert eventually(lambda: api.get("/kept/plain").status == 200, 15)
    origin.stop()


# --- tags, workers

def test_a_routes_tags_and_the_targets_own(api, origin, path):
    origin.says(path, Answer(fields=FRESH))
    origin.says(f"/else{path}", Answer(204))
    assert api.get(f"/tagged{path}").cache == "MISS"
    for method, target in (("POST", f"/things{path}"), ("POST", f"/kept{path}"), ("POST", f"/things{path}")):
        assert api.get(f"/tagged{path}").cache == "HIT"
        assert api.request(method, target).status in (200, 204)
        assert api.get(f"/tagged{path}").cache == "MISS"


def test_a_write_is_seen_through_every_worker(api, origin, path):
    origin.says(path, *[Answer(fields=FRESH) for _ in range(40)])
    for _ in range(10):
        answers = [api.get(f"/kept{path}") for _ in range(8)]
        assert len({answer.text for answer in answers}) == 1
        assert api.post(f"/kept{path}", b"x").status == 200
        newer = [int(api.get(f"/kept{path}").text) for _ in range(8)]
        assert len(set(newer)) == 1 and newer[0] > int(answers[0].text) + 1


def test_what_was_asked_for_before_a_write_is_not_kept_after_it(api, origin, path):
    gate = threading.Event()
    origin.says(path, Answer(fields=FRESH, gate=gate), Answer(204), Answer(fields=FRESH))
    crowd = Crowd(api, f"/kept{path}", [{}])
    assert origin.was_asked(path, 1)
    assert api.post(f"/kept{path}", b"x").status == 204
    gate.set()
    assert crowd.answers()[0].text == "1"
    assert api.get(f"/kept{path}").text == "3"


# --- shared memory, Redis

def memory_of(pid):
    """All that the process shares with the others, as it lies there."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            if "/memfd:perfd" in line:
                first, last = (int(address, 16) for address in line.split()[0].split("-"))
                memory.seek(first)
                yield memory.read(last - first)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of a process that is not its own child")
def test_no_credential_lies_in_shared_memory(api, origin):
    public = ("Cache-Control", "public, max-age=60")
    for path, fields in {"/a": FRESH, "/b": [public], "/c": [public, ("Vary", "Authorization, Cookie, Accept-Language")],
                         "/d": [("Cache-Control", "private")], "/e": [*OLD, ("ETag", '"a"')],
                         "/f": [public, ("Set-Cookie", "from=Sekret")]}.items():
        origin.says(path, Answer(fields=fields))
        for more in [{"Authorization": "Bearer Sekret-token", "Cookie": "session=Sekret-cookie"}, {}] * 2:
            assert api.get(f"/kept{path}", headers={"Accept-Language": "x-found", **more}).status == 200
    memory = b"".join(memory_of(api.worker_pids()[0]))
    assert b"x-found" in memory, "it is part of a key"
    assert b"Sekret" not in memory


def test_redis_gives_what_a_restart_has_forgotten_and_what_it_may_be_used_for(make_perfd, origin, redis, well):
    api = make_perfd(CONF.format(url=origin.url), redis=redis).start()
    short = [("Cache-Control", "max-age=33, stale-if-error=60"), ("Age", "30"), ("ETag", '"a"')]
    origin.says("/plain", Answer(fields=[*FRESH, ("Age", "7")]))
    origin.says("/public", Answer(fields=[("Cache-Control", "public, max-age=60")]))
    origin.says("/short", Answer(fields=short), Answer(304, fields=FRESH))
    for path in ("/plain", "/public", "/short"):
        assert api.get(f"/kept{path}").cache == "MISS"
    assert eventually(lambda: len(redis.keys(f"{os.path.basename(api.folder)}:*:e:*")) == 3)
    assert api.term() == 0
    api.start()
    answer = api.get("/kept/plain")
    assert (answer.cache, answer.text) == ("REDIS", "1") and int(answer.header("age")) >= 7
    assert api.get("/kept/plain").cache == "HIT"
    assert api.get("/kept/plain", headers={"Authorization": "Basic a"}).text == "2"
    assert api.get("/kept/public").cache == "REDIS"
    assert api.get("/kept/public", headers={"Authorization": "Basic a"}).cache == "HIT"
    assert api.get("/kept/short").cache == "REDIS"
    assert eventually(lambda: api.get("/kept/short") and origin.count("/short") == 2, 6)
    assert origin.last("/short").header("If-None-Match") == '"a"'


# --- configuration

def test_a_ttl_that_is_not_given_is_not_printed(api):
    printed = api.command("-T")
    assert printed.code == 0 and "stale_if_error=1m" in printed.out and "ttl=" not in printed.out

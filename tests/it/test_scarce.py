"""A machine that runs out of memory, descriptors and processes: calls fail under load, and each call of a start once.
By default a short run; FAULT_SECONDS is how long each kind fails, START_FAULTS=all tries every call of a start."""
import os
import random
import re
import signal
import time

import pytest

from lib.faults import ALLOCATOR, FIRST, FORKED, NAMES, Faults, build
from lib.load import Load
from lib.perfd import PERFD, SANITIZED, run
from lib.ports import is_free
from lib.process import eventually, tell
from lib.usage import memory_kb

pytestmark = pytest.mark.skipif(SANITIZED, reason="sanitizers have a malloc of their own")

SECONDS = float(os.environ.get("FAULT_SECONDS", "2"))
ALL_CALLS = os.environ.get("START_FAULTS") == "all"
RATE = 0.01
KEPT_KB = 9000  # of free memory, that a worker may (keep_free_memory() in worker.c)

CONF = """
route GET /cached/{{n}} {{ query "SELECT :n::int AS n, repeat('x', 3000) AS text"; result row; cache ttl=300ms; }}
route GET /fresh/{{n}} {{ query "SELECT :n::int AS n, 'y' AS text"; result row; }}
route GET /rows/{{n}} {{ query "SELECT g AS n FROM generate_series(1, :n::int) g"; result rows; }}
route GET /large/{{n}} {{ query "SELECT :n::int AS n, repeat('z', 200000) AS text"; result row; }}
route GET /stream/{{n}} {{ query "SELECT g AS n, repeat('s', 100) AS text FROM generate_series(1, :n::int) g"; result rows; }}
route GET /lookup/{{id}} {{ query "SELECT id, name FROM items WHERE id = :id"; result row; combine on; }}
route GET /matched/{{word}} {{ query "SELECT :word::text AS word"; result row; param word pattern=^[a-z]+[0-9]*$; }}
route GET /pair/{{n}} {{ fan {{ one /fresh/{{n}}; two /matched/word; }} }}
route POST /post {{ query "SELECT :n::int AS n"; result row; }}
upstream api {{ url {url}; idle_timeout 1s; }}
route GET /far/{{n}} {{ upstream api /far/{{n}}; }}
"""


@pytest.fixture(scope="module", autouse=True)
def built():
    build()


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("scarce", "CREATE TABLE items AS SELECT g AS id, 'i' || g AS name FROM generate_series(1, 100) g")


# ---- under load

def targets(thread, turn):
    n = turn * 8 + thread
    return [("GET", f"/cached/{n % 50}", None), ("GET", f"/fresh/{n}", None), ("GET", f"/rows/{n % 20 + 1}", None),
            ("POST", "/post", {"n": n}), ("GET", f"/far/{n}", None), ("GET", f"/large/{n}", None),
            ("GET", f"/lookup/{n % 100 + 1}", None), ("GET", f"/matched/word{n}", None), ("GET", f"/pair/{n}", None),
            ("GET", "/stream/4000", None)][turn % 10]


EXPECTED = {
    "cached": lambda target, n: {"n": int(n), "text": "x" * 3000},
    "fresh": lambda target, n: {"n": int(n), "text": "y"},
    "large": lambda target, n: {"n": int(n), "text": "z" * 200_000},
    "rows": lambda target, n: [{"n": i + 1} for i in range(int(n))],
    "stream": lambda target, n: [{"n": i + 1, "text": "s" * 100} for i in range(int(n))],
    "lookup": lambda target, n: {"id": int(n), "name": f"i{n}"},
    "matched": lambda target, n: {"word": n},
    "pair": lambda target, n: {"one": {"n": int(n), "text": "y"}, "two": {"word": "word"}},
    "far": lambda target, n: {"target": target},
}


def wrong(request, response):
    """A refusal is none, whatever the reason; a wrong answer, or half of one, is."""
    method, target, body = request
    if response.status >= 500:
        problem = response.header("content-type", "").startswith("application/problem+json")
        return None if problem and response.json()["status"] == response.status else repr(response)
    if response.status != 200:
        return repr(response)
    found = response.json()
    kind, _, n = target[1:].partition("/")
    expected = {"n": body["n"]} if kind == "post" else EXPECTED[kind](target, n)
    return None if found == expected else repr((found, expected))


class Used:
    """Of the master and its workers: descriptors and private memory."""

    def __init__(self, api):
        pids = [api.process.pid, *api.worker_pids(), api.keeper_pid()]
        self.fds = {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in pids}
        self.kb = {pid: memory_kb(pid, "RssAnon") for pid in pids}

    def grown(self, before):
        """Why this is more than it was before, of those who live on."""
        lasting = self.fds.keys() & before.fds.keys()
        return ([f"{pid}: {before.fds[pid]} -> {self.fds[pid]} descriptors" for pid in lasting
                 if self.fds[pid] > before.fds[pid]] +
                [f"{pid}: {before.kb[pid]} -> {self.kb[pid]} KB" for pid in lasting
                 if self.kb[pid] > before.kb[pid] + KEPT_KB])


@pytest.fixture(scope="module")
def faults():
    with Faults() as faults:
        yield faults


@pytest.fixture(scope="module")
def api(make_module_perfd, backend, db, redis, faults):
    api = make_module_perfd(CONF.format(url=backend.url), db, redis, env=faults.env,
                            pool="pool max=6 min=2 idle_timeout=1s;").start()
    with Load(api.port, targets, threads=6, check=wrong) as load:
        load.wait_for(1500, within=30)
    assert not load.wrong and not load.failed, (load.wrong[:3], load.failed[:3])
    return api


def settled(api, before):
    """All is served again, once a database that could not be reached has been tried again, and nothing is kept of what
    failed."""
    assert eventually(lambda: all(api.status(f"/fresh/{n}") == 200 for n in range(20)), 20), api.log()[-3000:]
    with Load(api.port, targets, threads=6, check=lambda q, a: wrong(q, a) or (a.status != 200 and repr(a)) or None) as load:
        load.wait_for(300, within=30)
    assert not load.wrong and not load.failed, (load.wrong[:3], load.failed[:3], api.log()[-3000:])
    assert eventually(lambda: not Used(api).grown(before), 6), Used(api).grown(before)


def deaths(log):
    return [line for line in log.splitlines() if re.search(r"was killed by SIG(?!KILL)|out of memory.*abort|dumped", line)]


KINDS = {
    "memory": ["malloc", "calloc", "realloc", "posix_memalign"],
    "accept": ["accept4"],
    "open": ["open", "openat", "fopen", "socket", "pipe2", "eventfd"],
    "mmap": ["mmap"],
    "fork": ["fork", "pthread_create"],
}
KINDS["all"] = sum(KINDS.values(), [])
RARE = {"fork": 0.2, "pthread_create": 0.2, "pipe2": 0.2, "mmap": 0.1}  # so few that one in a hundred would be none


@pytest.mark.parametrize("kind", KINDS)
def test_what_fails_under_load_crashes_nothing_and_is_answered_honestly(api, faults, kind):
    rates = {name: RARE.get(name, RATE) for name in KINDS[kind]}
    before, lines, failed = Used(api), len(api.log().splitlines()), faults.failed()
    with Load(api.port, targets, threads=3, check=wrong) as kept, \
            Load(api.port, targets, threads=3, check=wrong, fresh=True) as fresh:
        faults.fail(**rates)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if kind in ("fork", "all"):  # what is forked is what dies, and what checks and rolls a reload
                for pid in api.worker_pids()[:1]:
                    tell(pid, signal.SIGKILL)
            if kind not in ("memory", "accept"):  # there the workers live on, to be measured
                api.sighup()
            time.sleep(0.5)
        faults.stop()
    log = api.log().splitlines()[lines:]
    print(f"{kind}: {faults.failed() - failed} calls failed; {kept.answered + fresh.answered} answers, "
          f"{len(kept.failed) + len(fresh.failed)} closed, {len(log)} lines")
    assert faults.failed() > failed
    assert not kept.wrong and not fresh.wrong, (kept.wrong[:3], fresh.wrong[:3])
    assert not deaths("\n".join(log)), "\n".join(deaths("\n".join(log)))
    assert len(log) < 200 + 40 * SECONDS, "\n".join(log[-40:])
    assert eventually(lambda: len(api.worker_pids()) == 2, 20), api.log()[-2000:]
    assert api.process.poll() is None
    settled(api, before)


def test_a_program_that_never_gets_any_memory_says_so():
    with Faults() as faults:
        faults.fail(malloc=1, calloc=1, realloc=1)
        ended = run(PERFD, "-V", env=faults.env, timeout=10)
    assert ended.code == 4 and "were not to be had for 1.0 s" in ended.err, ended


def test_an_allocator_that_an_admin_preloads_gets_back_what_it_gave(make_perfd, db, backend):
    """It aborts otherwise."""
    api = make_perfd(CONF.format(url=backend.url), db, env={"LD_PRELOAD": ALLOCATOR}).start()
    for request in [targets(0, turn) for turn in range(10)]:
        answer = api.request(*request)
        assert answer.status == 200 and wrong(request, answer) is None, answer
    assert api.reload().code == 0 and api.check().code == 0
    assert api.term() == 0 and not deaths(api.log())


# ---- while it starts

class Start:
    """One start during which the nth call of that name failed."""

    def __init__(self, make, db, faults, name=None, nth=0, meant=FIRST):
        self.name, self.nth = name, nth
        self.api = make('route GET /one { query "SELECT 1 AS one"; result row; }\n', db, env=faults.env)
        if name is None:
            faults.count(meant)
        else:
            faults.fail_once(name, nth, meant)
        failed = faults.failed()
        self.api.launch()
        self.ready = eventually(lambda: self.api.process.poll() is not None or self.api.status("/readyz") == 200, 20)
        faults.stop()
        self.failed = faults.failed() - failed

    def problem(self):
        """Why this is no way to start or to fail; None: it is one."""
        api = self.api
        self.code, self.log = api.process.poll(), api.log()
        if self.code is None:
            # A connection that the call was for may be lost.
            serves = self.ready and eventually(lambda: all(api.status("/one") == 200 for _ in range(8)), 10)
            return None if serves else "it neither serves nor ends"
        told = [line for line in self.log.splitlines() if re.search(r" (error|crit) |^perfd: ", line)]
        if self.code not in (2, 3, 4):
            return f"it ended with {self.code}"
        if not told:
            return "it ended without a word"
        left = [name for name in ("control.sock", "perfd.pid", "perfd.stats") if os.path.exists(f"{api.run_dir}/{name}")]
        if left or not is_free(api.port):
            return f"it left {left or api.port}"
        return None


@pytest.fixture
def start(make_perfd, db):
    """start(name, nth, meant): a Start with faults of its own. When it serves it is ended, as every perfd of a test is."""
    return lambda *args: run_start(make_perfd, db, *args)


def run_start(make, db, *args):
    with Faults() as faults:
        started = Start(make, db, faults, *args)
        started.calls = {name: faults.calls(name) for name in NAMES}
        started.text = started.problem()
        try:
            started.api.finish()
        except AssertionError as problem:
            started.text = started.text or str(problem)
        return started


def chosen(calls, each):
    """(name, nth): of each function `each` calls by a seed, or all."""
    choose = random.Random(7)
    return [(name, nth) for name, count in calls.items() if count > 0
            for nth in (range(1, count + 1) if ALL_CALLS else sorted(choose.sample(range(1, count + 1), min(each, count))))]


@pytest.mark.parametrize("meant", [FIRST, FORKED], ids=["master", "workers"])
def test_a_start_during_which_a_call_fails_serves_or_says_why_not(start, meant):
    clean = start(None, 0, meant)
    assert clean.text is None and clean.ready, clean.text
    bad, ended, tried = [], 0, 0
    for name, nth in chosen(clean.calls, 1):
        one = start(name, nth, meant)
        tried += one.failed
        ended += one.code is not None
        if one.text is not None:
            bad.append(f"{name} {nth}: {one.text}\n{one.log}")
    print(f"{tried} starts with a call that failed, {ended} of them ended; {len(bad)} badly")
    assert not bad, "\n".join(bad)
    assert tried >= len(clean.calls) / 3

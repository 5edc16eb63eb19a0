"""Memory: of a worker that grows, of a machine that has none left, and of a moment in which there is none."""
import os
import re
import resource
import threading
import time

import pytest

from lib.load import Load
from lib.machine import MB, Machine
from lib.perfd import PERFD, SANITIZED, run
from lib.process import eventually

pytestmark = pytest.mark.rare

CONF = """
max_body 32MB;
route GET /one {{ query "SELECT 1 AS one"; result row; }}
route GET /kept/{{n}} {{ query "SELECT :n::int AS n, repeat('x', 20000) AS text"; result row; cache ttl=1h tti=1h; }}
route GET /stale {{ query "SELECT count(*) AS n FROM asked"; result row; cache ttl=1s tti=0 stale=1h; }}
route GET /spare {{ query "SELECT 1 AS n"; result row; cache ttl=1s tti=0 stale_if_error=1h; }}
route GET /fan {{ fan {{ a /kept/1; b /kept/2; }} }}
route GET /big {{ query "SELECT repeat('x', 16000000) AS text"; result row; timeout 20s; }}
route POST /post {{ query "SELECT :n::int AS n"; result row; }}
memory {{ {memory} }}
"""
LEAKS = int(os.environ.get("LEAKS", "3"))
grows = pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps what was freed: every worker grows")


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("memory", "CREATE TABLE asked (n int);")


@pytest.fixture
def machine():
    machine = Machine()
    yield machine
    machine.remove()


@pytest.fixture
def start(make_perfd, db):
    def started(memory="", env=None, **kwargs):
        return make_perfd(CONF.format(memory=memory), db, env=env, **kwargs).start()
    return started


def level(api):
    return api.perfctl_json("workers")["memory"]["level"]


def becomes(api, wanted, within=5):
    return eventually(lambda: level(api) == wanted, within)


def told(api, kind):
    return [e["text"] for e in api.perfctl_json("events")["events"] if e["kind"] == kind]


# --- the machine

def test_an_alert_is_told_and_taken_back(start, machine):
    api = start(env=machine.env)
    assert level(api) == "calm"
    machine.use(87)
    assert becomes(api, "alert")
    assert api.log_contains("memory is short: 87 % of 1000 MB (MemTotal)")
    assert api.stat("memory_level") == 1 and api.stat("memory_limit_bytes") == 1000 * MB
    machine.use(82)
    time.sleep(0.3)
    assert level(api) == "alert"
    machine.use(70)
    assert becomes(api, "calm")
    assert [text.split(":")[0] for text in told(api, "memory_alert")] == ["memory is short", "memory is no longer short"]
    assert "memory: calm, 70 % of" in api.perfctl("workers").out


def test_the_control_groups_limit_counts(start, machine):
    machine.use_group(50, 500)
    api = start(env=machine.env)
    machine.use_group(440, 500)
    assert becomes(api, "alert")
    assert api.log_contains("88 % of 500 MB (/sys/fs/cgroup/perfd/memory.max)")


def test_stalls_alert(start, machine):
    api = start(env=machine.env)
    machine.stall(30, 2)
    assert becomes(api, "alert")
    assert api.log_contains("30.0 % of the time some wait for it")
    assert api.stat("memory_some_percent") == 30 and api.stat("memory_full_percent") == 2


def test_alert_and_shed_are_as_configured_and_reloaded(start, machine):
    api = start("alert 60%; shed off;", machine.env)
    machine.use(65)
    assert becomes(api, "alert")
    machine.use(99)
    time.sleep(0.3)
    assert level(api) == "alert"
    assert api.reload(CONF.format(memory="alert off; shed off;")).code == 0
    assert becomes(api, "calm")


def test_a_shortage_costs_misses_alone(start, machine):
    """Hits, what is stale, writes, health and the admin page are answered; and all is well when it is over."""
    api = start(env=machine.env)
    for target in ["/kept/1", "/stale", "/spare", "/fan"]:
        assert api.get(target).status == 200
    machine.use(95)
    assert becomes(api, "shed")
    refused = api.get("/kept/3")
    assert refused.status == 503 and refused.header("retry-after") == "1"
    assert refused.problem["code"] == "overloaded" and "memory is short" in refused.problem["detail"]
    assert api.get("/one").status == 503
    assert api.get("/kept/1").status == 200 and api.get("/fan").status == 200
    assert api.post("/post", {"n": 1}).status == 200
    assert api.status("/healthz", api.admin) == 200
    assert api.stat("memory_refused") == 2
    time.sleep(1.1)
    refreshed = api.stat("cache_refreshes")
    assert api.get("/stale").status == 200 and api.get("/spare").status == 200
    assert api.stat("cache_refreshes") == refreshed
    assert api.log_contains("requests which the cache has no answer for are refused: 95 %")
    machine.use(87)
    time.sleep(0.5)
    assert level(api) == "shed" and api.get("/kept/3").status == 503
    machine.use(70)
    assert becomes(api, "calm")
    assert api.get("/kept/3").status == 200 and api.get("/one").status == 200


def memfd(api, name):
    """Its path among the master's descriptors."""
    folder = f"/proc/{api.process.pid}/fd"
    return next(f"{folder}/{fd}" for fd in os.listdir(folder) if name in os.readlink(f"{folder}/{fd}"))


@pytest.mark.once
def test_the_cache_shrinks_first_and_grows_again(start, machine):
    """The machine gets back what the cache gives, so that no miss is refused."""
    machine.total_mb = 100
    machine.use(50)
    api = start(env={**machine.env, "PERFD_MEMORY_SECOND": "100"}, cache="size 32MB;")
    cache, given = memfd(api, "perfd-cache"), threading.Event()
    whole = os.stat(cache).st_blocks

    def follow():
        """What is used falls by what the kernel has of the cache again."""
        while not given.wait(0.01):
            machine.use(94 - (whole - os.stat(cache).st_blocks) * 512 / MB)

    for n in range(1500):
        assert api.get(f"/kept/{n}").status == 200
    follower = threading.Thread(target=follow)
    follower.start()
    try:
        assert becomes(api, "shrink")
        assert eventually(lambda: api.stat("cache_away_bytes") >= 8 * MB)
        with Load(api.port, lambda thread, turn: f"/kept/{thread * 1000 + turn % 500}", threads=2) as load:
            load.wait_for(200)
        assert not load.wrong and not load.failed, (load.wrong[:3], load.failed[:3])
    finally:
        given.set()
        follower.join()
    assert api.stat("memory_refused") == 0 and api.stat("cache_away_bytes") < 16 * MB
    machine.use(50)
    assert becomes(api, "calm")
    assert eventually(lambda: api.stat("cache_away_bytes") == 0)
    assert api.get("/kept/7").status == 200


# --- a worker

def own(api):
    return {w["slot"]: w["private_bytes"] for w in api.perfctl_json("workers")["workers"]}


def rss_anon(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"RssAnon:\s*(\d+)", status.read())[1]) * 1024


def grown(api, mb):
    """As much above what a worker has when it has worked."""
    for _ in range(20):
        api.get("/one")
    assert eventually(lambda: all(own(api).values()))
    return f"{max(own(api).values()) // MB + mb}MB"


def test_a_workers_own_memory_is_told_and_the_cache_is_not_part_of_it(start):
    api = start(env={"PERFD_MEMORY_SECOND": "20"}, cache="size 64MB;")
    assert eventually(lambda: all(own(api).values()))
    pids = {w["slot"]: w["pid"] for w in api.perfctl_json("workers")["workers"]}
    for slot, pid in pids.items():
        assert eventually(lambda slot=slot, pid=pid: abs(own(api)[slot] - rss_anon(pid)) < MB)
    if not SANITIZED:
        assert max(own(api).values()) < 32 * MB


class Slow:
    """A consumer that takes an answer of 16 MB only when it is told to; meanwhile a worker has it."""

    def __init__(self, api):
        self.connection = api.connect(20)
        self.connection.send("GET", "/big")

    def takes_it(self):
        with self.connection:
            return self.connection.read()


@grows
def test_a_worker_above_the_soft_limit_is_replaced_and_no_request_is_lost(start):
    api = start("worker_soft off; worker_hard off;", {"PERFD_MEMORY_SECOND": "10"})
    soft = grown(api, 10)
    assert api.reload(CONF.format(memory=f"worker_soft {soft}; worker_hard off;")).code == 0

    def targets(thread, turn):
        return ("POST", "/post", {"n": turn}) if thread % 2 else ("GET", "/one", None)

    with Load(api.port, targets, threads=2, fresh=True) as load:
        for turn in range(1, LEAKS + 1):
            time.sleep(0.9)  # 90 of the seconds that it knows: all workers are old enough
            slow = Slow(api)
            assert eventually(lambda turn=turn: api.stat("memory_replaced") == turn, 8), (own(api), soft)
            assert eventually(lambda turn=turn: len(told(api, "replaced")) == turn)
            answer = slow.takes_it()
            assert answer.status == 200 and len(answer.json()["text"]) == 16000000
    assert not load.failed and not load.wrong, (load.failed[:3], load.wrong[:3])
    assert len(told(api, "worker_grown")) == LEAKS and "another one takes its place" in told(api, "worker_grown")[0]
    assert eventually(lambda: len(api.worker_pids()) == 2)
    assert api.stat("restarts") == 0


@grows
def test_a_limit_that_a_fresh_worker_passes_is_said_to_be_wrong(start):
    api = start("worker_soft 1MB; worker_hard off;", {"PERFD_MEMORY_SECOND": "10"})
    pids = api.worker_pids()
    assert api.log_contains("is too low")
    time.sleep(0.7)
    assert api.worker_pids() == pids and api.stat("memory_replaced") == 0
    assert eventually(lambda: api.stat("memory_replaced") > 0, 15)
    assert len([text for text in told(api, "worker_grown") if "is too low" in text]) == 1


@grows
def test_a_worker_above_the_hard_limit_is_killed_and_another_one_started(start):
    api = start("worker_soft off; worker_hard off;", {"PERFD_MEMORY_SECOND": "20"})
    assert api.reload(CONF.format(memory=f"worker_soft off; worker_hard {grown(api, 10)};")).code == 0
    pids = api.worker_pids()
    slow = Slow(api)
    assert eventually(lambda: api.stat("memory_killed") == 1)
    assert eventually(lambda: len(api.worker_pids()) == 2 and api.worker_pids() != pids)
    assert "it is killed" in told(api, "worker_grown")[0]
    assert api.log_contains("was killed by SIGKILL")
    slow.connection.close()
    assert eventually(lambda: api.get("/one").status == 200)


def limit_of(pid):
    return resource.prlimit(pid, resource.RLIMIT_DATA)[0]


@grows
def test_the_kernel_keeps_a_worker_from_growing_faster_than_it_is_looked_at(start):
    api = start("worker_soft 100MB; worker_hard 200MB;")
    assert all(200 * MB < limit_of(pid) < 350 * MB for pid in api.worker_pids())
    assert limit_of(api.process.pid) == resource.RLIM_INFINITY
    assert limit_of(api.keeper_pid()) == resource.RLIM_INFINITY


# --- no memory

def data_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmData:\s*(\d+)", status.read())[1]) * 1024


def give(pid, more):
    resource.prlimit(pid, resource.RLIMIT_DATA, (data_bytes(pid) + more, resource.RLIM_INFINITY))


BODY = {"n": 1, "text": "x" * (16 * MB)}


@grows
def test_a_moment_without_memory_costs_a_moment(start):
    api = start("worker_soft off; worker_hard off;", workers=1)
    worker, = api.worker_pids()
    usual = api.post("/post", BODY).status
    give(worker, MB)
    answers = []
    asker = threading.Thread(target=lambda: answers.append(api.post("/post", BODY)))
    asker.start()
    assert api.log_contains("out of memory: ")
    time.sleep(0.2)
    assert not answers
    give(worker, 200 * MB)
    asker.join()
    assert answers[0].status == usual
    assert api.worker_pids() == [worker]


@grows
def test_a_worker_that_gets_no_memory_ends_with_4_and_is_started_again(start):
    api = start("worker_soft off; worker_hard off;", workers=1)
    worker, = api.worker_pids()
    give(worker, MB)
    with pytest.raises(OSError):
        api.post("/post", BODY)
    assert api.log_contains("were not to be had for 1.0 s")
    assert api.log_contains("ended with status 4")
    assert eventually(lambda: api.worker_pids() not in ([], [worker]))
    assert eventually(lambda: api.post("/post", {"n": 1}).status == 200)


def test_the_effective_limits_are_printed(make_perfd, db, machine):
    machine.total_mb = 8000
    machine.use(10)
    api = make_perfd(CONF.format(memory=""), db, env=machine.env, cache="size 100MB;")
    printed = run(PERFD, "-c", api.conf_file, "-T", env=machine.env)
    assert printed.code == 0 and "worker_soft 1675MB;" in printed.out and "worker_hard 3350MB;" in printed.out
    assert "alert 85%;" in printed.out and "shed 90%;" in printed.out
    machine.use_group(10, 400)
    assert "worker_soft 256MB;" in run(PERFD, "-c", api.conf_file, "-T", env=machine.env).out
    bad = make_perfd(CONF.format(memory="alert 90%; shed 90%;"), db).check()
    assert bad.code == 2 and "shed must be above alert" in bad.err

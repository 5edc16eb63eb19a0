"""Whether a worker's loop turns, and what is told when it does not."""
import ctypes
import os
import time
from contextlib import contextmanager

import pytest

from lib.load import Load
from lib.process import eventually

CONF = 'route GET /one { query "SELECT 1 AS one"; result row; cache ttl=300s tti=300s; }\n'
ATTACH, DETACH, WALL = 16, 17, 0x40000000  # ptrace(2), waitpid(2)
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def api(make_perfd, pg):
    return make_perfd(CONF, pg.create_database("pulse"), workers=1).start()


@contextmanager
def held(pid):
    """One thread of a process alone."""
    if libc.ptrace(ATTACH, pid, None, None) != 0:
        pytest.skip("a loop is made to hang as a debugger does, which this machine allows nobody (ptrace)")
    os.waitpid(pid, WALL)
    try:
        yield
    finally:
        libc.ptrace(DETACH, pid, None, None)


def loop_of(api):
    worker, = api.perfctl_json("workers")["workers"]
    return worker["loop"]


def threads_of(pid):
    names = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as comm:
            names.append(comm.read().strip())
    return sorted(names)


def test_a_loop_that_hangs_is_told_of_while_it_does(api):
    pid, = api.worker_pids()
    with Load(api.port, lambda *_: "/one", threads=1):
        assert eventually(lambda: api.stat("cache_hits") > 100) and loop_of(api) == "turns"
        with held(pid):
            assert eventually(lambda: loop_of(api).startswith("stuck for"), 3)
            assert api.log_contains("the loop has not turned for 1")
            assert " s: " in loop_of(api)
            assert "LOOP" in api.perfctl("workers").out and "stuck for" in api.perfctl("workers").out
        assert eventually(lambda: loop_of(api) == "turns")
    assert api.stat("loop_blocked") >= 1
    assert api.log_contains("the loop was blocked for")
    assert api.perfctl_json("stats")["histograms"]["loop_lag"]["max_us"] > 900_000


def test_a_loop_without_work_is_left_alone(api):
    pid, = api.worker_pids()

    def switches():
        count = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status", encoding="utf-8") as status:
                count += sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
        return count
    api.get("/one")
    time.sleep(1)
    before = switches()
    time.sleep(1)
    assert switches() - before < 60, "a timer of 10 ms alone would be 100"
    samples = api.perfctl_json("stats")["histograms"]["loop_lag"]["count"]
    assert 0 < samples < 150


def test_threads_have_names(api, make_perfd):
    assert threads_of(api.worker_pids()[0]) == ["perfd-log", "perfd-off-0", "perfd-off-1", "perfd-pulse", "perfd-worker"]
    other = make_perfd("", settings="offload_threads 3; offload_queue 7;", workers=1).start()
    assert threads_of(other.worker_pids()[0]) == ["perfd-log", "perfd-off-0", "perfd-off-1", "perfd-off-2", "perfd-pulse", "perfd-worker"]
    none = make_perfd("", settings="offload off;", workers=1).start()
    assert threads_of(none.worker_pids()[0]) == ["perfd-log", "perfd-pulse", "perfd-worker"]

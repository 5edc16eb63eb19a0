"""Processes that live and do not turn: found, told of, stood in for, and ended."""
import os
import re
import signal
import time

import pytest

from lib.load import Load
from lib.process import alive, eventually, tell
from lib.usage import cpu_seconds
from lib.workers import connect_to

from test_pulse import held

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; }
route GET /fetched { query "SELECT 1 AS one"; result row; cache ttl=60s; }
"""
HANGS = int(os.environ.get("HANGS", "1"))
TIMEOUT = 2


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("hang")


@pytest.fixture
def start(make_perfd, db):
    return lambda timeout=f"{TIMEOUT}s", **more: make_perfd(CONF, db, settings=f"hang_timeout {timeout};", **more).start()


def events(api, kind, pid):
    return [e for e in api.perfctl_json("events")["events"] if e["kind"] == kind and e["pid"] == pid]


def ended(api, pid):
    """Seconds until the process is gone."""
    began = time.monotonic()
    assert eventually(lambda: not alive(pid), TIMEOUT + 4), api.log()
    return time.monotonic() - began


def test_a_worker_that_stands_still_is_stood_in_for_and_replaced(start):
    """By SIGSTOP, which to consumers is like any other hang."""
    api = start()
    for turn in range(HANGS):
        if turn % 8 == 7:
            api.reload()  # so that a slot that hung often is not kept waiting for long
        assert eventually(lambda: len(api.worker_pids()) == 2 and api.status("/readyz") == 200, 30)
        pid = api.worker_pids()[0]
        api.get("/one")
        tell(pid, signal.SIGSTOP)
        took = ended(api, pid)
        assert TIMEOUT - 0.5 < took < TIMEOUT + 2, took
        told, = eventually(lambda: events(api, "hung", pid))
        assert re.search(r"has not turned for 1\.\d s, at: .*T \(stopped\)", told["text"]), told
        assert eventually(lambda: events(api, "worker_died", pid))
        assert "was killed by SIGABRT" in events(api, "worker_died", pid)[0]["text"]
        assert "worker_run perfd+0x" in " ".join(e["text"] for e in events(api, "backtrace", pid))
        print(f"gone after {took:.2f} s")


def test_what_comes_to_a_hung_worker_is_answered_by_another(start):
    api = start("0")
    pid = api.perfctl_json("workers")["workers"][0]["pid"]
    tell(pid, signal.SIGSTOP)
    assert api.log_contains("has not turned for 1.", within=4)
    answers = [api.timed("/one") for _ in range(20)]
    assert all(a.status == 200 and took < 1 for a, took in answers)
    assert eventually(lambda: api.accepts_for()[1] == 2)
    tell(pid, signal.SIGCONT)
    assert api.log_contains(f"(pid {pid}) turns again")
    assert eventually(lambda: api.accepts_for() == [1, 1]), "each for itself again"
    with connect_to(api, pid, "/one"):
        pass
    assert alive(pid) and api.log().count("has not turned") == 1


def test_the_keeper_is_watched_too(start):
    api = start("1s")
    pid = api.keeper_pid()
    tell(pid, signal.SIGSTOP)
    assert ended(api, pid) < 3
    assert eventually(lambda: api.keeper_pid() not in (None, pid))
    assert "keeper (pid" in events(api, "hung", pid)[0]["text"]


def test_a_master_that_stood_still_itself_blames_nobody(start):
    """As a machine that was suspended: all stamps are old when the master looks."""
    api = start("1s")
    pids = api.worker_pids() + [api.keeper_pid()]
    api.pause_master()
    for pid in pids:
        tell(pid, signal.SIGSTOP)
    time.sleep(2)
    api.resume_master()
    for pid in pids:
        tell(pid, signal.SIGCONT)
    time.sleep(1.2)
    assert api.worker_pids() == pids[:-1]
    assert not [e for pid in pids for e in events(api, "hung", pid)]


def test_who_is_debugged_is_left_alone(start):
    api = start("1s", workers=1)
    pid, = api.worker_pids()
    with held(pid):
        assert api.log_contains(f"(pid {pid}) is traced, and left alone", within=4)
        time.sleep(1)
        assert alive(pid)
    assert api.log_contains(f"(pid {pid}) turns again")
    assert api.worker_pids() == [pid]


@pytest.mark.fault_points
def test_an_endless_loop_is_named_with_its_route(make_perfd, db):
    api = make_perfd(CONF, db, settings="hang_timeout 2s;", env={"PERFD_FAULT": "fetch_read=spin@1"}).start()
    with pytest.raises(OSError):
        api.get("/fetched")
    assert eventually(lambda: api.get("/fetched").status == 200)
    told = eventually(lambda: [e for e in api.perfctl_json("events")["events"] if e["kind"] == "hung"])[0]
    assert "GET /fetched; R (running)" in told["text"], told
    assert "fault_reach perfd+0x" in " ".join(e["text"] for e in events(api, "backtrace", told["pid"]))


def test_watching_costs_next_to_nothing(start):
    api = start("10s")
    before, began = cpu_seconds(api.process.pid), time.monotonic()
    time.sleep(2)
    share = (cpu_seconds(api.process.pid) - before) / (time.monotonic() - began)
    assert share < 0.01, f"{share:.2%} of a CPU at rest"

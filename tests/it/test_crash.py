"""What a worker that crashes leaves in the log, and how soon it is replaced."""
import ctypes
import os
import re
import signal
import socket
import statistics
import time

import pytest

from lib.load import Load
from lib.perfd import PERFD, SANITIZED
from lib.process import eventually, tell

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; }
route GET /fetched { query "SELECT 1 AS one"; result row; cache ttl=60s; }
"""
KILLS = int(os.environ.get("CRASH_KILLS", "8"))
TGKILL = 234  # the system call's number on x86-64
libc = ctypes.CDLL(None, use_errno=True)
caught = pytest.mark.skipif(SANITIZED, reason="AddressSanitizer has handlers of its own for it")


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("crash")


@pytest.fixture
def api(make_perfd, db):
    return make_perfd(CONF, db).start()


def events_of(api, kind, pid):
    def found():
        return [event["text"] for event in api.perfctl_json("events")["events"]
                if event["kind"] == kind and event["pid"] == pid]
    return eventually(found)


def replaced(api, pid):
    return eventually(lambda: pid not in api.worker_pids() and len(api.worker_pids()) == api.workers, 5)


@pytest.mark.parametrize("sig", [pytest.param(signal.SIGSEGV, marks=caught), pytest.param(signal.SIGFPE, marks=caught),
                                 signal.SIGABRT], ids=lambda sig: sig.name)
def test_a_crash_tells_its_signal_and_where_it_was(api, sig):
    pid = api.worker_pids()[0]
    api.get("/one")
    time.sleep(0.2)  # its queries are described
    tell(pid, sig)
    assert replaced(api, pid)
    died, = events_of(api, "worker_died", pid)
    assert f"was killed by {sig.name}" in died and ", at: " in died, died
    words, = events_of(api, "last_words", pid)
    assert f"thread perfd-worker, had {sig.name}" in words, words
    where = " ".join(events_of(api, "backtrace", pid))
    assert SANITIZED or re.search(r"\) was in \w+ lib", where), where  # the handler's own frames are left out
    assert "event_base_loop libevent" in where and "worker_run perfd+0x" in where and "master_run perfd+0x" in where, where
    assert died in api.log() and where.split(" <")[0] in api.log()


@caught
def test_the_offsets_are_those_of_addr2line(api):
    pid = api.worker_pids()[0]
    tell(pid, signal.SIGSEGV)
    assert replaced(api, pid)
    offset = re.search(r"worker_run perfd\+(0x[0-9a-f]+)", " ".join(events_of(api, "backtrace", pid))).group(1)
    told = os.popen(f"addr2line -fe {PERFD} {offset}").read().split()
    assert told[0] == "worker_run" and re.search(r"worker/worker\.c:\d+$", told[1]), told


@caught
def test_a_thread_that_crashes_is_named(api):
    pid = api.worker_pids()[0]
    thread = next(int(task) for task in os.listdir(f"/proc/{pid}/task")
                  if open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8").read().strip() == "perfd-pulse")
    assert libc.syscall(TGKILL, pid, thread, signal.SIGSEGV) == 0
    assert replaced(api, pid)
    words, = events_of(api, "last_words", pid)
    assert "thread perfd-pulse, had SIGSEGV" in words, words
    assert "begin perfd+0x" in " ".join(events_of(api, "backtrace", pid))


@pytest.mark.fault_points
@pytest.mark.parametrize("action, sig, words", [
    ("check", "SIGABRT", r"left the words: shm/fault\.c:\d+: this must hold and does not: "),
    ("fault", "SIGSEGV", r"had SIGSEGV at address 0$")])
def test_a_bug_of_ours_tells_what_and_where(make_perfd, db, action, sig, words):
    api = make_perfd(CONF, db, env={"PERFD_FAULT": f"fetch_read={action}@1"})
    api.expects("this must hold and does not: ")
    api.start()
    with pytest.raises(OSError):
        api.get("/fetched")
    event = eventually(lambda: [e for e in api.perfctl_json("events")["events"] if e["kind"] == "worker_died"])[0]
    assert f"was killed by {sig}" in event["text"] and event["text"].endswith("GET /fetched"), event
    assert any(re.search(words, text) for text in events_of(api, "last_words", event["pid"]))
    where = " ".join(events_of(api, "backtrace", event["pid"]))
    assert "fault_reach perfd+0x" in where and "worker_run perfd+0x" in where, where
    assert eventually(lambda: api.get("/fetched").status == 200)


@pytest.mark.once
def test_killed_workers_are_back_within_a_second_and_take_only_what_they_had(make_perfd, db):
    """Each slot a few times, as one that dies again and again is given more and more time."""
    threads, each = 4, 3
    api = make_perfd(CONF, db, workers=max(2, -(-KILLS // each))).start(within=30)
    again, ready, kills = [], [], 0
    with Load(api.port, "/one", threads=threads) as load:
        while kills < KILLS:
            load.wait_for(20)
            rows = api.perfctl_json("workers")["workers"]
            row = rows[kills % len(rows)]
            before, began = set(api.worker_pids()), time.monotonic()
            assert tell(row["pid"], signal.SIGKILL)
            kills += 1
            assert eventually(lambda before=before: set(api.worker_pids()) - before, 5, every=0.005), api.log()[-2000:]
            again.append(time.monotonic() - began)

            def back(row=row):
                now = api.perfctl_json("workers")["workers"][row["slot"]]
                return now["pid"] not in (0, row["pid"]) and now["state"] == "ready"
            assert eventually(back, 10), api.log()[-2000:]
            ready.append(time.monotonic() - began)
    assert not load.wrong, load.wrong[:3]
    # One request under way on each connection, and one more that finds it closed.
    assert len(load.failed) <= threads * kills
    print(f"{kills} kills, {load.answered} answers, {len(load.failed)} lost; started again within {max(again):.2f} s, "
          f"ready after {statistics.median(ready):.2f} s, {max(ready):.2f} at most")
    # By the master's own clock, as a busy machine stretches ours.
    assert statistics.median(again) < 1 and all(float(wait) < 1 for wait in re.findall(r"starts again in (\d+\.\d) s", api.log()))


def test_a_worker_killed_before_any_was_ready_ends_the_start(make_perfd):
    """Nobody has seen it serve, and it would die again and again."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = make_perfd(CONF, f"postgresql://127.0.0.1:{silent.getsockname()[1]}/none").launch()
        pid = eventually(api.worker_pids)[0]
        assert api.status("/readyz") != 200
        tell(pid, signal.SIGKILL)
        assert api.wait() == 3
    assert "was killed by SIGKILL" in api.log() and "since the first worker could not start" in api.log()


def kill_again_and_again(api, slot, times):
    for _ in range(times):
        row = eventually(lambda: next((w for w in api.perfctl_json("workers")["workers"]
                                       if w["slot"] == slot and w["state"] == "ready" and w["pid"] in api.worker_pids()), None), 10)
        assert row and tell(row["pid"], signal.SIGKILL)
        assert eventually(lambda: events_of(api, "worker_died", row["pid"]))
    return [float(seconds) for seconds in re.findall(rf"worker {slot} starts again in (\d+\.\d) s", api.log())]


def test_who_dies_again_and_again_waits_longer_each_time_and_others_serve(api):
    with Load(api.port, "/one", threads=2) as load:
        waits = kill_again_and_again(api, 0, 6)
        load.wait_for(50)  # while it waits
    assert not load.wrong
    assert len(waits) == 5 and all(0.74 * want - 0.05 <= wait <= 1.26 * want + 0.05
                                   for wait, want in zip(waits, (0.1, 0.2, 0.4, 0.8, 1.6))), waits


def test_the_last_one_does_not_wait_for_long(make_perfd, db):
    api = make_perfd(CONF, db, workers=1).start()
    assert max(kill_again_and_again(api, 0, 6)) <= 1.0

"""Who accepts for a worker that cannot: the sockets of all slots are everybody's."""
import re
import select
import signal
import socket
import time

import pytest

from lib.process import alive, eventually, tell

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; }
route GET /sleep { query "SELECT pg_sleep(:s), 1 AS one"; result row; timeout 20s; }
"""
QUEUED = 40
ASK = b"GET /one HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("adoption")


@pytest.fixture
def api(make_perfd, db):
    return make_perfd(CONF, db).start()


def worker(api, slot):
    return api.perfctl_json("workers")["workers"][slot]


def pid_of(api, slot):
    """Of a worker that is ready."""
    assert eventually(lambda: worker(api, slot)["state"] == "ready" and alive(worker(api, slot)["pid"]))
    return worker(api, slot)["pid"]


def ask(api, count):
    """Connections that have asked and read nothing yet."""
    found = []
    for _ in range(count):
        found.append(socket.create_connection(("127.0.0.1", api.port), 10))
        found[-1].sendall(ASK)
    return found


def outcome(connection):
    """The status, or what went wrong."""
    text = b""
    try:
        while more := connection.recv(65536):
            text += more
    except OSError as failed:
        return repr(failed)
    return text[9:12].decode() or "closed"


def queue_on(api, stopped):
    """Connections in the queue of the worker's socket; it is stopped."""
    tell(stopped, signal.SIGSTOP)
    asked = ask(api, 4 * QUEUED)
    time.sleep(0.4)
    answered, _, _ = select.select(asked, [], [], 0)
    waiting = [connection for connection in asked if connection not in answered]
    assert len(waiting) >= QUEUED, "the kernel spreads them over the slots"
    return answered, waiting


def test_what_is_queued_on_a_killed_workers_socket_is_answered_by_another(api):
    stopped = pid_of(api, 0)
    answered, waiting = queue_on(api, stopped)
    before = worker(api, 0)["requests"]
    tell(stopped, signal.SIGKILL)
    assert {outcome(connection) for connection in waiting + answered} == {"200"}
    assert worker(api, 0)["requests"] == before, "its successor was faster, which proves nothing"
    assert eventually(lambda: api.accepts_for() == [1, 1])
    assert [e["slot"] for e in api.perfctl_json("events")["events"] if e["kind"] == "adopted"] == [0]


def kill_until_it_waits(api, slot, least_s):
    """Kills the slot's worker until its next start is that far away."""
    for _ in range(15):
        pid = pid_of(api, slot)
        tell(pid, signal.SIGKILL)
        assert api.log_contains(f"(pid {pid}) was killed")
        told = api.log().split(f"(pid {pid}) was killed")[1]
        delay = re.search(rf"worker {slot} starts again in ([0-9.]+) s", told)
        if delay and float(delay[1]) >= least_s:
            return
        assert eventually(lambda: worker(api, slot)["pid"] not in (0, pid))
    raise AssertionError("it is always started again at once")


def test_a_worker_that_waits_to_be_started_is_not_waited_for(make_perfd, db):
    api = make_perfd(CONF, db, workers=3).start()
    kill_until_it_waits(api, 0, 0.6)
    times = []
    while len(api.worker_pids()) < 3:
        began = time.monotonic()
        assert [outcome(connection) for connection in ask(api, 10)] == ["200"] * 10
        times.append(time.monotonic() - began)
    assert len(times) > 3 and max(times) < 0.3, times
    assert eventually(lambda: api.accepts_for() == [1, 1, 1])


def test_the_slot_moves_on_when_its_adopter_dies(make_perfd, db):
    api = make_perfd(CONF, db, workers=3).start()
    first, second = pid_of(api, 0), pid_of(api, 1)
    tell(second, signal.SIGSTOP)
    answered, waiting = queue_on(api, first)
    assert alive(second)
    tell(first, signal.SIGKILL)
    time.sleep(0.1)
    tell(second, signal.SIGKILL)
    assert {outcome(connection) for connection in waiting + answered} == {"200"}


def test_a_worker_without_its_master_closes_the_ports_at_once(api):
    workers = api.worker_pids()
    with api.connect() as connection:
        connection.send("GET", "/sleep?s=2")
        time.sleep(0.2)
        api.kill_master()
        assert eventually(lambda: not is_open(api.port), 1)
        assert [pid for pid in workers if alive(pid)]
        assert connection.read().status == 200
    assert eventually(lambda: not [pid for pid in workers if alive(pid)], 8)


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""Drain and resume: the master and its sockets stay, the workers go; and one worker in the place of another."""
import fcntl
import os
import signal
import struct
import subprocess
import termios
import time

import pytest

from lib.load import Load
from lib.perfd import PERFD
from lib.process import alive, eventually, tell

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; }
route GET /sleep { query "SELECT pg_sleep(:s), 1 AS one"; result row; timeout 20s; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("drain")


@pytest.fixture
def api(make_perfd, db):
    return make_perfd(CONF, db).start()


def kinds(api):
    return [event["kind"] for event in api.perfctl_json("events")["events"]]


def drain_by(api, how):
    if how == "perfctl":
        assert api.perfctl("drain").code == 0
    else:
        tell(api.process.pid, signal.SIGWINCH)
        assert api.log_contains("all workers drain")


def resume_by(api, how):
    if how == "perfctl":
        assert api.perfctl("resume").code == 0
    else:
        api.sighup()


@pytest.mark.parametrize("how", ["perfctl", "signals"])
def test_drained_workers_finish_and_connections_wait_for_their_successors(api, how):
    with api.connect() as busy:
        busy.send("GET", "/sleep?s=1")
        time.sleep(0.2)
        drain_by(api, how)
        assert busy.read().status == 200
        assert eventually(lambda: not api.worker_pids(), 8)
        assert api.keeper_pid() and api.perfctl("ping").code == 0
        time.sleep(0.3)
        assert not api.worker_pids(), "nobody starts them"
        with api.connect() as queued:
            queued.send("GET", "/one")
            resume_by(api, how)
            assert queued.read().status == 200
    assert eventually(lambda: len(api.worker_pids()) == 2)
    assert {"drained", "resumed"} <= set(kinds(api))


def test_one_drained_slot_is_served_by_the_others(api):
    with Load(api.port, "/one", threads=4, fresh=True) as load:
        load.wait_for(50)
        assert api.perfctl("drain", "0").code == 0
        assert eventually(lambda: len(api.worker_pids()) == 1, 8)
        load.wait_for(100)
        assert eventually(lambda: api.accepts_for() == [0, 2]), api.accepts_for()
        assert api.perfctl("resume", "0").code == 0
        assert eventually(lambda: len(api.worker_pids()) == 2)
        load.wait_for(100)
    assert not load.failed and not load.wrong, (load.failed[:3], load.wrong[:3])
    assert eventually(lambda: api.accepts_for() == [1, 1]), api.accepts_for()


def test_a_replaced_worker_loses_nothing(api):
    with Load(api.port, "/one", threads=4, fresh=True) as load:
        for slot in (0, 1, 0):
            load.wait_for(50)
            before = api.perfctl_json("workers")["workers"][slot]["pid"]
            done = kinds(api).count("replaced")
            assert api.perfctl("replace", str(slot)).code == 0
            assert eventually(lambda done=done: kinds(api).count("replaced") == done + 1)
            assert eventually(lambda before=before: not alive(before), 8)
        load.wait_for(50)
    assert not load.failed and not load.wrong, (load.failed[:3], load.wrong[:3])
    assert len(api.worker_pids()) == 2


def test_what_cannot_be_drained_or_replaced_is_said(api):
    for command in (["drain", "2"], ["replace", "7"]):
        result = api.perfctl(*command)
        assert result.code == 1 and "no such slot" in result.err, result
    for command in (["replace"], ["drain", "x"], ["drain", "0", "1"], ["reload", "1"]):
        assert api.perfctl(*command).code == 64, command
    assert api.perfctl("drain", "1").code == 0
    assert "no worker" in api.perfctl("replace", "1").err
    assert len(api.worker_pids()) > 0 and api.get("/one").status == 200


def test_a_terminal_that_is_resized_drains_nothing(make_perfd, db):
    perfd = make_perfd(CONF, db)
    ours, theirs = os.openpty()

    def take_terminal():
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    perfd.process = subprocess.Popen([PERFD, "-c", perfd.conf_file], cwd=perfd.folder, stdin=theirs, stdout=theirs,
                                     stderr=theirs, preexec_fn=take_terminal)
    assert eventually(lambda: perfd.status("/readyz") == 200)
    before = perfd.worker_pids()
    for rows in (30, 40, 50):
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    time.sleep(0.3)
    assert perfd.worker_pids() == before and "drain" not in perfd.log()
    assert perfd.term() == 0  # before its terminal goes, which is a SIGHUP
    os.close(ours)
    os.close(theirs)

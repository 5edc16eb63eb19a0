"""What the master does with workers and clients that hang or die at the wrong moment."""
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.load import Load
from lib.process import alive, eventually, tell

CONF = 'route GET /one { query "SELECT 1 AS one"; result row; }\n'


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("master2")


@pytest.mark.once
def test_a_worker_that_hangs_while_it_drains_is_killed(make_perfd, db):
    api = make_perfd(CONF, db, settings="shutdown_timeout 1s;").start()
    stuck = api.worker_pids()[1]
    tell(stuck, signal.SIGSTOP)
    assert api.reload(CONF).code == 0
    assert eventually(lambda: not alive(stuck), 10), "it drains for ever"
    assert api.log_contains("drains for too long")


def test_signals_without_a_meaning_end_nothing(make_perfd, db):
    api = make_perfd(CONF, db).start()
    workers = api.worker_pids()
    for sig in (signal.SIGURG, signal.SIGPIPE):
        tell(api.process.pid, sig)
    assert api.perfctl("ping").code == 0
    assert api.get("/one").status == 200 and api.worker_pids() == workers


def test_silent_clients_do_not_keep_others_from_the_control_socket(make_perfd, db):
    api = make_perfd(CONF, db).start()
    silent = []
    for _ in range(40):
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{api.run_dir}/control.sock")
        silent.append(client)
    try:
        assert api.perfctl("ping").code == 0
    finally:
        for client in silent:
            client.close()


def test_many_may_ask_a_master_that_is_slow(make_perfd, db):
    """More than its socket's queue has room for."""
    api = make_perfd(CONF, db).start()
    api.pause_master()
    with ThreadPoolExecutor(30) as threads:
        asked = [threads.submit(api.perfctl, "ping") for _ in range(30)]
        time.sleep(0.5)
        api.resume_master()
        failed = [result for result in (ask.result() for ask in asked) if result.code != 0]
    assert not failed, failed[:3]


def test_nothing_is_announced_that_the_end_forbids(make_perfd, db):
    api = make_perfd(CONF, db).start()
    for _ in range(2):
        pids = api.worker_pids()
        os.kill(pids[0], signal.SIGKILL)
        assert eventually(lambda: len(api.worker_pids()) == 2 and api.worker_pids() != pids, 5)
    before = api.log().count("starts again")
    assert api.term() == 0
    assert api.log().count("starts again") == before


def test_when_a_later_worker_fails_the_earlier_ones_go_back(make_perfd, db):
    """Half of the workers on the new configuration would be two answers to one question."""
    api = make_perfd(CONF, db, workers=4).start()
    logs = f"{api.folder}/logs"
    os.mkdir(logs)
    api.configure(api.head.replace(api.access_log, f"{logs}/access.log") +
                  CONF.replace("SELECT 1 AS one", "SELECT 2 AS one"), whole=True)

    def titles():
        found = []
        for pid in api.worker_pids():
            try:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8") as cmdline:
                    found.append(cmdline.read().rstrip("\0"))
            except FileNotFoundError:
                pass  # it has just ended
        return found

    with Load(api.port, "/one", threads=3, fresh=True) as load:
        load.wait_for(50)
        api.sighup()
        # The first is ready by the time that the second is there; some later one finds no folder for its log.
        assert eventually(lambda: "perfd: worker 1 (gen 2)" in titles(), 5, every=0), api.log()
        os.rename(logs, f"{logs}.gone")
        assert api.log_contains("reload refused: worker ", within=10), api.log()
        assert "of the new configuration died" in api.log() and "refused: worker 0" not in api.log()
        assert eventually(lambda: sorted(titles()) == [f"perfd: worker {slot} (gen 1)" for slot in range(4)]), titles()
        load.wait_for(50)
    assert not load.failed, load.failed[:3]
    assert {api.get("/one").json()["one"] for _ in range(40)} == {1}

"""A reload that changes addresses, the number of workers and the error log."""
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.http_client import Connection, request_once
from lib.load import Load
from lib.ports import free_ports, is_free
from lib.process import alive, eventually, tell
from test_tls import make_certificate

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; }
route POST /post { query "SELECT :n::int AS n"; result row; }
route GET /sleep { query "SELECT pg_sleep(:s), 1 AS one"; result row; timeout 20s; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("reload_sockets")


@pytest.fixture
def api(make_perfd, db):
    return make_perfd(CONF, db).start()


def settings(api, *changes):
    """Reloads with other settings."""
    for old, new in changes:
        assert old in api.head, old
        api.head = api.head.replace(old, new)
    return api.reload(api.conf)


def answers(port):
    try:
        return request_once(port, "GET", "/one", timeout=3).status == 200
    except ConnectionError:
        return False


def descriptors(api):
    return len(os.listdir(f"/proc/{api.process.pid}/fd"))


def workers(api):
    return api.perfctl_json("workers")["workers"]


def test_an_address_comes_and_one_goes_under_load(api):
    other, = free_ports(1)
    mine = f"listen 127.0.0.1:{api.port};"
    with Load(api.port, "/one", threads=4, fresh=True) as load:
        load.wait_for(50)
        assert settings(api, (mine, f"listen 127.0.0.1:{api.port} 127.0.0.1:{other};")).code == 0
        assert all(answers(other) for _ in range(20))
        load.wait_for(50)
        assert settings(api, (f" 127.0.0.1:{other};", ";")).code == 0
        assert settings(api, (mine, f"listen 127.0.0.1:{api.port} 127.0.0.1:{other};")).code == 0
        time.sleep(1.2)
        assert all(answers(other) for _ in range(20)), "it came again before it had gone"
    assert not load.failed and not load.wrong, (load.failed[:3], load.wrong[:3])


def ask_until_refused(port, within=6):
    """How often it was answered, and what went wrong before it was refused."""
    asked, failed, end = 0, [], time.monotonic() + within
    while time.monotonic() < end:
        try:
            assert request_once(port, "GET", "/one", timeout=3).status == 200
            asked += 1
        except ConnectionRefusedError:
            return asked, failed
        except OSError as problem:
            failed.append(repr(problem))
    return asked, failed + ["it is never refused"]


def test_an_address_that_goes_answers_all_that_came_to_it(api):
    other, = free_ports(1)
    assert settings(api, (f"listen 127.0.0.1:{api.port};", f"listen 127.0.0.1:{api.port} 127.0.0.1:{other};")).code == 0
    api.head = api.head.replace(f" 127.0.0.1:{other};", ";")
    api.configure(api.conf)
    api.sighup()
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda _: ask_until_refused(other), range(8)))
    assert sum(asked for asked, _ in outcomes) > 100
    assert not [failed for _, failed in outcomes if failed], outcomes
    assert api.log_contains(f"127.0.0.1:{other} is closed")
    assert all(answers(api.port) for _ in range(20))


def test_before_an_address_is_closed_nothing_new_begins_and_what_waits_is_answered(api):
    other, = free_ports(1)
    assert settings(api, (f"listen 127.0.0.1:{api.port};", f"listen 127.0.0.1:{api.port} 127.0.0.1:{other};")).code == 0
    assert settings(api, (f" 127.0.0.1:{other};", ";")).code == 0
    for pid in api.worker_pids():
        tell(pid, signal.SIGSTOP)
    with Connection(other) as queued, socket.socket() as late:
        queued.send("GET", "/one")
        time.sleep(1.3)
        late.settimeout(0.3)
        with pytest.raises(TimeoutError):
            late.connect(("127.0.0.1", other))
        for pid in api.worker_pids():
            tell(pid, signal.SIGCONT)
        assert queued.read().status == 200
    assert eventually(lambda: is_free(other), 5)


def test_an_address_may_come_again_while_it_goes_however_long_that_takes(api):
    other, = free_ports(1)
    with_other = (f"listen 127.0.0.1:{api.port};", f"listen 127.0.0.1:{api.port} 127.0.0.1:{other};")
    assert settings(api, with_other).code == 0
    assert settings(api, with_other[::-1]).code == 0
    before = set(api.worker_pids())
    api.head = api.head.replace(*with_other)
    api.configure(api.conf)
    api.sighup()
    slow = eventually(lambda: [pid for pid in api.worker_pids() if pid not in before], every=0.001)[0]
    tell(slow, signal.SIGSTOP)
    time.sleep(1.3)  # by now it would have gone
    tell(slow, signal.SIGCONT)
    assert api.log_contains("configuration 4 is in force", within=8)
    assert all(answers(other) for _ in range(10)) and f"127.0.0.1:{other} is closed" not in api.log()
    assert settings(api, with_other[::-1]).code == 0
    assert eventually(lambda: is_free(other), 5)


def test_an_address_goes_although_it_was_asked_for_again_in_vain(api):
    other, = free_ports(1)
    assert settings(api, (f"listen 127.0.0.1:{api.port};", f"listen 127.0.0.1:{api.port} 127.0.0.1:{other};")).code == 0
    assert settings(api, (f" 127.0.0.1:{other};", ";")).code == 0
    good = api.head
    assert settings(api, (f"listen 127.0.0.1:{api.port};", f"listen 127.0.0.1:{api.port} 127.0.0.1:{other};"),
                    (api.error_log, "/proc/no/such.log")).code != 0
    assert eventually(lambda: is_free(other), 5)
    api.head = good
    assert api.reload(api.conf).code == 0


def test_who_comes_for_tls_while_it_goes_waits_in_no_queue_that_nobody_serves(make_perfd, db):
    tls, = free_ports(1)
    api = make_perfd(CONF, db)
    make_certificate(api.folder, "one.test")
    block = f"tls {{ listen 127.0.0.1:{tls}; certificate one.test.pem one.test.key; }}\n"
    plain = api.head
    api.head = plain + block
    api.configure(CONF)
    api.start()
    api.configure(plain.replace(api.access_log, "/proc/no/such/access.log") + CONF, whole=True)
    assert api.perfctl("reload", timeout=40).code != 0
    socket.create_connection(("127.0.0.1", tls), 0.5).close()  # it stays, and hears again
    old = set(api.worker_pids())
    api.configure(plain + CONF, whole=True)
    api.sighup()
    first = eventually(lambda: set(api.worker_pids()) - old, every=0.001)
    slow, = eventually(lambda: set(api.worker_pids()) - old - first, every=0.001)  # the first has taken over
    tell(slow, signal.SIGSTOP)
    try:
        for _ in range(8):
            with socket.socket() as late:
                late.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    late.connect(("127.0.0.1", tls))
    finally:
        tell(slow, signal.SIGCONT)
    assert api.log_contains("configuration 3 is in force") and eventually(lambda: is_free(tls), 5)
    assert answers(api.port)


def test_an_idle_worker_spends_nothing_on_an_address_that_went(api):
    other, = free_ports(1)
    assert settings(api, (f"listen 127.0.0.1:{api.port};", f"listen 127.0.0.1:{api.port} 127.0.0.1:{other};")).code == 0
    assert settings(api, (f" 127.0.0.1:{other};", ";")).code == 0
    time.sleep(1.8)
    with socket.socket() as another:
        another.bind(("127.0.0.1", other))  # without SO_REUSEADDR: no process has it
    before = sum(w["cpu_us"] for w in workers(api))
    time.sleep(0.5)
    assert sum(w["cpu_us"] for w in workers(api)) - before < 150_000


def test_a_unix_socket_comes_and_goes(api):
    path = f"{api.folder}/api.sock"

    def ask():
        return subprocess.run(["curl", "-sS", "--unix-socket", path, "http://t/one"], capture_output=True, text=True,
                              timeout=10, check=False).stdout

    def come():
        assert settings(api, (f":{api.port};", f":{api.port} unix:api.sock;")).code == 0
        assert [ask() for _ in range(10)] == ['{"one":1}'] * 10

    come()
    assert settings(api, (" unix:api.sock;", ";")).code == 0
    assert eventually(lambda: not os.path.exists(path), 5)
    come()


def test_the_admin_address_moves(api):
    other, = free_ports(1)
    old = api.admin
    assert settings(api, (f"admin 127.0.0.1:{old};", f"admin 127.0.0.1:{other};")).code == 0
    assert request_once(old, "GET", "/one").status == 404, "for its last second it is the operator's still"
    assert api.status("/readyz", other) == 200
    assert eventually(lambda: is_free(old), 5)


def test_an_address_changes_its_side_of_the_house(api):
    """The same sockets: consumers' and the operator's addresses are exchanged."""
    swap = api.head.replace(f":{api.port};", ":PORT;").replace(f":{api.admin};", f":{api.port};")
    api.head = swap.replace(":PORT;", f":{api.admin};")
    assert api.reload(api.conf).code == 0
    assert all(answers(api.admin) for _ in range(10))
    assert request_once(api.port, "GET", "/one").status == 404
    assert api.status("/readyz", api.port) == 200


def test_a_wider_address_takes_over(api):
    assert settings(api, (f"listen 127.0.0.1:{api.port};", f"listen *:{api.port};")).code == 0
    assert eventually(lambda: api.log_contains(f"127.0.0.1:{api.port} is closed"), 5)
    assert all(answers(api.port) for _ in range(20))


def test_a_taken_address_changes_nothing_and_is_named(api):
    free, = free_ports(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        before, opened = api.worker_pids(), descriptors(api)
        result = settings(api, (f"listen 127.0.0.1:{api.port};", f"listen 127.0.0.1:{free} 127.0.0.1:{port};"),
                          ("workers 2;", "workers 3;"))
    line = api.line_of(f"127.0.0.1:{port}")
    assert result.code != 0 and f"perfd.conf:{line[0]}:{line[1]}: " in result.err and "in use" in result.err, result
    assert api.worker_pids() == before and is_free(free) and answers(api.port)
    assert eventually(lambda: descriptors(api) == opened)
    assert len(workers(api)) == 2


def test_a_log_that_cannot_be_opened_changes_nothing(api):
    free, = free_ports(1)
    result = settings(api, (f"listen 127.0.0.1:{api.port};", f"listen 127.0.0.1:{free};"),
                      (api.error_log, "/proc/no/such.log"))
    assert result.code != 0 and "/proc/no/such.log" in result.err, result
    assert is_free(free) and answers(api.port)


def test_the_error_log_moves(api):
    moved = f"{api.folder}/error.log.moved"
    assert settings(api, (f"error_log {api.error_log};", f"error_log {moved};")).code == 0

    def text():
        with open(moved, encoding="utf-8") as log:
            return log.read()

    assert api.perfctl("replace", "0").code == 0
    assert eventually(lambda: "worker 0[" in text() and "draining: asked to" in text()), "a worker's own words"
    assert eventually(lambda: len(api.worker_pids()) == 2)  # who drains would end before it is killed
    pid = api.worker_pids()[0]
    tell(pid, 9)
    assert eventually(lambda: f"(pid {pid}) was killed" in text())
    assert f"(pid {pid}) was killed" not in open(api.error_log, encoding="utf-8").read()
    os.rename(moved, f"{moved}.1")
    api.usr1()
    assert eventually(lambda: os.path.exists(moved))
    opened = [os.readlink(f"/proc/{api.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{api.process.pid}/fd")]
    assert moved in opened and not {api.error_log, f"{moved}.1"} & set(opened)


def test_more_workers_and_fewer_under_load(api):
    def targets(thread, turn):
        return ("POST", "/post", {"n": turn}) if thread % 2 else ("GET", "/one", None)

    with Load(api.port, targets, threads=4, fresh=True) as load:
        load.wait_for(50)
        assert settings(api, ("workers 2;", "workers 5;")).code == 0
        assert eventually(lambda: api.accepts_for() == [1] * 5, 5)
        load.wait_for(100)
        total = api.stat("requests")
        assert total >= 100 and all(w["requests"] > 0 for w in workers(api))
        assert settings(api, ("workers 5;", "workers 2;")).code == 0
        assert eventually(lambda: sorted(api.accepts_for()) == [0, 0, 0, 2, 3], 5), api.accepts_for()
        load.wait_for(100)
        assert api.stat("requests") >= total
        assert eventually(lambda: len(api.worker_pids()) == 2, 10)
        assert settings(api, ("workers 2;", "workers 3;")).code == 0
        load.wait_for(100)
    assert not load.failed and not load.wrong, (load.failed[:3], load.wrong[:3])
    assert eventually(lambda: sum(api.accepts_for()) == 5, 5), api.accepts_for()


def test_workers_of_a_refused_generation_are_taken_back(api):
    """Slot 2 is new, and its configuration's workers cannot start: the access log is a folder by then."""
    free, = free_ports(1)
    before, opened = api.worker_pids(), descriptors(api)
    result = settings(api, ("workers 2;", "workers 4;"), (api.access_log, "/proc/no/such/access.log"),
                      (f"listen 127.0.0.1:{api.port};", f"listen 127.0.0.1:{api.port} 127.0.0.1:{free};"))
    assert result.code != 0 and "worker 0 of the new configuration" in result.err, result
    assert api.worker_pids() == before and is_free(free)
    assert eventually(lambda: descriptors(api) == opened)
    assert all(answers(api.port) for _ in range(20))
    assert alive(before[0])

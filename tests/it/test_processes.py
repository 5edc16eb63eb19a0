"""The master and its workers: signals, reload, crashes, two of a kind."""
import fcntl
import os
import signal
import socket
import time

import pytest

from lib.load import Load
from lib.perfd import PERFD, run
from lib.ports import is_free
from lib.process import alive, eventually, tell

pytestmark = pytest.mark.rare

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; }
route GET /cached { query "SELECT 1 AS one"; result row; cache ttl=60s; }
route GET /sleep { query "SELECT pg_sleep(:s), 1 AS one"; result row; timeout 20s; }
route GET /big { query "SELECT string_agg(repeat('x', 1000), '') AS text FROM generate_series(1, 8000)"; result row; }
route POST /post { query "SELECT :n::int AS n"; result row; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("processes")


@pytest.fixture
def api(make_perfd, db):
    return make_perfd(CONF, db).start()


def test_a_worker_a_cpu_slot_and_names_that_tell(api):
    titles = [open(f"/proc/{pid}/cmdline", encoding="utf-8").read().rstrip("\0") for pid in api.worker_pids()]
    assert titles and all(title.startswith("perfd: worker") for title in titles)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_it_ends_when_asked(api, end):
    workers = api.worker_pids()
    tell(api.process.pid, end)
    assert api.wait(10) == 0
    assert not [pid for pid in workers if alive(pid)]
    assert is_free(api.port)
    assert not os.path.exists(f"{api.run_dir}/control.sock")


def test_quit_finishes_what_is_under_way(api):
    with api.connect() as connection:
        connection.send("GET", "/sleep?s=1")
        time.sleep(0.2)
        began = time.monotonic()
        tell(api.process.pid, signal.SIGQUIT)
        response = connection.read()
        assert response.status == 200 and response.header("connection") == "close"
    assert api.wait(10) == 0 and time.monotonic() - began < 6


def test_term_does_not_wait(api):
    with api.connect() as connection:
        connection.send("GET", "/sleep?s=8")
        time.sleep(0.2)
        began = time.monotonic()
        assert api.term() == 0 and time.monotonic() - began < 3


def test_a_killed_worker_is_replaced_and_only_its_requests_are_lost(api):
    first = api.worker_pids()[0]
    with Load(api.port, "/one", threads=4) as load:
        for _ in range(3):
            load.wait_for(100)
            pids = api.worker_pids()
            os.kill(pids[0], signal.SIGKILL)
            assert eventually(lambda: len(api.worker_pids()) == 2 and api.worker_pids() != pids, 5)
    assert not load.wrong, load.wrong[:3]
    assert len(load.failed) <= 3 * 4, load.failed[:5]  # connections of the killed one, an answer each at most
    assert api.log_contains("was killed by SIGKILL")
    assert api.stat("restarts") == 3
    deaths = [e for e in api.perfctl_json("events")["events"] if e["kind"] == "worker_died"]
    assert len(deaths) == 3 and {e["slot"] for e in deaths} <= {0, 1} and deaths[0]["pid"] == first
    assert deaths[0]["text"].startswith(f"worker {deaths[0]['slot']} (pid {first}) was killed by SIGKILL, at: ")


def test_a_worker_that_aborts_is_replaced_too(api):
    pids = api.worker_pids()
    os.kill(pids[0], signal.SIGABRT)
    assert eventually(lambda: len(api.worker_pids()) == 2 and api.worker_pids() != pids, 5)
    assert eventually(lambda: api.get("/one").status == 200)


def test_sighup_reloads(api):
    before = api.worker_pids()
    api.configure(CONF.replace("SELECT 1 AS one", "SELECT 2 AS one"))
    api.sighup()
    assert eventually(lambda: {api.get("/one").json()["one"] for _ in range(8)} == {2}, 5)
    assert eventually(lambda: not set(before) & set(api.worker_pids()), 10)


def test_many_sighups_are_one(api):
    api.pause_master()
    for _ in range(20):
        api.sighup()
    api.resume_master()
    assert eventually(lambda: "is in force" in api.log(), 5)
    time.sleep(0.5)
    assert api.log().count("is in force") <= 2
    assert api.get("/one").status == 200


def test_logs_are_reopened(api):
    os.rename(api.access_log, api.access_log + ".1")
    os.rename(f"{api.folder}/error.log", f"{api.folder}/error.log.1")
    api.usr1()
    assert eventually(lambda: os.path.exists(f"{api.folder}/error.log"))
    assert eventually(lambda: os.path.exists(api.access_log))
    for i in range(4):
        api.get("/one", {"X-Request-Id": f"rotated-{i}"})
    assert all(api.access_line(f"rotated-{i}") for i in range(4))


def test_workers_end_with_their_master(api):
    workers = api.worker_pids()
    api.kill_master()
    assert eventually(lambda: not [pid for pid in workers if alive(pid)], 8)
    assert is_free(api.port)
    api.start()
    assert api.get("/one").status == 200


def test_statistics_are_read_while_all_is_stopped(api):
    for _ in range(10):
        api.get("/one")
    pids = api.worker_pids()
    api.pause_master()
    for pid in pids:
        tell(pid, signal.SIGSTOP)
    try:
        assert api.stat("requests") >= 10
        assert api.perfctl("routes").code == 0
    finally:
        for pid in pids:
            tell(pid, signal.SIGCONT)
        api.resume_master()


def test_a_port_in_use_is_named(make_perfd, db):
    perfd = make_perfd(CONF, db)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", perfd.port))
        taken.listen()
        result = perfd.command()
    assert result.code == 3 and str(perfd.port) in result.err + perfd.log(), (result, perfd.log())


def test_a_second_perfd_on_the_folder_is_refused(api):
    result = run(PERFD, "-c", api.conf_file, cwd=api.folder)
    assert result.code == 3 and str(api.process.pid) in result.err, result
    assert api.get("/one").status == 200
    assert api.perfctl("ping").code == 0


def test_a_lock_that_any_reader_can_have_stops_nobody(api):
    api.kill_master()
    with open(f"{api.run_dir}/perfd.pid", "rb") as left:
        fcntl.lockf(left, fcntl.LOCK_SH)
        api.start()


def test_a_log_that_cannot_be_opened_is_a_failed_start(make_perfd, db):
    perfd = make_perfd(CONF, db)
    perfd.configure(perfd.head.replace(perfd.access_log, "/proc/no/such/access.log") + CONF, whole=True)
    result = perfd.command()
    assert result.code == 3, result
    assert perfd.log_contains("/proc/no/such/access.log")


def test_the_control_socket_minds_its_clients(api):
    def ask(data):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(3)
            client.connect(f"{api.run_dir}/control.sock")
            client.sendall(data)
            return client.recv(4096)

    assert b'"ok":true' in ask(b'{"command":"ping"}\n')
    for bad in (b"nonsense\n", b"{}\n", b'{"command":"dance"}\n', b'{"command":7}\n', b"x" * 5000):
        assert b'"ok":false' in ask(bad)
    silent = []
    for _ in range(30):  # more than there is room for
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{api.run_dir}/control.sock")
        silent.append(client)
    assert api.get("/one").status == 200
    for client in silent:
        client.close()
    assert eventually(lambda: api.perfctl("ping").code == 0)
    assert os.stat(f"{api.run_dir}/control.sock").st_mode & 0o077 == 0


def test_a_cache_that_memory_cannot_hold_is_refused(make_perfd, db):
    perfd = make_perfd(CONF, db, cache="size 1000GB;")
    result = perfd.command()
    assert result.code == 3 and "cache" in result.err and "MB" in result.err, result


def test_what_is_under_way_at_a_reload_is_finished(api):
    """Longer than keepalive_min: a query, an answer to a slow reader, a first and a later request still coming in."""
    query, reader, first, later = (api.connect() for _ in range(4))
    body = b'{"n": 5}'
    head = b"POST /post HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body)
    query.send("GET", "/sleep?s=4")
    reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    reader.send("GET", "/big")
    first.write(head + body[:3])
    assert later.request("POST", "/post", {"n": 1}).status == 200
    later.write(head + body[:3])
    time.sleep(0.3)
    assert api.reload(CONF).code == 0
    time.sleep(3)
    first.write(body[3:])
    later.write(body[3:])
    assert first.read().json() == {"n": 5} and later.read().json() == {"n": 5}
    assert query.read().status == 200
    assert len(reader.read().json()["text"]) == 8_000_000
    for connection in (query, reader, first, later):
        connection.close()
    assert eventually(lambda: len(api.worker_pids()) == 2, 10)


def test_rotating_logs_keeps_no_old_files_open(api):
    pid = api.worker_pids()[0]
    for turn in range(5):
        os.rename(f"{api.folder}/error.log", f"{api.folder}/error.log.{turn}")
        api.usr1()
        assert eventually(lambda: os.path.exists(f"{api.folder}/error.log"))
        time.sleep(0.1)
    open_logs = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
                 if "error.log" in os.readlink(f"/proc/{pid}/fd/{fd}")]
    assert len(open_logs) <= 2, open_logs  # its own, and the master's that it was born with


def test_a_reload_by_a_client_that_leaves_keeps_nothing(api):
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{api.run_dir}/control.sock")
            client.sendall(b'{"command":"reload"}\n')
    assert eventually(lambda: "is in force" in api.log(), 5)
    assert api.perfctl("ping").code == 0
    assert eventually(lambda: api.get("/one").status == 200)


def test_stopping_during_a_reload(api):
    api.pause_master()
    api.sighup()
    tell(api.process.pid, signal.SIGTERM)
    api.resume_master()
    began = time.monotonic()
    assert api.wait(10) == 0 and time.monotonic() - began < 4


def test_a_worker_killed_in_the_middle_of_a_reload_gets_the_new_configuration(api):
    api.configure(CONF.replace("SELECT 1 AS one", "SELECT 2 AS one"))
    for _ in range(5):
        before = set(api.worker_pids())
        api.sighup()
        new = eventually(lambda: [pid for pid in api.worker_pids() if pid not in before], 5, every=0.001)
        tell(new[0], signal.SIGKILL)
        assert eventually(lambda: len(api.worker_pids()) >= 2)
        time.sleep(0.5)
    assert api.reload().code == 0
    assert {api.get("/one").json()["one"] for _ in range(20)} == {2}

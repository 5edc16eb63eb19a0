"""perfd under a service manager: what it tells, what it is passed, when it is taken for dead."""
import os
import re
import signal
import socket
import sys
import time

import pytest

from lib.ports import free_ports
from lib.process import eventually, tell
from lib.workers import sockets_of

pytestmark = pytest.mark.rare

CONF = 'route GET /one { query "SELECT 1 AS one"; result row; }\n'


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("systemd")


class Manager:
    """Where a service manager listens: NOTIFY_SOCKET."""

    def __init__(self, name):
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.setblocking(False)
        self.told = []

    def hear(self):
        while True:
            try:
                self.told.append((time.monotonic(), self.socket.recv(8192).decode()))
            except BlockingIOError:
                return [words for _, words in self.told]

    def hears(self, pattern, within=5.0):
        """The first message that has the pattern; they are kept, and looked at again."""
        return eventually(lambda: next((words for words in self.hear() if re.search(pattern, words, re.M)), None), within)

    def forget(self):
        self.hear()
        self.told = []


@pytest.fixture(params=["path", "abstract"])
def any_manager(request, tmp_path):
    manager = Manager(str(tmp_path / "notify") if request.param == "path" else f"@perfd-it-{os.getpid()}-{tmp_path.name}")
    yield manager
    manager.socket.close()


@pytest.fixture
def manager(tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


def managed(make_perfd, db, manager, conf=CONF, env=None, **more):
    return make_perfd(conf, db, env={"NOTIFY_SOCKET": manager.name, **(env or {})}, **more)


def test_it_tells_from_its_start_to_its_end(make_perfd, db, any_manager):
    perfd = managed(make_perfd, db, any_manager).start()
    assert any_manager.hears("^READY=1$")
    assert any_manager.hears("^STATUS=2 of 2 workers serve, configuration 1$")
    assert perfd.term() == 0
    assert any_manager.hears("^STOPPING=1$")
    words = any_manager.hear()
    assert words.count("READY=1") == 1 and words.index("READY=1") < next(i for i, w in enumerate(words) if "STOPPING" in w)


def test_ready_is_told_when_all_workers_are(make_perfd, db, pg, well, manager):
    pg.pause()
    perfd = managed(make_perfd, db, manager).launch()
    assert eventually(lambda: len(perfd.worker_pids()) == 2)
    assert not manager.hears("^READY=1$", 0.5) and manager.hears("^STATUS=0 of 2 workers serve")
    slow = perfd.worker_pids()[1]
    tell(slow, signal.SIGSTOP)
    pg.resume()
    assert manager.hears("^STATUS=1 of 2 workers serve") and not manager.hears("^READY=1$", 0.5)
    tell(slow, signal.SIGCONT)
    assert manager.hears("^READY=1$", 5)


def test_a_reload_as_type_notify_reload_wants_it(make_perfd, db, manager):
    perfd = managed(make_perfd, db, manager).start()
    assert manager.hears("^READY=1$")
    manager.forget()
    asked_us = time.monotonic_ns() // 1000
    perfd.sighup()
    reloading = manager.hears("^RELOADING=1$")
    assert asked_us <= int(re.search(r"^MONOTONIC_USEC=(\d+)$", reloading, re.M)[1]) <= time.monotonic_ns() // 1000
    assert manager.hears("^READY=1$") and manager.hears("^STATUS=2 of 2 workers serve, configuration 2$")
    words = manager.hear()
    assert words.index(reloading) < words.index("READY=1") and words.count("READY=1") == 1


def test_a_refused_reload_is_told_with_its_place(make_perfd, db, manager):
    perfd = managed(make_perfd, db, manager).start()
    assert manager.hears("^READY=1$")
    manager.forget()
    perfd.configure(CONF + "nonsense;\n")
    line, column = perfd.line_of("nonsense")
    perfd.sighup()
    assert manager.hears("^READY=1$")
    assert manager.hears(f"^STATUS=2 of 2 workers serve, configuration 1; reload refused: .*perfd.conf:{line}:{column}: ")
    assert perfd.reload(CONF).code == 0
    assert manager.hears("^STATUS=2 of 2 workers serve, configuration 2$")


def test_a_worker_that_ends_shows_in_the_status(make_perfd, db, pg, well, manager):
    perfd = managed(make_perfd, db, manager).start()
    assert manager.hears("^STATUS=2 of 2")
    manager.forget()
    pg.pause()  # the successor would be there too soon to be told
    tell(perfd.worker_pids()[0], signal.SIGKILL)
    assert manager.hears("^STATUS=1 of 2")
    manager.forget()
    pg.resume()
    assert manager.hears("^STATUS=2 of 2") and "READY=1" not in manager.hear()


def test_a_failed_start_tells_why(make_perfd, db, manager):
    perfd = managed(make_perfd, db, manager, "nonsense;\n")
    assert perfd.launch().wait() == 2
    assert manager.hears("^STATUS=.*perfd.conf:.*nonsense") and manager.hears("^ERRNO=22$")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", perfd.port))
        taken.listen()
        manager.forget()
        perfd.configure(CONF)
        assert perfd.launch().wait() == 3
        assert manager.hears(f"^STATUS=.*{perfd.port}.*in use")


def test_the_watchdog_is_fed_while_a_worker_beats(make_perfd, db, manager):
    perfd = managed(make_perfd, db, manager, env={"WATCHDOG_USEC": "800000"}).start()
    workers = perfd.worker_pids()
    assert manager.hears("^WATCHDOG=1$")
    manager.forget()
    time.sleep(2)
    manager.hear()
    fed = [at for at, words in manager.told if words == "WATCHDOG=1"]
    assert 3 <= len(fed) <= 6 and all(b - a < 0.8 for a, b in zip(fed, fed[1:])), fed
    tell(workers[0], signal.SIGSTOP)
    manager.forget()
    assert manager.hears("^WATCHDOG=1$", 2), "one of them is enough"
    tell(workers[1], signal.SIGSTOP)
    try:
        time.sleep(0.8)
        manager.forget()
        time.sleep(1.2)
        assert "WATCHDOG=1" not in manager.hear(), "nobody serves"
    finally:
        for pid in workers:
            tell(pid, signal.SIGCONT)
    assert manager.hears("^WATCHDOG=1$")


@pytest.mark.parametrize("orders", [["drain"], ["drain 0", "drain 1"]])
def test_drained_workers_are_no_hang(make_perfd, db, manager, orders):
    perfd = managed(make_perfd, db, manager, env={"WATCHDOG_USEC": "400000"}).start()
    for order in orders:
        assert perfd.perfctl(*order.split()).code == 0
    assert eventually(lambda: not perfd.worker_pids())
    time.sleep(0.4)  # of the last beat's feeding
    manager.forget()
    assert manager.hears("^WATCHDOG=1$", 1)


def test_another_process_s_watchdog_is_not_fed(make_perfd, db, manager):
    managed(make_perfd, db, manager, env={"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}).start()
    assert manager.hears("^READY=1$")
    time.sleep(0.6)
    assert "WATCHDOG=1" not in manager.hear()


# ---- sockets that are passed

# Binds what its first arguments say and becomes the rest, as a service manager would.
PASS = """
import os, socket, sys
specs, command = sys.argv[1].split(","), sys.argv[2:]
held = []
for spec in specs:
    kind, name = spec.split("=", 1)
    if kind == "unix":
        s = socket.socket(socket.AF_UNIX)
        s.bind(name)
    else:
        v6 = kind.startswith("v6")
        s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == "reuse":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if v6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(({"v6any": "::", "v6": "::1"}.get(kind, "127.0.0.1"), int(name)))
    s.listen(64)
    held.append(s)
fds = [os.dup(s.fileno()) for s in held]
top = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(top):
    os.dup2(fd, 3 + i, inheritable=True)
for fd in range(3 + len(top), 100):
    try: os.close(fd)
    except OSError: pass
os.environ.update(LISTEN_PID=os.environ.get("PASS_TO") or str(os.getpid()), LISTEN_FDS=str(len(top)), LISTEN_FDNAMES=":".join("x" * len(top)))
os.execv(command[0], command)
"""


def passing(*specs):
    return [sys.executable, "-c", PASS, ",".join(specs)]


def listening(pid, port):
    """How many sockets of this port the process has."""
    inodes = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            words = line.split()
            if words[3] == "0A" and int(words[1].split(":")[1], 16) == port:
                inodes.add(words[9])
    return len(sockets_of(pid) & inodes)


def test_a_passed_socket_is_taken_over_by_all_workers(make_perfd, db):
    perfd = make_perfd(CONF, db)
    perfd.within = passing(f"v4={perfd.port}", f"v4={perfd.admin}")
    perfd.launch()  # no slot has sockets of its own that start() could wait for
    assert eventually(lambda: len(perfd.worker_pids()) == 2 and perfd.status("/readyz") == 200, 10)
    assert perfd.get("/one").json() == {"one": 1} and perfd.status("/healthz", perfd.admin) == 200
    assert listening(perfd.process.pid, perfd.port) == 1
    assert perfd.reload().code == 0 and perfd.get("/one").status == 200
    assert eventually(lambda: len(perfd.worker_pids()) == 2)
    for pid in perfd.worker_pids():  # whoever can accepts
        tell(pid, signal.SIGSTOP)
        try:
            assert perfd.get("/one", timeout=0.8).status == 200
        finally:
            tell(pid, signal.SIGCONT)
    for pid in perfd.worker_pids():
        tell(pid, signal.SIGKILL)
    assert eventually(lambda: perfd.status("/one") == 200)
    assert "was passed" not in perfd.log()


def test_beside_one_with_reuseport_others_are_bound(make_perfd, db):
    perfd = make_perfd(CONF, db)
    perfd.within = passing(f"reuse={perfd.port}")
    perfd.start()
    assert listening(perfd.process.pid, perfd.port) == 2
    assert all(perfd.get("/one").status == 200 for _ in range(20))


def test_a_passed_unix_socket_stays_where_it_is(make_perfd, db):
    perfd = make_perfd(CONF, db)
    path = f"{perfd.folder}/front.sock"
    perfd.head = perfd.head.replace(f"listen 127.0.0.1:{perfd.port}", f"listen 127.0.0.1:{perfd.port} unix:{path}")
    perfd.configure(CONF)
    perfd.within = passing(f"unix={path}")
    perfd.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"GET /one HTTP/1.0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    assert perfd.term() == 0 and os.path.exists(path), "it is the service manager's"


def test_a_passed_socket_that_nobody_names_is_told(make_perfd, db):
    perfd = make_perfd(CONF, db)
    other, = free_ports(1)
    perfd.within = passing(f"v4={perfd.port}", f"v4={other}")
    perfd.start()
    assert perfd.log_contains(f"the socket 127.0.0.1:{other} was passed, but is no address")
    assert f"127.0.0.1:{perfd.port} was passed" not in perfd.log()
    head = perfd.head
    perfd.head = head.replace(f"listen 127.0.0.1:{perfd.port}", f"listen 127.0.0.1:{perfd.port} 127.0.0.1:{other}")
    assert perfd.reload(CONF).code == 0 and perfd.status("/one", other) == 200, "it can be named later"
    perfd.head = head
    assert perfd.reload(CONF).code == 0 and perfd.log_contains(f"127.0.0.1:{other} was passed by the service manager: it is")
    time.sleep(1.2)  # an address of perfd's own would be closed by now
    assert perfd.status("/one", other) == 200


def test_a_v6_socket_that_takes_v4_too_is_refused(make_perfd, db):
    perfd = make_perfd(CONF, db)
    head = perfd.head
    for host, kind in (("::", "v6any"), ("::1", "v6")):
        perfd.configure(head.replace(f"listen 127.0.0.1:{perfd.port}", f"listen [{host}]:{perfd.port}") + CONF, whole=True)
        perfd.within = passing(f"{kind}={perfd.port}")
        perfd.launch()
        if kind == "v6any":
            assert perfd.wait() == 3 and perfd.log_contains("BindIPv6Only=ipv6-only")
    assert eventually(lambda: perfd.status("/readyz", perfd.admin) == 200)


def test_variables_of_another_process_mean_nothing(make_perfd, db):
    perfd = make_perfd(CONF, db, env={"PASS_TO": "1"})
    perfd.within = passing(f"v4={perfd.port}")
    assert perfd.launch().wait() == 3 and perfd.log_contains("in use")


def test_systemd_s_own_activation(make_perfd, db):
    """It binds, waits for the first connection and becomes perfd, which answers it."""
    perfd = make_perfd(CONF, db)
    perfd.within = ["systemd-socket-activate", "-l", f"127.0.0.1:{perfd.port}", "-l", f"127.0.0.1:{perfd.admin}", "-E",
                    f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}"]
    perfd.launch()
    first = eventually(lambda: connects(perfd.port), 5)
    with first:
        first.settimeout(10)
        first.sendall(b"GET /one HTTP/1.0\r\n\r\n")
        assert first.recv(4096).startswith(b"HTTP/1.1 200")
    assert listening(perfd.process.pid, perfd.port) == 1


def connects(port):
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=5)
    except OSError:
        return None

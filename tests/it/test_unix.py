"""Listening on a unix socket."""
import os
import signal
import socket
import stat
import subprocess

import pytest

from lib.process import eventually, tell

CONF = 'route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }'


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("unix")


@pytest.fixture
def api(make_perfd, db):
    perfd = make_perfd(CONF, db, workers=2, settings="trusted_proxies unix:;")
    perfd.head = perfd.head.replace(f"listen 127.0.0.1:{perfd.port};", f"listen 127.0.0.1:{perfd.port} unix:api.sock;")
    perfd.configure(CONF)
    perfd.path = f"{perfd.folder}/api.sock"
    return perfd


def curl(api, *more):
    return subprocess.run(["curl", "-sS", "--unix-socket", api.path, "http://t/one", *more], capture_output=True, text=True,
                          timeout=10, check=False)


def test_it_answers_as_on_any_address(api):
    api.start()
    assert stat.S_IMODE(os.stat(api.path).st_mode) == 0o666
    for _ in range(4):
        assert curl(api).stdout == '{"one":1}'
    head = curl(api, "-D", "-", "-o", "/dev/null", "-H", "X-Forwarded-For: 192.0.2.7").stdout
    request_id = next(line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("x-request-id"))
    assert api.access_line(request_id)["remote"] == "192.0.2.7"
    assert api.get("/one").status == 200
    assert any(line["remote"] == "unix:" for line in api.access_lines())


def test_a_reload_and_a_killed_worker_lose_nothing(api):
    api.start()
    before = api.worker_pids()
    tell(api.process.pid, signal.SIGHUP)
    assert eventually(lambda: set(api.worker_pids()).isdisjoint(before), 5)
    assert curl(api).stdout == '{"one":1}'
    tell(api.worker_pids()[0], signal.SIGKILL)
    assert all(curl(api).stdout == '{"one":1}' for _ in range(10))


def test_the_socket_goes_with_its_perfd_and_comes_with_the_next(api):
    api.start()
    api.process.kill()
    api.process.wait(5)
    assert os.path.exists(api.path), "one that was killed cannot clean up"
    assert eventually(lambda: curl(api).returncode != 0, 10)
    api.start()
    assert curl(api).stdout == '{"one":1}'
    assert api.term() == 0 and not os.path.exists(api.path)


def crowd(path):
    """Fills the queue of a socket where nobody accepts."""
    waiting = []
    while True:
        waiting.append(socket.socket(socket.AF_UNIX))
        waiting[-1].setblocking(False)
        try:
            waiting[-1].connect(path)
        except BlockingIOError:
            return waiting


@pytest.mark.parametrize("crowded", [False, True])
def test_another_ones_socket_is_left_alone(api, crowded):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(api.path)
        other.listen(1)
        waiting = crowd(api.path) if crowded else []
        api.launch()
        assert api.wait() != 0 and "Address already in use" in api.log()
        assert os.path.exists(api.path)
        for client in waiting:
            client.close()


def test_its_socket_is_open_to_all_whatever_the_umask(api):
    api.within = ["sh", "-c", 'umask 077; exec "$0" "$@"']
    api.start()
    assert os.stat(api.path).st_mode & 0o777 == 0o666


def test_a_file_is_no_socket(api):
    with open(api.path, "w", encoding="utf-8") as out:
        out.write("kept")
    api.launch()
    assert api.wait() != 0 and "api.sock" in api.log()
    with open(api.path, encoding="utf-8") as kept:
        assert kept.read() == "kept"


@pytest.mark.parametrize("listen, word", [("unix:", "needs a path"), ("unix:" + "x" * 120, "at most 107"),
                                          ("unix:a unix:a", "stands twice")])
def test_a_wrong_path_is_named(make_perfd, db, listen, word):
    perfd = make_perfd(CONF, db)
    perfd.head = perfd.head.replace(f"listen 127.0.0.1:{perfd.port};", f"listen {listen};")
    perfd.configure(CONF)
    result = perfd.check()
    assert result.code != 0 and word in result.err

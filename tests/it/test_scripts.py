"""scripts/run as a newcomer meets it."""
import contextlib
import glob
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from lib.http_client import request_once
from lib.perfd import ROOT, run
from lib.ports import free_ports, is_free
from lib.process import eventually, tell

RUN = f"{ROOT}/scripts/run"
pytestmark = pytest.mark.skipif(os.environ.get("MODE", "release") != "release", reason="scripts/run serves the release build: tried with that one")


@contextlib.contextmanager
def a_place():
    """A folder and two ports; whatever was started there is ended."""
    with tempfile.TemporaryDirectory(prefix="perfd-run.", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        port, admin = free_ports(2)
        args = [RUN, "--dir", f"{folder}/d", "--port", str(port), "--admin-port", str(admin)]
        yield f"{folder}/d", port, admin, args
        run(RUN, "--dir", f"{folder}/d", "--stop", timeout=60)


@pytest.fixture
def place():
    with a_place() as made:
        yield made


@pytest.fixture(scope="module")
def lived_in():
    """One where the data have been loaded, for tests that begin and end with nothing running there."""
    with a_place() as made:
        assert run(*made[3], "--detach", timeout=120).code == 0
        assert run(RUN, "--dir", made[0], "--stop", timeout=60).code == 0
        yield made


def processes_of(folder):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as command:
                text = command.read().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if folder in text:
            found.append((pid, text))
    return found


def pid_in(path):
    with open(path, encoding="ascii") as file:
        return int(file.readline())


def test_from_nothing_to_an_answer_and_back(place):
    folder, port, admin, args = place
    began = time.monotonic()
    started = run(*args, "--detach", timeout=120)
    first_took = time.monotonic() - began
    assert started.code == 0, started
    assert started.out.count("curl ") == 3
    assert "posts 100,000 of 100,000" in started.out  # progress
    assert request_once(admin, "GET", "/readyz").status == 200
    for line in re.findall(r"^ +(curl .*)$", started.out, re.M):
        done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=10, check=True)
        assert '"id":' in done.stdout, (line, done)
    statistics = re.search(r"\S*perfctl --dir .*$", started.out, re.M).group(0)
    done = subprocess.run(statistics, shell=True, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "requests" in done.stdout

    again = run(*args, "--detach")
    assert again.code == 1 and "already running" in again.err
    assert run(RUN, "--dir", folder, "--stop", timeout=60).code == 0
    assert eventually(lambda: not processes_of(folder), 5), processes_of(folder)
    assert is_free(port) and run(RUN, "--dir", folder, "--stop").code == 0

    body = {"email": "kept@example.com", "name": "Kept"}
    began = time.monotonic()
    assert run(*args, "--detach").code == 0
    assert time.monotonic() - began < first_took / 2, "the data is loaded once"
    assert request_once(port, "POST", "/api/users", body).status == 201
    run(RUN, "--dir", folder, "--stop", timeout=60)
    assert run(*args, "--detach").code == 0
    assert request_once(port, "POST", "/api/users", body).status == 409  # the data was kept

    run(RUN, "--dir", folder, "--stop", timeout=60)
    other = run(*args, "--detach", "--scale", "2")
    assert other.code == 1 and "--scale 2" in other.err, other


@pytest.fixture(params=["it's 41% odd & so on?", "deep" * 24], ids=["odd", "deep"])
def named(request, place):
    """A folder in that of `place`, with what stands outside of it because a socket's name is short."""
    folder = f"{place[0]}/{request.param}"
    yield folder, [*place[3], "--dir", folder]
    run(RUN, "--dir", folder, "--stop", timeout=60)
    for left in glob.glob(f"/tmp/perfd-{hashlib.sha256(folder.encode()).hexdigest()[:10]}-*"):
        shutil.rmtree(left)


def test_a_folder_of_any_name(place, named):
    port, (folder, args) = place[1], named
    started = run(*args, "--detach", timeout=60)
    assert started.code == 0, started
    assert request_once(port, "GET", "/api/users/1").status == 200
    statistics = started.out.splitlines()[-1]
    done = subprocess.run(statistics, shell=True, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "requests" in done.stdout
    stop = re.search(r"^stop +scripts/run (.*)$", started.out, re.M).group(1)
    subprocess.run(f"{RUN} {stop}", shell=True, check=True, timeout=60)
    assert is_free(port) and not processes_of(folder)


def test_a_folder_that_a_shell_would_change_is_refused(place):
    result = run(RUN, "--dir", f"{place[0]}/$x")
    assert result.code == 2 and "--dir" in result.err, result


def test_a_load_that_was_interrupted_is_done_again(place):
    folder, port, _, args = place
    starting = subprocess.Popen([*args, "--detach", "--scale", "5"], stdout=subprocess.PIPE, text=True)
    for line in starting.stdout:
        if "users 50,000" in line:
            break
    starting.kill()
    tell(pid_in(f"{folder}/pg/postmaster.pid"), signal.SIGKILL)
    starting.communicate()
    again = run(*args, "--detach", timeout=60)
    assert again.code == 0 and "posts 100,000 of 100,000" in again.out, again
    assert request_once(port, "GET", "/api/users/10001").status == 404  # the first one's rows are gone


def test_a_crash_of_everything_keeps_the_data(lived_in):
    folder, port, _, args = lived_in
    assert run(*args, "--detach", timeout=60).code == 0
    body = {"email": "kept@example.com", "name": "Kept"}
    assert request_once(port, "POST", "/api/users", body).status == 201
    for file in ("perfd.pid", "redis/redis.pid", "pg/postmaster.pid"):
        tell(pid_in(f"{folder}/{file}"), signal.SIGKILL)
    assert eventually(lambda: is_free(port), 10)
    again = run(*args, "--detach", timeout=60)
    assert again.code == 0 and "loading" not in again.out, again
    assert request_once(port, "POST", "/api/users", body).status == 409
    assert run(RUN, "--dir", folder, "--stop", timeout=60).code == 0


def test_stop_beside_a_foreground(lived_in):
    folder, port, _, args = lived_in
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as shell:
        assert any("perfctl" in line for line in shell.stdout)
        stopped = run(RUN, "--dir", folder, "--stop", timeout=60)
        assert stopped.code == 0 and not stopped.err, stopped
        said, _ = shell.communicate(timeout=15)
        assert shell.returncode == 0, said
    assert is_free(port) and not processes_of(folder)


def test_in_the_foreground_it_ends_with_ctrl_c(place, pg, redis):
    """With servers that exist: nothing is started but perfd, nothing is loaded."""
    folder, port, admin, args = place
    pg.create_database("run")
    conf = f"{os.path.dirname(folder)}/my.conf"
    with open(conf, "w", encoding="utf-8") as out:
        out.write("""listen 127.0.0.1:${PERFD_PORT}; admin 127.0.0.1:${PERFD_ADMIN_PORT}; run_dir ${PERFD_RUN_DIR};
                     database { url ${PERFD_DATABASE_URL}; } redis { url ${PERFD_REDIS_URL}; }
                     route GET /one { query "SELECT 1 AS one"; result row; }""")
    shell = subprocess.Popen([*args, "--conf", conf, "--database-url", pg.url("run"), "--redis-url", redis.url],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             # a shell's background command has it ignored, and so have its children
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    for line in shell.stdout:
        if line.startswith("stop"):
            break
    assert request_once(port, "GET", "/one").json() == {"one": 1}
    assert not os.path.exists(f"{folder}/pg")
    shell.send_signal(signal.SIGINT)
    shell.communicate(timeout=60)  # it gives perfd 40 s itself
    assert shell.returncode == 0
    assert is_free(port) and not processes_of(folder)


@pytest.mark.parametrize("args, word", [
    (["--bogus"], "--bogus"), (["--port"], "--port"), (["--port", "0"], "--port"), (["--port", "65536"], "--port"),
    (["--scale", "many"], "--scale"), (["--conf", "/no/such/file"], "/no/such/file"), (["extra"], "extra"),
    (["--database-url", "mysql://x"], "--database-url"), (["--port", "5", "--admin-port", "5"], "both")])
def test_a_wrong_option_is_named(args, word):
    result = run(RUN, *args)
    assert result.code == 2 and word in result.err, result


def test_help():
    result = run(RUN, "--help")
    assert result.code == 0
    for option in "--dir --port --admin-port --scale --conf --database-url --redis-url --detach --stop --help".split():
        assert option in result.out


def test_a_port_in_use(place):
    import socket
    _, port, _, args = place
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        result = run(*args, "--detach", timeout=60)
    assert result.code == 1 and str(port) in result.err, result

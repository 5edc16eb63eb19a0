"""perfctl top on a real terminal, and as text; perfctl hist."""
import itertools
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from lib.perfd import PERFCTL
from lib.process import children, eventually, name_of, tell
from lib.terminal import Terminal

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }
route GET /n/{n} { query "SELECT :n::int AS n"; result row; }
route GET /never { query "SELECT 1 AS one"; result row; }
"""
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("top")


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db).start()


@pytest.fixture
def asked(api):
    """Requests come all the time: of /one four times as many as of /n/7, and some of these are wrong."""
    done, rounds = threading.Event(), itertools.count()

    def ask():
        with api.connect() as connection:
            while not done.wait(0.004):
                for target in ["/one"] * 4 + ["/n/7"]:
                    connection.request("GET", target)
                connection.request("GET", "/n/x")
                next(rounds)
    thread = threading.Thread(target=ask)
    thread.start()
    yield lambda: 6 * next(rounds)
    done.set()
    thread.join()


def top(terminal, api, *words):
    terminal.run(PERFCTL, "--dir", api.run_dir, "top", "--interval", "100ms", *words)
    terminal.shows("rate", "q quit")


def routes(screen):
    return re.findall(r"^GET (\S+)", screen, re.M)


def test_a_small_terminal(api, asked):
    with Terminal(80, 24) as terminal:
        top(terminal, api)
        screen = terminal.shows("GET /one", "last 0.1 s")
        assert re.search(r"\brate +[1-9]\S* /s +[▁-█]", screen) and re.search(r"\bhits +(?:100|9\d)\.\d %", screen), screen
        assert all(word in screen for word in ["cpu", "memory", "cache", "pool", "p50", "p95", "p99", "in flight"])
        head = next(line for line in terminal.lines() if line.startswith("ROUTE"))
        assert all(word in head for word in ["RATE", "HIT", "ERRORS", "P95", "P99", "TIME"]), head
        assert max(map(len, terminal.lines())) <= 80

        terminal.press("/")
        terminal.type("/n/")
        terminal.shows("filter: /n/")
        terminal.press("Enter")
        assert eventually(lambda: routes(terminal.text()) == ["/n/{n}"]), terminal.text()
        terminal.press("Enter")
        terminal.shows("GET /n/{n}", "up to", "misses", "errors", "p50")
        terminal.press("Escape")
        terminal.shows("HIT", "/n/{n}")
        terminal.press("/", "Escape")
        terminal.shows("GET /one", "GET /never")

        for key, word in [("2", "LOOP"), ("3", "WAITING"), ("4", "EXPIRED"), ("5", "NUMBER"), ("6", "started"), ("7", "cache_hits"),
                          ("?", "Page Up")]:
            terminal.press(key)
            terminal.shows(word)
        terminal.press("4")
        assert eventually(lambda: re.search(r"^GET /one +(?:100|9\d)\.\d % +[\d.,]+ /s", terminal.text(), re.M)), terminal.text()
        assert routes(terminal.text()) == ["/one"], "the others are not cached"
        terminal.press("1", "b")
        terminal.shows("since baseline")
        terminal.press("B", "a")
        terminal.shows("since start")
        terminal.press("p")
        still = terminal.shows("PAUSED")
        terminal.press("j", "k", "j", "k")
        assert not eventually(lambda: terminal.text() != still, 0.3), "figures move though they are to stand still"
        terminal.press("p")
        assert eventually(lambda: terminal.text() != still)
        terminal.press("+")
        terminal.shows("every 0.2 s")

        terminal.resize(160, 50)
        terminal.shows("LAST MINUTES", "MISS P95", "COALESCED")
        terminal.resize(40, 10)
        terminal.shows("40 x 10 is too small")
        terminal.resize(80, 24)
        terminal.shows("q quit")

        terminal.press("q")
        screen = terminal.shows("ready>")
        assert "rate" not in screen and "perfctl" in screen, "what stood there before is not there again"
        terminal.run("stty", "-a")
        assert re.search(r"(?<!-)\bicanon\b", terminal.shows("icanon")) and re.search(r" echo\b", terminal.text())


def test_sorting(api, asked):
    with Terminal(100, 30) as terminal:
        top(terminal, api)
        terminal.press("a")
        terminal.shows("▼TIME", "since start")
        for _ in range(6):
            terminal.press("<")
        terminal.shows("▼RATE")
        assert eventually(lambda: routes(terminal.text()) == ["/one", "/n/{n}", "/never"]), terminal.text()
        terminal.press("r")
        assert eventually(lambda: routes(terminal.text()) == ["/never", "/n/{n}", "/one"]), terminal.text()
        terminal.press("<")
        terminal.shows("ROUTE▲")
        assert eventually(lambda: routes(terminal.text()) == ["/n/{n}", "/never", "/one"]), terminal.text()


def test_colours_and_none(api):
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-8]")
    with Terminal(80, 24) as terminal:
        top(terminal, api)
        assert coloured.search(terminal.text(colours=True))
    with Terminal(80, 24, env={"NO_COLOR": "1", "LC_ALL": "C"}) as terminal:
        top(terminal, api)
        screen = terminal.text(colours=True)
        assert not coloured.search(screen) and "\x1b[7m" in screen
        assert terminal.text().isascii()


def test_what_is_wrong_is_told_and_a_restart_survived(make_perfd, db):
    api = make_perfd(CONF, db).start()
    with Terminal(100, 24) as terminal:
        top(terminal, api)
        terminal.press("b")
        terminal.shows("since baseline")
        api.pause_master()
        terminal.shows("the master is stopped", "since baseline")
        api.resume_master()
        assert eventually(lambda: "stopped" not in terminal.text())
        api.head = api.head.replace("workers 2;", "workers 1;")
        assert api.reload(CONF).code == 0
        terminal.press("2")
        assert eventually(lambda: re.findall(r"^ +(\d) +\d+ +ready", terminal.text(), re.M) == ["0"]), terminal.text()
        assert "none" not in terminal.text()
        terminal.press("1")
        api.kill_master()
        terminal.shows("perfd is not running: these are its last figures", "GET /one", within=6)
        api.start()
        screen = terminal.shows("perfd was started again at", "the baseline is gone")
        assert "since baseline" not in screen and not re.search(r"-\d", re.sub(r"\d-\d", "", screen)), screen
        api.get("/n/1")
        terminal.press("a")
        assert eventually(lambda: re.search(r"^GET /n/\{n\} +[\d.]+ /s", terminal.text(), re.M)), terminal.text()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGBUS])
def test_the_terminal_is_given_back(api, tmp_path, sig):
    """SIGBUS: when somebody cuts the statistics file. It is a copy, as perfd would not survive that either."""
    shutil.copy(f"{api.run_dir}/perfd.stats", tmp_path)
    (tmp_path / "perfd.pid").write_text("")  # nobody has a lock on it
    with Terminal(80, 24) as terminal:
        terminal.run(PERFCTL, "--dir", str(tmp_path), "top", "--interval", "100ms")
        terminal.shows("perfd is not running", "q quit")
        if sig == signal.SIGBUS:
            os.truncate(tmp_path / "perfd.stats", 4096)
            terminal.shows("was cut short while it was read")
        else:
            shell = int(terminal.tmux("display", "-p", "#{pane_pid}"))
            pid, = [child for child in children(shell) if name_of(child) == "perfctl"]
            tell(pid, sig)
            terminal.shows("Terminated")
        assert "q quit" not in terminal.text()
        terminal.run("stty", "-a")
        assert re.search(r"(?<!-)\bicanon\b", terminal.shows("icanon")) and re.search(r" echo\b", terminal.text())


def test_text(api, asked):
    assert eventually(asked)
    sent, began = asked(), time.monotonic()
    done = api.perfctl("top", "--once", "--interval", "300ms")
    sent = (asked() - sent) / (time.monotonic() - began)
    assert done.code == 0 and not done.err, done
    told = float(re.search(r"^ rate +([\d.,]+) /s", done.out, re.M)[1].replace(",", ""))
    assert sent / 3 < told < 3 * sent, (told, sent)
    assert re.search(r"^ rate +[1-9]", done.out, re.M) and "\x1b" not in done.out
    assert set(routes(done.out)) == {"/one", "/n/{n}", "/never"}
    watch = subprocess.Popen([PERFCTL, "--dir", api.run_dir, "top", "pool", "--interval", "100ms"], stdout=subprocess.PIPE,
                             text=True)
    pages = "".join(line for line, _ in zip(watch.stdout, range(40)))
    watch.terminate()
    assert watch.wait(5) == -signal.SIGTERM
    assert pages.count("pool, last 0.1 s") >= 2 and pages.count("WAITING") >= 2
    assert api.perfctl("top", "nothing").code == api.perfctl("top", "-o", "json").code == 64


def test_histograms(api):
    for _ in range(50):
        api.get("/one")
    drawn = api.perfctl("hist", "GET", "/one")
    assert drawn.code == 0 and re.search(r"up to +hits [\d,]{2,}.*misses [1-9]", drawn.out), drawn
    assert len(re.findall(r"^ +[\d.]+ (?:us|ms|s)\b", drawn.out, re.M)) >= 3 and "p99" in drawn.out
    found = api.perfctl("hist", "GET /one", "-o", "json").json
    kinds = {r["route"]: r for r in api.perfctl_json("routes")["routes"]}["GET /one"]
    assert sum(b["count"] for b in found["hit"]["buckets"]) == found["hit"]["count"] == kinds["hit"]["count"]
    assert api.perfctl("hist", "GET /*", "-o", "json").json["routes"] == 3
    assert "no answers" in api.perfctl("hist", "GET /never").out
    assert api.perfctl("hist", "GET /none").code == 1

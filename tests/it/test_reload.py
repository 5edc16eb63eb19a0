"""Reloads that lose nothing, and broken files that change nothing. RELOADS and BROKEN for many of them."""
import os
import random
import re
import time

import pytest

from lib.load import Load
from lib.perfd import PERFD, run
from lib.process import eventually

RELOADS = int(os.environ.get("RELOADS", "4"))
BROKEN = int(os.environ.get("BROKEN", "50"))
REQUESTS = 500  # for each reload

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; }
route GET /cached { query "SELECT 1 AS one"; result row; cache ttl=60s; }
route POST /post {
    query "SELECT :n::int AS n";
    result row;
    param n pattern="[0-9]+|[{;]";
}
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("reload")


def targets(thread, turn):
    return ("POST", "/post", {"n": turn}) if thread % 2 else ("GET", "/cached", None)


def slowly(thread, turn):
    """Idle for longer than a worker that ends takes to look for who is idle, and shorter than keepalive_min."""
    time.sleep(0.1)
    return targets(thread, turn)


def wrong(request, response):
    expected = {"n": request[2]["n"]} if request[0] == "POST" else {"one": 1}
    return None if response.status == 200 and response.json() == expected else repr(response)


def test_reloads_under_load_lose_nothing(make_perfd, db):
    """POST and GET, on connections that are kept, busy or idle, and on ones that are made for each; nothing is sent twice."""
    api = make_perfd(CONF, db).start()
    with Load(api.port, targets, threads=4, check=wrong) as kept, Load(api.port, slowly, threads=8, check=wrong) as idle, \
            Load(api.port, targets, threads=4, check=wrong, fresh=True) as fresh:
        for turn in range(RELOADS):
            goal = kept.answered + fresh.answered + REQUESTS
            result = api.reload(CONF + f'route GET /turn {{ query "SELECT {turn} AS n"; result row; }}\n')
            assert result.code == 0, result
            assert api.get("/turn").json() == {"n": turn}
            assert eventually(lambda goal=goal: kept.answered + fresh.answered >= goal, 60), "the load stands still"
    print(f"{RELOADS} reloads, {kept.answered} requests on kept connections, {fresh.answered} on new ones, "
          f"{idle.answered} on idle ones, {len(kept.failed + idle.failed + fresh.failed)} failed, "
          f"{len(kept.wrong + idle.wrong + fresh.wrong)} wrong, the longest {1000 * max(kept.longest, fresh.longest):.0f} ms")
    for load in (kept, idle, fresh):
        assert not load.failed and not load.wrong, (load.failed[:3], load.wrong[:3])
    assert kept.answered + fresh.answered >= REQUESTS * RELOADS
    assert eventually(lambda: len(api.worker_pids()) == 2, 10)


# ---- broken files

class Breaker:
    """Ways to break the file of a running perfd, each a function that gives what the error must say."""

    def __init__(self, api, seed):
        self.api, self.choose = api, random.Random(seed)
        self.good = api.head + CONF
        told = run(PERFD, "--help-config").out.split("\n\n")[1]  # those that stand outside of any block
        self.directives = re.findall(r"^  ([a-z_]+)", told, re.M)
        assert len(self.directives) > 20, told[:500]

    def ways(self):
        """Each of the others once, then directives and cuts in turn, without end."""
        others = [self.binary, self.not_utf8, self.nul, self.no_file, self.folder, self.fifo, self.huge, self.absent_include,
                  self.recursive_include, self.broken_include, self.deep, self.wrong_query, self.unset, self.restart,
                  self.twice]
        yield from others
        self.choose.shuffle(self.directives)
        while True:
            for name in self.directives:
                yield lambda name=name: self.directive(name)
                yield self.cut

    def text(self, text, *words, name="perfd.conf"):
        self.api.configure(text, whole=True)
        return [rf"{re.escape(name)}:\d+:\d+: ", *words]

    def directive(self, name):
        return self.text(f"{self.good}{name};\n", "perfd.conf", name)

    def cut(self):
        """Within a word, a quote or a block."""
        while True:
            text = self.good[:self.choose.randrange(1, len(self.good))]
            if re.search(r"[^;}\s]\s*$", text) or text.count("{") - text.count("[{") > text.count("}"):
                return self.text(text)

    def binary(self):
        with open(self.api.conf_file, "wb") as out:
            out.write(self.choose.randbytes(5000))
        return [r"perfd\.conf:\d+:\d+: "]

    def not_utf8(self):
        with open(self.api.conf_file, "wb") as out:
            out.write(self.good.encode() + b"# \xff\n")
        return [r"perfd\.conf:\d+:3: ", "UTF-8"]

    def nul(self):
        return self.text(self.good + "\0", "NUL")

    def no_file(self):
        return ["perfd.conf: ", "No such file"]

    def folder(self):
        os.mkdir(self.api.conf_file)
        return ["perfd.conf: ", "folder"]

    def fifo(self):
        os.mkfifo(self.api.conf_file)
        return ["perfd.conf: ", "not a regular file"]

    def huge(self):
        self.api.configure(self.good, whole=True)
        os.truncate(self.api.conf_file, 17 << 20)
        return ["perfd.conf: ", "larger than 16 MB"]

    def absent_include(self):
        return self.text(self.good + "include absent.conf;\n", "absent.conf")

    def recursive_include(self):
        return self.text(self.good + "include perfd.conf;\n", "include loop")

    def broken_include(self):
        self.api.write("more.conf", "# one\n  lisen 1;\n")
        return self.text(self.good + "include more.conf;\n", "lisen", name="more.conf")

    def deep(self):
        return self.text(self.good + "route GET /deep {" * 100_000)

    def wrong_query(self):
        return self.text(self.good + 'route GET /two { query "SELEC 2"; }\n', "SELEC")

    def unset(self):
        return self.text(self.good + "max_body ${IT_NOT_SET};\n", "IT_NOT_SET")

    def restart(self):
        self.api.configure(self.good.replace(self.api.run_dir, "/nowhere"), whole=True)
        return ["perfd.conf: ", "run_dir", "restart"]

    def twice(self):
        return self.text(self.good + "max_body 1MB;\nmax_body 2MB;\n", "max_body")

    def remove(self):
        if os.path.isdir(self.api.conf_file):
            os.rmdir(self.api.conf_file)
        elif os.path.exists(self.api.conf_file):
            os.unlink(self.api.conf_file)


def titles(api):
    found = {}
    for pid in [*api.worker_pids(), api.keeper_pid()]:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as cmdline:
            found[pid] = cmdline.read().rstrip("\0")
    return found


@pytest.mark.once
def test_broken_files_have_no_effect(make_perfd, db):
    api = make_perfd(CONF, db).start()
    breaker, before = Breaker(api, seed=1), titles(api)
    fds = len(os.listdir(f"/proc/{api.process.pid}/fd"))
    tried, bad = 0, []
    with Load(api.port, targets, threads=2, check=wrong) as load:
        for way, _ in zip(breaker.ways(), range(BROKEN)):
            breaker.remove()
            expected = way()
            result = api.perfctl("reload", timeout=40)
            missing = [pattern for pattern in expected if not re.search(pattern, result.err)]
            if result.code == 0 or missing or titles(api) != before:
                bad.append((expected, missing, result, titles(api)))
            tried += 1
        load.wait_for(20)
    print(f"{tried} broken files, {len(bad)} with an effect or without a place")
    assert not bad, "\n".join(map(str, bad[:3])) + "\n" + api.log()[-3000:]
    assert not load.wrong and not load.failed, (load.wrong[:3], load.failed[:3])
    assert len(os.listdir(f"/proc/{api.process.pid}/fd")) == fds
    breaker.remove()
    assert api.reload(CONF.replace("SELECT 1 AS one", "SELECT 2 AS one")).code == 0
    assert api.get("/one").json() == {"one": 2}

"""perfctl check: rules that hold and break, by the exit status; what it says where it cannot tell."""
import csv
import io
import os
import signal
import subprocess

import pytest

from lib.load import Load
from lib.perfd import PERFCTL
from lib.process import eventually, tell

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }
route GET /n/{n} { query "SELECT 1 / :n::int AS n"; result row; }
route GET /sleep { query "SELECT pg_sleep(0.05)::text AS s"; result row; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("check")


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db).start()


def check(api, *rules, span="300ms", more=()):
    return api.perfctl("check", *(word for rule in rules for word in ("--rule", rule)), "--for", span, *more)


def test_rules_hold_and_break(api):
    targets = ["/one", "/sleep"]
    with Load(api.port, lambda thread, turn: targets[thread]) as load:
        load.wait_for(20)
        fine = check(api, "p50(GET /sleep) >= 50ms", "rate(*) > 1", "each rate(GET /*e*) > 1", "errors(*) <= 0%",
                     "hit(GET /one) > 50%", "p95(GET /one) < 5s", "mem < 100%", "in_flight < 1000", "beat < 1m")
        broken = check(api, "p50(GET /sleep) < 50ms", "rate(*) > 1", more=("-o", "json"))
        warned = api.perfctl("check", "--rule", "rate(*)>1", "--warn", "max(GET /sleep)<=1ms", "--for", "200ms", "-o", "csv")
    assert fine.code == 0 and fine.out.count("\nok  ") == 9 and not fine.err, fine
    document = broken.json
    assert broken.code == 2 and document["verdict"] == "critical" and document["schema"] == "perfctl.check/1", broken
    slow, rate = document["rules"]
    assert (slow["verdict"], rate["verdict"]) == ("critical", "ok") and slow["value"] >= 50_000 == slow["limit"]
    assert slow["unit"] == "us" and 0 < slow["samples"] < 20 and slow["uncertain"]
    assert 300_000 <= document["span_us"] < 5_000_000
    rows = list(csv.DictReader(io.StringIO(warned.out, newline="")))
    assert warned.code == 1 and [row["verdict"] for row in rows] == ["ok", "warning"], warned


def test_what_nobody_asked_for_breaks_nothing(api):
    """What came before the check is none of its figures."""
    assert api.get("/one").status == 200
    quiet = check(api, "p95(GET /n/*) < 1us", "each hit(GET /n/*) > 90%", "p95(GET /one) < 1us", "rate(*) <= 0", "requests < 1",
                  span="50ms")
    assert quiet.code == 0 and quiet.out.count("no data") == 3, quiet


def test_rules_of_a_file(api, tmp_path):
    rules = tmp_path / "rules"
    rules.write_text("# of the night\n\n  warn cache_entries > 1000000   # never\npool.sat <= 100%\n")
    assert api.perfctl("check", "--rules", str(rules), "--for", "50ms").code == 1
    rules.write_text("pool.sat <= 100%\nwarn p95(*) << 5ms\n")
    wrong = api.perfctl("check", "--rules", str(rules))
    assert wrong.code == 64 and f"{rules}:2: " in wrong.err and "\n  p95(*) << 5ms\n          ^\n" in wrong.err, wrong
    assert api.perfctl("check", "--rules", f"{tmp_path}/none").code == 64


def test_wrong_rules_and_no_perfd(api, perfctl, tmp_path):
    for rule, place in (("p95(GET /none) < 5ms", 4), ("p95(*) < 5", 9), ("nothing < 5", 0), ("rate(pool_max) < 5", 5)):
        wrong = check(api, rule)
        assert wrong.code == 64 and f"  {rule}\n  {' ' * place}^\n" in wrong.err and not wrong.out, wrong
    assert api.perfctl("check").code == api.perfctl("check", "--for", "0s", "--rule", "mem<1").code == 64
    assert api.perfctl("check", "--checklist", "--rule", "mem<1").code == 64
    assert perfctl("--dir", str(tmp_path), "check", "--rule", "mem<1").code == 3


def test_what_stands_still_is_told(make_perfd, db):
    api = make_perfd(CONF, db).start()
    api.pause_master()
    assert check(api, "beat < 1m", "mem < 100%", span="50ms").code == 0
    tell(api.worker_pids()[0], signal.SIGSTOP)
    assert eventually(lambda: check(api, "beat < 700ms", span="50ms").code == 2)
    tell(api.worker_pids()[0], signal.SIGCONT)
    api.resume_master()


def begin_check(api, span):
    """One that has looked once."""
    watch = subprocess.Popen([PERFCTL, "--dir", api.run_dir, "check", "--rule", "rate(*)>=0", "--for", span],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert eventually(lambda: any("perfd.stats" in line for line in open(f"/proc/{watch.pid}/maps", encoding="utf-8")))
    return watch


def test_another_life_and_none(make_perfd, db):
    api = make_perfd(CONF, db).start()
    watch = begin_check(api, "30s")
    api.term()
    api.start()
    out, err = watch.communicate(timeout=20)
    assert watch.returncode == 1 and "two lives" in err and not out, (watch.returncode, out, err)
    watch = begin_check(api, "500ms")
    api.kill_master()
    out, err = watch.communicate(timeout=20)
    assert watch.returncode == 3 and "has ended while it was being checked" in err and not out, (watch.returncode, out, err)
    gone = check(api, "rate(*)>=0", span="50ms")
    assert gone.code == 3 and "not running" in gone.err and not gone.out, gone


def test_a_file_that_is_damaged_foreign_or_newer(api, perfctl, tmp_path):
    with open(f"{api.run_dir}/perfd.stats", "rb") as stats:
        good = stats.read()
    newer = bytearray(good)
    newer[8] += 1
    files = [(good[:size], "") for size in (0, 7, 500, 4096, len(good) // 2, len(good) - 1)]
    files += [(bytes(newer), "statistics files are others"), (os.urandom(8192), "not a statistics file"),
              (good[:24] + b"\xff" * 400 + good[424:], "")]
    for content, what in files:
        (tmp_path / "perfd.stats").write_bytes(content)
        refused = perfctl("--dir", str(tmp_path), "check", "--rule", "mem<1")
        assert refused.code == 1 and not refused.out, (len(content), refused)
        assert "perfd.stats: " in refused.err and what in refused.err, (len(content), refused)

"""perfctl: what a perf engineer reads, beside what clients counted."""
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.openmetrics import parser

from lib.load import Load
from lib.perfd import PERFCTL, ROOT, run
from lib.process import eventually, tell

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }
route GET /n/{n} { query "SELECT :n::int AS n"; result row; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("perfctl")


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db).start()


def route(api, name):
    routes = api.perfctl_json("routes")
    return next(r for r in routes["routes"] if r.get("route", r.get("name")) == name)


def test_routes_count_what_clients_counted(api):
    before = route(api, "GET /n/{n}")["requests"]
    for i in range(50):
        assert api.get(f"/n/{i}").status == 200
    for _ in range(7):
        assert api.get("/n/x").status == 400
    after = route(api, "GET /n/{n}")
    assert after["requests"] == before + 57
    assert after["errors_4xx"] >= 7


def test_hits(api):
    api.get("/one")
    before = route(api, "GET /one")["hits"]
    for _ in range(20):
        api.get("/one")
    assert route(api, "GET /one")["hits"] == before + 20
    assert api.stat("cache_hits") >= 20


@pytest.mark.parametrize("command", ["stats", "routes", "workers", "pool", "cache", "slow", "events"])
def test_every_command_has_a_table_and_json(api, command):
    table = api.perfctl(command)
    assert table.code == 0 and table.out.strip() and not table.err, table
    document = json.loads(api.perfctl(command, "-o", "json").out)
    assert document["schema"] == f"perfctl.{command}/1"


def test_a_window_has_what_came_in_it(api):
    """While it is open requests come; what came before is not in it."""
    for i in range(20):
        api.get(f"/n/{i}")
    with Load(api.port, lambda thread, turn: f"/n/{turn}", threads=2):
        window = json.loads(api.perfctl("routes", "-o", "json", "--window", "500ms").out)
    found = next(r for r in window["routes"] if r["route"] == "GET /n/{n}")
    assert 0 < found["requests"] < route(api, "GET /n/{n}")["requests"] - 20
    assert abs(found["requests"] - found["count"]) <= 2, "each of two may be between its counter and its histogram"
    assert 400_000 < window["span_us"] < 2_000_000
    idle = json.loads(api.perfctl("routes", "-o", "json", "--window", "50ms").out)["total"]
    assert idle["requests"] == 0 and idle["p99_us"] is None


def test_csv_is_what_json_is(api):
    api.get("/one")
    document = api.perfctl_json("routes")
    rows = list(csv.DictReader(io.StringIO(api.perfctl("routes", "-o", "csv").out, newline="")))
    assert [row["route"] for row in rows] == [r["route"] for r in document["routes"]]
    assert all(int(row["hit.count"]) == r["hit"]["count"] for row, r in zip(rows, document["routes"]))
    pairs = dict(csv.reader(io.StringIO(api.perfctl("ping", "-o", "csv").out, newline="")))
    assert pairs["schema"] == "perfctl.ping/1"


def test_openmetrics(api):
    """As prometheus_client, which we did not write, reads it."""
    api.get("/n/7")
    families = {family.name: family for family in parser.text_string_to_metric_families(api.perfctl("stats", "-o", "prom").out)}
    counted = {sample.labels["route"]: sample.value for sample in families["perfd_route_requests"].samples}
    assert counted == {r["route"]: r["requests"] for r in api.perfctl_json("routes")["routes"]} | {"(other)": 0}
    waits = {sample.name: sample.value for sample in families["perfd_time_pool_wait_seconds"].samples}
    assert waits["perfd_time_pool_wait_seconds_count"] > 0
    assert api.perfctl("routes", "-o", "prom").code == 64


def test_watching_goes_on_when_perfd_is_started_again(make_perfd, db, tmp_path):
    api = make_perfd(CONF, db).start()
    out, err = tmp_path / "out", tmp_path / "err"
    with open(out, "w", encoding="utf-8") as to, open(err, "w", encoding="utf-8") as complaints:
        watch = subprocess.Popen([PERFCTL, "--dir", api.run_dir, "routes", "--watch", "50ms", "--window", "50ms"], stdout=to,
                                 stderr=complaints)

    def printed():
        return out.read_text().count("ROUTE")
    assert eventually(lambda: printed() >= 2)
    api.term()
    api.start()
    before = printed()
    assert eventually(lambda: printed() >= before + 2)
    watch.terminate()
    watch.wait(5)
    assert err.read_text().count("two lives") == 1, err.read_text()


def test_watching_goes_on_whatever_is_found(api):
    """advise ends with 1 where it finds something, and so does this."""
    watch = subprocess.Popen([PERFCTL, "--dir", api.run_dir, "hist", "GET /none", "--watch", "20ms"], stderr=subprocess.PIPE,
                             text=True)
    assert all("no such route" in watch.stderr.readline() for _ in range(3)) and watch.poll() is None
    watch.terminate()
    watch.communicate(timeout=5)


def test_workers(api):
    workers = api.perfctl_json("workers")["workers"]
    assert sorted(w["pid"] for w in workers) == api.worker_pids()
    assert {w["state"] for w in workers} == {"ready"}


def test_wrong_usage_and_no_perfd(api, perfctl, tmp_path):
    assert perfctl("no-such-command").code == 64
    assert perfctl("stats", "-o", "xml").code == 64
    assert perfctl().code == 64
    assert perfctl("--help").code == 0
    missing = perfctl("--dir", str(tmp_path), "stats")
    assert missing.code == 3 and str(tmp_path) in missing.err, missing
    assert perfctl("--dir", str(tmp_path), "ping").code == 3


def test_what_may_not_be_read_is_not_called_absent(api):
    """The folder is ours alone: another user's perfctl, or ours while nobody may enter it."""
    if os.geteuid() == 0:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            os.chmod(folder, 0o755)
            program = shutil.copy(PERFCTL, folder)
            refused = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "--dir", api.run_dir, "stats")
    else:
        os.chmod(api.run_dir, 0)
        refused = api.perfctl("stats")
        os.chmod(api.run_dir, 0o755)
    assert refused.code == 1 and not refused.out and "perfd.stats: " in refused.err and "not running" not in refused.err, refused


def test_the_default_folder(api):
    done = subprocess.run([PERFCTL, "ping"], cwd=api.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done


def test_times_cover_every_answer(api):
    for i in range(30):
        api.get(f"/n/{i}")
    figures = route(api, "GET /n/{n}")
    assert figures["count"] == figures["requests"] == sum(figures[kind]["count"] for kind in ("hit", "miss", "error"))
    assert 0 < figures["p50_us"] <= figures["p95_us"] <= figures["p99_us"] <= figures["max_us"] < 5_000_000
    assert api.perfctl_json("routes")["total"]["requests"] >= figures["requests"]


def test_the_pool_by_slot_and_in_total(api):
    api.get("/n/1")
    pool = api.perfctl_json("pool")
    assert [slot["slot"] for slot in pool["slots"]] == [0, 1]
    assert pool["total"]["max"] == sum(slot["max"] for slot in pool["slots"]) > 0
    assert pool["total"]["saturation"] == pytest.approx(pool["total"]["active"] / pool["total"]["max"], abs=1e-6)
    assert pool["total"]["wait"]["count"] == sum(slot["wait"]["count"] for slot in pool["slots"]) > 0


def test_options_may_follow_the_command(api, perfctl):
    assert perfctl("-o", "json", "--dir", api.run_dir, "stats").json["schema"] == "perfctl.stats/1"
    assert perfctl("stats", "--dir", api.run_dir, "-o", "json").json["running"] is True


def test_output_that_cannot_be_written_is_a_failure(api):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([PERFCTL, "--dir", api.run_dir, "stats"], stdout=full, stderr=subprocess.PIPE, text=True,
                              check=False)
    assert done.returncode == 1 and "No space left" in done.stderr, done


def test_a_refused_reload_fails_with_the_reason(make_perfd, db):
    perfd = make_perfd(CONF, db).start()
    refused = perfd.reload(CONF + "no_such_directive on;\n")
    assert refused.code == 1 and "no_such_directive" in refused.err and not refused.out, refused
    assert perfd.reload(CONF).code == 0


def test_a_dead_perfd_leaves_its_last_figures(make_perfd, db):
    perfd = make_perfd(CONF, db).start()
    for _ in range(5):
        perfd.get("/one")
    perfd.kill_master()
    last = perfd.perfctl("routes", "-o", "json")
    assert last.code == 0 and "not running" in last.err, last
    assert last.json["running"] is False and last.json["total"]["requests"] >= 5
    assert last.json["span_us"] == last.json["at_us"] - last.json["since_us"] > 0
    assert perfd.perfctl("routes", "-o", "json").json["span_us"] == last.json["span_us"], "it ages no more"
    window = perfd.perfctl("routes", "--window", "100s")
    assert window.code == 3 and not window.out and "not running" in window.err, window
    assert perfd.perfctl("ping").code == perfd.perfctl("reload").code == 3


def test_times_are_those_of_the_clock(make_perfd, db):
    """A quick answer is not counted as slow: libevent's coarse clock once added up to 4 ms."""
    api = make_perfd(CONF, db).start()
    times = []
    with api.connect() as connection:
        for _ in range(500):
            start = time.monotonic()
            connection.request("GET", "/one")
            times.append(time.monotonic() - start)
            time.sleep(0.001)
    assert route(api, "GET /one")["hit"]["p95_us"] < 1e6 * sorted(times)[475] * 1.2 + 100


# --- while something is wrong

ARGS = {"explain": ["GET /one"], "hist": ["GET /one"], "config": ["--file"], "top": ["--once", "--interval", "50ms"],
        "flame": ["--duration", "50ms", "--output-file", "/dev/null"]}
NO_JSON = {"config", "top"}


def readers():
    """Every command that reads the statistics file, as its table has them."""
    with open(f"{ROOT}/master/ctl/commands.def", encoding="utf-8") as table:
        found = re.findall(r"^COMMAND\((\w+), +(?:FIGURES|FILE_ONLY),", table.read(), re.M)
    assert len(found) >= 14
    return found


def all_readers(ask):
    """What each of them answers, all at once."""
    with ThreadPoolExecutor(4) as threads:
        done = {command: threads.submit(ask, command, *ARGS.get(command, []), *([] if command in NO_JSON else ["-o", "json"]))
                for command in readers()}
        return {command: future.result() for command, future in done.items()}


def test_every_command_answers_while_the_master_and_a_worker_stand_still(make_perfd, db):
    api = make_perfd(CONF, db).start()
    for i in range(9):
        assert api.get("/one").status == api.get(f"/n/{i}").status == 200
    stopped = api.worker_pids()[0]
    api.pause_master()
    tell(stopped, signal.SIGSTOP)
    try:
        answers = all_readers(api.perfctl)
    finally:
        tell(stopped, signal.SIGCONT)
        api.resume_master()
    assert answers.pop("flame").code == 1, "nobody did anything"
    for command, answer in answers.items():
        assert answer.code == 0 and answer.out, (command, answer)
        assert command in NO_JSON or answer.json["schema"] == f"perfctl.{command}/1", (command, answer)
        assert command in NO_JSON or answer.json.get("running", True) is True, (command, answer)
    requests = {r["route"]: r["requests"] for r in answers["routes"].json["routes"]}
    assert requests["GET /one"] == requests["GET /n/{n}"] == 9
    assert stopped in [w["pid"] for w in answers["workers"].json["workers"]]
    assert answers["hist"].json["hit"]["count"] + answers["hist"].json["miss"]["count"] == 9
    assert "the master is stopped" in answers["top"].out and "route GET /one" in answers["config"].out


@pytest.fixture
def other(api, perfctl, tmp_path):
    """Runs perfctl on a folder whose statistics file is what `change` made of a good one."""
    def place(change):
        with open(f"{api.run_dir}/perfd.stats", "rb") as stats:
            (tmp_path / "perfd.stats").write_bytes(change(stats.read()))
        return lambda *words: perfctl("--dir", str(tmp_path), *words)
    return place


@pytest.mark.parametrize("change, what", [
    (lambda good: good[:len(good) // 3], "cut short"),
    (lambda good: b"\x7fELF" + bytes(range(256)) * 64, "not a statistics file of perfd"),
    (lambda good: good[:8] + bytes([good[8] + 1]) + good[9:], "use its own perfctl")], ids=["truncated", "foreign", "newer"])
def test_every_command_refuses_what_it_cannot_read(other, change, what):
    for command, answer in all_readers(other(change)).items():
        assert answer.code == 1 and not answer.out, (command, answer)
        assert "perfd.stats: " in answer.err and what in answer.err, (command, answer)


def test_every_command_reads_a_file_with_other_metrics(other):
    """A newer perfd has some that this perfctl does not know, and has lost others."""
    ask = other(lambda good: good.replace(b"pool_repeated\0", b"brand_new_one\0").replace(b"flight_wait\0", b"another_new\0")
                .replace(b"not_modified\0", b"other_answer\0"))
    answers = all_readers(ask)
    for command, answer in answers.items():
        assert answer.code == 0 and answer.out or command in ("advise", "flame") and answer.code == 1, (command, answer)
    stats = answers["stats"].json
    assert "brand_new_one" in stats["metrics"] and "pool_repeated" not in stats["metrics"]
    assert "another_new" in stats["histograms"] and "flight_wait" not in stats["histograms"]
    assert "brand_new_one" in ask("stats").out
    pool, total = answers["pool"].json["total"], answers["routes"].json["total"]
    assert "queries" in pool and "repeated" not in pool and "hits" in total and "not_modified" not in total

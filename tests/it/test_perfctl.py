"""perfctl: what a perf engineer reads, beside what clients counted."""
import csv
import io
import json
import subprocess
import time

import pytest
from prometheus_client.openmetrics import parser

from lib.load import Load
from lib.perfd import PERFCTL

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
    assert found["requests"] == found["count"] and 400_000 < window["span_us"] < 2_000_000
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


def test_watching_goes_on_when_perfd_is_started_again(make_perfd, db):
    api = make_perfd(CONF, db).start()
    watch = subprocess.Popen([PERFCTL, "--dir", api.run_dir, "routes", "--watch", "100ms", "--window", "100ms"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    api.term()
    api.start()
    time.sleep(0.7)
    watch.terminate()
    out, err = watch.communicate(timeout=5)
    assert out.count("ROUTE") >= 4 and err.count("two lives") == 1, (out[-500:], err)


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


def test_a_damaged_file_is_refused(perfctl, tmp_path):
    (tmp_path / "perfd.stats").write_bytes(b"x" * 100_000)
    result = perfctl("--dir", str(tmp_path), "stats")
    assert result.code not in (0, 64) and "perfd.stats" in result.err, result


def test_the_default_folder(api, perfctl):
    import subprocess
    from lib.perfd import PERFCTL
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
    assert pool["total"]["wait"]["count"] == sum(slot["wait"]["count"] for slot in pool["slots"]) > 0


def test_options_may_follow_the_command(api, perfctl):
    assert perfctl("-o", "json", "--dir", api.run_dir, "stats").json["schema"] == "perfctl.stats/1"
    assert perfctl("stats", "--dir", api.run_dir, "-o", "json").json["running"] is True


def test_output_that_cannot_be_written_is_a_failure(api):
    import subprocess
    from lib.perfd import PERFCTL
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

"""perfctl: what a perf engineer reads, beside what clients counted."""
import json

import pytest

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


@pytest.mark.parametrize("command", ["stats", "routes", "workers", "pool", "cache"])
def test_every_command_has_a_table_and_json(api, command):
    table = api.perfctl(command)
    assert table.code == 0 and table.out.strip() and not table.err, table
    document = json.loads(api.perfctl(command, "-o", "json").out)
    assert document["schema"] == f"perfctl.{command}/1"


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

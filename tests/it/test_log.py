"""perfctl log: lines of access logs that a query asks for."""
import csv
import gzip
import io
import json
import subprocess

import pytest

from lib.perfd import PERFCTL
from lib.process import eventually

CONF = """
route GET /n/{n} { query "SELECT :n::int AS n"; result row; }
route GET /divide/{n} { query "SELECT 1 / :n::int AS n"; result row; }
"""


@pytest.fixture(scope="module")
def api(make_module_perfd, pg):
    api = make_module_perfd(CONF, pg.create_database("log"), workers=1).start()
    for i in range(30):
        assert api.get(f"/n/{i}", {"X-Request-Id": f"n-{i}"}).status == 200
    assert api.get("/divide/0", {"X-Request-Id": "last"}).status == 422
    assert api.access_line("last")
    return api


def ask(api, query, *more):
    result = api.perfctl("log", "-o", "json", "-q", query, *more)
    assert result.code == 0 and not result.err, result
    return result.json


def test_lines_of_its_own_log(api):
    found = ask(api, 'route="GET /n/*" and status=200')
    assert found["schema"] == "perfctl.log/1" and found["count"] == 30 and found["damaged"] == 0
    assert found["lines"] == [line for line in api.access_lines() if line.get("route") == "GET /n/{n}"]
    assert [line["request_id"] for line in ask(api, "sqlstate=22012")["lines"]] == ["last"]
    quick = ask(api, 'route="GET /n/*" and ms<0.001')["count"]
    assert quick + ask(api, 'route="GET /n/*" and ms>=0.001')["count"] == 30
    table = api.perfctl("log", "-q", "request_id=n-7")
    assert "/n/7" in table.out and len(table.out.splitlines()) == 2
    rows = list(csv.DictReader(io.StringIO(api.perfctl("log", "-q", "sqlstate=22012", "-o", "csv").out, newline="")))
    assert len(rows) == 1 and rows[0]["status"] == "422" and rows[0]["route"] == "GET /divide/{n}"


def test_how_many_and_how_long(api):
    assert api.perfctl("log", "--count", "-q", "request_id~n-*").out == "30\n"
    routes = {r["route"]: r for r in ask(api, "status<500", "--summary")["routes"]}
    times = sorted(line["duration_us"] for line in api.access_lines() if line.get("route") == "GET /n/{n}")
    n = routes["GET /n/{n}"]
    assert (n["requests"], n["errors_4xx"], routes["GET /divide/{n}"]["errors_4xx"]) == (30, 0, 1)
    assert times[14] <= n["p50_us"] <= times[14] * 1.02 + 1 and times[-1] <= n["max_us"] <= times[-1] * 1.02 + 1
    assert n["sent_bytes"] == sum(line["bytes"] for line in api.access_lines() if line.get("route") == "GET /n/{n}")


def test_other_files_packed_and_damaged(perfctl, tmp_path):
    lines = [json.dumps({"status": 200 + i, "duration_us": i}) for i in range(100)]
    packed, damaged, cut = tmp_path / "a.gz", tmp_path / "b", tmp_path / "c.gz"
    packed.write_bytes(gzip.compress("\n".join(lines).encode()))
    damaged.write_text("\n".join([lines[0], "{", "", lines[1], "x" * 2_000_000, lines[2]]) + "\n")
    cut.write_bytes(gzip.compress("\n".join(lines).encode())[:-20])
    assert perfctl("log", "--count", "-q", "status>=250", str(packed)).out == "50\n"
    result = perfctl("log", "--count", str(damaged), str(packed))
    assert result.code == 0 and result.out == "103\n", result
    assert f"{damaged}: 2 of 5 lines are damaged, line 2 is the first" in result.err, result
    result = perfctl("log", "--count", str(cut))
    assert result.code == 0 and 0 <= int(result.out) < 100 and "damaged" in result.err, result
    missing = perfctl("log", "--count", str(tmp_path / "none"), str(packed))
    assert missing.code == 1 and missing.out == "100\n" and "none" in missing.err, missing


def test_mistakes(perfctl, api):
    wrong = perfctl("log", "-q", "status=500 nad ms>1", "/dev/null")
    assert wrong.code == 64 and wrong.err.splitlines()[1:] == ["  status=500 nad ms>1", " " * 13 + "^"], wrong
    assert perfctl("log", "--count", "--follow", "/dev/null").code == 64
    for setting, words in (("off", "access_log off"), ("stderr", "stderr")):
        api.write("other.conf", f"access_log {setting};")
        refused = perfctl("log", "--conf", f"{api.folder}/other.conf")
        assert refused.code == 1 and words in refused.err, refused
    api.write("other.conf", "access_log /tmp/x; access_log_format combined;")
    assert "combined" in perfctl("log", "--conf", f"{api.folder}/other.conf").err


def test_following_through_a_rotation(tmp_path):
    log = tmp_path / "access.log"
    log.write_text('{"status":1}\n')
    with open(tmp_path / "out", "wb") as out:
        process = subprocess.Popen([PERFCTL, "log", "--follow", "-o", "json", "-q", "status!=3", str(log)], stdout=out)
    seen = lambda text: text in (tmp_path / "out").read_text()

    def write(text):
        with open(log, "a", encoding="ascii") as file:
            file.write(text)

    def writes_until_seen(text):
        write(text + "\n")
        return seen(text)

    try:
        assert eventually(lambda: writes_until_seen('{"status":2}'))
        write('{"status":3}\n{"sta')
        log.rename(tmp_path / "access.log.1")
        write('{"status":4}\n')
        assert eventually(lambda: seen('{"status":4}')) and not seen('{"status":1}') and not seen('{"status":3}')
    finally:
        process.terminate()
        process.wait(5)

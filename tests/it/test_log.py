"""perfctl log: lines of access logs that a query asks for."""
import csv
import gzip
import io
import json
import os
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


def test_a_summary_tells_each_kind_of_line_apart(perfctl, tmp_path):
    lines = [(200, "HIT"), (200, "HIT"), (304, "HIT"), (200, "MISS"), (404, "MISS"), (499, None), (500, "MISS"), (503, None), (599, None)]
    (tmp_path / "log").write_text("".join(
        json.dumps({"status": status, "bytes": 10, "duration_us": 7, "route": "GET /a", **({"cache": cache} if cache else {})}) + "\n"
        for status, cache in lines) + '{"status":400}\n')
    routes = {r["route"]: r for r in perfctl("log", "--summary", "-o", "json", str(tmp_path / "log")).json["routes"]}
    a = routes["GET /a"]
    assert (a["requests"], a["hits"], a["errors_4xx"], a["errors_5xx"], a["sent_bytes"]) == (9, 3, 2, 3, 90)
    assert (routes["-"]["requests"], routes["-"]["errors_4xx"]) == (1, 1)


def test_a_value_does_not_steer_the_terminal(perfctl, tmp_path):
    (tmp_path / "log").write_text('{"method":"GET","target":"/\\u001b[2J\\u009b2J\\u007f\\u00e9"}\n')
    shown = perfctl("log", str(tmp_path / "log")).out
    assert shown.endswith("GET /?[2J??2J?\u00e9\n"), repr(shown)


def peak_kb(*argv):
    """Not below that of the test's own process."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return out, usage.ru_maxrss


@pytest.mark.once
def test_a_line_without_end_takes_no_memory(tmp_path):
    """150 MB in one line, beside one of 1.3 MB, whose end looks good by itself."""
    long, short = tmp_path / "long.gz", tmp_path / "short"
    long.write_bytes(gzip.compress(b"x" * (1 << 20)) * 150 + gzip.compress(b'\n{"status":1}\n'))
    short.write_text("x" * (20 << 16) + '{"status":1}\n{"status":2}\n')
    told, most = peak_kb(PERFCTL, "log", "--count", str(long))
    assert "1 of 2 lines are damaged" in told and told.endswith("1\n"), told
    told, least = peak_kb(PERFCTL, "log", "--count", str(short))
    assert "1 of 2 lines are damaged" in told and told.endswith("1\n"), told
    assert most < least + 20_000, (least, most)


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
    assert perfctl("log", "--follow", "-").code == 64
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
        (tmp_path / "next").write_text('{"status":4,"bytes":' + "1" * 100 + "}\n")  # longer than the one before
        (tmp_path / "next").rename(log)
        assert eventually(lambda: seen('{"status":4,')) and not seen('{"status":1}') and not seen('{"status":3}')
        log.write_text('{"status":5}\n')  # the same file, cut
        assert eventually(lambda: seen('{"status":5}'))
        write("x" * 1_100_000)  # a line that is too long, and has no end
        log.rename(tmp_path / "access.log.1")
        write('{"status":6}\n')
        assert eventually(lambda: seen('{"status":6}'))
    finally:
        process.terminate()
        process.wait(5)

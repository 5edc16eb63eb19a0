"""perfctl capacity: the Universal Scalability Law out of measured points."""
import json
import math
import signal
import subprocess
import time

import pytest

from lib.load import Load
from lib.perfd import PERFCTL, run
from lib.process import eventually
from lib.upstream import Upstream, answer


def law(n, scale=1000.0, sigma=0.04, kappa=0.0008):
    return scale * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


@pytest.fixture
def points(tmp_path):
    """A file of the law's own points at these N."""
    def write(ns, text=""):
        path = tmp_path / "points"
        path.write_text(text + "".join(f"{n} {law(n):.6f}\n" for n in ns))
        return str(path)
    return write


def capacity(*args):
    return run(PERFCTL, "capacity", *args)


def test_a_fit_finds_the_law_behind_points(points):
    found = capacity("--points", points([1, 2, 4, 8, 16, 32, 64]), "-o", "json").json
    assert found["schema"] == "perfctl.capacity/1"
    assert math.isclose(found["lambda"], 1000, rel_tol=1e-5)
    assert math.isclose(found["sigma"], 0.04, rel_tol=1e-5) and math.isclose(found["kappa"], 0.0008, rel_tol=1e-5)
    best = max(range(1, 1000), key=law)
    assert found["maximum_n"] in (best, best - 1) and math.isclose(found["maximum_x"], law(best), rel_tol=1e-3)
    assert found["reaches_bend"] is True and found["extrapolated"] is False
    assert found["present_x"] is None and found["headroom"] is None
    assert [point["n"] for point in found["points"]] == [1, 2, 4, 8, 16, 32, 64]
    assert capacity("--points", points([16, 1, 64, 4, 2, 32, 8]), "-o", "json").json == found


def test_what_was_not_measured_is_said_to_be_extrapolated(points):
    near = capacity("--points", points([1, 2, 4, 8, 16, 24]))
    assert near.code == 0 and "extrapolated beyond" in near.out and "warning" not in near.out
    far = capacity("--points", points([1, 2, 3, 4, 5, 6]))
    assert "extrapolated beyond" in far.out and "before the knee" in far.out
    whole = capacity("--points", points([1, 2, 4, 8, 16, 32, 64]))
    assert "extrapolated" not in whole.out and "measured on both sides" in whole.out


def test_the_curve_is_drawn(points):
    """A column has the mark of its point on the row of its X: the highest one stands on the highest row with a mark."""
    lines = capacity("--points", points([1, 2, 4, 8, 16, 32, 64])).out.splitlines()
    chart = [line[12:] for line in lines if line[11:12] in ("|", "+")]
    marks = {column: row for row, line in enumerate(chart[:-1]) for column, mark in enumerate(line) if mark == "o"}
    assert len(marks) == 7
    assert marks[max(marks)] > min(marks.values()), "the curve does not fall behind its peak"
    by_column = [marks[column] for column in sorted(marks)]
    assert by_column[:6] == sorted(by_column[:6], reverse=True)
    assert any("K" in line and "M" in line and "---" in line for line in lines)
    x_end, n_end = (float(line.split()[at].replace(",", "")) for line, at in ((next(l for l in lines if l[11:12] == "+"), 0),
                                                                              (next(l for l in lines if "N=0" in l), -1)))
    for column in range(1, 65):  # columns are quarters of 16, rows quarters of 4
        height = min(law(column * n_end / 64) / x_end * 16, 16)
        drawn = [16 - row for row, line in enumerate(chart) if line[column - 1:column] in (".", ":", "o")]
        assert min(abs(height - row) for row in drawn) <= 0.51, (column, height, drawn)


def test_csv_can_be_read_again(points, tmp_path):
    first = capacity("--points", points([1, 2, 4, 8, 16, 32]), "-o", "csv")
    (tmp_path / "again").write_text(first.out)
    assert capacity("--points", str(tmp_path / "again"), "-o", "csv").out == first.out


@pytest.mark.parametrize("text, what", [
    ("1,10\n2,19\nthree,27\n", "line 3"), ("0,1\n", "line 1"), ("1,nan\n", "line 1"), ("1,-2\n", "line 1"), ("1 2 3\n", "line 1"),
    ("12\n", "line 1"), ("1,10\n2,19\n3,27\n4,34\n5,40\n5,41\n", "5 different N"), ("", "0 different N")])
def test_points_that_are_none_are_refused(tmp_path, text, what):
    (tmp_path / "points").write_text(text)
    refused = capacity("--points", str(tmp_path / "points"))
    assert refused.code == 1 and what in refused.err and not refused.out, refused


def test_no_points(tmp_path):
    missing = capacity("--points", str(tmp_path / "none"))
    assert missing.code == 1 and "No such file" in missing.err


@pytest.mark.once
def test_headroom_is_what_the_present_load_leaves(make_perfd, pg, points):
    api = make_perfd('route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }\n', pg.create_database("headroom")).start()
    def target(_thread, turn):
        time.sleep(0.02 if turn > 300 else 0)
        return "/one"
    with Load(api.port, target, threads=1) as load:
        load.wait_for(310)  # what was before is not present
        began, before = time.monotonic(), load.answered
        found = json.loads(api.perfctl("capacity", "--points", points([1, 2, 4, 8, 16, 32, 64]), "-o", "json").out)
        rate = (load.answered - before) / (time.monotonic() - began)
    assert rate / 3 < found["present_x"] < rate * 3
    assert math.isclose(found["headroom"], 1 - found["present_x"] / found["maximum_x"], abs_tol=1e-9)


@pytest.fixture(scope="module")
def sleepy(make_module_perfd, pg):
    """Four queries at a time, of 20 ms each: never more than 200 answers a second."""
    return make_module_perfd('route GET /slow { query "SELECT 1 AS one FROM pg_sleep(0.02)"; result row; }\n',
                             pg.create_database("capacity"), workers=1, pool="pool max=4 min=4;").start()


def scenario(tmp_path, url, path="/slow"):
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps({"base_url": url, "users": [{"duration": "1s", "target": 1}], "think_time": ["5s", "5s"],
                                "requests": [{"name": path, "path": path}]}))
    return str(file)


@pytest.mark.once
def test_a_load_finds_what_the_server_can_do(sleepy, tmp_path):
    """The bounds are those of the sleeps, which no machine makes shorter; half of them a busy one reaches, too."""
    done = capacity(scenario(tmp_path, f"http://127.0.0.1:{sleepy.port}"), "--steps", "1,2,3,4,8,12", "--duration", "150ms", "-o", "json")
    assert done.code == 0, done
    found = done.json
    xs = {point["n"]: point["x"] for point in found["points"]}
    assert list(xs) == [1, 2, 3, 4, 8, 12] and found["failed"] == 0
    assert all(x <= 50 * min(n, 4) for n, x in xs.items()), xs
    assert xs[1] > 15 and max(xs.values()) > 2 * xs[1], xs
    assert found["requests"] >= 0.15 * sum(xs.values()) and done.err.count("N = ") == 6
    assert found["maximum_x"] < 250


@pytest.mark.once
def test_it_ends_when_more_users_bring_no_more(sleepy, tmp_path):
    found = capacity(scenario(tmp_path, f"http://127.0.0.1:{sleepy.port}"), "--duration", "60ms", "-o", "json").json
    ns = [point["n"] for point in found["points"]]
    assert ns == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96][:len(ns)] and len(ns) >= 6, ns
    best = max(point["x"] for point in found["points"][:-2])
    assert all(point["x"] < 1.03 * best for point in found["points"][-2:])


@pytest.mark.once
def test_a_step_that_is_interrupted_is_none(tmp_path):
    """The server stops answering in the seventh step: behind the 21 connections of those before."""
    server = Upstream()
    server.on("/", lambda _sock, asked: answer() if asked.connection <= 21 else time.sleep(5))
    with subprocess.Popen([PERFCTL, "capacity", scenario(tmp_path, server.url, "/"), "--steps", "1,2,3,4,5,6,7,8", "--duration",
                           "30ms", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = [process.stderr.readline() for _ in range(6)]
        assert eventually(lambda: server.opened > 21)
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=10)
    server.stop()
    assert process.returncode == 1 and "N = 6:" in told[-1] and "N = " not in rest, (told, rest)
    found = json.loads(out)
    assert found["interrupted"] is True and [point["n"] for point in found["points"]] == [1, 2, 3, 4, 5, 6]


@pytest.mark.once
def test_what_fails_is_no_throughput(sleepy, tmp_path):
    done = capacity(scenario(tmp_path, f"http://127.0.0.1:{sleepy.port}", "/none"), "--steps", "1,2,3,4,5,6", "--duration", "20ms")
    assert done.code == 1 and "0 different N" in done.err and "0.0/s" in done.err, done


@pytest.mark.parametrize("steps", ["", "0,1", "1,1", "2,1", "1,x", "1,,2", "1,2,", "-1", "1,200000"])
def test_steps_that_are_none_are_refused(tmp_path, steps):
    refused = capacity(scenario(tmp_path, "http://127.0.0.1:1"), "--steps", steps)
    assert refused.code == 64 and "--steps" in refused.err and not refused.out, refused

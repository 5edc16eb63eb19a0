"""perfctl flame: with a perf that prints what was recorded before, and with the real one where it may sample."""
import json
import os
import stat
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from lib.perfd import PERFCTL

SVG = "{http://www.w3.org/2000/svg}"
RECORDED = "".join(f"perfd \n{frames}\n" * times for times, frames in [
    (5, "\t 10e0d6 epoll_wait (/usr/lib/libc.so.6)\n\t 9c1e main (/usr/sbin/perfd)\n"),
    (3, "\tffff81 do_sys<a&b> ([kernel.kallsyms])\n\t 9d1e answer (/usr/sbin/perfd)\n\t 9c1e main (/usr/sbin/perfd)\n"),
    (2, "\t 9d1e answer (/usr/sbin/perfd)\n\t 9c1e main (/usr/sbin/perfd)\n")])


@pytest.fixture(scope="module")
def api(make_module_perfd, pg):
    return make_module_perfd('route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }\n',
                             pg.create_database("flame")).start()


@pytest.fixture
def with_perf(api, tmp_path, monkeypatch):
    """perfctl flame where perf is a script of these commands; what it was called with stands in called()."""
    def flame(script, *args, recorded=RECORDED):
        (tmp_path / "recorded").write_text(recorded)
        perf = tmp_path / "perf"
        perf.write_text(f'#!/bin/sh\ncd {tmp_path}\necho "$@" >>called\n{script}\n')
        perf.chmod(perf.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return api.perfctl("flame", *args)
    flame.called = lambda: (tmp_path / "called").read_text().splitlines()
    flame.file = str(tmp_path / "picture.svg")
    return flame


PLAYS = '[ "$1" = record ] || cat recorded'


def frames(path):
    """(name, samples, x, width, y) of each, in the order of the file."""
    found = []
    for group in ElementTree.parse(path).getroot().iter(f"{SVG}g"):
        if group.get("class") == "f":
            rect = group.find(f"{SVG}rect")
            found.append((group.find(f"{SVG}title").text, int(group.get("data-n")), *(float(rect.get(k)) for k in ("x", "width", "y"))))
    return found


def check_widths(found):
    """Frames are as wide as their samples; those above one lie on it, and no two of a level overlap."""
    (_, total, left, whole, _), *others = found
    assert (left, whole) == (10, 1180), "the picture is 1200 wide"
    for _, samples, x, width, _ in found:
        assert abs(width - whole * samples / total) < 0.02 and left - 0.01 <= x and x + width <= left + whole + 0.02
    for level in {y for *_, y in others}:
        row = sorted((x, width) for _, _, x, width, y in found if y == level)
        below = [(x, width) for _, _, x, width, y in found if y == level + 18]
        assert all(x + width <= next_x + 0.02 for (x, width), (next_x, _) in zip(row, row[1:]))
        assert all(any(bx - 0.02 <= x and x + width <= bx + bw + 0.02 for bx, bw in below) for x, width in row)


def test_a_picture_of_what_perf_recorded(with_perf, api):
    done = with_perf(PLAYS, "--duration", "250ms", "--output-file", with_perf.file)
    assert done.code == 0 and "10 samples of 2 workers" in done.out and not done.err, done
    record, script = with_perf.called()
    sampled = record.split(" -p ")[1].split()[0]
    assert sorted(int(pid) for pid in sampled.split(",")) == api.worker_pids()
    assert "-- sleep 0.250" in record and "--call-graph fp" in record and script.startswith("script ")
    found = frames(with_perf.file)
    check_widths(found)
    assert {name.split(" samples")[0]: samples for name, samples, *_ in found} == {
        "all: 10": 10, "main (perfd): 10": 10, "epoll_wait (libc.so.6): 5": 5, "answer (perfd): 5": 5, "do_sys<a&b> (kernel): 3": 3}
    text = open(with_perf.file, encoding="utf-8").read()
    assert "href" not in text and "src=" not in text and "kernel 30.0 %" in text and "perfd 20.0 %" in text


def test_what_is_too_thin_to_be_seen_is_left_out(with_perf):
    """A sample of 30,000 is a twenty-fifth of a pixel wide, two are drawn."""
    stack = "perfd \n\t 9d1e {} (/usr/sbin/perfd)\n\t 9c1e main (/usr/sbin/perfd)\n\n"
    recorded = stack.format("often") * 29_997 + stack.format("once") + stack.format("twice") * 2
    done = with_perf(PLAYS, "--output-file", with_perf.file, recorded=recorded)
    found = frames(with_perf.file)
    check_widths(found)
    assert done.code == 0 and [name.split(" ")[0] for name, *_ in found] == ["all:", "main", "often", "twice"], found


def test_an_interrupt_ends_the_sampling_and_not_the_command(with_perf):
    """As a terminal sends it, to both. perf dies of it once it has written what it has."""
    done = with_perf('[ "$1" != record ] || { kill -INT $PPID; kill -INT $$; }; cat recorded', "--folded")
    assert done.code == 0 and done.out.startswith("main;answer 2\n"), done


def test_folded_stacks(with_perf):
    done = with_perf(PLAYS, "--folded")
    assert done.out == "main;answer 2\nmain;answer;do_sys<a&b> 3\nmain;epoll_wait 5\n", done


def test_one_worker_and_json(with_perf, api):
    found = with_perf(PLAYS, "--slot", "1", "--output-file", with_perf.file, "-o", "json").json
    pid = next(worker["pid"] for worker in api.perfctl_json("workers")["workers"] if worker["slot"] == 1)
    assert f"-p {pid} " in with_perf.called()[0]
    assert (found["schema"], found["samples"], found["workers"]) == ("perfctl.flame/1", 10, 1)
    assert {f["name"]: (f["own"], f["total"]) for f in found["functions"]} == {
        "main": (0, 10), "answer": (2, 5), "epoll_wait": (5, 5), "do_sys<a&b>": (3, 3)}
    assert with_perf(PLAYS, "--slot", "2").code == 1


def test_cpu_clock_where_cycles_are_not_to_be_had(with_perf):
    no_cycles = 'case "$*" in *cycles*) echo "cycles: not supported" >&2; exit 1;; record*) ;; *) cat recorded;; esac'
    done = with_perf(no_cycles, "--folded")
    assert done.code == 0 and "main" in done.out
    assert [line.split(" -e ")[1].split()[0] for line in with_perf.called()[:2]] == ["cycles", "cpu-clock"]


@pytest.mark.parametrize("script, what", [
    ("echo Error: >&2; echo 'No permission to enable cycles event.' >&2; exit 255", "No permission to enable cycles event."),
    ("[ $1 = record ] || { echo broken data >&2; exit 1; }", "perf script: broken data"),
    ("exit 3", "it does not say why"), ("exit 0", "used no CPU")])
def test_what_goes_wrong_is_told(with_perf, script, what):
    done = with_perf(script, "--folded")
    assert done.code == 1 and what in done.err and not done.out, done


def test_no_perf(api, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = api.perfctl("flame", "--folded")
    assert done.code == 1 and "apt install linux-perf" in done.err, done


def may_sample():
    return subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-o", "/dev/null", "true"], capture_output=True,
                          timeout=20, check=False).returncode == 0


@pytest.mark.once
def test_the_real_perf(api, tmp_path):
    """Workers that answer as fast as they can were seen at it."""
    if not may_sample():
        pytest.skip("the kernel lets nobody sample here (perf_event_paranoid, or a container without perf_event_open)")
    path, scenario = str(tmp_path / "real.svg"), tmp_path / "scenario.json"
    scenario.write_text(json.dumps({"base_url": f"http://127.0.0.1:{api.port}", "users": [{"duration": "1s", "target": 1}],
                                    "requests": [{"name": "one", "path": "/one"}]}))
    with subprocess.Popen([PERFCTL, "load", str(scenario), "--vus", "8", "--duration", "60s"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as load:
        try:
            done = api.perfctl("flame", "--duration", "500ms", "--output-file", path)
        finally:
            load.terminate()
    assert done.code == 0, done
    found = frames(path)
    check_widths(found)
    assert any("(perfd)" in name for name, *_ in found) and any("(kernel)" in name for name, *_ in found)

"""What perfctl tells while perfd ends and is started again under load: nothing negative, and nothing of two lives."""
import json
import subprocess

import pytest

from lib.load import Load
from lib.perfd import PERFCTL
from lib.process import eventually

CONF = 'route GET /hit/{n} { query "SELECT :n::int AS n"; result row; cache ttl=60s; }'


@pytest.fixture(scope="module")
def api(make_module_perfd, pg):
    return make_module_perfd(CONF, pg.create_database("lives")).start()


def documents(text):
    """Whole ones, of those that were written one behind the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            break
        found.append(document)
        at = next((i for i in range(at, len(text)) if not text[i].isspace()), len(text))
    return found


def figures(tree):
    """Every number in it."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list):
        return [number for item in tree for number in figures(item)]
    return [tree] if isinstance(tree, (int, float)) else []


def busy(windows):
    """Those of the last life in which something was answered."""
    return [window for window in windows if window["since_us"] == windows[-1]["since_us"] and window["total"]["requests"] > 0]


def test_windows_across_a_restart_are_of_one_life_each(api, tmp_path):
    out = tmp_path / "out"

    def windows():
        return documents(out.read_text())

    with open(out, "w", encoding="utf-8") as to:
        watch = subprocess.Popen([PERFCTL, "--dir", api.run_dir, "routes", "--watch", "10ms", "--window", "10ms", "-o", "json"],
                                 stdout=to, stderr=subprocess.DEVNULL)
    try:
        with Load(api.port, lambda thread, turn: f"/hit/{turn % 20}", threads=2) as load:
            assert eventually(lambda: len(busy(windows())) >= 3, 10)
            api.term()
            api.start()
            assert eventually(lambda: len({w["since_us"] for w in windows()}) == 2 and len(busy(windows())) >= 3, 10)
    finally:
        watch.terminate()
        watch.wait(5)
    told = windows()
    assert all(number >= 0 for window in told for number in figures(window))
    assert all(window["at_us"] - window["span_us"] >= window["since_us"] for window in told)
    assert sum(window["total"]["requests"] for window in told) <= load.sent

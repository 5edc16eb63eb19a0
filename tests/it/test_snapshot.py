"""perfctl snapshot and diff: figures that are kept, and what came between two of them."""
import json

import pytest

CONF = 'route GET /n/{n} { query "SELECT :n::int AS n"; result row; }\n'


@pytest.fixture(scope="module")
def api(make_module_perfd, pg):
    return make_module_perfd(CONF, pg.create_database("snapshot")).start()


def keep(api, tmp_path, name):
    path = tmp_path / name
    saved = api.perfctl("snapshot", str(path))
    assert saved.code == 0 and not saved.out + saved.err, saved
    return str(path)


def ask(api, count):
    for i in range(count):
        assert api.get(f"/n/{i}").status == 200


def requests_of(document):
    return next(r for r in document["routes"] if r["route"] == "GET /n/{n}")["requests"]


def test_what_came_between(api, tmp_path):
    ask(api, 3)
    first = keep(api, tmp_path, "first")
    ask(api, 11)
    second = keep(api, tmp_path, "second")
    ask(api, 4)
    between, until_now = (api.perfctl("diff", *files, "-o", "json").json for files in ([first, second], [first]))
    assert between["schema"] == "perfctl.diff/1" and requests_of(between) == 11 and requests_of(until_now) == 15
    assert between["total"]["count"] == between["total"]["miss"]["count"] == 11
    assert between["histograms"]["database"]["count"] >= 11 and between["metrics"]["pool_max"]["value"] > 0
    with open(first, encoding="utf-8") as one, open(second, encoding="utf-8") as other:
        assert between["span_us"] == json.load(other)["at_us"] - json.load(one)["at_us"] > 0
    table = api.perfctl("diff", first, second).out
    assert "GET /n/{n}" in table and "pool_queries" in table and " to 2" in table.splitlines()[0]
    assert api.perfctl("diff", second, first).code == 1


def test_a_snapshot_says_what_stats_and_routes_say(api):
    ask(api, 2)
    snapshot = api.perfctl("snapshot").json
    stats, routes = api.perfctl_json("stats"), api.perfctl_json("routes")
    assert snapshot["schema"] == "perfctl.snapshot/1" and snapshot["started_us"] == stats["since_us"]
    kept = {metric["name"]: metric["values"] for metric in snapshot["metrics"]}
    assert kept.keys() == stats["metrics"].keys()
    assert sorted(kept["pid"][1:]) == api.worker_pids(), "the keeper's comes first"
    names = [metric["name"] for metric in snapshot["route_metrics"]]
    by_route = {route["route"]: dict(zip(names, route["values"])) for route in snapshot["routes"]}
    for route in routes["routes"]:
        assert by_route[route["route"]]["requests"] == route["requests"]


def test_two_lives_have_no_difference(make_perfd, pg, tmp_path):
    api = make_perfd(CONF, pg.create_database("snapshot_lives")).start()
    old = keep(api, tmp_path, "old")
    api.term()
    api.start()
    refused = api.perfctl("diff", old)
    assert refused.code == 1 and "two lives" in refused.err and not refused.out, refused


def test_what_is_no_snapshot_is_refused(api, perfctl, tmp_path):
    whole = keep(api, tmp_path, "whole")
    with open(whole, encoding="utf-8") as kept:
        text = kept.read()
    cut, wrong = tmp_path / "cut", tmp_path / "wrong"
    cut.write_text(text[:len(text) // 2])
    wrong.write_text(text.replace('"started_us":', '"started":'))
    for path, what in ((cut, "cut short"), (wrong, "started_us: is missing"), (tmp_path / "none", "No such file")):
        refused = perfctl("diff", str(path), whole)
        assert refused.code == 1 and str(path) in refused.err and what in refused.err, refused
    assert perfctl("diff", whole, whole).code == 0, "needs no perfd"
    assert perfctl("diff").code == 64
    assert api.perfctl("snapshot", "/dev/full").code == api.perfctl("snapshot", f"{tmp_path}/no/file").code == 1
    assert api.perfctl("snapshot", "-o", "csv").code == 64

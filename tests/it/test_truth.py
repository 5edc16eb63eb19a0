"""What perfctl counts is what clients saw, also across kills of workers and reloads."""
import collections
import os
import signal
import threading
import time

import pytest

from lib.load import Load, at_once
from lib.process import eventually, tell

CONF = """
route GET /hit/{n} { query "SELECT :n::int AS n"; result row; cache ttl=60s; }
route GET /n/{n} { query "SELECT :n::int AS n"; result row; }
route GET /judged/{s} { query "SELECT pg_sleep(:s::float8)::text AS s"; result row; objective 300ms; }
route GET /narrow { query "SELECT pg_sleep(0.15)::text AS s"; result row; max_concurrent 1; }
route GET /shared { query "SELECT pg_sleep(0.2)::text AS s"; result row; cache ttl=60s; }
"""
KILLS = int(os.environ.get("TRUTH_KILLS", "2"))
THREADS = 4
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("truth")


@pytest.fixture
def start(make_perfd, db):
    return lambda **kwargs: make_perfd(CONF, db, **kwargs).start()


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db, settings="permit_wait 5s;").start()


def routes(api):
    return {row["route"]: row for row in api.perfctl_json("routes")["routes"]}


def history(api, *more):
    return api.perfctl("history", "-o", "json", *more).json["points"]


class Seen:
    """What clients saw of each route: answers by status, and requests that got none."""

    def __init__(self):
        self.answers = collections.Counter()
        self._lock = threading.Lock()

    @staticmethod
    def target(thread, turn):
        return ("/n/x", f"/n/{turn}", f"/hit/{(thread + turn) % 20}")[turn % 3]

    @staticmethod
    def route(target):
        return f"GET /{target.split('/')[1]}/{{n}}"

    def check(self, target, response):
        with self._lock:
            self.answers[self.route(target), response.status] += 1
        return None if response.status == (400 if target == "/n/x" else 200) else repr(response)

    def of(self, route, least=0):
        return sum(count for (name, status), count in self.answers.items() if name == route and status >= least)


def trouble(api):
    for _ in range(KILLS):
        pid = api.worker_pids()[0]
        tell(pid, signal.SIGKILL)
        assert eventually(lambda gone=pid: gone not in api.worker_pids() and api.is_whole(), 10)
        assert api.reload().code == 0


def test_counters_are_what_clients_counted_across_kills_and_reloads(start):
    """An answer that a client has is counted; one that it has not, of a worker that was killed, may be."""
    api, seen = start(), Seen()
    before = api.stat("requests")
    with Load(api.port, seen.target, threads=THREADS, check=seen.check) as load:
        trouble(api)
        load.wait_for(100)
    unanswered = collections.Counter(seen.route(target) for target, _ in load.failed)
    assert not load.wrong and len(load.failed) <= THREADS * KILLS, (load.wrong[:3], load.failed, print(api.log()))
    counted = routes(api)
    for name in ("GET /hit/{n}", "GET /n/{n}"):
        row, lost = counted[name], unanswered[name]
        assert 0 <= row["requests"] - seen.of(name) <= lost, (row, seen.of(name), lost)
        assert 0 <= row["errors_4xx"] - seen.of(name, 400) <= lost, (row, seen.of(name, 400), lost)
        # a worker may die between one counter and the next
        assert abs(row["requests"] - sum(row[kind]["count"] for kind in ("hit", "miss", "error"))) <= KILLS, row
    assert counted["GET /n/{n}"]["errors_5xx"] == 0 and counted["GET /hit/{n}"]["hits"] > 20
    assert 0 <= api.stat("requests") - before - load.answered <= len(load.failed)


def test_the_history_has_all_requests(api):
    begun_us = time.time() * 1e6  # the question whether it is ready may be in none of its seconds yet
    assert eventually(lambda: history(api) and history(api)[-1]["at_us"] > begun_us, 3), "no second was written"
    last = history(api)[-1]["at_us"]
    for i in range(40):
        assert api.get(f"/n/{i}").status == 200
    def new():
        return [point for point in history(api) if point["at_us"] > last]
    assert eventually(lambda: sum(point["requests"] for point in new()) >= 40, 3), new()
    points = new()
    assert sum(point["requests"] for point in points) == 40, points
    busy = next(point for point in points if point["requests"] > 0)
    assert 0 < busy["p50_us"] <= busy["p95_us"] <= busy["p99_us"] < 5_000_000
    assert busy["pool_max"] > 0 and busy["private_bytes"] > 100_000 and abs(busy["at_us"] / 1e6 - time.time()) < 10
    table = api.perfctl("history")
    assert table.code == 0 and len(table.out.splitlines()) >= 2 and "P99" in table.out, table
    assert api.perfctl("history", "--minutes").code == 0


def test_the_history_goes_on_in_another_keeper(api):
    assert eventually(lambda: len(history(api)) >= 2, 4)
    before, keeper = history(api)[-1], api.keeper_pid()
    tell(keeper, signal.SIGKILL)
    assert api.get("/n/1").status == 200
    assert eventually(lambda: api.keeper_pid() not in (None, keeper), 5)
    def counted():
        return sum(point["requests"] for point in history(api) if point["at_us"] > before["at_us"])
    assert eventually(lambda: counted() == 1, 4), history(api)[-5:]
    spans = [point["span_us"] for point in history(api) if point["at_us"] > before["at_us"]]
    ends = [before["at_us"]] + [point["at_us"] for point in history(api) if point["at_us"] > before["at_us"]]
    assert all(abs(later - earlier - span) < 100_000 for earlier, later, span in zip(ends, ends[1:], spans)), (spans, ends)


def test_waiting_is_told_apart(api):
    """For max_concurrent, and for another's fetch of the same."""
    def time_of(name):
        return api.perfctl_json("stats")["histograms"][name]
    before = time_of("permit_wait")["count"], time_of("flight_wait")["count"]
    assert [r.status for r in at_once(3, lambda _: api.get("/narrow"))] == [200] * 3
    assert [r.status for r in at_once(3, lambda _: api.get("/shared"))] == [200] * 3
    permits, flights = time_of("permit_wait"), time_of("flight_wait")
    assert permits["count"] == before[0] + 2 and permits["max_us"] > 150_000, permits
    assert flights["count"] == before[1] + 2 and flights["max_us"] > 100_000, flights


def test_an_objective_is_counted_answer_by_answer(api):
    for s in ("0", "0", "0.35", "0"):
        assert api.get(f"/judged/{s}").status == 200
    row, total = routes(api)["GET /judged/{s}"], api.perfctl_json("routes")["total"]
    assert (row["objective_us"], row["within_objective"], row["over_objective"]) == (300_000, 3, 1), row
    assert row["over_ratio"] == 0.25 and total["over_ratio"] == 0.25 and total["objective_us"] == 0
    assert routes(api)["GET /n/{n}"]["over_ratio"] is None
    table = api.perfctl("routes").out
    assert table.splitlines()[0].split()[-2:] == ["OBJECTIVE", "OVER"] and table.splitlines()[-1].endswith("25.0 %"), table
    assert api.reload("\n".join(line for line in CONF.splitlines() if "objective" not in line)).code == 0
    row = routes(api)["GET /judged/{s}"]
    assert (row["objective_us"], row["within_objective"]) == (0, 3) and "OBJECTIVE" not in api.perfctl("routes").out


def test_who_is_refused_is_counted_and_nobody_else(make_perfd):
    """What perfd asks for itself of a database that is away, such as what a query's columns are, is no request."""
    api = make_perfd(CONF, "postgresql://127.0.0.1:9/none", workers=1).start("/healthz")
    assert [api.get("/n/1").status for _ in range(3)] == [503] * 3
    assert api.stat("responses_5xx") == 3 and api.stat("pool_rejected") == 0 == api.stat("pool_timeouts")

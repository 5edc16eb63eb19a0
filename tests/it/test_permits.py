"""max_concurrent: never more statements at a time than it says, in PostgreSQL's own eyes; none is lost; what needs no
statement never waits for one."""
import os
import random
import signal
import threading
import time

import pytest

from lib.load import Load, Volley, at_once
from lib.process import eventually, tell
from lib.sampler import SCHEMA as HELD, Sampler, running
from lib.upstream import Upstream, answer
from lib.workers import connect_to

SCHEMA = HELD + """
CREATE TABLE items AS SELECT id, 'item ' || id AS name FROM generate_series(1, 100) id;
ALTER TABLE items ADD PRIMARY KEY (id);
CREATE TABLE others AS SELECT id FROM generate_series(1, 100) id;
-- Goes on for s seconds after it was cancelled.
CREATE FUNCTION stubborn(s float8) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(4);
    BEGIN
        PERFORM pg_sleep(10);
    EXCEPTION WHEN query_canceled THEN
        PERFORM pg_sleep(s);
    END;
    RETURN 1;
END $$;
"""
CONF = """
permit_wait {wait};
max_concurrent {all};
route GET /sleep/{{s}} {{ query "SELECT held(1, :s::float8) AS s"; result row; timeout 300ms;
                          max_concurrent {max}; }}
route GET /nap/{{s}} {{ query "SELECT held(2, :s::float8) AS s"; result row; timeout 300ms; }}
route POST /sleep/{{s}} {{ query "UPDATE items SET name = name WHERE id = 1 AND held(6, :s::float8) IS NOT NULL";
                           result none; timeout 300ms; max_concurrent {max}; }}
route GET /stubborn {{ query "SELECT stubborn(0.4)"; result value; timeout 20s; max_concurrent {max}; }}
route GET /long/{{s}} {{ query "SELECT held(3, :s::float8) AS s"; result row; timeout 20s;
                         max_concurrent {max}; }}
route GET /hit {{ query "SELECT 1 AS one"; result row; cache ttl=1h tti=1h; max_concurrent {max}; }}
"""
KILLS = int(os.environ.get("PERMIT_KILLS", "6"))


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("permits", SCHEMA)


@pytest.fixture
def start(make_perfd, db):
    def started(max=2, all=0, wait="5s", more="", conf=CONF, **kwargs):
        text = conf.format(max=max, all=all, wait=wait) + more
        return make_perfd(text, db, pool="pool max=8 min=2;", **{"workers": 2, **kwargs}).start()
    return started


def any_answer(*statuses):
    return lambda request, response: None if response.status in statuses else repr(response)


class Leavers:
    """Consumers that ask and leave before the answer comes."""

    def __init__(self, api, target, threads=2):
        self.api, self.target = api, target
        self.left = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _run(self):
        while not self._stop.is_set():
            try:
                with self.api.connect() as connection:
                    connection.send("GET", self.target)
                    time.sleep(random.uniform(0, 0.05))
                self.left += 1
            except OSError:
                time.sleep(0.01)


def assert_none_is_lost(api, db, count, target="/sleep/0.15"):
    """So many run at a time again."""
    assert eventually(lambda: api.stat("permits_held") == 0, 8)
    with Sampler(db, 1) as again:
        answers = at_once(count, lambda i: api.get(target))
    assert [a.status for a in answers] == [200] * count, answers
    assert again.most == count, again.counts


def test_never_more_than_max(start, db):
    """Reads, writes, those that time out and those that nobody waits for any more, through both workers."""
    api = start(max=3, all=5, wait="100ms")
    requests = ["/sleep/0.005", "/sleep/0.02", "/sleep/1", ("POST", "/sleep/0.01", {}), "/nap/0.01", "/nap/0.05"]
    with Sampler(db, 1) as sleeps, Sampler(db, 1, 2, 6) as together:
        with Load(api.port, lambda thread, turn: requests[(5 * thread + turn) % 6], threads=12,
                  check=any_answer(200, 204, 503, 504)) as load, Leavers(api, "/sleep/0.2"):
            load.wait_for(250, within=60)
    assert not load.wrong and not load.failed, (load.wrong[:3], load.failed[:3])
    assert sleeps.most == 3, sleeps.counts
    assert together.most == 5, together.counts
    assert sleeps.looks > 300
    assert api.stat("permits_refused") > 0
    assert_none_is_lost(api, db, 3)


def test_who_left_is_counted_until_its_query_has_ended(start, db):
    """A cancelled query goes on for a while here, and no other begins meanwhile."""
    api = start(max=1)
    with Sampler(db, 4) as seen:
        for _ in range(3):
            with api.connect() as connection:
                connection.send("GET", "/stubborn")
                assert eventually(lambda: seen.counts and api.stat("permits_held") == 1)
                assert eventually(lambda: running(db, 4) == 1)
            assert eventually(lambda: api.stat("pool_cancelled") > 0)
    assert eventually(lambda: running(db, 4) == 0)
    assert seen.most == 1, seen.counts


def test_whose_time_is_over_is_counted_until_its_query_has_ended(start, db):
    api = start(max=1, more="request_timeout 300ms;")
    with Sampler(db, 4) as seen:
        answers = [api.get("/stubborn").status for _ in range(4)]
    assert answers[0] == 504 and set(answers) <= {503, 504}, answers
    assert seen.most == 1, seen.counts
    assert_none_is_lost(api, db, 1)


def test_who_waits_has_its_turn(start):
    """Through both workers, and each as soon as another one's permit comes back."""
    api = start(max=1, all=1)
    began = time.monotonic()
    with Load(api.port, "/nap/0.05", threads=6, fresh=True) as load:
        load.wait_for(30, within=20)
    assert not load.wrong and not load.failed, load.wrong[:3]
    took = time.monotonic() - began
    assert took >= 0.05 * 30 - 0.05
    assert eventually(lambda: api.stat("permits_waiting") == 0)


def test_with_all_taken_others_are_answered_at_once(start, db):
    """Hits, health and admin always; what needs a statement gets 503, with when to come again, within its wait."""
    api = start(max=1, all=1, wait="50ms")
    assert api.get("/hit").cache == "MISS"
    taker = threading.Thread(target=lambda: api.get("/long/2.5"))
    taker.start()
    assert eventually(lambda: running(db, 3) == 1)
    end = time.monotonic() + 2
    with Load(api.port, lambda thread, turn: f"/nap/0.0{turn % 9}", threads=6, check=any_answer(503)) as load:
        passed = 0
        while time.monotonic() < end - 0.3:
            for port, path in ((api.port, "/hit"), (api.port, "/healthz"), (api.port, "/readyz"),
                               (api.admin, "/healthz"), (api.admin, "/readyz")):
                assert api.status(path, port) == 200, path
                passed += 1
        assert api.get("/hit").cache == "HIT"
        assert api.perfctl("ping").code == 0
    assert not load.wrong and not load.failed, (load.wrong[:3], load.failed[:3])
    assert passed > 50 and load.answered > 20
    refused = api.get("/nap/0")
    taker.join()
    if refused.status == 503:  # or the long one was over just before
        assert refused.problem["code"] == "overloaded"
        assert refused.header("retry-after") == "1"
    row = next(r for r in api.perfctl_json("routes")["routes"] if r["route"] == "GET /nap/{s}")
    assert row["refused"] >= load.answered


def test_the_line_is_bounded(start, db):
    api = start(max=1, wait="2s", more="permit_queue 2;", workers=1)
    taker = threading.Thread(target=lambda: api.get("/long/1"))
    taker.start()
    assert eventually(lambda: running(db, 3) == 1)
    answers = at_once(6, lambda i: api.get("/long/0"))
    taker.join()
    assert sorted(a.status for a in answers) == [200, 200, 503, 503, 503, 503], answers


def test_a_refresh_is_not_begun_and_an_old_answer_is_given(start, db):
    api = start(conf="""
permit_wait 20ms;
max_concurrent 1;
route GET /long/{{s}} {{ query "SELECT held(3, :s::float8) AS s"; result row; timeout 20s; }}
route GET /stale {{ query "SELECT clock_timestamp() AS t"; result row; cache ttl=50ms tti=0 stale=1h; }}
route GET /kept {{ query "SELECT clock_timestamp() AS t"; result row; cache ttl=50ms tti=0 stale_if_error=1h; }}
""")
    stale, kept = api.get("/stale").json(), api.get("/kept").json()
    taker = threading.Thread(target=lambda: api.get("/long/1.5"))
    taker.start()
    assert eventually(lambda: running(db, 3) == 1)
    time.sleep(0.06)
    refreshes = api.stat("cache_refreshes")
    for _ in range(5):
        assert api.get("/stale").json() == stale
        answer = api.get("/kept")
        assert answer.json() == kept and answer.cache == "STALE"
    assert taker.is_alive() and api.stat("cache_refreshes") == refreshes
    taker.join()
    assert eventually(lambda: api.get("/stale").json() != stale)
    assert eventually(lambda: api.get("/kept").json() != kept)


def test_combined_lookups_are_counted_too(start, db):
    api = start(conf="""
max_concurrent 2;
permit_wait 5s;
route GET /items/{{id}} {{ query "SELECT id, name, held(5, 0.02) AS s FROM items WHERE id = :id";
                           result row; combine on; timeout 5s; }}
""")
    with Sampler(db, 5) as lookups:
        with Load(api.port, lambda thread, turn: f"/items/{(7 * thread + turn) % 100 + 1}", threads=8) as load:
            load.wait_for(150, within=30)
    assert not load.wrong and not load.failed, load.wrong[:3]
    assert lookups.most == 2, lookups.counts
    assert eventually(lambda: api.stat("permits_held") == 0)


WHO_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.mark.once
def test_short_ones_that_meet_a_lock_run_once_at_a_time(start, db):
    """Sent together on one connection, where one waits for a lock: they run again, each by itself, when that was ended
    there, and what met no lock has its answer before the lock is gone."""
    api = start(workers=1, conf="""
max_concurrent 4;
permit_wait 10s;
route GET /items/{{id}} {{ query "SELECT id, name FROM items WHERE id = :id"; result row; }}
route GET /others/{{id}} {{ query "SELECT id FROM others WHERE id = :id"; result row; }}
""")
    with Volley(api.port, connections=4) as volley, db.server.connect("permits") as locker:
        for _ in range(40):
            for _ in range(50):
                volley.send(["/items/1"] * 4 + ["/others/1"] * 4)
            if api.stat("pool_pipelined") > 400:
                break
        cursor = locker.cursor()
        for targets in (["/others/{}"] * 4, ["/items/{}", "/others/{}"] * 2):
            cursor.execute("BEGIN; LOCK TABLE others IN ACCESS EXCLUSIVE MODE")
            most, end = 0, time.monotonic() + 0.7
            for n, (connection, target) in enumerate(zip(volley.connections, targets)):
                connection.send("GET", target.format(n + 1))
            while time.monotonic() < end:
                most = max(most, int(db.value(WHO_WAITS)))
            assert most == targets.count("/others/{}")
            answers = [c.read().json()["id"] for c, t in zip(volley.connections, targets) if t.startswith("/items")]
            locker.rollback()
            answers += [c.read().json()["id"] for c, t in zip(volley.connections, targets) if t.startswith("/others")]
            assert sorted(answers) == [1, 2, 3, 4]
    assert eventually(lambda: api.stat("permits_held") == 0)


def test_a_reload_changes_the_limit(start, db):
    api = start(max=1)
    with Load(api.port, "/sleep/0.02", threads=8) as load:
        with Sampler(db, 1) as one:
            load.wait_for(20)
        assert api.reload(CONF.format(max=3, all=0, wait="5s")).code == 0
        with Sampler(db, 1) as three:
            load.wait_for(60)
        # Both generations count together while the limit falls.
        with Sampler(db, 1) as falling:
            assert api.reload(CONF.format(max=2, all=0, wait="5s")).code == 0
        with Sampler(db, 1) as two:
            load.wait_for(40)
    assert not load.wrong, load.wrong[:3]
    assert (one.most, three.most, two.most) == (1, 3, 2), (one.counts, three.counts, two.counts)
    assert falling.most <= 3, falling.counts


def test_killed_workers_keep_what_runs_and_lose_nothing(start, db):
    """What a dead worker had sent runs on in the database, and counts; then it comes back."""
    api = start(max=3, wait="100ms")
    kills, failed = 0, 0
    with Sampler(db, 1) as seen, Leavers(api, "/sleep/0.2", threads=1):
        with Load(api.port, lambda thread, turn: f"/sleep/0.{(thread + 3 * turn) % 3}5", threads=8,
                  check=any_answer(200, 503, 504)) as load:
            while kills < KILLS:
                load.wait_for(10, within=60)
                pids = api.worker_pids()
                if len(pids) > 1:
                    kills += tell(random.choice(pids), signal.SIGKILL)
                    if kills % 8 == 0:
                        assert api.perfctl("reload", timeout=40).code == 0  # or they would come back later and later
            failed = len(load.failed)
    assert not load.wrong, load.wrong[:3]
    assert seen.most == 3, seen.counts
    assert failed > 0
    assert eventually(lambda: len(api.worker_pids()) == 2 and api.status("/readyz") == 200, 60)
    time.sleep(1.5)  # the longest that a statement of theirs runs, and a second
    assert_none_is_lost(api, db, 3)
    print(f"{kills} kills, {seen.looks} looks, {seen.most} at a time at most, {failed} requests lost with their worker")


def test_the_other_worker_waits_for_what_a_dead_one_had_sent(start, db):
    api = start(max=1, wait="3s")
    pids = api.worker_pids()
    dying, living = connect_to(api, pids[0], "/hit"), connect_to(api, pids[1], "/hit")
    with dying, living, Sampler(db, 1) as seen:
        dying.send("GET", "/sleep/0.25")
        assert eventually(lambda: seen.most == 1)
        tell(pids[0], signal.SIGKILL)
        assert living.request("GET", "/sleep/0.1").status == 200
    assert seen.most == 1, seen.counts


class Busy:
    """An upstream that takes its time, and counts what it has at a time."""

    def __init__(self, seconds):
        self.seconds, self.now, self.most = seconds, 0, 0
        self._lock = threading.Lock()

    def __call__(self, sock, asked):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self._lock:
            self.now -= 1
        return answer()


def test_requests_to_upstreams_are_counted_too(make_perfd, db):
    upstream, busy = Upstream(), Busy(0.02)
    try:
        upstream.on("/a", busy)
        api = make_perfd(f"""
permit_wait 10s;
upstream api {{ url {upstream.url}; }}
route GET /a {{ upstream api /a; max_concurrent 2; }}
route POST /a {{ upstream api /a; max_concurrent 1; }}
max_concurrent 2;
""", db).start()
        with Load(api.port, lambda thread, turn: ("POST", "/a", {}) if thread % 2 else "/a", threads=8) as load:
            load.wait_for(80, within=30)
        assert not load.wrong and not load.failed, load.wrong[:3]
        assert busy.most == 2
        assert eventually(lambda: api.stat("permits_held") == 0)
    finally:
        upstream.stop()


def test_a_fan_and_a_batch_need_permits_for_what_they_ask_alone(start):
    """Not for themselves: with one permit for all they would wait for it in vain."""
    api = start(all=1, more="""
route GET /pair { fan { one /nap/0; two /nap/0; } }
batch /batch { concurrency 10; }
""")
    assert api.get("/pair").status == 200
    answer = api.post("/batch", [{"path": path} for path in ("/pair", "/nap/0", "/nap/0")])
    assert [item["status"] for item in answer.json()] == [200] * 3
    assert eventually(lambda: api.stat("permits_held") == 0)

"""Redis in front of the database for every request, while it is paused, killed, out of memory, slow, or lies: no request
fails, and none waits for it but those that meet a time-out. A short run here; REDIS_REQUESTS sets the number of requests.
-s shows what each trouble cost."""
import collections
import os
import random
import threading
import time

import pytest

from lib.perfd import SANITIZED
from lib.process import eventually
from lib.redis_fake import MANNERS, TOO_LONG, WELL, FakeRedis
from lib.redis_server import RedisServer

REQUESTS = int(os.environ.get("REDIS_REQUESTS", "7000"))
THREADS = 6
ITEMS = 5000
TIMEOUT = 0.1

SCHEMA = f"""
CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, {ITEMS}) g;
"""
CONF = """
route GET /items/{id} { query "SELECT id, name FROM items WHERE id = :id"; result row; cache ttl=300s tags=item:{id}; }
route PATCH /items/{id} { query "UPDATE items SET name = name WHERE id = :id RETURNING id"; result value;
    invalidates item:{id}; }
"""
CACHE = "size 1MB; entries 50; tti 0;"  # so that Redis is asked


class Asker(threading.Thread):
    """One after the other, over one connection; every 50th is a write."""

    def __init__(self, perfd, count, seed):
        super().__init__()
        self.perfd, self.count, self.random = perfd, count, random.Random(seed)
        self.waits, self.failed, self.sources = [], [], collections.Counter()

    def run(self):
        with self.perfd.connect(timeout=20) as connection:
            for turn in range(self.count):
                item = self.random.randint(1, ITEMS)
                writes = turn % 50 == 49
                begin = time.monotonic()
                answer = connection.request(*(("PATCH", f"/items/{item}", b"{}") if writes else ("GET", f"/items/{item}")))
                self.waits.append(time.monotonic() - begin)
                good = answer.status == 200 and (writes or answer.json() == {"id": item, "name": f"item {item}"})
                self.sources[answer.cache] += 1
                if not good:
                    self.failed.append(answer)


class Run:
    trips = 0

    def __init__(self, perfd, requests, seed):
        askers = [Asker(perfd, requests // THREADS, f"{seed} {i}") for i in range(THREADS)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert all(len(a.waits) == a.count for a in askers), f"a request was not answered\n{perfd.log()}"
        self.failed = [answer for a in askers for answer in a.failed]
        self.waits = sorted(wait for a in askers for wait in a.waits)
        self.sources = sum((a.sources for a in askers), collections.Counter())

    def part(self, share):
        return self.waits[min(int(share * len(self.waits)), len(self.waits) - 1)]

    @property
    def late(self):
        return sum(wait >= TIMEOUT for wait in self.waits)

    def tell(self, name):
        print(f"  {name:15}{len(self.waits):10,}{len(self.failed):8}{1e3 * self.part(.5):9.2f}{1e3 * self.part(.99):9.2f}"
              f"{1e3 * self.waits[-1]:9.1f}{self.late:8}{self.trips:7}  {self.sources['REDIS']:,}")


@pytest.fixture
def db(pg):
    return pg.create_database("redis_faults", SCHEMA)


@pytest.fixture
def server():
    redis = RedisServer()
    redis.start()
    yield redis
    redis.remove()


def quiet(perfd):
    perfd.head = perfd.head.replace(f"access_log {perfd.access_log};", "access_log off;")
    perfd.configure(CONF)
    return perfd.start()


class Troubles:
    """Each leaves Redis as it found it."""

    def __init__(self, server):
        self.server = server

    def well(self, run):
        return run()

    def paused(self, run):
        self.server.pause()
        try:
            return run()
        finally:
            self.server.resume()

    def killed(self, run):
        self.server.stop()
        try:
            return run()
        finally:
            self.server.start()

    def out_of_memory(self, run):
        self.server.command("CONFIG", "SET", "maxmemory", "1")
        try:
            return run()
        finally:
            self.server.command("CONFIG", "SET", "maxmemory", "0")

    def _fake(self, run, delay, manners):
        self.server.stop()
        done = threading.Event()
        try:
            with FakeRedis(self.server.socket, delay) as fake:
                def lie():
                    while not done.wait(0.02):
                        fake.manner = random.choice(manners)
                liar = threading.Thread(target=lie)
                liar.start()
                try:
                    return run()
                finally:
                    done.set()
                    liar.join()
        finally:
            self.server.start()

    def slow(self, run):
        return self._fake(run, 3 * TIMEOUT, [WELL])

    def lying(self, run):
        return self._fake(run, 0, [WELL] + [manner for manner in MANNERS if manner not in TOO_LONG])


NAMES = ["well", "paused", "killed", "out_of_memory", "slow", "lying"]


def test_no_request_fails_because_of_redis(make_perfd, db, server):
    each = REQUESTS // (len(NAMES) + 1)
    alone = quiet(make_perfd(CONF, db, cache=CACHE))
    block = f"redis {{ url {server.url}; timeout {int(1000 * TIMEOUT)}ms; }}"
    perfd = quiet(make_perfd(CONF, db, cache=CACHE, settings=block))
    troubles = Troubles(server)
    print("\n  trouble          requests  failed   p50 ms   p99 ms  longest    late  trips  by Redis")
    runs = {"without Redis": Run(alone, each, "without")}
    runs["without Redis"].tell("without Redis")
    for name in NAMES:
        assert eventually(lambda: perfd.stat("redis_up") >= perfd.workers + 1, 35), perfd.log()
        before = perfd.stat("redis_trips")  # before the trouble: it may be met at once
        runs[name] = getattr(troubles, name)(lambda name=name: Run(perfd, each, name))
        runs[name].trips = perfd.stat("redis_trips") - before
        runs[name].tell(name)
    assert not [failed for run in runs.values() for failed in run.failed][:5]
    assert runs["well"].sources["REDIS"] > 0 and runs["paused"].sources["REDIS"] == 0
    noise = max(each // 50, 3 * runs["without Redis"].late) * (5 if SANITIZED else 1)
    for name, run in runs.items():
        # who waits when the time-out comes, and the others on its connection
        assert run.late <= run.trips * THREADS + noise, (name, run.late, run.trips)
    assert 1 <= runs["paused"].trips <= 3 * perfd.workers and runs["killed"].trips == 0

"""Workers killed at random under reads and writes, with a Redis that answers and one that does not. A short run here; for
the long one set STORM_SECONDS."""
import hashlib
import os
import random
import signal
import threading
import time

import pytest

from lib.process import eventually, tell

SECONDS = int(os.environ.get("STORM_SECONDS", "6"))
ITEMS = 60
DEADLINE = 5.0

SCHEMA = f"""
CREATE TABLE items (id bigint PRIMARY KEY, version bigint NOT NULL DEFAULT 0);
INSERT INTO items SELECT g, 0 FROM generate_series(1, {ITEMS}) g;
"""

# The body tells whose it is and of which version; its length varies with both, over several segments at times.
CONF = """
route GET /items/{id} { query "SELECT id, version, repeat(md5(id || '.' || version), (1 + id * 97 % 4000)::int) AS proof
    FROM items WHERE id = :id"; result row; cache ttl=2s tti=60s stale=1s tags=item:{id}; }
route PATCH /items/{id} { query "UPDATE items SET version = version + 1 WHERE id = :id RETURNING version"; result row;
    invalidates item:{id}; }
"""
pytestmark = pytest.mark.once


class Consumers:
    def __init__(self, api):
        self.api = api
        self.acknowledged = [0] * (ITEMS + 1)
        self.wrong, self.slow = [], []
        self.reads = self.writes = self.lost = self.refused = 0
        self.ending = False
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(4)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending = True
        for thread in self.threads:
            thread.join(30)

    def run(self, i):
        choose = random.Random(i)
        while not self.ending:
            item = min(int(choose.paretovariate(0.7)), ITEMS)
            start = time.monotonic()
            try:
                (self.write if choose.random() < 0.08 else self.read)(item)
            except (ConnectionError, OSError) as lost:
                if isinstance(lost, TimeoutError):
                    self.slow.append((item, "no answer"))
                self.lost += 1
            took = time.monotonic() - start
            if took > DEADLINE:
                self.slow.append((item, took))

    def write(self, item):
        answer = self.api.request("PATCH", f"/items/{item}", {}, timeout=DEADLINE + 5)
        self.writes += 1
        if answer.status == 200:
            version = answer.json()["version"]
            self.acknowledged[item] = max(self.acknowledged[item], version)
        else:
            self.refused += 1

    def read(self, item):
        least = self.acknowledged[item]
        answer = self.api.get(f"/items/{item}", timeout=DEADLINE + 5)
        self.reads += 1
        if answer.status != 200:
            self.refused += 1
            return
        body = answer.json()
        proof = hashlib.md5(f"{item}.{body['version']}".encode()).hexdigest()
        if body["id"] != item or body["proof"] != proof * (1 + item * 97 % 4000):
            self.wrong.append(("mismatch", item, answer.cache))
        if body["version"] < least:
            self.wrong.append(("stale", item, body["version"], least, answer.cache))


@pytest.fixture
def db(pg):
    return pg.create_database("storm", SCHEMA)


def test_killed_workers_never_make_a_wrong_or_an_old_answer(make_perfd, db, redis, well):
    redis.flush()
    api = make_perfd(CONF, db, redis, workers=4, cache="size 16MB; entries 1000;").start()
    choose = random.Random(1)
    kills, paused, end = 0, False, time.monotonic() + SECONDS
    with Consumers(api) as consumers:
        while time.monotonic() < end:
            time.sleep(choose.uniform(0.02, 0.25))
            victims = api.worker_pids() + [pid for pid in [api.keeper_pid()] if pid]
            if victims and tell(choose.choice(victims), signal.SIGKILL):
                kills += 1
                if kills % 25 == 0:
                    assert api.perfctl("reload", timeout=40).code == 0  # or they would come back later and later
            if choose.random() < 0.15:
                redis.resume() if paused else redis.pause()
                paused = not paused
        redis.resume()
    print(f"{kills} kills, {consumers.reads} reads, {consumers.writes} writes, {consumers.lost} lost with their worker, "
          f"{consumers.refused} refused, {len(consumers.slow)} over their deadline, {len(consumers.wrong)} wrong")
    assert consumers.wrong == []
    assert consumers.slow == []
    assert kills > 2 * SECONDS and consumers.reads > 4 * SECONDS and consumers.writes > SECONDS / 2
    assert eventually(lambda: api.status("/readyz") == 200, 10)
    for item in range(1, ITEMS + 1):
        assert api.get(f"/items/{item}").json()["version"] >= consumers.acknowledged[item]
    assert eventually(lambda: api.stat("cache_segments_limbo") == 0, 5)

"""Mixed load for a long time, while workers are killed, configurations reloaded, and Redis and PostgreSQL restarted, in an
order that the seed tells. SOAK_SECONDS and SOAK_SEED; by default a short run. Prints what it does and, each minute, a row."""
import collections
import hashlib
import os
import random
import signal
import statistics
import threading
import time

import pytest

from lib.http_client import Connection
from lib.perfd import SANITIZED
from lib.process import eventually, tell
from lib.usage import memory_kb

SECONDS = float(os.environ.get("SOAK_SECONDS", "8"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
LONG = SECONDS >= 60
WORKERS, THREADS, ITEMS = 2, 8, 200
GROWTH_KB = 64_000 if SANITIZED else 256  # a sanitizer keeps for a while what was freed
# How long after an event its consumers may be refused or lose their connection.
WINDOWS = {"reload": 0, "worker": 2, "keeper": 2, "redis": 2, "postgres": 8}

SCHEMA = f"""
CREATE TABLE items (id int PRIMARY KEY, version bigint NOT NULL DEFAULT 0);
INSERT INTO items SELECT g, 0 FROM generate_series(1, {ITEMS}) g;
"""
CONF = """
upstream api {{ url {url}; }}
route GET /items/{{id}} {{ query "SELECT id, version, repeat(md5(id || '.' || version), (id * 7 % 50)::int + 1) AS proof
    FROM items WHERE id = :id"; result row; cache ttl=2s tti=60s stale=1s tags=item:{{id}}; }}
route POST /items/{{id}} {{ query "UPDATE items SET version = version + 1 WHERE id = :id RETURNING version"; result row;
    invalidates item:{{id}}; }}
route GET /fresh/{{n}} {{ query "SELECT :n::int AS n"; result row; }}
route GET /far/{{n}} {{ upstream api /far/{{n}}; }}
route GET /generation {{ query "SELECT {generation} AS n"; result row; }}
"""
pytestmark = pytest.mark.once


class Timeline:
    """What was done to the servers, and so when an answer may be a refusal."""

    def __init__(self):
        self.until = 0.0  # refusals are nobody's fault before
        self.counts = collections.Counter()

    def begin(self, what):
        self.counts[what] += 1
        self.until = max(self.until, time.monotonic() + 3600) if WINDOWS[what] else self.until

    def end(self, what):
        if WINDOWS[what]:
            self.until = time.monotonic() + WINDOWS[what]

    def excuses(self, begun):
        return begun <= self.until


class Consumers:
    """Threads that ask for everything in turn, each with its own items to write, and know what the answers must be."""

    def __init__(self, api, timeline):
        self.api, self.timeline = api, timeline
        self.acknowledged = [0] * (ITEMS + 1)
        self.counts = collections.Counter()
        self.wrong, self.unexcused = [], []
        self.longest = 0.0
        self.ending = False
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(THREADS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending = True
        for thread in self.threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self.threads), "a consumer hangs"

    def run(self, number):
        choose, connection = random.Random(SEED * 1000 + number), None
        while not self.ending:
            begun = time.monotonic()
            try:
                connection = connection or Connection(self.api.port, 15)
                response = self.ask(connection, number, choose)
                if response.status != 200:
                    self.refused(begun, response.status, repr(response))
                if response.header("connection") == "close" or choose.random() < 0.02:
                    connection.close()
                    connection = None
            except (OSError, ValueError) as lost:
                self.refused(begun, "lost", repr(lost))
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.01)
            self.longest = max(self.longest, time.monotonic() - begun)
            self.counts["requests"] += 1

    def refused(self, begun, kind, what):
        self.counts[kind] += 1
        if not self.timeline.excuses(begun):
            self.unexcused.append((round(time.monotonic(), 1), what))

    def ask(self, connection, number, choose):
        dice = choose.random()
        if dice < 0.15:
            return self.write(connection, choose.randrange(number, ITEMS, THREADS) + 1)
        if dice < 0.7:
            return self.read(connection, min(int(choose.paretovariate(0.5)), ITEMS))
        n = choose.randrange(1_000_000)
        kind = "fresh" if dice < 0.85 else "far"
        response = connection.request("GET", f"/{kind}/{n}")
        self.compare(response, {"n": n} if kind == "fresh" else {"target": f"/far/{n}"})
        return response

    def compare(self, response, expected):
        if response.status == 200 and response.json() != expected:
            self.wrong.append((expected, repr(response)))

    def read(self, connection, item):
        least = self.acknowledged[item]
        response = connection.request("GET", f"/items/{item}")
        if response.status == 200:
            found = response.json()
            proof = self.proof(item, found["version"])
            if found["id"] != item or found["proof"] != proof:
                self.wrong.append(("mixed", item, repr(response)))
            if found["version"] < least:
                self.wrong.append(("old", item, found["version"], least, response.cache))
            self.counts["hits"] += response.cache == "HIT"
        return response

    @staticmethod
    def proof(item, version):
        return hashlib.md5(f"{item}.{version}".encode()).hexdigest() * (item * 7 % 50 + 1)

    def write(self, connection, item):
        """And reads what it wrote."""
        response = connection.request("POST", f"/items/{item}", {})
        if response.status == 200:
            version = response.json()["version"]
            self.acknowledged[item] = max(self.acknowledged[item], version)
            self.counts["writes"] += 1
            return response if response.header("connection") == "close" else self.read(connection, item)
        return response


# ---- what is done to the servers

class Trouble:
    """One method for each kind of WINDOWS."""

    def __init__(self, api, servers, timeline):
        self.api, self.timeline = api, timeline
        self.pg, self.redis_server, self.upstream = servers
        self.choose = random.Random(SEED)
        self.generation = 1
        self.refused_reloads = 0

    def pause(self):
        time.sleep(self.choose.uniform(5, 25) if LONG else self.choose.uniform(0.2, 0.5))

    def kinds(self, seconds):
        """In a long run the workers live on for every other ten minutes, so that their memory is seen over time."""
        return ["redis", "postgres"] if LONG and seconds % 1200 >= 600 else ["reload", "reload", "worker", "keeper", "redis",
                                                                           "postgres"]

    def one(self, what):
        self.timeline.begin(what)
        getattr(self, what)()
        self.timeline.end(what)

    def reload(self):
        result = self.api.reload(conf_of(self.upstream, self.generation + 1))
        self.generation += result.code == 0
        self.refused_reloads += result.code != 0
        assert self.api.get("/generation").json() == {"n": self.generation}, result

    def worker(self):
        tell(self.choose.choice(self.api.worker_pids()), signal.SIGKILL)
        assert eventually(lambda: len(self.api.worker_pids()) == WORKERS, 60), self.api.log()[-2000:]

    def keeper(self):
        keeper = self.api.keeper_pid()
        tell(keeper, signal.SIGKILL)
        assert eventually(lambda: self.api.keeper_pid() not in (None, keeper), 60), self.api.log()[-2000:]

    def redis(self):
        self.redis_server.stop()
        time.sleep(self.choose.uniform(0.2, 1))
        self.redis_server.start()

    def postgres(self):
        self.pg.stop()
        time.sleep(self.choose.uniform(0.2, 1))
        self.pg.start()
        assert eventually(lambda: self.api.status("/fresh/1") == 200, 60), self.api.log()[-2000:]


def conf_of(upstream, generation):
    return CONF.format(url=upstream.url, generation=generation)


# ---- what they use

class Look:
    """At one moment: KB of private memory and descriptors of each process, by its pid."""

    def __init__(self, api):
        self.at = time.monotonic()
        self.master = self.of(api.process.pid)
        self.workers = {pid: self.of(pid) for pid in api.worker_pids()}

    @staticmethod
    def of(pid):
        try:
            return memory_kb(pid, "RssAnon"), len(os.listdir(f"/proc/{pid}/fd"))
        except (FileNotFoundError, ProcessLookupError):
            return 0, 0


class Record:
    """All looks, and what they tell in the end."""

    def __init__(self):
        self.looks = []

    def take(self, api):
        self.looks.append(Look(api))

    def halves(self):
        middle = len(self.looks) // 2
        return self.looks[:middle], self.looks[middle:]

    def master_growth(self):
        """(KB, descriptors): the medians of the second half less those of the first, which has the warming up."""
        first, second = self.halves()
        return [statistics.median(look.master[i] for look in second) - statistics.median(look.master[i] for look in first)
                for i in (0, 1)]

    def most_fds(self):
        return [max(fds for look in half for _, fds in look.workers.values()) for half in self.halves()]

    def worker_slopes(self, least_seconds):
        """KB a minute of each worker that lived for so long, once it was warm."""
        lives = collections.defaultdict(list)
        for look in self.looks:
            for pid, (kb, _) in look.workers.items():
                if kb > 0:
                    lives[pid].append((look.at, kb))
        slopes = []
        for points in lives.values():
            warm = [point for point in points if point[0] - points[0][0] >= least_seconds / 2]
            if len(warm) >= 4 and warm[-1][0] - points[0][0] >= least_seconds:
                at = [point[0] / 60 for point in warm]
                slopes.append(statistics.linear_regression(at, [point[1] for point in warm]).slope)
        return slopes


def row(*cells):
    print("".join(f"{cell:>11}" for cell in cells), flush=True)


def print_row(begun, consumers, trouble, look):
    counts, refused = consumers.counts, sum(n for kind, n in consumers.counts.items() if isinstance(kind, int))
    row(f"{time.monotonic() - begun:.0f}", counts["requests"], counts["hits"], counts["writes"], len(consumers.wrong), refused,
        counts["lost"], len(consumers.unexcused), sum(trouble.timeline.counts.values()), *look.master,
        "+".join(str(kb) for kb, _ in look.workers.values()), "+".join(str(fds) for _, fds in look.workers.values()))


def run(api, consumers, trouble, record):
    begun = last_row = last_look = time.monotonic()
    row("seconds", "requests", "hits", "writes", "wrong", "refused", "lost", "unexcused", "events", "master KB", "fds",
        "workers KB", "fds")
    order = []
    while (now := time.monotonic()) < begun + SECONDS or order:
        if not order:
            order = trouble.kinds(now - begun)
            trouble.choose.shuffle(order)
        trouble.one(order.pop())
        trouble.pause()
        if now - last_look >= 5 or not LONG:
            record.take(api)
            last_look = now
        if now - last_row >= 60:
            print_row(begun, consumers, trouble, record.looks[-1])
            last_row = now
    record.take(api)
    print_row(begun, consumers, trouble, record.looks[-1])


def test_mixed_load_with_trouble_stays_right_and_flat(make_perfd, pg, redis, well, backend):
    db = pg.create_database("soak", SCHEMA)
    api = make_perfd(conf_of(backend, 1), db, redis, workers=WORKERS, cache="size 16MB; entries 10000;",
                     pool="pool max=6 min=2;").start()
    timeline, record = Timeline(), Record()
    trouble = Trouble(api, (pg, redis, backend), timeline)
    with Consumers(api, timeline) as consumers:
        run(api, consumers, trouble, record)
        timeline.until = time.monotonic() + 2
        time.sleep(2)
    growth, fds, slopes = record.master_growth(), record.most_fds(), record.worker_slopes(300)
    print(f"{dict(timeline.counts)}, {trouble.refused_reloads} reloads refused, seed {SEED}\n"
          f"{dict(consumers.counts)}, the longest {consumers.longest:.1f} s\n"
          f"master: {growth[0]:+.0f} KB and {growth[1]:+.0f} descriptors from the first half to the second; workers: at most "
          f"{fds[0]} and {fds[1]} descriptors; KB a minute of those that lived for 5 minutes: "
          f"{[round(slope, 1) for slope in sorted(slopes)]}")
    assert consumers.wrong == []
    assert consumers.unexcused == [], consumers.unexcused[:10]
    assert growth[1] == 0 and growth[0] <= GROWTH_KB
    assert fds[1] <= fds[0] + 10
    assert not slopes or statistics.median(slopes) <= 50
    assert eventually(lambda: len(api.worker_pids()) == WORKERS and api.status("/readyz") == 200, 60)
    versions = dict(db.run("SELECT id, version FROM items"))
    assert all(versions[item] >= consumers.acknowledged[item] for item in versions)
    assert eventually(lambda: all(api.get(f"/items/{item}").json()["version"] == versions[item] for item in versions), 5)
    assert eventually(lambda: api.stat("cache_segments_limbo") == 0 and api.stat("in_flight") == 0, 10)

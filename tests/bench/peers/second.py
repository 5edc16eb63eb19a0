"""An answer out of Redis beside one from shared memory and one from the database: the servers of tests/bench/redis."""
import os
import statistics
import sys

from lib.http_client import request_once
from lib.perfd import Perfd
from lib.postgres import Postgres
from lib.process import eventually, family
from lib.redis_server import RedisServer

from .example import USERS, load_example, wrk

EX_FAILED = 1
CONF = """route GET /user/{id} { query "SELECT id, email, name, created_at FROM users WHERE id = :id"; result row;
    cache ttl=1h tti=1h tags=user:{id}; }"""
LARGE, SMALL = f"entries {4 * USERS};", "size 16MB; entries 500;"
MOST_OVER_HIT_US, MOST_OF_NONE = 12, 1.05


class Server:
    def __init__(self, name, db, redis=None, more="", cache=SMALL, depth=64):
        block = f"redis {{ url {redis.url}; {more} }}" if redis else ""
        self.name = name
        self.perfd = Perfd(CONF, db, workers=1, pool=f"pool max=4 min=4 depth={depth};", cache=cache, settings=block)
        head = self.perfd.head.replace(f"access_log {self.perfd.access_log};", "access_log off;")
        self.perfd.configure(head + CONF, whole=True)

    def run(self, seconds, connections, groups):
        groups = {"own": lambda: self.perfd.worker_pids() + [self.perfd.keeper_pid()], **groups}
        return wrk(self.perfd.port, "/user/%d", USERS, seconds, groups, connections)

    def fill(self):
        for item in range(1, USERS + 1):
            if request_once(self.perfd.port, "GET", f"/user/{item}").status != 200:
                raise RuntimeError(f"{self.name} does not answer /user/{item}")


def measure(servers, redis, options, groups, cpus):
    runs = {server.name: [] for server in servers}
    for turn in range(options.rounds):
        for i in range(len(servers)):
            server = servers[(i + turn) % len(servers)]
            print(f"round {turn + 1}: {server.name}", file=sys.stderr)
            paused = server.name == "paused"
            (redis[1].pause if paused else redis[1].resume)()
            os.sched_setaffinity(0, {cpus[0]})
            try:
                runs[server.name].append(server.run(options.seconds, options.connections, groups))
            finally:
                os.sched_setaffinity(0, {cpus[1]})
    redis[1].resume()
    return runs


def ratio(runs, one, other, figure):
    return statistics.median(figure(a) / figure(b) for a, b in zip(runs[one], runs[other]))


def in_all(measured):
    return sum(measured.cpu_us.values())


def print_table(runs):
    print("\n  server      requests/s  CPU us: own   Redis  PostgreSQL   in all   / hit")
    for name, measured in runs.items():
        own, theirs, base = (statistics.median(m.cpu_us[key] for m in measured) for key in ("own", "redis", "postgres"))
        print(f"  {name:11}{statistics.median(m.per_second for m in measured):11,.0f}{own:13.1f}{theirs:8.1f}{base:12.1f}"
              f"{statistics.median(map(in_all, measured)):9.1f}{ratio(runs, name, 'hit', in_all):8.2f}", flush=True)


def problems_of(runs):
    problems = []
    over = statistics.median(a.cpu_us["own"] - b.cpu_us["own"] for a, b in zip(runs["redis"], runs["hit"]))
    print(f"  an answer out of Redis takes {over:.1f} us of perfd's own CPU time more than a hit")
    if over > MOST_OVER_HIT_US:
        problems.append(f"out of Redis: {over:.1f} us of perfd's own above a hit, not {MOST_OVER_HIT_US}")
    if (part := ratio(runs, "redis", "database", in_all)) >= 1:
        problems.append(f"out of Redis: {part:.2f} of the CPU time in all that the database takes")
    if (part := ratio(runs, "paused", "database", in_all)) > MOST_OF_NONE:
        problems.append(f"a paused Redis: {part:.2f} of the CPU time in all without one, not {MOST_OF_NONE}")
    return problems


def compare(options):
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise RuntimeError("two CPUs are needed, one for the servers and one for the load")
    cpus = allowed[0], allowed[-1]
    os.sched_setaffinity(0, {cpus[1]})
    pg, redis, servers = Postgres(), [RedisServer(), RedisServer()], []  # the second is the one that is paused
    try:
        pg.start()
        for one in redis:
            one.start()
        db = load_example(pg)
        servers = [Server("hit", db, cache=LARGE), Server("redis", db, redis[0]),
                   Server("redis x3", db, redis[0], "connections 3;"), Server("database", db),
                   Server("alone", db, depth=1), Server("paused", db, redis[1])]
        for server in servers:
            server.perfd.start()
        for server in servers[:2]:
            server.fill()
        if not eventually(lambda: servers[1].perfd.stat("redis_stores") >= USERS):
            raise RuntimeError("Redis does not hold every answer")
        groups = {"redis": lambda: [redis[0].process.pid], "postgres": lambda: family(pg.pid)}
        runs = measure(servers, redis, options, groups, cpus)
        if servers[1].perfd.stat("redis_hits") < servers[1].perfd.stat("redis_misses"):
            raise RuntimeError("Redis did not answer")
        print_table(runs)
        problems = problems_of(runs)
        for problem in problems:
            print(f"redis: {problem}")
        return EX_FAILED if problems and options.gate else 0
    finally:
        for one in redis:
            one.resume()
        for server in servers:
            server.perfd.finish()
        for one in redis:
            one.remove()
        pg.remove()

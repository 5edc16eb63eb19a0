"""Reads that no cache answers: the servers of tests/bench/database, measured in turns, and what came out."""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import types

from lib.http_client import request_once
from lib.perfd import Perfd as Instance
from lib.ports import free_ports
from lib.postgres import BIN, Postgres, _as_postgres
from lib.process import eventually, family

from .example import POSTS, ROOT, USERS, Measured, cpu_seconds, load_example, wrk

EX_FAILED = 1
COLUMNS = "id, user_id, title, body, created_at"
USER = "SELECT id, email, name, created_at FROM users WHERE id = {id}"
RANGE = f"SELECT {COLUMNS} FROM posts WHERE id >= {{id}} AND id < {{id}} + {{rows}} ORDER BY id"
LEAST_OVER_PLAIN, MOST_OF_AGG, MOST_OVER_HIT_US = 2.5, 0.45, 8


def query_of(rows, param):
    return USER.format(id=param) if rows == 1 else RANGE.format(id=param, rows=rows)


def agg_of(rows, param):
    return f"SELECT json_agg(row_to_json(t)) FROM ({query_of(rows, param)}) t"


def path_of(rows):
    return "/user/%d" if rows == 1 else f"/posts{rows}/%d"


def most_of(rows):
    return USERS if rows == 1 else POSTS - rows


def conf_of(query, kind, more=""):
    """more: directives of the route of one row."""
    return "\n".join(f"route GET {path_of(rows).replace('%d', '{id}')} {{ query \"{query(rows, ':id')}\"; "
                     f"result {'row' if kind == 'rows' and rows == 1 else kind}; {more if rows == 1 else ''} }}"
                     for rows in (1, 20, 500))


class Relay:
    """PostgreSQL's socket, further away."""

    def __init__(self, pg, delay_us, cpu):
        self.folder = f"{pg.folder}/far"
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o755)
        name = ".s.PGSQL.5432"
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-D_GNU_SOURCE",
                        f"{ROOT}/tests/bench/peers/delay.c", "-o", f"{self.folder}/delay", "-levent"], check=True)
        self.process = subprocess.Popen(["taskset", "-c", str(cpu), f"{self.folder}/delay", f"{self.folder}/{name}",
                                         f"{pg.folder}/{name}", str(delay_us)])
        if not eventually(lambda: os.path.exists(f"{self.folder}/{name}"), 5, 0.02):
            raise RuntimeError("the relay does not start")
        os.chmod(f"{self.folder}/{name}", 0o777)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Perfd:
    def __init__(self, name, db):
        self.name = name
        depth = 1 if name in ("plain", "agg") else 64
        more = {"combine": "combine on;", "hit": "cache ttl=1h tti=1h;"}.get(name, "")
        conf = conf_of(agg_of, "value") if name == "agg" else conf_of(query_of, "rows", more)
        self.instance = Instance(conf, db, workers=1, pool=f"pool max=4 min=4 depth={depth};",
                                 cache=f"entries {4 * USERS};")
        self.instance.configure(self.instance.head.replace(f"access_log {self.instance.access_log};",
                                                           "access_log off;") + conf, whole=True)

    def start(self):
        self.instance.start()

    @property
    def port(self):
        return self.instance.port

    def pids(self):
        return self.instance.worker_pids()

    def stop(self):
        self.instance.finish()


class Fastify:
    name = "fastify"

    def __init__(self, db, folder):
        (self.port,) = free_ports(1)
        self.url, self.folder, self.process = db.url, folder, None

    def start(self):
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", self.folder, "fastify@5",
                        "pg@8"], check=True, stdout=sys.stderr)
        shutil.copy(f"{ROOT}/tests/bench/peers/fastify.js", self.folder)
        self.process = subprocess.Popen(["node", f"{self.folder}/fastify.js", str(self.port), self.url, "10"],
                                        stdout=sys.stderr, stdin=subprocess.DEVNULL)

        def answers():
            try:
                return request_once(self.port, "GET", "/user/1", timeout=3).status == 200
            except OSError:
                return False
        if not eventually(answers, 15, 0.1):
            raise RuntimeError("fastify does not answer")

    def pids(self):
        return [self.process.pid]

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


class Pgbench:
    """The limit: the same query without HTTP and JSON."""
    port = None

    def __init__(self, pg, host, clients):
        self.name, self.pg, self.host, self.clients = f"pgbench {clients}", pg, host, clients

    def start(self):
        for rows in (1, 20, 500):
            with open(f"{self.pg.folder}/read{rows}.sql", "w", encoding="ascii") as script:
                script.write(f"\\set id random(1, {most_of(rows)})\n{query_of(rows, ':id')};\n")

    def stop(self):
        pass

    def run(self, rows, seconds):
        before, usage = cpu_seconds(family(self.pg.pid)), os.times()
        command = [f"{BIN}/pgbench", "-n", "-M", "prepared", "-c", str(self.clients), "-j", "1", "-T", str(seconds), "-f",
                   f"{self.pg.folder}/read{rows}.sql", "-h", self.host, "-U", self.pg.user, "bench"]
        done = subprocess.run(_as_postgres(command), capture_output=True, text=True, check=False, cwd="/")
        if done.returncode != 0:
            raise RuntimeError(f"pgbench: {done.stderr.strip()}")
        after, used = cpu_seconds(family(self.pg.pid)), os.times()
        own = used.children_user + used.children_system - usage.children_user - usage.children_system
        count = int(re.search(r"actually processed: (\d+)", done.stdout).group(1))
        return Measured(count, seconds, {"server": own, "postgres": after - before})


def run(server, pg, rows, options, cpus):
    if server.port is None:
        return server.run(rows, options.seconds)
    os.sched_setaffinity(0, {cpus[0]})
    try:
        return wrk(server.port, path_of(rows), most_of(rows), options.seconds,
                   {"server": server.pids, "postgres": lambda: family(pg.pid)}, options.connections)
    finally:
        os.sched_setaffinity(0, {cpus[1]})


def verify(servers):
    """All answer the same rows, but for how each writes a time."""
    asked = [server for server in servers if server.port is not None]
    for rows in (1, 20, 500):
        answers = {}
        for server in asked:
            response = request_once(server.port, "GET", path_of(rows) % 77)
            if response.status != 200:
                raise RuntimeError(f"{server.name} answers {response.status} for {rows} rows")
            document = response.json()
            found = document if isinstance(document, list) else [document]
            answers[server.name] = [{key: str(value) for key, value in row.items() if key != "created_at"}
                                    for row in found]
            if len(found) != rows:
                raise RuntimeError(f"{server.name} answers {len(found)} rows for {rows}")
        if any(answer != answers[asked[0].name] for answer in answers.values()):
            raise RuntimeError(f"the servers do not answer the same for {rows} rows")


def ratio(runs, above, below, figure):
    return statistics.median(figure(a) / figure(b) for a, b in zip(runs[above], runs[below]))


def both_cpu(measured):
    return sum(measured.cpu_us.values())


def over_hit_us(runs):
    return statistics.median(miss.cpu_us["server"] - hit.cpu_us["server"]
                             for miss, hit in zip(runs["perfd"], runs["hit"]))


def per_second(measured):
    return measured.per_second


def print_table(rows, runs):
    print(f"\n{rows} row{'s' if rows > 1 else ''}\n"
          "  server      requests/s  CPU us: own  PostgreSQL    both   / plain")
    for name, measured in runs.items():
        own, theirs = (statistics.median(m.cpu_us[key] for m in measured) for key in ("server", "postgres"))
        over = f"{ratio(runs, name, 'plain', per_second):9.2f}" if "plain" in runs else "        -"
        print(f"  {name:11}{statistics.median(map(per_second, measured)):11,.0f}{own:13.1f}{theirs:12.1f}"
              f"{own + theirs:8.1f}{over}", flush=True)


def problems_of(all_runs):
    problems = []
    one, many = all_runs.get(1, {}), all_runs.get(500, {})
    if {"perfd", "plain"} <= one.keys() and (over := ratio(one, "perfd", "plain", per_second)) < LEAST_OVER_PLAIN:
        problems.append(f"one row: {over:.2f} times the requests of plain, not {LEAST_OVER_PLAIN}")
    if {"perfd", "pgbench 16"} <= one.keys() and (over := ratio(one, "perfd", "pgbench 16", per_second)) <= 1:
        problems.append(f"one row: {over:.2f} times the transactions of pgbench with 16 clients")
    if {"perfd", "hit"} <= one.keys() and (over := over_hit_us(one)) > MOST_OVER_HIT_US:
        problems.append(f"one row: {over:.1f} us of perfd's own above a hit, not {MOST_OVER_HIT_US}")
    if {"perfd", "agg"} <= many.keys() and (part := ratio(many, "perfd", "agg", both_cpu)) > MOST_OF_AGG:
        problems.append(f"500 rows: {part:.2f} of the CPU time of json_agg, not {MOST_OF_AGG}")
    return problems or ([] if one and many else ["not all that --gate asks for was measured"])


def compare(options):
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise RuntimeError("two CPUs are needed, one for the servers and one for the load")
    cpus = allowed[0], allowed[-1]
    os.sched_setaffinity(0, {cpus[1]})
    pg, relay, servers, folder = Postgres(), None, [], tempfile.mkdtemp(prefix="database-bench.")
    try:
        pg.start()
        db = load_example(pg)
        host = pg.folder
        if options.delay_us > 0:
            relay = Relay(pg, options.delay_us, cpus[0])
            host = relay.folder
        far = types.SimpleNamespace(url=db.url.replace(pg.folder, host))
        makers = {"fastify": lambda: Fastify(far, folder), "pgbench 1": lambda: Pgbench(pg, host, 1),
                  "pgbench 16": lambda: Pgbench(pg, host, 16)}
        for name in options.only:
            servers.append(makers[name]() if name in makers else Perfd(name, far))
            servers[-1].start()
        verify(servers)
        all_runs = {}
        for rows in options.rows:
            runs = {server.name: [] for server in servers}
            for server in servers:
                run(server, pg, rows, argparse.Namespace(**{**vars(options), "seconds": 1}), cpus)  # warm
            for turn in range(options.rounds):
                for i in range(len(servers)):
                    server = servers[(i + turn) % len(servers)]
                    print(f"{rows} rows, round {turn + 1}: {server.name}", file=sys.stderr)
                    runs[server.name].append(run(server, pg, rows, options, cpus))
            print_table(rows, runs)
            if rows == 1 and {"perfd", "hit"} <= runs.keys():
                print(f"  perfd takes {over_hit_us(runs):.1f} us of its own CPU time more than for a hit")
            all_runs[rows] = runs
        problems = problems_of(all_runs) if options.gate else []
        for problem in problems:
            print(f"database: {problem}")
        return EX_FAILED if problems else 0
    finally:
        for server in servers:
            server.stop()
        if relay is not None:
            relay.stop()
        pg.remove()
        shutil.rmtree(folder, ignore_errors=True)

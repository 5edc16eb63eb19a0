#!/usr/bin/python3
"""Comparisons in one run: perfd's hits with nginx + lua, its single-row reads with pgbench, one JOIN with N+1 requests,
and perfctl's figures with those of the load generator. Absolute figures are this machine's; the ratios are the result.

    scripts/install-deps bench && make && tests/bench/bench.py [hits] [reads] [join] [agree] [--seconds 5]
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path.insert(0, f"{ROOT}/tests/it")
from lib.http_client import Connection  # noqa: E402
from lib.perfd import Perfd  # noqa: E402
from lib.ports import free_ports  # noqa: E402
from lib.postgres import BIN, Postgres, _as_postgres  # noqa: E402
from lib.process import eventually, family, tell  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
USERS, POSTS = 10_000, 100_000
EXAMPLE = f"{ROOT}/sql/example"
CONF = f"""
route GET /small/{{n}} {{ query "SELECT :n::int AS n, repeat('x', 170) AS text"; result row; cache ttl=1h tti=1h; }}
route GET /large/{{n}} {{ query "SELECT :n::int AS n, repeat('x', 4070) AS text"; result row; cache ttl=1h tti=1h; }}
route GET /api/users/{{id}} {{ sql {EXAMPLE}/user_by_id.sql; result row; }}
route GET /api/users {{ sql {EXAMPLE}/users.sql; result rows; param offset default=0; }}
route GET /api/users/{{id}}/posts {{ sql {EXAMPLE}/user_posts.sql; result rows; }}
route GET /api/users-with-posts {{ sql {EXAMPLE}/users_with_posts.sql; result rows; }}
"""

WRK = """
local n = tonumber(os.getenv('BENCH_MAX'))
local path = os.getenv('BENCH_PATH')
function setup(thread) end
function init(args) math.randomseed(7) end
function request() return wrk.format('GET', string.format(path, math.random(1, n))) end
function done(summary, latency, requests)
    io.write(string.format('RESULT %d %d %d %d %d\\n', summary.requests, summary.duration, summary.errors.status +
        summary.errors.read + summary.errors.write + summary.errors.timeout + summary.errors.connect,
        latency:percentile(50), latency:percentile(95)))
end
"""

NGINX = """
worker_processes {workers}; pid {folder}/nginx.pid; error_log {folder}/error.log; daemon on; worker_rlimit_nofile 4096;
{modules}
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 100000000; lua_shared_dict answers 64m;
    init_by_lua_block {{
        for n = 1, 1000 do
            ngx.shared.answers:set('/small/' .. n, '{{"n":' .. n .. ',"text":"' .. string.rep('x', 170) .. '"}}')
            ngx.shared.answers:set('/large/' .. n, '{{"n":' .. n .. ',"text":"' .. string.rep('x', 4070) .. '"}}')
        end
    }}
    server {{
        listen 127.0.0.1:{port} reuseport;
        location / {{
            content_by_lua_block {{
                local body = ngx.shared.answers:get(ngx.var.uri)
                if not body then return ngx.exit(404) end
                ngx.header['Content-Type'] = 'application/json'
                ngx.header['Content-Length'] = #body
                ngx.print(body)
            }}
        }}
    }}
}}
"""


def cpu_seconds(pids):
    """User and system time; of children that ended too."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            total += sum(int(field) for field in fields[11:15])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / TICK


class Measured:
    def __init__(self, requests, seconds, cpu, p50_us=0, p95_us=0):
        self.per_second = requests / seconds
        self.requests = requests
        self.cpu_us = {name: 1e6 * value / requests for name, value in cpu.items()}
        self.p50_us, self.p95_us = p50_us, p95_us

    def __str__(self):
        cpu = "  ".join(f"{name} {us:6.1f} us" for name, us in self.cpu_us.items())
        return f"{self.per_second:9,.0f} requests/s   CPU a request: {cpu}"


def wrk(port, path, most, seconds, groups, connections=32):
    """groups: name -> function that lists the processes whose time counts."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK)
        script.flush()
        before = {name: cpu_seconds(pids()) for name, pids in groups.items()}
        done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name,
                               f"http://127.0.0.1:{port}"], env={**os.environ, "BENCH_PATH": path, "BENCH_MAX": str(most)},
                              capture_output=True, text=True, check=True)
        cpu = {name: cpu_seconds(pids()) - before[name] for name, pids in groups.items()}
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    requests, us, errors, p50, p95 = map(int, found.groups())
    assert errors == 0, done.stdout
    return Measured(requests, us / 1e6, cpu, p50, p95)


def load_example(pg):
    database = pg.create_database("bench")
    script = "\n".join([f"\\set users {USERS}", f"\\set posts {POSTS}", "\\set from 1", "\\i schema.sql",
                        "\\i seed_words.sql", f"\\set to {USERS}", "\\i seed_users.sql", f"\\set to {POSTS}",
                        "\\i seed_posts.sql", "\\i indexes.sql", "VACUUM ANALYZE;"])
    subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", pg.folder, "-U", pg.user, "-d", "bench"],
                   input=script, text=True, check=True, cwd=EXAMPLE, stdout=subprocess.DEVNULL)
    return database


class Nginx:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="nginx-bench.", dir="/tmp")
        (self.port,) = free_ports(1)
        modules = "".join(f"load_module {path};\n" for path in (
            "/usr/lib/nginx/modules/ndk_http_module.so", "/usr/lib/nginx/modules/ngx_http_lua_module.so"))
        with open(f"{self.folder}/nginx.conf", "w", encoding="ascii") as conf:
            conf.write(NGINX.format(workers=os.cpu_count(), folder=self.folder, port=self.port, modules=modules))
        subprocess.run(["nginx", "-c", f"{self.folder}/nginx.conf", "-p", self.folder], check=True,
                       stderr=subprocess.DEVNULL)
        with open(f"{self.folder}/nginx.pid", encoding="ascii") as pid:
            self.pid = int(pid.read())

    def pids(self):
        return family(self.pid)

    def stop(self):
        tell(self.pid, 15)
        eventually(lambda: not os.path.exists(f"/proc/{self.pid}"), 5)
        shutil.rmtree(self.folder, ignore_errors=True)


def bench_hits(perfd, _pg, _db, seconds):
    print("hits: perfd's shared memory against nginx + lua shared dict, 1,000 keys, 32 connections, in turns")
    nginx = Nginx()
    try:
        for size, path in (("200 B", "/small/%d"), ("4 KB", "/large/%d")):
            with Connection(perfd.port) as warm:
                for n in range(1, 1001):
                    assert warm.request("GET", path % n).status == 200
            rounds = [(wrk(perfd.port, path, 1000, seconds, {"perfd": perfd.worker_pids}),
                       wrk(nginx.port, path, 1000, seconds, {"nginx": nginx.pids})) for _ in range(3)]
            ours = sorted((pair[0] for pair in rounds), key=lambda m: m.per_second)[1]
            theirs = sorted((pair[1] for pair in rounds), key=lambda m: m.per_second)[1]
            print(f"  {size:6} perfd {ours}\n         nginx {theirs}")
            print(f"         perfd / nginx: requests {ours.per_second / theirs.per_second:.2f}, "
                  f"CPU {ours.cpu_us['perfd'] / theirs.cpu_us['nginx']:.2f}")
    finally:
        nginx.stop()


def pgbench(pg, seconds, clients):
    with open(f"{pg.folder}/read.sql", "w", encoding="ascii") as script, \
            open(f"{EXAMPLE}/user_by_id.sql", encoding="ascii") as query:
        script.write(f"\\set id random(1, {USERS})\n" + query.read())
    before = cpu_seconds(family(pg.pid))
    usage = os.times()
    done = subprocess.run(_as_postgres([f"{BIN}/pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T",
                                        str(seconds), "-f", f"{pg.folder}/read.sql", "-h", pg.folder, "-U", pg.user,
                                        "bench"]), capture_output=True, text=True, check=True, cwd="/")
    after, used = cpu_seconds(family(pg.pid)), os.times()
    count = int(re.search(r"actually processed: (\d+)", done.stdout).group(1))
    client = used.children_user + used.children_system - usage.children_user - usage.children_system
    return Measured(count, seconds, {"postgres": after - before, "pgbench": client})


def bench_reads(perfd, pg, _db, seconds):
    clients = 2 * os.cpu_count() * os.cpu_count()  # as many sessions as perfd's workers have together
    print(f"reads: uncached GET /api/users/{{id}} against pgbench -M prepared, {clients} sessions, in turns")
    groups = {"perfd": perfd.worker_pids, "postgres": lambda: family(pg.pid)}
    rounds = [(wrk(perfd.port, "/api/users/%d", USERS, seconds, groups), pgbench(pg, seconds, clients))
              for _ in range(3)]
    ours = sorted((pair[0] for pair in rounds), key=lambda m: m.per_second)[1]
    limit = sorted((pair[1] for pair in rounds), key=lambda m: m.per_second)[1]
    print(f"  perfd   {ours}\n  pgbench {limit}")
    print(f"  perfd / pgbench: requests {ours.per_second / limit.per_second:.2f}, "
          f"PostgreSQL's CPU {ours.cpu_us['postgres'] / limit.cpu_us['postgres']:.2f}")


def bench_join(perfd, _pg, db, _seconds):
    print("join: 100 users with their posts, uncached, one keep-alive connection, median of 20")
    users = range(1, 101)

    def one_join(connection):
        return connection.request("GET", "/api/users-with-posts?limit=100").json()

    def n_plus_1(connection):
        found = connection.request("GET", "/api/users?limit=100").json()
        return [{**user, "posts": connection.request("GET", f"/api/users/{user['id']}/posts?limit=100000").json()}
                for user in found]

    figures = {}
    for name, ask in (("one JOIN", one_join), ("N+1", n_plus_1)):
        with Connection(perfd.port) as connection:
            result = ask(connection)
            assert [user["id"] for user in result] == list(users)
            posts = sum(len(user["posts"]) for user in result)
            db.forget_calls()
            ask(connection)
            queries = db.calls("%FROM%users%") + db.calls("%FROM posts%WHERE user_id%")
            times = []
            for _ in range(20):
                start = time.perf_counter()
                ask(connection)
                times.append(time.perf_counter() - start)
        figures[name] = sorted(times)[10]
        print(f"  {name:8} {queries:4} queries  {1000 * figures[name]:7.2f} ms   ({posts} posts)")
    print(f"  N+1 / JOIN: {figures['N+1'] / figures['one JOIN']:.1f} times as long")


def bench_agree(perfd, _pg, _db, seconds):
    """Below saturation: what waits in a socket while every CPU is busy with others is seen by the client alone."""
    print("agree: perfctl routes beside what wrk counted, users with posts, 2 connections")

    def row():
        routes = perfd.perfctl_json("routes")["routes"]
        return next(r for r in routes if r["route"] == "GET /api/users-with-posts")

    assert row()["requests"] == 0, "this part comes first"
    measured = wrk(perfd.port, "/api/users-with-posts?limit=%d", 500, seconds, {"perfd": perfd.worker_pids}, 2)
    time.sleep(0.5)  # those under way when wrk ended
    ours = row()
    print(f"  requests  wrk {measured.requests}  perfctl {ours['requests']} (wrk leaves what is under way at its end)")
    for quantile, theirs in (("p50", measured.p50_us), ("p95", measured.p95_us)):
        print(f"  {quantile}       wrk {theirs} us  perfctl {ours[quantile + '_us']} us  "
              f"ratio {ours[quantile + '_us'] / theirs:.3f}")


PARTS = {"agree": bench_agree, "hits": bench_hits, "reads": bench_reads, "join": bench_join}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    parser.add_argument("--seconds", type=int, default=5)
    args = parser.parse_args()
    pg, perfd = Postgres(), None
    try:
        pg.start()
        db = load_example(pg)
        for name in PARTS:
            if args.parts and name not in args.parts:
                continue
            perfd = Perfd(CONF, db, workers=os.cpu_count(), settings="access_log off;", cache="entries 100000;")
            perfd.configure(re.sub(r"access_log /.*?;\n", "", perfd.head) + CONF, whole=True)
            perfd.start()
            PARTS[name](perfd, pg, db, args.seconds)
            perfd.finish()
            perfd = None
    finally:
        if perfd is not None:
            perfd.finish()
        pg.remove()


if __name__ == "__main__":
    main()

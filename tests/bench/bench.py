#!/usr/bin/python3
"""Comparisons in one run: perfd's hits with nginx + lua, one JOIN with N+1 requests, and perfctl's figures with those of
the load generator. Absolute figures are this machine's; the ratios are the result. Reads: tests/bench/database.

    scripts/install-deps bench && make && tests/bench/bench.py [hits] [join] [agree] [--seconds 5]
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
from lib.postgres import Postgres  # noqa: E402
from lib.process import eventually, family, tell  # noqa: E402
from peers.example import EXAMPLE, load_example, wrk  # noqa: E402

CONF = f"""
route GET /small/{{n}} {{ query "SELECT :n::int AS n, repeat('x', 170) AS text"; result row; cache ttl=1h tti=1h; }}
route GET /large/{{n}} {{ query "SELECT :n::int AS n, repeat('x', 4070) AS text"; result row; cache ttl=1h tti=1h; }}
route GET /api/users/{{id}} {{ sql {EXAMPLE}/user_by_id.sql; result row; }}
route GET /api/users {{ sql {EXAMPLE}/users.sql; result rows; param offset default=0; }}
route GET /api/users/{{id}}/posts {{ sql {EXAMPLE}/user_posts.sql; result rows; }}
route GET /api/users-with-posts {{ sql {EXAMPLE}/users_with_posts.sql; result rows; }}
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


PARTS = {"agree": bench_agree, "hits": bench_hits, "join": bench_join}


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

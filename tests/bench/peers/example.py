"""The example's data, and wrk over random keys of it with the CPU time that it cost."""
import os
import re
import subprocess
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
EXAMPLE = f"{ROOT}/sql/example"
TICK = os.sysconf("SC_CLK_TCK")
USERS, POSTS = 10_000, 100_000

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

"""One run of wrk against one server, and the CPU time that the server took for it."""
import dataclasses
import json
import os
import re
import subprocess
import time

from lib.process import alive

FOLDER = os.path.dirname(os.path.abspath(__file__))
SETTLE_SECONDS = 0.05  # until a server has closed what wrk left; idle, it takes no CPU time

# What a browser's fetch() sends, but for two fields. No cookie: Varnish passes such requests by. No coding is accepted,
# as the bodies must be the same from all, and some servers would compress.
FIELDS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "application/json, text/plain, */*",
    "Accept-Language": "en-US,en;q=0.8,de;q=0.5,fr;q=0.3",
    "Accept-Encoding": "identity",
    "Referer": "https://www.example.com/posts/2024/03/a-page-of-the-application?tab=comments",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
}


@dataclasses.dataclass(frozen=True)
class Shape:
    """What is asked, and how: a row of the comparison."""
    body: int
    connections: int
    mode: str
    fields: int

    @property
    def path(self):
        return f"/body/{self.body}"

    @property
    def headers(self):
        chosen = dict(list(FIELDS.items())[:self.fields])
        return {**chosen, "Connection": "close"} if self.mode == "close" else chosen

    def __str__(self):
        return f"{self.body:,} B, {self.connections:,} connections, {self.mode}, {self.fields} fields"


@dataclasses.dataclass(frozen=True)
class Run:
    per_second: float
    busy: float  # of one CPU
    cpu_us: float  # a request, user and system
    kernel_us: float
    p50_us: int
    p99_us: int
    failures: str  # "" when every request was answered well


class CpuTime:
    """Of processes that live. The kernel keeps their whole time in nanoseconds, that of ended threads too, but divides
    it into user and system by ticks of 10 ms; only the kernel's share is that coarse."""

    def __init__(self, pids):
        self.pids = pids
        self.ns = sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)  # clock_getcpuclockid(3)
        ticks = [self._ticks(pid) for pid in pids]
        self.user, self.system = (sum(column) for column in zip(*ticks))

    @staticmethod
    def _ticks(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]), int(fields[12])

    def since(self, before):
        """Seconds, and the kernel's part of them."""
        user, system = self.user - before.user, self.system - before.system
        seconds = (self.ns - before.ns) / 1e9
        return seconds, seconds * system / max(1, user + system)


def _wrk(port, shape, seconds):
    fields = [word for name, value in shape.headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{shape.connections}", f"-d{seconds}s", "-s", f"{FOLDER}/result.lua", *fields,
               f"http://127.0.0.1:{port}{shape.path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not found:
        return None, f"wrk failed: {(done.stderr or done.stdout).strip()[-200:]}"
    result = json.loads(found.group(1))
    return result, ", ".join(f"{count} {kind} errors" for kind, count in result["errors"].items() if count)


def measure(server, shape, seconds):
    """A Run, or a text that says why there is none."""
    try:
        pids = server.pids()
        before = CpuTime(pids)
        result, failures = _wrk(server.port, shape, seconds)
        time.sleep(SETTLE_SECONDS)
        cpu_seconds, kernel_seconds = CpuTime(pids).since(before)
    except (OSError, ValueError) as problem:
        return f"a process of {server.name} ended: {problem}"
    if not all(alive(pid) for pid in pids) or sorted(server.pids()) != sorted(pids):
        return f"a process of {server.name} came or went"
    if result is None:
        return failures
    if result["requests"] == 0:
        return "no request was answered"
    requests, wall = result["requests"], result["us"] / 1e6
    return Run(requests / wall, cpu_seconds / wall, 1e6 * cpu_seconds / requests, 1e6 * kernel_seconds / requests,
               result["p50_us"], result["p99_us"], failures)

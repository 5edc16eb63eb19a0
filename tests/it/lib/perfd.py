"""perfd and perfctl as an admin runs them."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from .http_client import Connection, request_once
from .ports import free_ports
from .process import alive, children, eventually, name_of, tell

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.path.join(ROOT, os.environ.get("PERFD_BUILD", f"build/{os.environ.get('MODE', 'release')}"))
PERFD = os.path.join(BUILD, "perfd")
PERFCTL = os.path.join(BUILD, "perfctl")
SANITIZED = "asan" in os.path.basename(BUILD)
NEVER_LOGGED = re.compile(r"must hold|AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:|"
                          r"double free|stack smashing|dumped core")


class Result:
    """What a command left: its exit code and texts."""

    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"<exit {self.code}\n--- out\n{self.out}--- err\n{self.err}>"


def run(*argv, timeout=20, cwd=None, env=None):
    return Result(subprocess.run(argv, capture_output=True, text=True, timeout=timeout, cwd=cwd, check=False,
                                 env={**os.environ, **(env or {})}))


# The memory of the default size takes a quarter of a second at each start.
SMALL_CACHE = "size 16MB;"
OWN_CACHE = re.compile(r"^\s*cache\s*\{", re.M)


class Perfd:
    """One instance in a folder of its own. `conf` is what stands behind the settings that every instance needs."""

    def __init__(self, conf, database=None, redis=None, workers=2, pool="", cache="", settings="", files=None, env=None,
                 within=()):
        self.folder = tempfile.mkdtemp(prefix="perfd-it.", dir="/tmp")
        self.port, self.admin = free_ports(2)
        self.env = env or {}
        self.within = list(within)  # a command that runs another: unshare, prlimit
        self.run_dir = f"{self.folder}/run"
        self.access_log = f"{self.folder}/access.log"
        self.error_log = f"{self.folder}/error.log"
        self.conf_file = f"{self.folder}/perfd.conf"
        self.workers = workers
        head = [f"listen 127.0.0.1:{self.port};", f"admin 127.0.0.1:{self.admin};", f"workers {workers};",
                f"run_dir {self.run_dir};", f"access_log {self.access_log};", f"error_log {self.error_log};", settings]
        if database:
            head.append(f"database {{ url {getattr(database, 'url', database)}; {pool} }}")
        if redis:
            head.append(f"redis {{ url {redis.url}; timeout 50ms; prefix {os.path.basename(self.folder)}; }}")
        if cache or not OWN_CACHE.search(conf):
            head.append(f"cache {{ {cache} {'' if 'size' in cache else SMALL_CACHE} }}")
        self.head = "\n".join(head) + "\n"
        self.program = PERFD
        self.process = None
        self.ended = None
        self._expected = None
        for name, text in (files or {}).items():
            self.write(name, text)
        self.configure(conf)

    # --- configuration

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def configure(self, conf, whole=False):
        self.conf = conf
        self.write("perfd.conf", conf if whole else self.head + conf)

    def line_of(self, text):
        """Where text stands last in perfd.conf: (line, column) from 1. The folder's name may hold it by chance."""
        with open(self.conf_file, encoding="utf-8") as conf:
            lines = conf.read().splitlines()
        for number in range(len(lines), 0, -1):
            if text in lines[number - 1]:
                return number, lines[number - 1].index(text) + 1
        raise AssertionError(f"{text!r} does not stand in perfd.conf")

    def check(self, *more):
        return self.command("-t", *more)

    def command(self, *args):
        return run(PERFD, "-c", self.conf_file, *args, cwd=self.folder, env=self.env)

    # --- life

    def launch(self):
        """Starts without waiting for anything."""
        self.ended = None
        with open(f"{self.folder}/stdout", "ab") as out, open(f"{self.folder}/stderr", "ab") as err:
            self.process = subprocess.Popen(self.within + [self.program, "-c", self.conf_file], cwd=self.folder, stdout=out, stderr=err,
                                            stdin=subprocess.DEVNULL, env={**os.environ, **self.env})
        return self

    def start(self, path="/readyz", within=10):
        self.launch()
        assert eventually(lambda: self.process.poll() is not None or self.status(path) == 200, within), \
            f"perfd is not ready\n{self.log()}"
        assert self.process.poll() is None, f"perfd ended with {self.process.returncode}\n{self.log()}"
        eventually(self.is_whole, 3)
        return self

    def wait(self, within=10):
        """The exit code of the master."""
        self.process.wait(within)
        return self.process.returncode

    def term(self):
        return self._end(signal.SIGTERM)

    def quit(self):
        return self._end(signal.SIGQUIT)

    def _end(self, sig):
        tell(self.process.pid, sig)
        return self.wait()

    def finish(self):
        """What every test ends with: TERM is answered with 0, and nothing broke unseen. Always cleans up."""
        try:
            if self.process is not None and self.process.poll() is None:
                workers = self.worker_pids()
                tell(self.process.pid, signal.SIGCONT)
                self.process.send_signal(signal.SIGTERM)
                try:
                    code = self.process.wait(10)
                except subprocess.TimeoutExpired:
                    for pid in [self.process.pid, *workers]:
                        tell(pid, signal.SIGKILL)
                    self.process.wait()
                    raise AssertionError(f"perfd does not end on TERM\n{self.log()}") from None
                assert code == 0, f"perfd ended with {code} on TERM\n{self.log()}"
                left = [pid for pid in workers if not eventually(lambda pid=pid: not alive(pid), 2)]
                assert not left, f"workers {left} outlive the master\n{self.log()}"
            broken = [line for line in self.log().splitlines()
                      if NEVER_LOGGED.search(line) and not (self._expected and self._expected in line)]
            assert not broken, "\n".join(broken[:20])
        finally:
            self.remove()

    def remove(self):
        if not os.environ.get("PERFD_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def expects(self, text):
        """A line with it may stand in the log, though it tells of a bug."""
        self._expected = text

    # --- signals

    def sighup(self):
        tell(self.process.pid, signal.SIGHUP)

    def usr1(self):
        tell(self.process.pid, signal.SIGUSR1)

    def pause_master(self):
        tell(self.process.pid, signal.SIGSTOP)

    def resume_master(self):
        tell(self.process.pid, signal.SIGCONT)

    def kill_master(self):
        self.process.kill()
        self.process.wait()

    def reload(self, conf=None):
        """By perfctl, which waits for the outcome. The settings stay, only what stands behind them changes."""
        if conf is not None:
            self.configure(conf)
        return self.perfctl("reload", timeout=40)

    # --- looking

    def worker_pids(self):
        return sorted(pid for pid in children(self.process.pid) if name_of(pid) == "perfd-worker")

    def accepts_for(self):
        """By slot: of how many slots its worker takes the connections."""
        return [worker["accepts_for"] for worker in self.perfctl_json("workers")["workers"]]

    def is_whole(self):
        """Every slot has a worker that takes its own connections."""
        return len(self.worker_pids()) == self.workers and self.accepts_for() == [1] * self.workers

    def keeper_pid(self):
        keepers = [pid for pid in children(self.process.pid) if name_of(pid) == "perfd-keeper"]
        return keepers[0] if keepers else None

    def log(self):
        text = ""
        for name in sorted(glob.glob(f"{self.folder}/error.log*")) + [f"{self.folder}/stderr"]:
            if os.path.exists(name):
                with open(name, encoding="utf-8", errors="replace") as log:
                    text += log.read()
        return text

    def log_contains(self, text, within=3):
        return bool(eventually(lambda: text in self.log(), within))

    def access_lines(self):
        try:
            with open(self.access_log, encoding="utf-8") as log:
                return [json.loads(line) for line in log.read().splitlines()]
        except FileNotFoundError:
            return []

    def access_line(self, request_id, within=3):
        return eventually(lambda: next((line for line in self.access_lines()
                                        if line.get("request_id") == request_id), None), within)

    def status(self, path, port=None):
        try:
            return request_once(port or self.port, "GET", path, timeout=3).status
        except OSError:
            return None

    def perfctl(self, *args, timeout=20):
        return run(PERFCTL, "--dir", self.run_dir, *args, timeout=timeout)

    def perfctl_json(self, command):
        result = self.perfctl(command, "-o", "json")
        assert result.code == 0, result
        return result.json

    def stat(self, name):
        """One figure of `perfctl stats`, whatever level of the JSON it stands on."""
        return find_figure(self.perfctl_json("stats"), name)

    # --- asking

    def connect(self, timeout=15.0):
        return Connection(self.port, timeout)

    def request(self, method, target, body=None, headers=None, timeout=15.0):
        """On a connection of its own."""
        return request_once(self.port, method, target, body, headers, timeout)

    def get(self, target, headers=None, timeout=15.0):
        return self.request("GET", target, None, headers, timeout)

    def post(self, target, body=None, headers=None):
        return self.request("POST", target, {} if body is None else body, headers)

    def raw(self, data, answers=1, timeout=15.0):
        """Bytes in, parsed responses out."""
        with self.connect(timeout) as connection:
            connection.write(data)
            return [connection.read() for _ in range(answers)]

    def timed(self, target, timeout=15.0):
        start = time.monotonic()
        response = self.get(target, timeout=timeout)
        return response, time.monotonic() - start


def find_figure(tree, name):
    """The number called name in nested objects: plain, or as {"value": n}, or in a list of {"name": name, "value": n}."""
    if isinstance(tree, dict):
        if name in tree:
            found = tree[name]
            return found["value"] if isinstance(found, dict) and "value" in found else found
        if tree.get("name") == name and "value" in tree:
            return tree["value"]
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            if (found := find_figure(item, name)) is not None:
                return found
    return None

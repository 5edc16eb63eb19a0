"""The servers of the comparison, each on a port of its own, pinned to one CPU and ended by its pid."""
import os
import subprocess

from lib.http_client import request_once
from lib.perfd import PERFD, Perfd
from lib.ports import free_ports
from lib.postgres import Postgres
from lib.process import eventually, family

FOLDER = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(f"{FOLDER}/../../..")
READY_SECONDS = 15


def body_of(size):
    return b'{"text":"' + b"x" * (size - len('{"text":""}')) + b'"}'


class Place:
    """Where everything of one comparison stands, and which CPU the servers have."""

    def __init__(self, folder, sizes, cpu):
        self.folder = folder
        self.bodies = f"{folder}/body"
        self.sizes = sizes
        self.pinned = ["taskset", "-c", str(cpu)]
        os.chmod(folder, 0o755)  # servers give up root and must still read it
        os.mkdir(self.bodies)
        for size in sizes:
            with open(f"{self.bodies}/{size}", "wb") as body:
                body.write(body_of(size))

    def configuration(self, name, **values):
        """The file of that name beside this one, its @words@ replaced, in the folder."""
        with open(f"{FOLDER}/{name}", encoding="ascii") as template:
            text = template.read()
        values = {"folder": self.folder, "bodies": self.bodies, "names": " ".join(map(str, self.sizes)), **values}
        for word, value in values.items():
            text = text.replace(f"@{word}@", str(value))
        with open(f"{self.folder}/{name}", "w", encoding="ascii") as made:
            made.write(text)
        return made.name

    def program(self, name):
        """A C server of this folder, built once."""
        built = f"{self.folder}/{name}"
        if not os.path.exists(built):
            compiler = os.environ.get("CC", "cc")
            options = ["-std=gnu11", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", f"-I{ROOT}"]
            sources = [f"{FOLDER}/{name}.c", f"{FOLDER}/answers.c"]
            subprocess.run([compiler, *options, *sources, "-o", built, "-levent"], check=True)
        return built


class Server:
    """A program in the foreground whose command() says how it is started."""
    name = title = None
    package = None  # whose version is told

    def __init__(self, place):
        self.place = place
        (self.port,) = free_ports(1)
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        with open(f"{self.place.folder}/{self.name}.out", "wb") as out:
            self.process = subprocess.Popen(self.place.pinned + self.command(), stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=subprocess.STDOUT, cwd=self.place.folder)
        if not eventually(self._answers, READY_SECONDS, 0.05):
            with open(f"{self.place.folder}/{self.name}.out", encoding="utf-8", errors="replace") as out:
                raise RuntimeError(f"{self.name} does not answer\n{out.read()}")

    def _answers(self):
        if self.process.poll() is not None:
            return False
        try:
            return request_once(self.port, "GET", f"/body/{self.place.sizes[0]}", timeout=3).status == 200
        except OSError:
            return False

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pids(self):
        return family(self.process.pid)

    def hit_problem(self, _response):
        """Why a repeated request was not answered from a cache; "" when it was, or when there is none."""
        return ""

    def end_problem(self):
        """What the server itself knows to have gone wrong in all runs together, asked before it is stopped."""
        return ""


class Loop(Server):
    name, title = "loop", "bare event loop"
    package = "libevent-dev"

    def command(self):
        return [self.place.program("loop"), str(self.port), self.place.bodies]


class Evhttp(Server):
    name, title = "evhttp", "evhttp, plain"
    package = "libevent-dev"
    kind = "plain"

    def command(self):
        return [self.place.program("evhttp"), str(self.port), self.place.bodies, self.kind]


class EvhttpTuned(Evhttp):
    name, title, kind = "evhttp-tuned", "evhttp, tuned", "tuned"


class Nginx(Server):
    name, title = "nginx", "nginx + lua dict"
    package = "nginx"

    def command(self):
        return ["nginx", "-p", self.place.folder, "-e", f"{self.place.folder}/nginx.log", "-c",
                self.place.configuration("nginx.conf", port=self.port)]


class H2o(Server):
    name, title = "h2o", "h2o, file"
    package = "h2o"

    def command(self):
        return ["h2o", "-m", "worker", "-c", self.place.configuration("h2o.conf", port=self.port)]


class _Backend(Loop):
    name = "varnish-backend"


class Varnish(Server):
    """A hit from memory. Its log in shared memory is masked, as the others log nothing."""
    name, title = "varnish", "Varnish hit"
    package = "varnish"
    MASKED = ",".join(f"-{tag}" for tag in (
        "SessOpen", "SessClose", "Begin", "End", "Link", "Timestamp", "ReqStart", "ReqMethod", "ReqURL", "ReqProtocol",
        "ReqHeader", "ReqUnset", "ReqAcct", "VCL_call", "VCL_return", "VCL_use", "Hit", "RespProtocol", "RespStatus",
        "RespReason", "RespHeader", "RespUnset", "Filters"))

    def __init__(self, place):
        super().__init__(place)
        self.backend = _Backend(place)

    def command(self):
        vcl = self.place.configuration("varnish.vcl", backend=self.backend.port)
        return ["varnishd", "-F", "-n", f"{self.place.folder}/varnish", "-f", vcl, "-a", f"127.0.0.1:{self.port}",
                "-T", "none", "-s", "malloc,64m", "-p", "thread_pools=1", "-p", f"vsl_mask={self.MASKED}"]

    def start(self):
        self.backend.start()
        super().start()

    def stop(self):
        super().stop()
        self.backend.stop()

    def hit_problem(self, response):
        """X-Varnish names the request, and for a hit also the one that filled the cache."""
        ids = (response.header("x-varnish") or "").split()
        return "" if len(ids) == 2 else f"not a hit: X-Varnish {' '.join(ids)}"


class PerfdServer:
    """perfd and the PostgreSQL that it asks once for each answer."""
    name, title, package = "perfd", "perfd", None
    ROUTE = """route GET /body/{{bytes}} {{
    query "SELECT repeat('x', :bytes::int - {around}) AS text";
    result row;
    cache ttl=1h tti=1h;
}}
"""

    def __init__(self, place, settings=""):
        self.place = place
        self.settings = settings
        self.postgres = self.perfd = None

    @property
    def port(self):
        return self.perfd.port

    def start(self):
        self.postgres = Postgres()
        self.postgres.start()
        self.perfd = Perfd("", self.postgres.create_database("compare"), workers=1, within=self.place.pinned)
        head = self.perfd.head.replace(f"access_log {self.perfd.access_log};", "access_log off;")
        route = self.ROUTE.format(around=len('{"text":""}'))
        self.perfd.configure(f"{head}{self.settings}\n{route}", whole=True)
        self.perfd.start()

    def stop(self):
        try:
            if self.perfd is not None:
                self.perfd.finish()
        finally:
            if self.postgres is not None:
                self.postgres.remove()

    def pids(self):
        return family(self.perfd.process.pid)

    def hit_problem(self, response):
        return "" if response.cache == "HIT" else f"not a hit: X-Cache {response.cache}"

    def end_problem(self):
        """All requests but the first for each body must have been hits; wrk does not see what they were."""
        (route,) = self.perfd.perfctl_json("routes")["routes"]
        misses = route["requests"] - route["hits"]
        if misses <= len(self.place.sizes):
            return ""
        return f"{misses} of {route['requests']} requests were not hits, for {len(self.place.sizes)} bodies"


def has_directive(name):
    """Whether perfd knows it."""
    done = subprocess.run([PERFD, "--help-config"], capture_output=True, text=True, check=True)
    return any(line.split()[:1] == [name] for line in done.stdout.splitlines())


SERVERS = {server.name: server for server in (PerfdServer, Loop, EvhttpTuned, Evhttp, Nginx, H2o, Varnish)}

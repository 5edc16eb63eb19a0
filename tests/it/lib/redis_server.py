"""A Redis of the tests' own, on a unix socket or a port, and Sentinels; each is ended by its pid."""
import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile

from .ports import free_ports
from .process import eventually, tell


class RedisServer:
    """tcp: on a port of 127.0.0.1, where others find it. options: as on its command line."""

    def __init__(self, tcp=False, options=()):
        self.folder = tempfile.mkdtemp(prefix="redit.", dir="/tmp")
        self.socket = f"{self.folder}/redis.sock"
        self.port = free_ports(1)[0] if tcp else 0
        self.options = list(options)
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"redis://{self.host}" if tcp else f"unix://{self.socket}"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.socket, "--save", "",
             "--appendonly", "no", "--dir", self.folder, "--daemonize", "no", "--logfile", f"{self.folder}/log",
             "--repl-diskless-sync-delay", "0", *self.options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert eventually(self.answers, within=10), "Redis does not start"

    def stop(self):
        """As a crash would: nothing is saved."""
        if self.process is None:
            return
        tell(self.process.pid, signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self.process = None

    def pause(self):
        tell(self.process.pid, signal.SIGSTOP)

    def resume(self):
        tell(self.process.pid, signal.SIGCONT)

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self):
        try:
            return self.command("PING") == "PONG"
        except OSError as error:
            return str(error).startswith("NOAUTH")

    def command(self, *words, login=()):
        """One command, behind AUTH where there is a login; its answer as str, int, None or a list of those."""
        with socket.socket(socket.AF_UNIX) as sock, contextlib.ExitStack() as stack:
            sock.settimeout(5)
            sock.connect(self.socket)
            stream = stack.enter_context(sock.makefile("rb"))
            for command in ([["AUTH", *login]] if login else []) + [words]:
                parts = [word if isinstance(word, bytes) else str(word).encode() for word in command]
                sock.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
                answer = _reply(stream)
            return answer

    def info(self, name, section="replication"):
        lines = self.command("INFO", section).splitlines()
        return next((line.partition(":")[2] for line in lines if line.startswith(f"{name}:")), None)

    def follow(self, master):
        """As its replica, with all that it has."""
        self.command("REPLICAOF", "127.0.0.1", master.port)
        assert eventually(lambda: self.info("master_link_status") == "up", within=10)

    def promote(self):
        self.command("REPLICAOF", "NO", "ONE")

    def keys(self, pattern="*"):
        return self.command("KEYS", pattern)

    def flush(self):
        self.command("FLUSHALL")


class Sentinel(RedisServer):
    """That watches a master under the name mymaster, and calls it dead after half a second."""

    def __init__(self, master, options=(), settings=""):
        super().__init__(tcp=True, options=options)
        self.conf = f"{self.folder}/sentinel.conf"
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(f"bind 127.0.0.1\nport {self.port}\nunixsocket {self.socket}\nlogfile {self.folder}/log\n"
                      f"dir {self.folder}\nsentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
                      "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 3000\n"
                      + settings)

    def start(self):
        self.process = subprocess.Popen(["redis-server", self.conf, "--sentinel"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        assert eventually(self.answers, within=10), "the Sentinel does not start"


def _reply(stream):
    line = stream.readline()
    if not line:
        raise ConnectionError("Redis closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise OSError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        size = int(rest)
        return None if size < 0 else stream.read(size + 2)[:-2].decode("utf-8", "replace")
    if kind == b"*":
        return [_reply(stream) for _ in range(int(rest))]
    return rest.decode()

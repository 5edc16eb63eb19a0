"""A Redis of the tests' own on a unix socket, ended by its pid."""
import shutil
import signal
import socket
import subprocess
import tempfile

from .process import eventually, tell


class RedisServer:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="redit.", dir="/tmp")
        self.socket = f"{self.folder}/redis.sock"
        self.url = f"unix://{self.socket}"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no",
             "--dir", self.folder, "--daemonize", "no", "--logfile", f"{self.folder}/log"],
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
        except OSError:
            return False

    def command(self, *words):
        """One command; its answer as str, int, None or a list of those."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(self.socket)
            parts = [str(word).encode() for word in words]
            sock.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
            with sock.makefile("rb") as stream:
                return _reply(stream)

    def keys(self, pattern="*"):
        return self.command("KEYS", pattern)

    def flush(self):
        self.command("FLUSHALL")


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

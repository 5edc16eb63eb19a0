"""An HTTP API that does what a test tells it, byte by byte, in a thread of the test: faults included."""
import contextlib
import json
import socket
import ssl
import struct
import threading
import time


ROUTES = """
route GET    /any/{name} { upstream api /{name}; }
route POST   /any/{name} { upstream api /{name}; }
route PUT    /any/{name} { upstream api /{name}; }
route PATCH  /any/{name} { upstream api /{name}; }
route DELETE /any/{name} { upstream api /{name}; }
"""


def start_api(make_perfd, url, directives="", **more):
    """perfd with a route for each method: what stands behind /any/ is asked of the upstream."""
    conf = f"upstream api {{ url {url}; {directives} }}\n{ROUTES}"
    return make_perfd(conf, workers=1, **more).start()


class Asked:
    """A request as it came."""

    def __init__(self, method, target, headers, body, connection):
        self.method, self.target, self.headers, self.body, self.connection = method, target, headers, body, connection

    def header(self, name):
        """The values of all its lines, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def __repr__(self):
        return f"<{self.method} {self.target}>"


def answer(body=b"{}", status=200, fields=(), kind="application/json"):
    """Bytes of an answer with a length."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *fields]
    if kind:
        lines.append(f"Content-Type: {kind}")
    return "\r\n".join(lines + ["", ""]).encode("latin-1") + body


class Upstream:
    """Each target's behaviour is a function of (socket, request) that returns bytes to send, or None when it has done
    all itself; "close" after it ends the connection. What is not told answers {"target": ...}."""

    def __init__(self, tls=None, port=0):
        self.tls = tls
        self.behaviours = {}
        self.asked = []
        self.opened = 0
        self.connections = set()
        self.lock = threading.Lock()
        self.takes_bodies = threading.Event()  # cleared: it leaves a request's body in the socket
        self.takes_bodies.set()
        self.wanted_port = port
        self.listener = None
        self.start()

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.wanted_port), backlog=200)
        self.wanted_port = self.port = self.listener.getsockname()[1]
        self.accepting = True
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def on(self, path, behaviour):
        """behaviour: bytes, or a function. path: the target up to its ?."""
        self.behaviours[path] = behaviour if callable(behaviour) else lambda sock, asked: behaviour

    def targets(self):
        return [asked.target for asked in self.asked]

    def count(self, path):
        return sum(asked.target.split("?")[0] == path for asked in list(self.asked))

    def stop(self):
        """As a program that ends: nobody listens, everything is closed."""
        self.accepting = False
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop()

    def drop(self):
        """All connections are closed, idle or not."""
        with self.lock:
            for sock in list(self.connections):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.opened += 1
                self.connections.add(sock)
                number = self.opened
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, plain, number):
        sock = plain
        with contextlib.suppress(OSError, ssl.SSLError, ValueError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(plain, server_side=True)
            with sock.makefile("rb") as stream:
                while self._one(sock, stream, number):
                    pass
        with self.lock:
            self.connections.discard(plain)
        for each in (sock, plain):
            with contextlib.suppress(OSError):
                each.close()

    def _one(self, sock, stream, number):
        line = stream.readline()
        if not line:
            return False
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = []
        while (field := stream.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        self.takes_bodies.wait(10)
        asked = Asked(method, target, headers, stream.read(length), number)
        with self.lock:
            self.asked.append(asked)
        behaviour = self.behaviours.get(target.split("?")[0])
        sent = behaviour(sock, asked) if behaviour else answer({"target": target})
        if sent == "close":
            return False
        if sent is not None:
            sock.sendall(sent)
        return True


# --- behaviours

def then_close(data):
    def behave(sock, _asked):
        sock.sendall(data)
        return "close"
    return behave


def reset(sock, _asked):
    """The connection ends with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return "close"


def after(seconds, data):
    def behave(sock, _asked):
        time.sleep(seconds)
        return data
    return behave


def slowly(data, step, every):
    """A few bytes at a time."""
    def behave(sock, _asked):
        for at in range(0, len(data), step):
            sock.sendall(data[at:at + step])
            time.sleep(every)
    return behave


def in_turn(*behaviours):
    """One after the other; the last one stays."""
    left = list(behaviours)

    def behave(sock, asked):
        now = left.pop(0) if len(left) > 1 else left[0]
        return now(sock, asked) if callable(now) else now
    return behave

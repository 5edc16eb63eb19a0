"""An HTTP/1.1 client that sends what it is told, never retries and never normalises: faults stay visible."""
import json
import socket


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # list of (lower-case name, value)
        self.body = body

    def header(self, name, default=None):
        for key, value in self.headers:
            if key == name.lower():
                return value
        return default

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    @property
    def cache(self):
        return self.header("x-cache")

    @property
    def problem(self):
        assert self.header("content-type", "").startswith("application/problem+json"), (self, self.headers)
        return self.json()

    @property
    def bad_parameters(self):
        """Names in the `errors` of a problem."""
        return sorted(error["parameter"] for error in self.problem["errors"])

    def __repr__(self):
        return f"<{self.status} {self.body[:400]!r}>"


class Connection:
    def __init__(self, port, timeout=15.0):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.sock.makefile("rb")
        self.closing = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stream.close()
        self.sock.close()

    def write(self, data):
        self.sock.sendall(data)

    def send(self, method, target, body=None, headers=None):
        self.write(request_bytes(method, target, body, headers))

    def read(self, method="GET"):
        """The next response; ConnectionError when the server closed instead."""
        line = self.stream.readline()
        if not line:
            raise ConnectionError("closed before a response")
        version, status = line.split(b" ", 2)[:2]
        headers = []
        while (line := self.stream.readline()) not in (b"\r\n", b"\n"):
            if not line:
                raise ConnectionError("closed within a head")
            name, _, value = line.partition(b":")
            headers.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
        response = Response(int(status), headers, b"")
        self.closing = version == b"HTTP/1.0" or "close" in (response.header("connection") or "").lower()
        if method != "HEAD" and response.status not in (204, 304) and response.status >= 200:
            response.body = self._body(response)
        return response

    def _body(self, response):
        if "chunked" in (response.header("transfer-encoding") or ""):
            body = bytearray()
            while size := int(self._line().split(b";")[0], 16):
                body += self._exactly(size)
                self._exactly(2)
            while self._line().strip():
                pass
            return bytes(body)
        length = response.header("content-length")
        return self.stream.read() if length is None else self._exactly(int(length))

    def _line(self):
        line = self.stream.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("closed within a body")
        return line

    def _exactly(self, size):
        data = self.stream.read(size)
        if len(data) < size:
            raise ConnectionError(f"closed within a body: {len(data)} of {size} bytes")
        return data

    def request(self, method, target, body=None, headers=None):
        self.send(method, target, body, headers)
        return self.read(method)

    def closed_by_server(self, within=5.0):
        self.sock.settimeout(within)
        try:
            return self.stream.read(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def request_bytes(method, target, body=None, headers=None):
    """body: bytes as they are, anything else as JSON. A header None is left out."""
    fields = {"Host": "localhost"}
    if body is not None:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        fields["Content-Type"] = "application/json"
        fields["Content-Length"] = str(len(body))
    fields.update(headers or {})
    head = [f"{method} {target} HTTP/1.1"] + [f"{k}: {v}" for k, v in fields.items() if v is not None]
    return "\r\n".join(head + ["", ""]).encode("latin-1") + (body or b"")


def request_once(port, method, target, body=None, headers=None, timeout=15.0):
    with Connection(port, timeout) as connection:
        return connection.request(method, target, body, {"Connection": "close", **(headers or {})})

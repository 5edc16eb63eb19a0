"""A Redis that lies: `with FakeRedis(path) as redis:` greets well, and answers what follows as `redis.manner` says."""
import contextlib
import os
import socketserver
import threading
import time

HUGE = 8 << 20

# What an MGET of several keys is answered, where it is not answered well.
LIES = {
    "garbage": b"\x00\xff<html>\r\n\r\n$$$*&\r\n",
    "nonsense type": b"!5\r\nhello\r\n",
    "another type": b":7\r\n",
    "a status": b"+OK\r\n",
    "an error": b"-ERR what do you want?\r\n",
    "an empty array": b"*0\r\n",
    "no array": b"*-1\r\n",
    "a shorter array": b"*1\r\n$-1\r\n",
    "a longer array": b"*9\r\n" + b"$1\r\n7\r\n" * 9,
    "a nested array": b"*2\r\n*2\r\n:1\r\n:2\r\n*1\r\n$1\r\nx\r\n",
    "deeper than allowed": b"*1\r\n" * 20 + b":1\r\n",
    "arrays in place of values": b"*3\r\n*0\r\n*0\r\n*0\r\n",
    "numbers in place of values": b"*3\r\n:1\r\n:2\r\n:3\r\n",
    "words in place of versions": b"*3\r\n$5\r\nhello\r\n$3\r\nold\r\n$4\r\n12 3\r\n",
    "two answers": b"*3\r\n$-1\r\n$1\r\n7\r\n$1\r\n7\r\n+OK\r\n",
    "a count that no memory holds": b"*2147483647\r\n",
    "a count beyond numbers": b"*99999999999999999999\r\n",
    "a length that no memory holds": b"*3\r\n$9223372036854775807\r\nx\r\n",
    "a negative length": b"*3\r\n$-7\r\n",
    "an endless line": b"+" + b"x" * HUGE,
    "a huge value": b"*3\r\n$%d\r\n" % HUGE + b"x" * HUGE + b"\r\n$1\r\n7\r\n$1\r\n7\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "read only": b"-READONLY You can't write against a read only replica.\r\n",
    "not allowed": b"-NOPERM this user has no permissions\r\n",
    "nobody": b"-NOAUTH Authentication required.\r\n",
}
SILENT, HALF, CLOSE, WELL = "silence", "half an answer", "a closed connection", "well"
TOO_LONG = ["a count that no memory holds", "an endless line", "a huge value"]
MANNERS = [*LIES, SILENT, HALF, CLOSE]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class FakeRedis:
    def __init__(self, path, delay=0.0):
        self.url = f"unix://{path}"
        self.path = path
        self.manner = WELL
        self.delay = delay  # seconds in front of each answer but the greeting's
        self.lied = 0
        self.messages = []
        self.forgets_messages = False  # they get no answer
        self.server = None

    def __enter__(self):
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError, ValueError):
                    while command := read_command(self.rfile):
                        if not fake.answer(self.wfile, command):
                            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.server = _Server(self.path, Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def answer(self, out, command):
        """False: the connection ends."""
        word = command[0].upper()
        if word == b"MGET" and len(command) > 2:
            return self._values(out, len(command) - 1)
        if word == b"INFO":
            text = b"run_id:%040d\r\nrole:master\r\n" % os.getpid()
            out.write(b"$%d\r\n%s\r\n" % (len(text), text))
        elif word == b"MGET":
            out.write(b"*1\r\n$-1\r\n")
        elif word == b"SUBSCRIBE":
            out.write(b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n" % (len(command[1]), command[1]))
        elif word == b"PUBLISH":
            self.messages.append(command[2])
            out.write(b"" if self.forgets_messages else b":0\r\n")
        elif word in (b"DEL", b"UNLINK"):
            out.write(b":0\r\n")
        else:
            out.write(b"+OK\r\n")
        return True

    def _values(self, out, count):
        time.sleep(self.delay)
        manner = self.manner
        self.lied += manner != WELL
        if manner == SILENT:
            return True
        if manner == CLOSE:
            return False
        if manner == HALF:
            out.write(b"*3\r\n$100\r\nhalf of")
            return True
        out.write(LIES[manner] if manner in LIES else b"*%d\r\n$-1\r\n" % count + b"$1\r\n7\r\n" * (count - 1))
        return True


def read_command(stream):
    """Its words; None at the end."""
    line = stream.readline()
    if not line:
        return None
    words = []
    for _ in range(int(line[1:])):
        size = int(stream.readline()[1:])
        words.append(stream.read(size + 2)[:-2])
    return words

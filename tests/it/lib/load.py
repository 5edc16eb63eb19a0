"""Traffic from several threads, without a retry anywhere, so that one lost request is one failure."""
import threading
import time

from .http_client import Connection


class Volley:
    """Connections that all send before the first answer is read, so that their requests meet in the server."""

    def __init__(self, port, connections=40, timeout=15.0):
        self.connections = [Connection(port, timeout) for _ in range(connections)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections:
            connection.close()

    def send(self, targets):
        """One answer a target, in order; as many at a time as there are connections."""
        answers = []
        for begin in range(0, len(targets), len(self.connections)):
            wanted = targets[begin:begin + len(self.connections)]
            for connection, target in zip(self.connections, wanted):
                connection.send("GET", target)
            answers += [connection.read() for connection, _ in zip(self.connections, wanted)]
        return answers


class Load:
    """`with Load(port, targets) as load:` sends until the block ends; `fresh` opens a connection for each request.

    targets(thread, round) gives a target or (method, target, body). check(request, response) returns what is wrong
    with an answer or None; by default anything but 200 is wrong."""

    def __init__(self, port, targets, threads=2, fresh=False, check=None, timeout=15.0):
        self.port = port
        self.targets = targets if callable(targets) else lambda thread, turn: targets
        self.fresh = fresh
        self.check = check or (lambda request, response: None if response.status == 200 else repr(response))
        self.timeout = timeout
        self.sent = 0
        self.answered = 0
        self.wrong = []   # (request, what): an answer that should not have been
        self.failed = []  # (request, what): no answer
        self.longest = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(self.timeout + 5)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"

    def wait_for(self, answers, within=10):
        end = time.monotonic() + within
        goal = self.answered + answers
        while self.answered < goal and time.monotonic() < end:
            time.sleep(0.005)
        assert self.answered >= goal, f"only {self.answered} of {goal} answers in {within} s: {self.failed[-3:]}"

    def _run(self, thread):
        connection, turn = None, 0
        while not self._stop.is_set():
            wanted = self.targets(thread, turn)
            method, target, body = wanted if isinstance(wanted, tuple) else ("GET", wanted, None)
            turn += 1
            start = time.monotonic()
            try:
                if connection is None:
                    connection = Connection(self.port, self.timeout)
                response = connection.request(method, target, body, {"Connection": "close"} if self.fresh else None)
                what = self.check(wanted, response)
                with self._lock:
                    self.sent += 1
                    self.answered += 1
                    if what:
                        self.wrong.append((wanted, what))
                if connection.closing:
                    connection.close()
                    connection = None
            except (OSError, ValueError) as error:
                with self._lock:
                    self.sent += 1
                    self.failed.append((wanted, repr(error)))
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.005)
            self.longest = max(self.longest, time.monotonic() - start)
        if connection is not None:
            connection.close()


def at_once(count, ask):
    """ask(i) from count threads that begin together; the results in order, an exception in its place."""
    gate = threading.Barrier(count)
    results = [None] * count

    def one(i):
        gate.wait()
        try:
            results[i] = ask(i)
        except Exception as error:  # pylint: disable=broad-except
            results[i] = error

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results

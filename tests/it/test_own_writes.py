"""A write through one worker, then a read through the other: never the old value. A short run here; OWN_WRITES sets the
number of tries."""
import os
import threading

import pytest

from lib.workers import connect_to

TRIES = int(os.environ.get("OWN_WRITES", "1200"))
PAIRS = 6

SCHEMA = """
CREATE UNLOGGED TABLE items (id bigint PRIMARY KEY, version bigint NOT NULL DEFAULT 0);
INSERT INTO items SELECT g, 0 FROM generate_series(1, 8) g;
"""

CONF = """
route GET /items/{id} { query "SELECT version FROM items WHERE id = :id"; result value; cache ttl=60s tags=item:{id}; }
route PATCH /items/{id} { query "UPDATE items SET version = version + 1 WHERE id = :id RETURNING version"; result value;
    invalidates item:{id}; }
"""
pytestmark = pytest.mark.once


@pytest.fixture
def api(make_perfd, pg):
    perfd = make_perfd(CONF, pg.create_database("own_writes", SCHEMA), cache="size 16MB; entries 1000;")
    perfd.head = perfd.head.replace(f"access_log {perfd.access_log};", "access_log off;")  # millions of lines
    perfd.configure(CONF)
    return perfd.start()


class Pair(threading.Thread):
    """Turns of: write through one, read through the other."""

    def __init__(self, api, item, pids, tries):
        super().__init__()
        self.item, self.tries, self.old, self.done = item, tries, [], 0
        self.ways = [connect_to(api, pid, "/items/1") for pid in pids]

    @staticmethod
    def ask(connection, request):
        """The number that the body is: fast, as a million are asked."""
        connection.sock.sendall(request)
        answer = connection.sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        while b"\r\n\r\n" not in answer:
            answer += connection.sock.recv(4096)
        return int(answer.rsplit(b"\r\n\r\n", 1)[1])

    def run(self):
        write = b"PATCH /items/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" % self.item
        read = b"GET /items/%d HTTP/1.1\r\nHost: x\r\n\r\n" % self.item
        for turn in range(self.tries):
            a, b = self.ways[turn % 2], self.ways[1 - turn % 2]
            if turn % 3 == 0:
                self.ask(b, read)  # so that there is something to be old
            written = self.ask(a, write)
            seen = self.ask(b, read)
            if seen < written:
                self.old.append((written, seen))
            self.done += 1


def test_who_asks_after_a_write_was_answered_sees_it(api):
    pids = api.worker_pids()
    assert len(pids) == 2
    # Two pairs share an item, so that writes through both workers meet.
    pairs = [Pair(api, 1 + i // 2, pids, TRIES // PAIRS) for i in range(PAIRS)]
    for pair in pairs:
        pair.start()
    for pair in pairs:
        pair.join()
    print(f"{sum(pair.done for pair in pairs)} writes through one worker and reads through the other, "
          f"{sum(len(pair.old) for pair in pairs)} old")
    assert [pair.old for pair in pairs] == [[]] * PAIRS
    assert sum(pair.done for pair in pairs) == TRIES // PAIRS * PAIRS

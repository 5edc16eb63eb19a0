"""Values of megabytes: kept over several segments, sent straight from shared memory, given back by slow consumers."""
import hashlib
import os
import signal

import pytest

from lib.load import at_once
from lib.process import eventually

CONF = """
route GET /large/{n}/{bytes} { query "SELECT repeat(md5(:n::text), :bytes::int / 32) AS text"; result row;
    cache ttl=60s tags=large:{n}; }
route POST /drop/{n} { query "SELECT :n::int AS n"; result row; invalidates large:{n}; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("large")


@pytest.fixture
def api(make_perfd, db):
    # Segments of 64 KB; the largest value is 256 KB.
    return make_perfd(CONF, db, cache="size 16MB; entries 1000;", settings="keepalive_timeout 60s;").start()


def whole(n, size):
    return ('{"text":"' + hashlib.md5(str(n).encode()).hexdigest() * (size // 32) + '"}').encode()


def test_values_over_several_segments_are_right(api):
    for size in (40_000, 64_000, 70_000, 130_000, 200_000, 240_000):
        first, again = api.get(f"/large/1/{size}"), api.get(f"/large/1/{size}")
        assert first.cache == "MISS" and again.cache == "HIT", size
        assert first.body == again.body == whole(1, size)


def test_they_take_turns_with_small_ones(api):
    for n in range(400):
        size = 32 * (1 + (n * 7919) % 7000)
        assert api.get(f"/large/{n}/{size}").body == whole(n, size)
        assert api.get(f"/large/{n}/{size}").cache == "HIT", (n, size)
    assert api.stat("cache_put_failures") == 0


def test_what_is_too_large_is_fetched_by_each_without_queueing(api, db):
    size = 1_000_000
    assert api.get(f"/large/1/{size}").cache == "MISS"
    db.forget_calls()
    answers = at_once(6, lambda i: api.get(f"/large/1/{size}"))
    assert {a.body == whole(1, size) for a in answers} == {True}
    assert {a.cache for a in answers} == {"MISS"} and db.calls("SELECT repeat%") == 6


class Slow:
    """A consumer that asks for more than the kernel takes on its behalf, and reads nothing."""
    ASKED = 80

    def __init__(self, api, n, size):
        self.n, self.size = n, size
        self.connection = api.connect(timeout=20)
        self.connection.write(b"GET /large/%d/%d HTTP/1.1\r\nHost: x\r\n\r\n" % (n, size) * self.ASKED)

    def read_all(self):
        for _ in range(self.ASKED):
            assert self.connection.read().body == whole(self.n, self.size)
        self.close()

    def close(self):
        self.connection.close()


def fill(api, offset):
    """More than the whole cache holds, twice over."""
    for n in range(160):
        api.get(f"/large/{offset + n}/200000")


def test_a_consumer_that_does_not_read_holds_nothing_back_for_long(api):
    api.get("/large/7/240000")
    slow = [Slow(api, 7, 240_000) for _ in range(4)]
    assert eventually(lambda: api.stat("cache_lent") > 0, 3), "nothing was sent from shared memory"
    assert api.post("/drop/7", {}).status == 200  # so that its segments are wanted
    fill(api, 1000)
    assert eventually(lambda: api.stat("cache_segments_limbo") == 0 and api.stat("cache_lent") == 0, 8), (
        api.stat("cache_segments_limbo"), api.stat("cache_lent"))
    for consumer in slow:
        consumer.read_all()


def test_a_consumer_that_leaves_gives_back_what_it_was_lent(api):
    api.get("/large/8/240000")
    gone = [Slow(api, 8, 240_000) for _ in range(4)]
    assert eventually(lambda: api.stat("cache_lent") > 0, 3)
    for consumer in gone:
        consumer.close()
    assert eventually(lambda: api.stat("cache_lent") == 0, 5)


def test_without_its_keeper_all_goes_on_and_it_comes_back(api):
    keeper = api.keeper_pid()
    assert keeper
    os.kill(keeper, signal.SIGSTOP)
    fill(api, 2000)
    assert api.get("/large/2159/200000").cache == "HIT"
    os.kill(keeper, signal.SIGKILL)
    assert eventually(lambda: api.keeper_pid() not in (None, keeper), 5)
    assert api.log_contains("keeper (pid %d) was killed by SIGKILL" % keeper)
    assert eventually(lambda: api.stat("cache_segments_free") > 2, 2), "it frees ahead of the workers"

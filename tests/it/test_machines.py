"""Two perfds with memories of their own, as on two machines, that share a database and a Redis: what one of them drops,
the other drops too, and what it answers while it cannot hear."""
import signal
import time

import pytest

from lib.perfd import ROOT
from lib.process import alive, eventually, tell
from lib.redis_fake import FakeRedis

pytestmark = pytest.mark.rare

with open(f"{ROOT}/sql/invalidate.sql", encoding="utf-8") as text:
    INSTALL = text.read()
SCHEMA = """
CREATE TABLE items (id bigint PRIMARY KEY, version int NOT NULL DEFAULT 0);
INSERT INTO items SELECT g FROM generate_series(1, 100) g;
"""
CONF = """
route GET /items/{id} { query "SELECT version FROM items WHERE id = :id"; result value; cache ttl=300s tags=item:{id}; }
route PATCH /items/{id} { query "UPDATE items SET version = version + 1 WHERE id = :id RETURNING version"; result value;
    invalidates item:{id}; }
route GET /fan/{id} { fan { item /items/{id}; } cache ttl=300s; }
route GET /untagged { query "SELECT count(*) FROM items"; result value; cache ttl=300s; }
"""
CAP = 1.0  # ttl_without_listener
CACHE = "size 16MB; entries 1000; tti 0; ttl_without_listener 1s;"
GRACE = 2.0  # for a machine that is busy with other things


@pytest.fixture(scope="module")
def plain(pg):
    return pg.create_database("machines", SCHEMA)


@pytest.fixture(scope="module")
def watched(pg):
    return pg.create_database("machines_watched", SCHEMA + INSTALL + "SELECT perfd_watch('items', 'item:{id}');")


@pytest.fixture
def machine(make_perfd, redis, well):
    redis.flush()

    def made(database, listen="auto", deaf=True):
        block = f"redis {{ url {redis.url}; timeout 50ms; prefix both; listen {listen}; }}"
        pool = "statement_timeout 1s; connect_timeout 1s;" + (" listen off;" if deaf else "")
        return make_perfd(CONF, database, pool=pool, cache=CACHE, settings=block)
    return made


def both(*machines):
    """Started, and each has heard of the other."""
    for one in machines:
        one.start()
        assert eventually(lambda one=one: one.stat("redis_listening") == 1), one.log()
    time.sleep(2 * CAP / 4)  # a heartbeat each
    return machines


def value_of(perfd, target="/items/1"):
    answer = perfd.get(target)
    assert answer.status == 200, answer
    return answer.json()


def cached(perfd, target="/items/1"):
    value = value_of(perfd, target)
    assert eventually(lambda: perfd.get(target).cache == "HIT"), target
    return value


def write(perfd, item=1):
    answer = perfd.request("PATCH", f"/items/{item}", {})
    assert answer.status == 200, answer
    return answer.json()


def sees(perfd, value, within):
    assert eventually(lambda: value_of(perfd) == value, within, every=0.005), perfd.log()
    assert {value_of(perfd) for _ in range(6)} == {value}


def is_kept(perfd, seconds, target="/items/1"):
    """Answered from memory for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if perfd.get(target).cache != "HIT":
            return False
        time.sleep(0.02)
    return True


def subscribers(redis):
    return redis.command("PUBSUB", "NUMSUB", "both:changes")[1]


# --- while all is well


def test_what_one_machine_writes_the_other_forgets(machine, plain):
    a, b = both(machine(plain), machine(plain))
    for writer, reader in ((a, b), (b, a)) * 3:
        cached(a), cached(b)
        sees(reader, write(writer), within=GRACE)
    assert b.stat("redis_heard_tags") >= 3


def test_a_fan_of_what_is_not_heard_of_yet_does_not_stay_in_redis(machine, plain):
    """b, which has the old part still, finds Redis told already when it asks for the whole."""
    a, b = both(machine(plain), machine(plain))
    cached(b)
    keeper = b.keeper_pid()
    tell(keeper, signal.SIGSTOP)
    try:
        version = write(a)
        b.get("/fan/1")  # old, unless so much time has gone by that b trusts its memory no more
    finally:
        tell(keeper, signal.SIGCONT)
    sees(b, version, within=CAP + GRACE)
    assert b.get("/fan/1").json() == a.get("/fan/1").json() == {"item": version}


def test_other_answers_stay(machine, plain):
    a, b = both(machine(plain), machine(plain))
    cached(b, "/items/2")
    cached(b, "/untagged")
    cached(b)
    sees(b, write(a), within=GRACE)
    assert b.get("/items/2").cache == "HIT" and b.get("/untagged").cache == "HIT"


def test_a_machine_does_not_drop_its_own_twice(machine, plain):
    a, _ = both(machine(plain), machine(plain))
    for _ in range(3):
        write(a)
    assert is_kept(a, 0) and a.stat("redis_heard_tags") == 0


def test_what_no_perfd_says_drops_nothing(machine, plain, redis):
    a, b = both(machine(plain), machine(plain))
    cached(b)
    for text in ("", "hello", "1 all", "x" * 100_000, b"\x00\xff"):
        assert redis.command("PUBLISH", "both:changes", text) == 2
    assert eventually(lambda: b.stat("redis_bad_messages") == 5) and b.get("/items/1").cache == "HIT"
    redis.command("PUBLISH", "both:changes", "2 of a later version")
    assert eventually(lambda: b.get("/items/1").cache != "HIT") and a.keeper_pid() and b.keeper_pid()


def test_listen_off_hears_nothing_and_says_nothing(machine, plain, redis):
    a, b = machine(plain, listen="off").start(), machine(plain).start()
    assert eventually(lambda: b.stat("redis_listening") == 1) and subscribers(redis) == 1
    old = cached(b)
    cached(a)
    assert write(a) == old + 1
    assert is_kept(b, 0.5) and value_of(b) == old  # its ttl bounds that


def test_one_that_joins_costs_the_others_nothing(machine, plain):
    _, b = both(machine(plain), machine(plain))
    cached(b)
    c = machine(plain).start()
    assert eventually(lambda: c.stat("redis_listening") == 1) and is_kept(b, 0.7)


# --- while they cannot hear each other


def test_one_that_died_may_not_have_told(machine, plain):
    """It tells that, when it is back."""
    a, b = both(machine(plain), machine(plain))
    workers = a.worker_pids()
    a.kill_master()
    assert eventually(lambda: not any(map(alive, workers)), 10)
    cached(b)
    a.start()
    assert eventually(lambda: b.get("/items/1").cache != "HIT")


def test_a_subscription_that_is_lost_costs_what_it_may_have_missed(machine, plain, redis):
    a, b = both(machine(plain), machine(plain))
    cached(b)
    redis.command("CLIENT", "KILL", "TYPE", "pubsub")
    version = write(a)
    sees(b, version, within=GRACE)
    assert eventually(lambda: subscribers(redis) == 2) and b.log_contains("heard of again")


def test_a_dead_keeper_is_missed(machine, plain):
    a, b = both(machine(plain), machine(plain))
    cached(b)
    keeper = b.keeper_pid()
    tell(keeper, signal.SIGSTOP)
    version = write(a)
    sees(b, version, within=CAP + GRACE)
    tell(keeper, signal.SIGKILL)
    assert eventually(lambda: b.keeper_pid() not in (None, keeper), 10)
    assert eventually(lambda: b.stat("redis_listening") == 1)
    cached(b)
    sees(b, write(a), within=GRACE)


def test_without_database_and_redis_answers_with_tags_live_for_the_cap(machine, plain, redis):
    """Nothing is heard of the other machine, which may write all the same."""
    a, b = both(machine(plain), machine(plain))
    cached(b, "/untagged")
    redis.pause()
    cached(b)
    version = write(a)
    sees(b, version, within=CAP + GRACE)
    assert b.get("/untagged").cache == "HIT"
    redis.resume()
    assert eventually(lambda: subscribers(redis) == 2 and b.stat("redis_up") >= 3, 10), b.log()
    cached(b)
    assert is_kept(b, 2 * CAP)


def test_alone_nothing_is_missed(machine, plain, redis):
    """Nobody else was ever heard: a Redis that is down is no reason to forget."""
    b = machine(plain).start()
    assert eventually(lambda: b.stat("redis_listening") == 1)
    cached(b)
    redis.pause()
    assert is_kept(b, CAP + 1)


def test_listen_on_expects_others_from_the_start(machine, plain, redis):
    redis.stop()
    b = machine(plain, listen="on").start()
    value_of(b)
    assert not is_kept(b, CAP + GRACE)


def test_a_subscription_that_is_dead_without_a_word_is_no_lease(make_perfd, plain, tmp_path):
    """What perfd says to itself does not come back, though nothing fails."""
    with FakeRedis(f"{tmp_path}/fake.sock") as fake:
        block = f"redis {{ url {fake.url}; listen on; }}"
        b = make_perfd(CONF, plain, pool="listen off;", cache=CACHE, settings=block).start()
        assert b.log_contains("did not come")
        value_of(b)
        assert not is_kept(b, CAP + GRACE)


def test_where_the_database_notifies_its_word_counts(machine, watched, redis):
    """Redis is down: answers live on, and the other machine's writes are heard of by the database."""
    a, b = both(machine(watched, deaf=False), machine(watched, deaf=False))
    assert eventually(lambda: b.stat("listener_up") == 1)
    time.sleep(CAP)
    cached(b)
    redis.pause()
    assert is_kept(b, 2 * CAP)
    sees(b, write(a), within=GRACE)


def test_both_down(machine, watched, redis, pg):
    """Neither tells, and the database has no new answer either: what is in memory is given up after the cap."""
    _, b = both(machine(watched, deaf=False), machine(watched, deaf=False))
    assert eventually(lambda: b.stat("listener_up") == 1)
    time.sleep(CAP)
    cached(b)
    redis.pause()
    pg.pause()
    time.sleep(0.2)
    assert eventually(lambda: b.get("/items/1").status != 200, CAP + 4 * GRACE, every=0.2)
    pg.resume()
    redis.resume()
    assert eventually(lambda: b.get("/items/1").status == 200, 10)

"""Redis behind the shared memory: which server is used, what it may hold, and what it costs when it fails. That it
answers at all, and that writes reach it, is in test_cache.py."""
import os
import time

import pytest

from lib.load import at_once
from lib.process import eventually
from lib.redis_fake import MANNERS, SILENT, TOO_LONG, WELL, FakeRedis
from lib.redis_server import RedisServer, Sentinel

SCHEMA = """
CREATE TABLE items (id bigint PRIMARY KEY, version int NOT NULL DEFAULT 0);
INSERT INTO items SELECT g FROM generate_series(1, 10000) g;
"""

CONF = """
route GET /items/{id} { query "SELECT id, version FROM items WHERE id = :id"; result row; cache ttl=60s tags=item:{id}; }
route PATCH /items/{id} { query "UPDATE items SET version = version + 1 WHERE id = :id RETURNING version"; result row;
    invalidates item:{id}; }
route GET /apart/{id} { query "SELECT id, version FROM items WHERE id = :id"; result row;
    cache ttl=60s tags=item:{id} redis=off; }
route GET /long/{size} { query "SELECT repeat('x', :size::int) AS text"; result row; cache ttl=60s; }
"""
CACHE = "size 16MB; entries 10000; tti 0;"
SLOW = 0.3  # a time-out that a busy machine does not reach by itself


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("behind", SCHEMA)


@pytest.fixture
def make(make_perfd, db, well):
    def made(url, options="", timeout="50ms", workers=2, prefix="it", **kwargs):
        block = f"redis {{ url {url}; timeout {timeout}; prefix {prefix}; {options} }}"
        kwargs.setdefault("pool", "listen off;" if kwargs.pop("deaf", True) else "")
        return make_perfd(CONF, db, workers=workers, cache=kwargs.pop("cache", CACHE), settings=block, **kwargs)
    return made


@pytest.fixture
def server(redis, well):
    redis.flush()
    yield redis
    redis.resume()
    redis.command("CONFIG", "SET", "maxmemory", "0")


@pytest.fixture
def servers():
    """Of a test's own, each started."""
    made = []

    def start(kind=RedisServer, *args, **kwargs):
        made.append(kind(*args, **kwargs))
        made[-1].start()
        return made[-1]

    yield start
    for one in reversed(made):
        one.remove()


def is_used(perfd):
    """By each worker and the keeper."""
    return perfd.stat("redis_up") >= perfd.workers + 1


def started(perfd):
    perfd.start()
    assert eventually(lambda: is_used(perfd)), perfd.log()
    return perfd


def entries(redis):
    return [key for key in redis.keys() if ":e:" in key]


def kept(perfd, redis, target):
    """Its answer, once that stands in Redis."""
    before = len(entries(redis))
    answer = perfd.get(target)
    assert answer.status == 200 and eventually(lambda: len(entries(redis)) > before), perfd.log()
    return answer


def forgetful(perfd):
    """The same again with nothing in shared memory."""
    assert perfd.term() == 0
    return started(perfd)


def version_of(perfd, item):
    answer = perfd.get(f"/items/{item}")
    assert answer.status == 200, answer
    return answer.json()["version"]


def write(perfd, item):
    answer = perfd.request("PATCH", f"/items/{item}", {})
    assert answer.status == 200, answer
    return answer.json()["version"]


def all_well(perfd, items):
    answers = [perfd.get(f"/items/{item}") for item in items]
    assert all(a.status == 200 and a.json()["id"] == item for a, item in zip(answers, items)), answers
    return answers


# --- which server


def test_of_several_hosts_the_master_is_used(make, servers):
    master, replica = servers(tcp=True), servers(tcp=True)
    replica.follow(master)
    perfd = started(make(f"redis://{replica.host},{master.host}"))
    kept(perfd, master, "/items/1")
    assert forgetful(perfd).get("/items/1").cache == "REDIS"


def test_a_replica_alone_is_not_used(make, servers):
    master, replica = servers(tcp=True), servers(tcp=True)
    replica.follow(master)
    perfd = make(f"redis://{replica.host}").start()
    all_well(perfd, range(1, 10))
    assert perfd.log_contains("is a replica") and not entries(master)


@pytest.mark.parametrize("writes", [False, True], ids=["that is read", "that is written"])
def test_a_master_that_becomes_a_replica_is_left(make, servers, writes):
    """Nobody closes its connections: perfd asks it, and hears READONLY."""
    old, new = servers(tcp=True), servers(tcp=True)
    new.follow(old)
    perfd = started(make(f"redis://{old.host},{new.host}"))
    kept(perfd, old, "/items/1")
    new.promote()
    old.follow(new)
    if writes:
        version = write(perfd, 1)
        assert version_of(perfd, 1) == version
    new.flush()
    assert eventually(lambda: all_well(perfd, [time.time_ns() % 9000 + 1]) and entries(new)), perfd.log()
    assert perfd.log_contains("Redis: READONLY" if writes else "no master any more")


def test_what_a_promoted_replica_did_not_hear_is_not_read(make, servers):
    """Replication is asynchronous: the last versions may be lost with the master."""
    master, replica = servers(tcp=True), servers(tcp=True)
    replica.follow(master)
    perfd = started(make(f"redis://{master.host},{replica.host}"))
    kept(perfd, master, "/items/3")
    assert eventually(lambda: entries(replica) == entries(master))
    replica.promote()
    version = write(perfd, 3)
    master.stop()
    assert eventually(lambda: is_used(perfd), 10), perfd.log()
    assert version_of(perfd, 3) == version
    perfd = forgetful(perfd)
    assert version_of(perfd, 3) == version


def test_a_restart_that_brings_old_data_back(make, servers):
    server = servers()
    perfd = started(make(server.url))
    kept(perfd, server, "/items/4")
    server.command("SAVE")
    version = write(perfd, 4)
    server.stop()
    server.start()
    assert entries(server), "nothing came back"
    assert eventually(lambda: is_used(perfd), 10)
    for _ in range(6):
        assert version_of(perfd, 4) == version


def test_a_restart_while_perfd_is_away(make, servers):
    server = servers()
    perfd = started(make(server.url))
    kept(perfd, server, "/items/5")
    server.command("SAVE")
    version = write(perfd, 5)
    assert perfd.term() == 0
    server.stop()
    server.start()
    assert version_of(started(perfd), 5) == version


SECRETS = ["--requirepass", "secret", "--masterauth", "secret"]


def test_sentinels_name_the_master_and_its_successor(make, servers):
    old, new = servers(tcp=True, options=SECRETS), servers(tcp=True, options=SECRETS)
    new.command("REPLICAOF", "127.0.0.1", old.port, login=["secret"])
    assert eventually(lambda: "master_link_status:up" in new.command("INFO", "replication", login=["secret"]), 10)
    watch = [servers(Sentinel, old, settings="sentinel auth-pass mymaster secret\nrequirepass watcher\n")
             for _ in range(2)]
    hosts = ",".join(one.host for one in watch)
    perfd = started(make(f"'redis+sentinel://:secret@{hosts}/mymaster/2?sentinel_password=watcher'"))
    assert perfd.get("/items/6").cache == "MISS" and write(perfd, 6) == 1
    assert "watcher" not in perfd.command("-T").out and "secret" not in perfd.command("-T").out
    watch[0].stop()  # the other one is asked
    ready = lambda: "num-slaves" in str(watch[1].command("SENTINEL", "master", "mymaster", login=["watcher"])) and \
        watch[1].command("SENTINEL", "replicas", "mymaster", login=["watcher"])
    assert eventually(ready, 15)
    version = version_of(perfd, 6)
    old.stop()
    end = time.monotonic() + 25
    while time.monotonic() < end and not (is_used(perfd) and
                                          "role:master" in new.command("INFO", "replication", login=["secret"])):
        all_well(perfd, range(100, 105))
        assert write(perfd, 6) == version + 1
        version += 1
    assert is_used(perfd), perfd.log()
    perfd.get("/items/7")
    in_use = lambda: "db2" in new.command("INFO", "keyspace", login=["secret"])
    assert eventually(in_use), perfd.log()
    assert version_of(forgetful(perfd), 6) == version


# --- who may


def test_a_wrong_password_is_no_reason_to_fail(make, server):
    server.command("ACL", "SETUSER", "ann", "on", ">right", "~*", "&*", "+@all")
    perfd = make(f"unix://ann:wrong@{server.socket}").start()
    all_well(perfd, range(1, 10))
    assert perfd.log_contains("WRONGPASS") and "wrong@" not in perfd.log() and not entries(server)


def test_a_user_who_may_do_what_the_manual_lists(make, server):
    server.command("ACL", "SETUSER", "bob", "reset", "on", ">pw", "~it:*", "&it:*", "+mget", "+set", "+psetex", "+mset",
                   "+del", "+unlink", "+publish", "+subscribe", "+info", "+select")
    perfd = started(make(f"unix://bob:pw@{server.socket}?db=3"))
    perfd.get("/items/1")
    version = write(perfd, 1)
    assert version_of(perfd, 1) == version and eventually(lambda: perfd.stat("redis_stores") >= 2)
    assert perfd.stat("redis_errors") == 0 and perfd.stat("redis_listening") == 1
    perfd = forgetful(perfd)
    assert perfd.get("/items/1").cache == "REDIS"


# --- what is kept


def test_a_route_may_keep_out(make, server):
    perfd = started(make(server.url))
    assert perfd.get("/apart/1").cache == "MISS" and perfd.get("/items/1").cache == "MISS"
    assert eventually(lambda: entries(server)) and len(entries(server)) == 1
    assert forgetful(perfd).get("/apart/1").cache == "MISS"


def test_what_is_larger_than_max_value_is_not_kept(make, server):
    perfd = started(make(server.url, "max_value 4KB;"))
    kept(perfd, server, "/long/2000")
    assert perfd.get("/long/5000").status == 200
    assert eventually(lambda: perfd.stat("redis_too_large") == 1) and len(entries(server)) == 1


def test_each_worker_has_as_many_connections_as_it_is_told(make, server):
    perfd = make(server.url, "connections 3; listen off;").start()
    assert eventually(lambda: perfd.stat("redis_up") == 6)
    kept(perfd, server, "/items/1")
    all_well(perfd, range(1, 30))
    assert perfd.stat("redis_misses") >= 29 and perfd.stat("redis_errors") == 0


def test_hits_and_misses_are_timed_apart(make, server):
    perfd = started(make(server.url))
    all_well(perfd, range(1, 6))
    assert eventually(lambda: len(entries(server)) == 5)
    perfd = forgetful(perfd)
    all_well(perfd, range(1, 9))
    text = perfd.perfctl("stats").out
    assert all(name in text for name in ("redis_hit", "redis_error"))
    assert perfd.stat("redis_hits") == 5 and perfd.stat("redis_misses") == 3


# --- what others left under perfd's keys


def test_another_format_is_not_read(make, server):
    """A version of perfd that writes other envelopes has other keys."""
    perfd = started(make(server.url))
    kept(perfd, server, "/items/1")
    [key] = entries(server)
    assert key.startswith("it:2:e:")
    server.command("RENAME", key, key.replace(":2:", ":3:"))
    assert forgetful(perfd).get("/items/1").cache == "MISS"


@pytest.mark.parametrize("left", [("DEL",), ("SET", "hello"), ("SET", ""), ("RPUSH", "a", "b"), ("HSET", "a", "b"),
                                  ("XADD", "*", "a", "b"), ("SET", "18446744073709551616"), ("SET", "007 x")],
                         ids=lambda left: " ".join(left) or "empty")
def test_other_data_under_every_key(make, server, left):
    perfd = started(make(server.url))
    kept(perfd, server, "/items/1")
    for key in server.keys("it:*"):
        server.command("DEL", key)
        if left[0] != "DEL":
            server.command(left[0], key, *left[1:])
    perfd = forgetful(perfd)
    version = version_of(perfd, 1)
    all_well(perfd, range(1, 20))
    assert write(perfd, 1) == version + 1 == version_of(perfd, 1)
    assert version_of(forgetful(perfd), 1) == version + 1


def test_a_value_that_is_too_long_is_given_up_and_removed(make, server):
    perfd = started(make(server.url, timeout="1s"))
    kept(perfd, server, "/items/1")
    [key] = entries(server)
    server.command("SETRANGE", key, 5_000_000, "x")
    perfd = forgetful(perfd)
    assert perfd.get("/items/1").status == 200
    assert eventually(lambda: is_used(perfd) and not server.command("EXISTS", key)), perfd.log()
    assert perfd.log_contains("longer than any")


def test_of_those_that_wait_only_what_is_too_long_is_removed(make, server):
    """All who wait lose their answers, but the first one's alone was too long."""
    perfd = started(make(server.url, timeout="2s", workers=1))
    kept(perfd, server, "/items/1")
    [long] = entries(server)
    kept(perfd, server, "/items/2")
    [short] = set(entries(server)) - {long}
    server.command("SETRANGE", long, 5_000_000, "x")
    perfd = forgetful(perfd)
    with perfd.connect() as one, perfd.connect() as other:
        server.pause()
        one.send("GET", "/items/1")
        time.sleep(0.1)
        other.send("GET", "/items/2")
        time.sleep(0.1)
        server.resume()
        assert (one.read().status, other.read().status) == (200, 200)
    assert eventually(lambda: is_used(perfd) and not server.command("EXISTS", long)), perfd.log()
    assert server.command("EXISTS", short)


# --- what it costs when it fails


def slow_ones(perfd, count, first=1):
    """Of requests one by one, of keys that nobody asked for: how many waited for the time-out."""
    waits = []
    for item in range(first, first + count):
        answer, seconds = perfd.timed(f"/items/{item}")
        assert answer.status == 200 and answer.json()["id"] == item, answer
        waits.append(seconds)
    return sum(seconds >= SLOW for seconds in waits)


def test_others_drop_everything_where_it_is_not_known_what_they_heard(make, tmp_path):
    """Redis took the versions; whether it passed the message on it did not say."""
    with FakeRedis(f"{tmp_path}/fake.sock") as fake:
        perfd = started(make(fake.url, workers=1))
        assert write(perfd, 1) and any(b" drop " in message for message in fake.messages)
        assert not any(message.endswith(b" all") for message in fake.messages)
        fake.forgets_messages = True
        write(perfd, 1)
        del fake.messages[:]
        fake.forgets_messages = False
        assert eventually(lambda: any(message.endswith(b" all") for message in fake.messages)), perfd.log()


def test_a_paused_redis_costs_each_worker_one_timeout(make, server):
    perfd = started(make(server.url, timeout="300ms"))
    server.pause()
    assert slow_ones(perfd, 60) <= perfd.workers
    assert slow_ones(perfd, 60, first=100) == 0
    server.resume()
    assert eventually(lambda: is_used(perfd)), perfd.log()
    assert perfd.stat("redis_skipped") > 50


def test_those_that_wait_fail_together(make, server):
    perfd = started(make(server.url, timeout="300ms", options="connections 3;", workers=1))
    server.pause()
    answers = at_once(20, lambda i: perfd.timed(f"/items/{i + 1}"))
    assert all(answer.status == 200 for answer, _ in answers)
    assert max(seconds for _, seconds in answers) < 3 * SLOW and perfd.stat("redis_trips") == 1


def test_one_that_is_slow_again_and_again_is_left_alone_for_longer(make, tmp_path):
    """Its probes succeed at once, its answers never come."""
    with FakeRedis(f"{tmp_path}/fake.sock") as fake:
        perfd = started(make(fake.url, workers=1))
        fake.manner = SILENT
        end, item = time.monotonic() + 3, 0
        while time.monotonic() < end:
            item += 1
            assert perfd.get(f"/items/{item}").status == 200
        assert 2 <= perfd.stat("redis_trips") <= 6
        assert item > 100


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    with FakeRedis(f"{tmp_path_factory.mktemp('fake')}/fake.sock") as redis:
        yield redis


@pytest.fixture(scope="module")
def lied_to(make_module_perfd, db, fake):
    block = f"redis {{ url {fake.url}; timeout 50ms; prefix it; }}"
    return started(make_module_perfd(CONF, db, pool="listen off;", cache=CACHE, settings=block))


@pytest.mark.parametrize("manner", MANNERS)
def test_whatever_redis_says_no_request_fails(lied_to, fake, manner):
    fake.manner = WELL
    assert eventually(lambda: is_used(lied_to), 15), lied_to.log()
    pids, before, first = lied_to.worker_pids(), fake.lied, 1 + 20 * MANNERS.index(manner)
    cut = lied_to.log().count("longer than any")
    fake.manner = manner
    all_well(lied_to, range(first, first + 20))
    assert write(lied_to, first) == version_of(lied_to, first)
    assert fake.lied > before and lied_to.worker_pids() == pids
    assert manner not in TOO_LONG or lied_to.log().count("longer than any") > cut
    fake.manner = WELL


def test_out_of_memory_it_still_forgets(make, server):
    """Redis refuses every write then, but for what frees memory. So nothing is owed, and the rest may be read."""
    perfd = started(make(server.url))
    kept(perfd, server, "/items/1")
    kept(perfd, server, "/items/2")
    server.command("CONFIG", "SET", "maxmemory", "1")
    version = write(perfd, 1)
    all_well(perfd, range(1, 30))
    assert perfd.stat("redis_errors") > 0 and perfd.log_contains("OOM")
    perfd = forgetful(perfd)
    assert version_of(perfd, 1) == version and perfd.get("/items/2").cache == "REDIS"
    server.command("CONFIG", "SET", "maxmemory", "0")
    kept(perfd, server, "/items/100")


def test_a_write_that_redis_refuses_is_owed(make, servers):
    """MISCONF: it cannot save, so it reads well and takes nothing, and its old answer would be found again."""
    server = servers(options=["--save", "3600 1", "--enable-protected-configs", "yes"])
    perfd = started(make(server.url))
    kept(perfd, server, "/items/1")
    os.mkdir(f"{server.folder}/no_file")
    server.command("CONFIG", "SET", "dbfilename", "no_file")
    server.command("BGSAVE")
    assert eventually(lambda: server.info("rdb_last_bgsave_status", "persistence") == "err")
    version = write(perfd, 1)
    assert perfd.log_contains("MISCONF")
    for _ in range(4):
        assert version_of(perfd, 1) == version
    server.command("CONFIG", "SET", "dbfilename", "dump.rdb")
    server.command("BGSAVE")
    assert eventually(lambda: all_well(perfd, [time.time_ns() % 9000 + 1]) and perfd.stat("redis_misses") > 3)
    assert version_of(forgetful(perfd), 1) == version

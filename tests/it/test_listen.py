"""Changes that others make to the data, and what is answered while they cannot be heard of."""
import os
import shutil
import statistics
import tempfile
import threading
import time

import pytest

from lib.far import Far
from lib.perfd import ROOT
from lib.pooler import Pooler
from lib.postgres import Postgres
from lib.process import alive, eventually, tell
from lib.workers import connect_to

pytestmark = pytest.mark.rare

with open(f"{ROOT}/sql/invalidate.sql", encoding="utf-8") as text:
    INSTALL = text.read()
TABLES = """
DROP TABLE IF EXISTS items, texts, things, notes;
CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO items SELECT g, 'old' FROM generate_series(1, 100) g;
CREATE TABLE texts (key text PRIMARY KEY, value text);
CREATE TABLE things (id uuid PRIMARY KEY, name text);
INSERT INTO things VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'old');
CREATE TABLE notes (id bigint PRIMARY KEY, note text);
INSERT INTO notes VALUES (1, 'old');
"""
WATCH = """
SELECT perfd_watch('items', 'items', 'item:{id}');
SELECT perfd_watch('texts', 'texts', 'text:{key}');
SELECT perfd_watch('things', 'thing:{id}');
"""
CONF = """
route GET /items/{id} { query "SELECT name FROM items WHERE id = :id"; result value; cache ttl=300s tags=item:{id}; }
route GET /items { query "SELECT count(*) AS n, max(name) AS name FROM items"; result row; cache ttl=300s tags=items; }
route GET /texts/{key} { query "SELECT value FROM texts WHERE key = :key"; result value; cache ttl=300s tags=text:{key}; }
route GET /things/{id} { query "SELECT name FROM things WHERE id = :id"; result value; cache ttl=300s tags=thing:{id}; }
route GET /notes/{id} { query "SELECT note FROM notes WHERE id = :id"; result value; cache ttl=300s tags=note:{id}; }
route GET /untagged { query "SELECT name FROM items WHERE id = 1"; result value; cache ttl=300s; }
"""
CAP = 1.0  # ttl_without_listener
CACHE = "size 16MB; entries 1000; tti 0; ttl_without_listener 1s;"
GRACE = 1.5  # for a machine that is busy with other things
CHANGES = 300


@pytest.fixture(scope="module")
def database(pg):
    return pg.create_database("listening", INSTALL)


@pytest.fixture
def db(database, well):
    assert eventually(lambda: not listener_pid(database))  # of the test before
    database.run(TABLES + WATCH)
    return database


@pytest.fixture
def make(make_perfd, db):
    def made(database=None, **kwargs):
        kwargs.setdefault("cache", CACHE)
        return make_perfd(CONF, database or db, **kwargs)
    return made


def is_heard(perfd):
    return perfd.stat("listener_up") == 1


def started(perfd):
    perfd.start()
    assert eventually(lambda: is_heard(perfd)), perfd.log()
    return perfd


@pytest.fixture
def api(make):
    return started(make())


def name_of(perfd, target="/items/1"):
    answer = perfd.get(target)
    assert answer.status == 200, answer
    return answer.json()


def is_served(perfd):
    """From the database, by each worker: an absence is not kept."""
    return {perfd.get("/items/999").status for _ in range(16)} == {404}


def cached(perfd, target="/items/1"):
    """What it answers, from the cache by now."""
    value = name_of(perfd, target)
    assert eventually(lambda: perfd.get(target).cache == "HIT"), target
    return value


def rename(db, name, where="id = 1"):
    db.run(f"UPDATE items SET name = %s WHERE {where}", (name,))


def seen_after(perfd, name, since, within, target="/items/1"):
    """Seconds until every answer is the new one."""
    assert eventually(lambda: name_of(perfd, target) == name, within, every=0.005), \
        f"{target} is still {name_of(perfd, target)} after {within} s\n{perfd.log()}"
    took = time.monotonic() - since
    assert {name_of(perfd, target) for _ in range(8)} == {name}
    return took


def listener_pid(db):
    """Of the server's process."""
    return db.value("SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'perfd listener'")


# --- while all is well

@pytest.mark.alone
def test_a_change_is_seen_through_every_worker_at_once(api, db):
    ways = [connect_to(api, pid, "/items/1") for pid in api.worker_pids()]
    writer = db.server.connect(db.name)
    took = []
    for turn in range(CHANGES):
        for way in ways:
            way.request("GET", "/items/1")  # so that each has something to be old
        with writer.cursor() as cursor:
            cursor.execute("UPDATE items SET name = %s WHERE id = 1", (f"turn {turn}",))
        committed = time.monotonic()
        for way in ways:
            while way.request("GET", "/items/1").json() != f"turn {turn}":
                assert time.monotonic() - committed < 5, "not seen"
        took.append(time.monotonic() - committed)
    writer.close()
    took.sort()
    p99 = took[int(0.99 * len(took))]
    print(f"{CHANGES} changes seen through {len(ways)} workers: median {1000 * statistics.median(took):.1f} ms, "
          f"p99 {1000 * p99:.1f} ms, slowest {1000 * took[-1]:.1f} ms")
    assert p99 < 0.25
    assert api.stat("notifications") >= CHANGES


def test_what_did_not_change_stays(api, db):
    cached(api, "/items/2")
    cached(api, "/untagged")
    rename(db, "new")
    seen_after(api, "new", time.monotonic(), 5)
    assert api.get("/items/2").cache == "HIT"
    time.sleep(CAP)  # heard of all the time, lives are not capped
    assert api.get("/items/2").cache == "HIT"
    assert api.get("/untagged").json() == "old"


def test_a_changed_key_and_a_deleted_row(api, db):
    cached(api, "/items/1")
    db.run("UPDATE items SET id = 1001 WHERE id = 1; DELETE FROM items WHERE id = 2")
    assert eventually(lambda: api.get("/items/1").status == 404)
    assert eventually(lambda: api.get("/items/2").status == 404)
    assert name_of(api, "/items/1001") == "old"


@pytest.mark.parametrize("statement", ["UPDATE items SET name = 'new'", "DELETE FROM items", "TRUNCATE items"])
def test_large_changes(api, db, statement):
    db.run("INSERT INTO items SELECT g, 'old' FROM generate_series(101, 100000) g")
    eventually(lambda: name_of(api, "/items")["n"] == 100000)
    for target in ("/items", "/items/7", "/items/77777"):
        cached(api, target)
    db.run(statement)
    answers = [api.get(target) for target in ("/items", "/items/7", "/items/77777")]
    wanted = (lambda a: a.status == 404 or a.json() in ("new", {"n": 0, "name": None}, {"n": 100000, "name": "new"}))
    assert eventually(lambda: all(wanted(api.get(t)) for t in ("/items", "/items/7", "/items/77777"))), answers


@pytest.mark.parametrize("key", ["a,b", "back\\slash", "{key}", "x" * 7000, "x" * 7950, "," * 4000],
                         ids=["comma", "backslash", "braces", "long", "too long", "too many commas"])
def test_keys_of_all_kinds(make, db, key):
    api = started(make(settings="max_uri 64KB; max_head 256KB;", workers=1))
    target = "/texts/" + "".join(f"%{byte:02X}" for byte in key.encode())
    db.run("INSERT INTO texts VALUES (%s, 'old')", (key,))
    assert eventually(lambda: api.get(target).status == 200)
    cached(api, target)
    db.run("UPDATE texts SET value = 'new'")
    seen_after(api, "new", time.monotonic(), 5, target)


def test_a_key_that_may_be_written_in_several_ways(api, db):
    targets = [f"/things/{text}" for text in ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC999C0B4EF8BB6D6BB9BD380A11")]
    for target in targets:
        cached(api, target)
    db.run("UPDATE things SET name = 'new'")
    for target in targets:
        seen_after(api, "new", time.monotonic(), 5, target)


def test_a_notification_by_hand(api, db):
    cached(api, "/notes/1")
    for payload in ("note:1", "something, note:1", ",,note:1,", "*"):
        db.run("UPDATE notes SET note = %s", (payload,))
        db.run("SELECT pg_notify('perfd', %s)", (payload,))
        seen_after(api, payload, time.monotonic(), 5, "/notes/1")


def test_redis_does_not_bring_it_back(make, db, redis):
    api = started(make(redis=redis))
    for turn in range(20):
        cached(api)
        assert eventually(lambda: any(":e:" in key for key in redis.keys()))
        rename(db, f"turn {turn}")
        seen_after(api, f"turn {turn}", time.monotonic(), 5)
    redis.pause()
    rename(db, "unheard by Redis")
    assert seen_after(api, "unheard by Redis", time.monotonic(), 5) < GRACE
    redis.resume()
    assert {name_of(api) for _ in range(20)} == {"unheard by Redis"}


def test_perfctl_tells(api, db):
    rename(db, "new")
    assert eventually(lambda: api.stat("notifications") == 1)
    shown = api.perfctl_json("cache")
    assert (shown["listener_up"], shown["notifications"], shown["notified_tags"], shown["listener_reconnects"]) == (1, 1, 2, 0)


# --- while it cannot be heard

class Unheard:
    """The listener's way to the database, which can be cut."""

    def __init__(self, make, db, **kwargs):
        self.folder = tempfile.mkdtemp(prefix="far.", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.far = Far(self.folder, f"{db.server.folder}/.s.PGSQL.5432", 0)
        self.far.__enter__()
        url = db.url.replace(db.server.folder, self.folder)
        self.perfd = started(make(pool=f"listen_url {url}; connect_timeout 500ms;", **kwargs))

    def close(self):
        self.far.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def unheard(make, db):
    made = Unheard(make, db)
    yield made
    made.close()


def test_what_changes_while_the_listener_is_away_is_old_for_so_long_and_no_longer(unheard, db):
    api = unheard.perfd
    cached(api)
    cached(api, "/untagged")
    unheard.far.cut()
    assert eventually(lambda: not is_heard(api))
    rename(db, "new")
    took = seen_after(api, "new", time.monotonic(), CAP + GRACE)
    print(f"seen after {took:.2f} s")
    cached(api)  # what is stored now
    rename(db, "newer")
    seen_after(api, "newer", time.monotonic(), CAP + GRACE)
    assert api.get("/untagged").cache == "HIT"  # no notification would ever drop it
    assert api.stat("listener_up") == 0


def test_redis_gives_nothing_older_either(make, db, redis):
    away = Unheard(make, db, redis=redis)
    try:
        cached(away.perfd)
        assert eventually(lambda: any(":e:" in key for key in redis.keys()))
        away.far.cut()
        assert eventually(lambda: not is_heard(away.perfd))
        rename(db, "new")
        seen_after(away.perfd, "new", time.monotonic(), CAP + GRACE)
    finally:
        away.close()


def test_nothing_old_is_served_after_the_listener_is_back(make, db):
    long = Unheard(make, db, cache=CACHE.replace("1s", "600s"))
    try:
        api = long.perfd
        for turn in range(5):
            for item in (1, 2, 3):
                cached(api, f"/items/{item}")
            before = api.stat("listener_reconnects")
            long.far.cut()
            assert eventually(lambda: not is_heard(api))
            rename(db, f"turn {turn}", "id < 4")
            assert name_of(api) != f"turn {turn}"  # the cap is far away, so that only the reconnect can drop it
            long.far.mend()
            assert eventually(lambda: api.stat("listener_reconnects") > before)
            assert [name_of(api, f"/items/{item}") for item in (1, 2, 3)] == [f"turn {turn}"] * 3
        assert api.log().count("not heard of") == 5 and api.log().count("heard of again") == 5
    finally:
        long.close()


def test_a_socket_that_is_dead_without_a_word(unheard, db):
    api = unheard.perfd
    cached(api)
    unheard.far.freeze()
    rename(db, "new")
    seen_after(api, "new", time.monotonic(), CAP + GRACE)
    assert eventually(lambda: not is_heard(api))
    assert api.log_contains("not heard of")
    unheard.far.mend()
    assert eventually(lambda: is_heard(api))
    rename(db, "newer")
    assert seen_after(api, "newer", time.monotonic(), 5) < CAP + GRACE


def test_a_session_that_an_admin_ends(api, db):
    for turn in range(10):
        cached(api)
        assert eventually(lambda: listener_pid(db))
        before = api.stat("listener_reconnects")
        db.run(f"SELECT pg_terminate_backend({listener_pid(db)}); UPDATE items SET name = 'turn {turn}'")
        assert eventually(lambda: api.stat("listener_reconnects") > before)
        assert {name_of(api) for _ in range(8)} == {f"turn {turn}"}


def test_a_server_process_that_stands_still(make, db):
    api = started(make(pool="connect_timeout 500ms;"))
    cached(api)
    assert eventually(lambda: listener_pid(db))
    pid = listener_pid(db)
    tell(pid, 19)
    try:
        rename(db, "new")
        seen_after(api, "new", time.monotonic(), CAP + GRACE)
        assert eventually(lambda: api.stat("listener_reconnects") > 0)
        rename(db, "newer")
        seen_after(api, "newer", time.monotonic(), 5)
    finally:
        tell(pid, 18)


def test_the_database_is_restarted(make, db):
    api = started(make())
    cached(api)
    db.server.stop()
    assert eventually(lambda: not is_heard(api))
    assert eventually(lambda: api.get("/items/1").status == 503, CAP + GRACE)
    db.server.start()
    assert eventually(lambda: is_heard(api) and is_served(api))
    cached(api)
    rename(db, "new")
    seen_after(api, "new", time.monotonic(), 5)


def test_the_keeper_is_killed(make, db):
    api = started(make(cache=CACHE.replace("1s", "600s")))
    for turn in range(5):
        keeper = api.keeper_pid()
        cached(api)
        change = threading.Thread(target=rename, args=(db, f"turn {turn}"))
        change.start()
        tell(keeper, 9)
        change.join()
        assert eventually(lambda: not alive(keeper) and api.keeper_pid() and is_heard(api), 10), api.log()
        assert {name_of(api) for _ in range(8)} == {f"turn {turn}"}


def test_nobody_keeps(make, db):
    """A keeper that does not come back: what it heard last is in shared memory, and grows old there."""
    api = started(make())
    cached(api)
    tell(api.keeper_pid(), 19)
    try:
        rename(db, "new")
        seen_after(api, "new", time.monotonic(), CAP + GRACE)
    finally:
        tell(api.keeper_pid(), 18)


# --- configuration

def test_the_database_comes_later(make, db):
    cached_by_now = started(make())
    cached_by_now.term()
    db.server.stop()
    api = make(pool="listen on;").start("/healthz")
    assert api.log_contains("not heard of")
    db.server.start()
    assert eventually(lambda: is_heard(api) and is_served(api))
    cached(api)
    rename(db, "new")
    seen_after(api, "new", time.monotonic(), 5)


@pytest.fixture
def plain(pg, well):
    """A database that nobody watches."""
    return pg.create_database("unwatched", TABLES)


def test_without_a_watch_nothing_is_capped_and_nothing_is_said(make, plain):
    api = started(make(plain))
    cached(api)
    plain.server.stop()
    assert eventually(lambda: not is_heard(api))
    time.sleep(CAP + 0.2)
    assert api.get("/items/1").cache == "HIT"
    assert not [line for line in api.log().splitlines() if " warn " in line and "keeper" in line]
    plain.server.start()


def test_a_watch_that_comes_later(make, plain):
    api = started(make(plain))
    cached(api)
    rename(plain, "unheard")
    plain.run(INSTALL)
    plain.run("SELECT perfd_watch('items', 'items', 'item:{id}')")
    seen_after(api, "unheard", time.monotonic(), 5)
    cached(api)
    plain.server.stop()
    assert eventually(lambda: api.get("/items/1").status == 503, CAP + GRACE)
    plain.server.start()


def test_off_is_off(make, db):
    api = make(pool="listen off;").start()
    cached(api)
    assert not listener_pid(db)
    rename(db, "new")
    time.sleep(CAP + 0.2)
    assert name_of(api) == "old" and api.stat("listener_up") == 0


def test_a_reload_turns_it_on_and_off(make, db):
    api = make(pool="listen off;").start()
    keeper = api.keeper_pid()
    cached(api)
    api.head = api.head.replace("listen off;", "listen on;")
    assert api.reload(CONF).code == 0
    assert eventually(lambda: is_heard(api)) and api.keeper_pid() != keeper
    cached(api)
    rename(db, "new")
    seen_after(api, "new", time.monotonic(), 5)
    keeper = api.keeper_pid()
    assert api.reload(CONF + "# the same\n").code == 0
    assert api.keeper_pid() == keeper and is_heard(api)
    api.head = api.head.replace("listen on;", "listen off;")
    assert api.reload(CONF).code == 0
    assert eventually(lambda: not is_heard(api))
    assert eventually(lambda: not listener_pid(db))
    cached(api)
    time.sleep(CAP + 0.2)
    assert api.get("/items/1").cache == "HIT"
    assert "keeper (pid" not in "".join(line for line in api.log().splitlines() if " error " in line)


@pytest.mark.once
def test_a_standby_is_no_place_to_listen(make, db):
    standby = Postgres()
    try:
        with open(f"{standby.data}/standby.signal", "w", encoding="ascii"):
            pass
        standby.start()
        api = make(pool=f"listen on; listen_url {standby.url('postgres')};").start()
        assert api.log_contains("hot standby")
        assert api.stat("listener_up") == 0
        cached(api)
        rename(db, "new")
        seen_after(api, "new", time.monotonic(), CAP + GRACE)
        assert api.log().count("not heard of") == 1
    finally:
        standby.remove()


def test_a_pooler_is_no_place_to_listen(make, db):
    with Pooler(db.server) as pooler:
        api = make(pool=f"listen on; listen_url {pooler.url(db.name)};").start()
        assert api.log_contains("pooler"), api.log()
        assert api.stat("listener_up") == 0
        cached(api)
        rename(db, "new")
        seen_after(api, "new", time.monotonic(), CAP + GRACE)
        assert api.log().count("not heard of") == 1


def test_a_host_among_several_that_is_the_primary(make, db):
    """The first one of the hosts does not answer."""
    url = db.url.replace(f"host={db.server.folder}", f"host=/nonexistent,{db.server.folder}")
    api = started(make(pool=f"listen_url {url};"))
    cached(api)
    rename(db, "new")
    seen_after(api, "new", time.monotonic(), 5)

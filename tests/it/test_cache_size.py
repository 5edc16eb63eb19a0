"""Another size of the cache by a reload: new workers have a new one, nothing old is answered, and the memory of the old
one comes back."""
import re

import pytest

from lib.load import Load
from lib.process import eventually

SCHEMA = "CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT i, 0 FROM generate_series(1, 9) i"
CONF = """
cache { size %s; entries %d; }
keepalive_min 4s;
route GET /items/{id} { query "SELECT id, n FROM items WHERE id = :id::int"; result row;
                        cache ttl=1h tti=1h tags=item:{id}; }
route POST /items/{id} { query "UPDATE items SET n = n + 1 WHERE id = :id::int RETURNING n"; result row; status 200;
                         invalidates item:{id}; }
route POST /later/{id} { query "UPDATE items SET n = n + 1 WHERE id = :id::int AND pg_sleep(2.5) IS NOT NULL RETURNING n";
                         result row; status 200; invalidates item:{id}; }
route GET /one { query "SELECT 1 AS one"; result row; }
"""


@pytest.fixture
def db(pg):
    return pg.create_database("cache_size", SCHEMA)


def caches_of(pid):
    """Sizes in MB of the caches that a process has mapped."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        spans = re.findall(r"^(\w+)-(\w+) .*memfd:perfd-cache", maps.read(), re.M)
    return sorted(round((int(end, 16) - int(begin, 16)) / (1 << 20)) for begin, end in spans)


@pytest.mark.parametrize("with_redis", [False, True], ids=["alone", "with Redis"])
def test_another_size_is_a_cache_of_its_own_with_the_same_tags(make_perfd, db, redis, with_redis):
    api = make_perfd(CONF % ("16MB", 1000), db, redis=redis if with_redis else None).start()
    with Load(api.port, lambda thread, turn: [("GET", "/items/1", None), ("POST", "/items/2", {})][turn % 2]) as load, \
            api.connect() as reader, api.connect() as writer:
        load.wait_for(50)
        assert reader.request("GET", "/items/7").json()["n"] == 0
        assert reader.request("GET", "/items/8").json()["n"] == 0
        evictions = api.stat("cache_expired"), api.stat("requests")
        writer.send("POST", "/later/7", {})  # through an old worker, and done when the new ones serve
        assert api.reload(CONF % ("32MB", 2000)).code == 0, api.log()
        with api.connect() as new:
            assert new.request("GET", "/items/7").json()["n"] == 0
            assert writer.read().json() == {"n": 1}
            assert new.request("GET", "/items/7").json()["n"] == 1, "a write through an old worker did not reach it"
            assert new.request("POST", "/items/8", {}).json() == {"n": 1}
            answer = reader.request("GET", "/items/8")
            assert answer.header("connection") == "close", "this is no old worker's connection"
            assert answer.json()["n"] == 1, "a write through a new worker did not reach it"
        load.wait_for(50)
    assert not load.failed and not load.wrong, (load.failed[:3], load.wrong[:3])
    assert eventually(lambda: len(api.worker_pids()) == 2 and caches_of(api.process.pid) == [32], 10), \
        "the old one's memory is not given back"
    assert {tuple(caches_of(pid)) for pid in [*api.worker_pids(), api.keeper_pid()]} == {(32,)}
    assert eventually(lambda: api.stat("cache_size_bytes") > 20 << 20) and api.stat("cache_entries_max") == 2000
    assert (api.stat("cache_expired"), api.stat("requests")) >= evictions
    assert api.get("/items/1").header("server-timing").count("HIT") == 1


def test_a_size_that_the_machine_cannot_hold_changes_nothing(make_perfd, db):
    api = make_perfd(CONF % ("16MB", 1000), db).start()
    workers = api.worker_pids()
    result = api.reload(CONF % ("900GB", 1000))
    assert result.code == 1 and "left to take" in result.err, result
    assert api.worker_pids() == workers and caches_of(api.process.pid) == [16]
    assert api.get("/one").status == 200


def test_a_reload_that_fails_gives_the_new_one_back(make_perfd, db):
    api = make_perfd(CONF % ("16MB", 1000), db).start()
    api.get("/items/1")
    api.configure(api.head.replace(api.access_log, f"{api.folder}/none/access.log") + CONF % ("32MB", 1000), whole=True)
    assert api.perfctl("reload", timeout=40).code == 1
    assert eventually(lambda: caches_of(api.process.pid) == [16], 5)
    assert "HIT" in api.get("/items/1").header("server-timing")
    for size in ("24MB", "32MB", "16MB"):
        assert api.reload(CONF % (size, 1000)).code == 0, api.log()
        assert eventually(lambda: caches_of(api.process.pid) == [int(size[:-2])], 10)

"""perfctl purge: what somebody changed behind perfd's back is told by hand, and nothing older is answered once it is done."""
import signal
import threading

import pytest

from lib.items import CACHE, ROUTE, SCHEMA, change, get
from lib.process import eventually, tell

CONF = ROUTE + """
route GET /sum { query "SELECT sum(version) FROM items"; result value; cache ttl=300s; }
route GET /slow/{id} { query "SELECT version FROM items, pg_sleep(0.3) WHERE id = :id"; result value; cache ttl=300s; }
route GET /plain/{id} { query "SELECT version FROM items WHERE id = :id"; result value; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("purge", SCHEMA)


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db, cache=CACHE).start()


@pytest.fixture
def sharing(make_perfd, db, redis, well):
    """Instances that share a Redis as those of two machines do."""
    redis.flush()
    block = f"redis {{ url {redis.url}; timeout 50ms; prefix both; }}"

    def made():
        api = make_perfd(CONF, db, pool="listen off;", cache=CACHE, settings=block).start()
        assert eventually(lambda: api.stat("redis_listening") == 1), api.log()
        return api
    return made


def cached(api, *targets):
    for target in targets:
        get(api, target)
        assert eventually(lambda target=target: {api.get(target).cache for _ in range(4)} == {"HIT"})


def values(api, target):
    """As both workers answer: each request has a connection of its own."""
    return {api.get(target).json() for _ in range(8)}


def purge(api, *words):
    done = api.perfctl("purge", *words)
    assert done.code == 0 and not done.err, done
    return done.out


def test_a_tag(api, db):
    cached(api, "/items/1", "/items/2")
    version = change(db, 1)
    assert values(api, "/items/1") == {version - 1}
    assert "tag item:1: 1 entries" in purge(api, "tag", "item:1")
    assert values(api, "/items/1") == {version}
    assert api.get("/items/2").cache == "HIT"


def test_a_route(api, db):
    purge(api, "all")
    cached(api, "/items/3", "/items/4", "/items/5", "/sum")
    version = change(db, 3)
    assert "3 entries" in purge(api, "route", "GET", "/items/{id}")
    assert values(api, "/items/3") == {version}
    assert {api.get("/items/4").cache, api.get("/items/5").cache} == {"MISS"}
    assert api.get("/sum").cache == "HIT"


def test_all(api, db):
    purge(api, "all")
    cached(api, "/items/6", "/sum")
    version = change(db, 6)
    assert "all: 2 entries" in purge(api, "all")
    assert values(api, "/items/6") == {version}
    assert api.get("/sum").cache == "MISS"
    assert "all: 2 entries" in purge(api, "all")
    assert "all: 0 entries" in purge(api, "all")


@pytest.mark.parametrize("item, words", [(7, ["route", "GET /slow/{id}"]), (8, ["all"])])
def test_a_fetch_that_is_under_way_is_not_kept(api, db, item, words):
    """It has read the old value; whoever asks after the purge does not wait for it."""
    early = []
    version = change(db, item)
    asker = threading.Thread(target=lambda: early.append(api.get(f"/slow/{item}").json()))
    asker.start()
    assert eventually(lambda: db.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%FROM items, pg_sleep%' "
                                       "AND state = 'active' AND pid <> pg_backend_pid()") > 0)
    change(db, item)
    purge(api, *words)
    assert api.get(f"/slow/{item}").json() == version + 1
    asker.join()
    assert early == [version]
    assert values(api, f"/slow/{item}") == {version + 1}


@pytest.mark.parametrize("words, code, why", [
    (["route", "GET /nothing"], 1, "no such route"),
    (["route", "GET /plain/{id}"], 1, "not cached"),
    (["route"], 1, "no such route"),
    (["tag"], 1, "which tag?"),
    (["tag", "a\nb"], 1, "control characters"),
    (["tag", "x" * 600], 1, "too long"),
    (["all", "items"], 1, "no name"),
    (["everything"], 1, "tag, route or all"),
    ([], 64, "purge"),
])
def test_what_cannot_be_purged(api, words, code, why):
    done = api.perfctl("purge", *words)
    assert done.code == code and why in done.err and not done.out, done


def test_redis_and_others_who_share_it(sharing, db, redis):
    one, other = sharing(), sharing()
    cached(one, "/items/10", "/items/11", "/sum")
    cached(other, "/items/10", "/items/11", "/sum")
    assert eventually(lambda: len([key for key in redis.keys() if ":e:" in key]) == 3)
    tagged, routed = change(db, 10), change(db, 11)
    purge(one, "tag", "item:10")
    assert values(one, "/items/10") == {tagged}
    assert eventually(lambda: values(other, "/items/10") == {tagged})
    assert values(one, "/items/11") == {routed - 1} and one.get("/sum").cache == "HIT"
    purge(one, "route", "GET /items/{id}")
    assert values(one, "/items/11") == {routed}
    assert eventually(lambda: values(other, "/items/11") == {routed})
    one.term()
    one.start()
    assert one.get("/items/10").json() == tagged and one.get("/items/11").json() == routed
    assert one.get("/sum").cache == "REDIS"


def test_redis_that_does_not_answer(sharing, db, redis):
    """It is not read again before all that it has is dropped."""
    api = sharing()
    cached(api, "/items/12")
    assert eventually(lambda: [key for key in redis.keys() if ":e:" in key])
    redis.pause()
    version = change(db, 12)
    purge(api, "tag", "item:12")
    redis.resume()
    assert values(api, "/items/12") == {version}
    api.term()
    api.start()
    assert api.get("/items/12").json() == version


def test_a_keeper_that_hangs(make_perfd, db):
    """Then everything goes, and it is said."""
    api = make_perfd(CONF, db, cache=CACHE).start()
    cached(api, "/items/13", "/sum")
    version = change(db, 13)
    keeper = api.keeper_pid()
    tell(keeper, signal.SIGSTOP)
    try:
        assert "everything is dropped" in purge(api, "tag", "item:13")
        assert values(api, "/items/13") == {version}
    finally:
        tell(keeper, signal.SIGCONT)
    assert eventually(lambda: "item:13: " in purge(api, "tag", "item:13"))

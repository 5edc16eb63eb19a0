"""Routes with `target replica`: read from a replica that is near enough, else from the primary, and never a wrong row."""
import threading
import time

import pytest

from lib.load import Load, at_once
from lib.postgres import Database, primary_and_standby
from lib.process import eventually

pytestmark = pytest.mark.rare

CONF = """
route GET /where { query "SELECT pg_is_in_recovery() AS standby"; result row; target replica; }
route GET /busy { query "SELECT pg_sleep(0.8)::text AS s"; result row; }
route GET /primary { query "SELECT pg_is_in_recovery() AS standby"; result row; }
route GET /fresh { query "SELECT count(*) FROM fresh"; result value; target replica; }
route GET /value/{id} {
    query "SELECT value FROM items WHERE id = :id"; result value; target replica; cache ttl=60s tags=item:{id};
}
route GET /place/{id} {
    query "SELECT pg_is_in_recovery() AS standby FROM items WHERE id = :id"; result row; target replica;
    cache ttl=1ms tags=item:{id};
}
route GET /number { query "SELECT 1 / :n::int"; result value; target replica; }
route GET /slow { query "SELECT pg_sleep(:s), pg_is_in_recovery() AS standby"; result row; target replica; }
route POST /value/{id} {
    query "UPDATE items SET value = :value WHERE id = :id"; result none; invalidates item:{id};
}
"""


@pytest.fixture(scope="module")
def pair():
    schema = "CREATE TABLE items AS SELECT id, 0 AS value FROM generate_series(1, 100) id"
    with primary_and_standby("replica", schema) as servers:
        yield servers


@pytest.fixture
def well(pair):
    """Both as the next test expects them."""
    primary, standby = pair
    yield
    standby.resume()
    for server in (primary, standby):
        if server.pid is None:
            server.start()
    standby.resume_replay()
    primary_db = Database(primary, "replica")
    assert eventually(lambda: Database(standby, "replica").value("SELECT pg_last_wal_replay_lsn()") >=
                      primary_db.value("SELECT pg_current_wal_lsn()"), 10)


@pytest.fixture
def start(make_perfd, pair, well):
    primary, standby = pair

    def started(max_lag="1s", statement_timeout="1s", acquire_timeout="3s", **kwargs):
        pool = f"replica_url {standby.url('replica')}; max_lag {max_lag}; connect_timeout 1s;" \
               f"statement_timeout {statement_timeout}; pool max=4 min=2 acquire_timeout={acquire_timeout}; " \
               "replica_pool max=3 min=1;"
        api = make_perfd(CONF, primary.url("replica"), pool=pool, **kwargs).start()
        assert eventually(lambda: in_a_row(api, True)), api.log()
        return api
    return started


def standby_says(api, path="/where"):
    """None: it says nothing."""
    return api.get(path).json().get("standby")


def in_a_row(api, standby, times=6):
    """Of all workers."""
    return all(standby_says(api) == standby for _ in range(times))


def test_reads_go_to_the_replica_and_all_else_to_the_primary(start):
    api = start()
    assert standby_says(api, "/primary") is False
    assert api.post("/value/1", {"value": 0}).status == 204
    pool = eventually(lambda: (p := api.perfctl_json("pool")["total"])["replicas"]["usable"] == 2 and
                      p["replicas"]["queries"] >= 6 and p)
    assert pool["max"] == 8 and pool["replicas"]["max"] == 6 and pool["replicas"]["count"] == 1
    assert 0 < pool["replicas"]["lag_us"] < 1e6
    assert "0 replicas" in api.perfctl("pool").out


def test_perfctl_may_ask_the_replica(start, pair):
    url = pair[1].url("replica")
    api = start()
    advice, plan = api.perfctl("advise", "-o", "json", "--url", url), api.perfctl("explain", "GET /value/{id}", "--url", url)
    assert [u["about"] for u in advice.json["unknown"]] in ([], ["GET /fresh"]), "another test makes its table"
    assert advice.json["advice"] == [], advice
    assert plan.code == 0 and "items" in plan.out, plan


def test_a_quiet_primary_is_no_lag(start):
    api = start()
    seen = [standby_says(api) for _ in range(60) if time.sleep(0.05) is None]  # three times max_lag
    assert seen.count(True) > 50, seen


def test_a_replica_that_falls_behind_is_not_read_from_until_it_is_back(start, pair):
    primary, standby = pair
    api = start()
    standby.pause_replay()
    paused = time.monotonic()
    assert api.post("/value/2", {"value": 1}).status == 204
    assert standby_says(api) is True  # it may be behind for as long
    assert eventually(lambda: in_a_row(api, False), 5)
    assert time.monotonic() - paused > 0.7
    assert eventually(lambda: api.stat("replicas_usable") == 0) is True
    assert api.stat("replica_fallbacks") >= 6
    standby.resume_replay()
    assert eventually(lambda: in_a_row(api, True), 5)


def test_a_write_is_read_by_the_next_cached_read(start, pair):
    """Whatever the replica has: right after the write, and while it is stored."""
    primary, standby = pair
    api = start("60s")
    standby.pause_replay()
    assert api.post("/value/3", {"value": 33}).status == 204
    assert [api.get("/value/3").json() for _ in range(4)] == [33] * 4
    assert Database(standby, "replica").value("SELECT value FROM items WHERE id = 3") != 33
    assert standby_says(api, "/place/3") is False and standby_says(api, "/place/4") is True
    standby.resume_replay()
    assert eventually(lambda: standby_says(api, "/place/3") is True, 10)
    assert api.get("/value/3").json() == 33


def test_own_writes_are_read_while_the_replica_follows(start):
    """Commits are asynchronous here: acknowledged before they are written, and the tags raised before they are sent."""
    api = start("1s")
    wrong = []

    def write_and_read(item):
        for value in range(1, 60):
            assert api.post(f"/value/{item}", {"value": value}).status == 204
            for _ in range(2):
                if (got := api.get(f"/value/{item}").json()) != value:
                    wrong.append((item, value, got))
            time.sleep(0.01 * (value % 12))

    threads = [threading.Thread(target=write_and_read, args=(item,)) for item in (11, 12, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:5]


def test_a_commit_that_is_not_written_yet_is_not_on_the_replica(start, pair):
    """The primary has acknowledged it and told how far it has written; the replica has replayed all of that."""
    primary, _ = pair
    db = Database(primary, "replica")
    api = start("1s")
    db.run("ALTER SYSTEM SET wal_writer_delay = '10s'")
    db.run("SELECT pg_reload_conf()")
    try:
        for value in range(1, 5):
            assert api.post("/value/20", {"value": value}).status == 204
            time.sleep(0.4)  # three times the replicas are asked
            assert api.get("/value/20").json() == value
    finally:
        db.run("ALTER SYSTEM RESET wal_writer_delay")
        db.run("SELECT pg_reload_conf()")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_replica_that_is_down_is_not_missed(start, pair, end):
    _, standby = pair
    api = start()
    with Load(api.port, "/where", threads=4) as load:
        load.wait_for(100)
        getattr(standby, end)()
        load.wait_for(200)
        assert in_a_row(api, False)
        standby.start()
        assert eventually(lambda: in_a_row(api, True), 8)
    assert not load.wrong and not load.failed, (load.wrong[:3], load.failed[:3])
    assert api.stat("replica_fallbacks") > 0 and api.stat("replica_rejected") == 0 == api.stat("pool_rejected")


def test_a_replica_that_hangs_costs_a_time_out_at_most(start, pair):
    _, standby = pair
    api = start("60s", statement_timeout="20s", settings="request_timeout 1s;")
    standby.pause()
    statuses = set()
    assert eventually(lambda: statuses.add(api.get("/where").status) or in_a_row(api, False), 8)
    assert statuses <= {200, 504}
    assert eventually(lambda: api.log().count("left alone") == 2)
    standby.resume()
    assert eventually(lambda: in_a_row(api, True), 8)


def test_a_primary_that_was_too_busy_to_be_asked_is_asked_again(start):
    """Where it is, which a replica is compared with; max_lag later the replica would be left alone for good."""
    api = start("1s", acquire_timeout="100ms")
    statuses = {a.status for a in at_once(32, lambda i: api.get("/busy"))}
    assert statuses & {503, 504}, statuses
    time.sleep(1.2)
    assert eventually(lambda: in_a_row(api, True)), api.log()


def test_what_the_replica_does_not_know_yet_is_asked_of_the_primary(start, pair):
    primary, standby = pair
    db = Database(primary, "replica")
    api = start("60s")
    standby.pause_replay()
    db.run("CREATE TABLE fresh AS SELECT 1 AS n")
    try:
        assert eventually(lambda: api.get("/fresh").status == 200, 5)
        assert standby_says(api) is True
        response = api.get("/number?n=0")
        assert response.status == 422  # the value's own fault is not asked twice
    finally:
        db.run("DROP TABLE fresh")


def test_without_the_primary_replicas_are_read_from(start, pair):
    primary, _ = pair
    api = start()
    primary.stop()
    seen = [api.get("/where") for _ in range(30) if time.sleep(0.1) is None]  # three times max_lag
    assert {answer.status for answer in seen} == {200} and {answer.json()["standby"] for answer in seen} == {True}
    assert api.post("/value/1", {"value": 5}).status == 503


def test_errors_of_the_configuration(make_perfd, pair):
    primary, standby = pair
    url = primary.url("replica")

    def refusal(pool, routes=CONF):
        checked = make_perfd(routes, url, pool=pool).check()
        assert checked.code == 2
        return checked.err

    replica = f"replica_url {standby.url('replica')};"
    assert "target replica needs the database's replica_url" in refusal("")
    assert "max_lag is for replicas: it needs replica_url" in refusal("max_lag 1s;", "")
    assert "replica_pool is for replicas: it needs replica_url" in refusal("replica_pool max=1;", "")
    assert "min=3 is above max=2" in refusal(f"{replica} replica_pool max=2 min=3;", "")
    assert '"50ms" is out of bounds: max_lag is 500ms to 1d' in refusal(f"{replica} max_lag 50ms;", "")
    writes = 'route POST /x { query "SELECT 1"; target replica; }'
    assert "only a GET reads from a replica" in refusal(replica, writes)
    combines = 'route GET /x { query "SELECT id FROM items WHERE id = :id"; result row; target replica; combine on; }'
    assert "combined lookups read from the primary" in refusal(replica, combines)


def test_the_printed_configuration_is_the_same(make_perfd, pair):
    primary, standby = pair
    api = make_perfd(CONF, primary.url("replica"), pool=f"replica_url {standby.url('replica')}; replica_pool max=3;")
    printed = api.command("-T").out
    assert f"replica_url {standby.url('replica')};" in printed and "replica_pool max=3 min=1;" in printed
    assert "max_lag 10s;" in printed and printed.count("target replica;") == 6
    api.configure(printed, whole=True)
    assert api.command("-T").out == printed
    plain = make_perfd('route GET /x { query "SELECT 1"; }', primary.url("replica")).command("-T").out
    assert "replica_" not in plain and "max_lag" not in plain


def test_the_replica_becomes_the_primary(make_perfd, pair):
    """Last: there is no standby after it. Reads go on, and writes, without a word to perfd."""
    primary, standby = pair
    both = f"'host={primary.folder},{standby.folder} user=postgres dbname=replica'"
    pool = f"replica_url {standby.url('replica')}; max_lag 5s; statement_timeout 1s; pool max=4 min=2;"
    api = make_perfd(CONF, both, pool=pool).start()
    assert eventually(lambda: api.stat("replicas_usable") == 2 and in_a_row(api, True))
    with Load(api.port, "/where", threads=3) as load:
        load.wait_for(50)
        primary.stop()
        time.sleep(0.5)
        standby.promote()
        assert eventually(lambda: api.post("/value/1", {"value": 77}).status == 204, 5)
        load.wait_for(50)
    assert not load.wrong and not load.failed, (load.wrong[:3], load.failed[:3])
    assert eventually(lambda: [api.get("/value/1").json() for _ in range(4)] == [77] * 4)
    assert in_a_row(api, False)

    def is_used():
        before = api.stat("replica_fallbacks")
        assert in_a_row(api, False)
        time.sleep(0.6)  # two beats of the statistics
        return api.stat("replica_fallbacks") == before
    time.sleep(1)  # the new primary has been asked where it is
    assert eventually(is_used), api.log()

"""What is left of a perfd whose master was killed: nothing for long, and no obstacle to the next one."""
import contextlib
import os
import time

import pytest

from lib.load import Load
from lib.ports import is_free
from lib.process import alive, eventually

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; }
route GET /sleep { query "SELECT pg_sleep(:s), 1 AS one"; result row; timeout 20s; }
route GET /fetched { query "SELECT 1 AS one"; result row; cache ttl=60s; }
"""
WRITES = """
route GET /kept { query "SELECT n FROM kept"; result value; cache ttl=60s tags=kept; }
route POST /kept { query "UPDATE kept SET n = n + 1"; result none; invalidates kept; }
"""
KILLS = int(os.environ.get("MASTER_KILLS", "2"))


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("orphans")


def children_of(api):
    return api.worker_pids() + [api.keeper_pid()]


@pytest.mark.once
def test_a_killed_master_leaves_no_orphans_and_the_next_one_starts_at_once(make_perfd, db):
    api = make_perfd(CONF, db, workers=3, pool="pool acquire_timeout=10s;").start()
    longest, lingering = 0.0, 0.0
    with Load(api.port, "/one", threads=3) as load:
        for _ in range(KILLS):
            load.wait_for(50)
            orphans = children_of(api)
            with api.connect() as under_way:
                under_way.send("GET", "/sleep?s=0.5")
                time.sleep(0.1)
                api.kill_master()
                began = time.monotonic()
                api.start()
                longest = max(longest, time.monotonic() - began)
                assert under_way.read().status == 200  # by an orphan
            assert eventually(lambda pids=orphans: not any(alive(pid) for pid in pids), 8), api.log()
            lingering = max(lingering, time.monotonic() - began)
        load.wait_for(50)
    assert not load.wrong, load.wrong[:3]
    print(f"{KILLS} kills, the next one ready within {longest:.2f} s, the last orphan gone within {lingering:.2f} s")
    assert longest < 5 and lingering < 8


def test_orphans_stop_listening_before_their_requests_are_over(make_perfd, db):
    api = make_perfd(CONF, db).start()
    with api.connect() as under_way:
        under_way.send("GET", "/sleep?s=1.5")
        time.sleep(0.1)
        api.kill_master()
        assert eventually(lambda: is_free(api.port), 1)
        assert under_way.read().status == 200


def test_what_is_read_while_an_orphan_writes_is_dropped(make_perfd, db):
    """Its write raises no tag of the next perfd."""
    db.run("CREATE TABLE kept AS SELECT 1 AS n")
    api = make_perfd(WRITES, db, pool="statement_timeout 4s;", settings="shutdown_timeout 3s;").start()
    with api.connect() as under_way, contextlib.closing(db.server.connect(db.name)) as other:
        other.cursor().execute("BEGIN; SELECT 1 FROM kept FOR UPDATE")  # the write waits for it
        under_way.send("POST", "/kept", {})
        time.sleep(0.2)
        api.kill_master()
        api.start()
        assert api.get("/kept").json() == 1
        other.cursor().execute("COMMIT")
        assert under_way.read().status == 204
    assert db.value("SELECT n FROM kept") == 2
    assert eventually(lambda: api.get("/kept").json() == 2, 8)


@pytest.mark.fault_points
def test_an_orphan_that_hangs_ends_too(make_perfd, db):
    api = make_perfd(CONF, db, settings="hang_timeout 0; shutdown_timeout 60s;", env={"PERFD_FAULT": "fetch_read=spin@1"}).start()
    orphans = children_of(api)
    with api.connect() as connection:
        connection.send("GET", "/fetched")
        time.sleep(0.3)
        api.kill_master()
        api.env = {}
        began = time.monotonic()
        api.start()
        took = time.monotonic() - began
    assert took < 6 and not any(alive(pid) for pid in orphans), took

"""Consumers that do not wait for their answer."""
import socket

import pytest

from lib.process import eventually

CONF = """
route GET /slow/{s} { query "SELECT pg_sleep(:s::float8)::text AS s"; result row; timeout 60s; }
route GET /kept/{s} { query "SELECT pg_sleep(:s::float8)::text AS s"; result row; cache ttl=60s; timeout 60s; }
route POST /write { query "INSERT INTO marks SELECT 1 FROM pg_sleep(:s::float8)"; result none; timeout 60s; }
"""


@pytest.fixture(scope="module")
def db(pg):
    database = pg.create_database("gone")
    database.run("CREATE TABLE marks (n int)")
    return database


@pytest.fixture
def api(make_perfd, db):
    return make_perfd(CONF, db, workers=1, pool="pool max=2 min=1;", settings="request_timeout 60s;").start()


def leave(api, request, half=False):
    connection = api.connect()
    connection.write(request)
    assert eventually(lambda: api.stat("in_flight") > 0, 3)
    if half:
        connection.sock.shutdown(socket.SHUT_WR)
        return connection
    connection.close()
    return None


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: t\r\nX-Request-Id: gone{path.replace('/', '-')}\r\n\r\n".encode()


def running(db):
    return int(db.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' "
                        "AND pid <> pg_backend_pid()"))


@pytest.mark.parametrize("half", [False, True])
def test_the_query_of_one_that_left_is_cancelled(api, db, half):
    kept = leave(api, get(f"/slow/5{half:d}"), half)
    assert eventually(lambda: running(db) == 0, 3), "the query runs on"
    assert eventually(lambda: api.stat("pool_cancelled") == 1 and api.stat("in_flight") == 0, 3)
    assert api.access_line(f"gone-slow-5{half:d}")["status"] == 499
    assert [api.get("/slow/0").status for _ in range(4)] == [200] * 4, "the pool has its place again"
    if kept:
        kept.close()


def test_who_waits_for_a_connection_and_leaves_gives_up_its_turn(api, db):
    for i in range(4):
        leave(api, get(f"/slow/6{i}"))
    assert eventually(lambda: running(db) == 0 and api.stat("in_flight") == 0 and api.stat("pool_waiting") == 0, 3)


def test_what_may_be_cached_is_fetched_for_the_next_one(api, db):
    leave(api, get("/kept/0.4"))
    assert eventually(lambda: api.stat("in_flight") == 0, 3)
    assert api.get("/kept/0.4").cache == "HIT" and api.stat("pool_cancelled") == 0
    assert api.access_line("gone-kept-0.4")["status"] == 499


def test_a_write_goes_on_to_its_end(api, db):
    body = b'{"s": 0.4}'
    leave(api, b"POST /write HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert eventually(lambda: db.value("SELECT count(*) FROM marks") == 1, 3)

"""One fetch a key over all workers: counted in the database, with owners that die, stop, or are late."""
import os
import signal
import threading
import time

import pytest

from lib.load import at_once
from lib.process import eventually, tell

SCHEMA = """
CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 1000) g;
CREATE TABLE pace (seconds float8 NOT NULL);
INSERT INTO pace VALUES (0);
CREATE FUNCTION slow_name(item bigint, seconds float8) RETURNS text LANGUAGE sql AS
    $$ SELECT name FROM items, pg_sleep(seconds) WHERE id = item $$;
"""

CONF = """
route GET /slow/{id} { query "SELECT slow_name(:id, :s) AS name"; result row; cache ttl=60s tags=item:{id};
    param s default=0.5; timeout 2s; }
route PATCH /items/{id} { query "UPDATE items SET name = :name WHERE id = :id RETURNING id"; result row;
    invalidates item:{id}; }
route GET /absent/{id} { query "SELECT name FROM items, pg_sleep(:s) WHERE id = :id"; result row;
    cache ttl=60s tags=item:{id}; param s default=0.5; }
route GET /spare/{id} { query "SELECT slow_name(:id, (SELECT seconds FROM pace)) AS name"; result row;
    cache ttl=1s stale_if_error=60s; }
route PUT /items/{id} { query "INSERT INTO items VALUES (:id, 'made') RETURNING id"; result row; invalidates item:{id}; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("flight", SCHEMA)


@pytest.fixture
def api(make_perfd, db):
    return make_perfd(CONF, db, cache="size 16MB; entries 1000;", settings="keepalive_timeout 60s;").start()


def slot_that_fetches(api):
    """The worker whose pool runs a query, as (slot, pid)."""
    def look():
        busy = [row["slot"] for row in api.perfctl_json("pool")["slots"] if row["active"] > 0]
        return busy or None

    busy = eventually(look, 2)
    assert busy and len(busy) == 1, busy
    workers = {row["slot"]: row["pid"] for row in api.perfctl_json("workers")["workers"]}
    return workers[busy[0]]


def answered(connections, within):
    """The answers that come in time: who is queued at a stopped worker gets none."""
    end, done = time.monotonic() + within, []
    for connection in connections:
        connection.sock.settimeout(max(0.1, end - time.monotonic()))
        try:
            done.append(connection.read())
        except (TimeoutError, OSError):
            pass
    assert done, "none was answered by the worker that runs"
    return done


class Crowd:
    """Many consumers that ask for one thing at a time, each on a connection of its own."""

    def __init__(self, api, target, count):
        self.answers = []
        self.connections = [api.connect(timeout=30) for _ in range(count)]
        for connection in self.connections:
            connection.send("GET", target)
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for connection in self.connections:
            try:
                self.answers.append(connection.read())
            except (ConnectionError, OSError) as lost:
                self.answers.append(lost)

    def wait(self):
        self.thread.join(30)
        for connection in self.connections:
            connection.close()
        return self.answers


def test_a_thousand_at_once_are_one_query(api, db):
    db.forget_calls()
    crowd = Crowd(api, "/slow/1?s=1.5", 1000)
    answers = crowd.wait()
    assert [a for a in answers if isinstance(a, Exception)] == []
    assert {a.status for a in answers} == {200} and {a.body for a in answers} == {b'{"name":"item 1"}'}
    assert db.calls("SELECT slow_name%") == 1
    kinds = [a.cache for a in answers]
    assert kinds.count("MISS") == 1 and kinds.count("COALESCED") + kinds.count("HIT") == 999


def test_with_the_owner_killed_they_are_two_queries(api, db):
    db.forget_calls()
    crowd = Crowd(api, "/slow/2?s=1.5", 1000)
    owner = slot_that_fetches(api)
    time.sleep(0.5)
    os.kill(owner, signal.SIGKILL)
    answers = crowd.wait()
    lost = [a for a in answers if isinstance(a, Exception)]
    kept = [a for a in answers if not isinstance(a, Exception)]
    assert kept and lost, "both workers had some of them"
    assert {a.status for a in kept} == {200} and {a.body for a in kept} == {b'{"name":"item 2"}'}
    assert eventually(lambda: len(api.worker_pids()) == 2, 5)
    # The first query is the dead worker's: PostgreSQL counts it when it has run to its end.
    assert eventually(lambda: db.calls("SELECT slow_name%") == 2, 3), db.calls("SELECT slow_name%")
    assert api.get("/slow/2?s=1.5").cache == "HIT"


def test_an_owner_that_is_stopped_does_not_stop_the_others(api, db):
    """Beyond the time that its query may take, a waiter takes the flight over."""
    first = threading.Thread(target=lambda: api.get("/slow/3?s=0.8", timeout=30))
    first.start()
    owner = slot_that_fetches(api)
    os.kill(owner, signal.SIGSTOP)
    try:
        waiting = [api.connect() for _ in range(12)]
        for connection in waiting:
            connection.send("GET", "/slow/3?s=0.8")
        done = answered(waiting, 9)
        assert {a.status for a in done} == {200}
        assert api.stat("cache_taken_over") == 1
    finally:
        tell(owner, signal.SIGCONT)
        first.join(20)
    assert api.get("/slow/3?s=0.8").cache == "HIT"


def test_a_waiter_whose_time_is_over_is_given_the_spare_value(make_perfd, db):
    """The owner is stopped for longer than a request may take."""
    api = make_perfd(CONF, db, cache="size 16MB; entries 1000;", settings="request_timeout 2s;").start()
    first = api.get("/spare/8")
    time.sleep(1.1)
    db.run("UPDATE pace SET seconds = 1")
    asking = threading.Thread(target=lambda: api.get("/spare/8", timeout=30))
    asking.start()
    owner = slot_that_fetches(api)
    os.kill(owner, signal.SIGSTOP)
    try:
        waiting = [api.connect() for _ in range(12)]
        for connection in waiting:
            connection.send("GET", "/spare/8")
        done = answered(waiting, 4)
        assert {(a.status, a.cache, a.body) for a in done} == {(200, "STALE", first.body)}
    finally:
        tell(owner, signal.SIGCONT)
        asking.join(20)
        db.run("UPDATE pace SET seconds = 0")


def test_a_fetch_that_began_before_a_write_answers_nobody_who_asked_after_it(api, db):
    crowd = Crowd(api, "/slow/4?s=1.2", 10)
    time.sleep(0.4)
    assert api.request("PATCH", "/items/4", {"name": "changed"}).status == 200
    late = at_once(10, lambda i: api.get("/slow/4?s=1.2", timeout=20))
    assert {a.json()["name"] for a in late} == {"changed"}
    crowd.wait()
    assert api.get("/slow/4?s=1.2").json()["name"] == "changed"


def test_an_absence_from_before_a_write_is_not_shared_after_it(api):
    crowd = Crowd(api, "/absent/5000?s=1.0", 5)
    time.sleep(0.3)
    assert api.request("PUT", "/items/5000", {}).status == 200
    late = at_once(5, lambda i: api.get("/absent/5000?s=1.0", timeout=20))
    assert {a.status for a in late} == {200}
    crowd.wait()


def test_a_failure_is_shared_by_those_who_waited(api, db):
    db.forget_calls()
    answers = at_once(20, lambda i: api.get("/slow/6?s=3", timeout=20))  # over the route's time-out
    assert {a.status for a in answers} == {504}
    assert api.stat("cache_coalesced") >= 15

"""Lookups that meet become one query, and nobody but the database can tell: each gets its own answer, its own error, its
own time."""
import contextlib
import os
import signal
import threading
import time
import urllib.parse

import pytest

from lib.load import Volley
from lib.process import eventually

SCHEMA = """
CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL UNIQUE, uid uuid NOT NULL UNIQUE, size numeric NOT NULL,
                    at timestamptz NOT NULL, data bytea NOT NULL, ok bool, small int2 NOT NULL);
INSERT INTO items SELECT i, CASE i WHEN 1 THEN '' WHEN 2 THEN 'NULL' WHEN 3 THEN '{a,"b\\c' WHEN 4 THEN 'é,日本' WHEN 5 THEN E'a\\nb'
    ELSE 'item ' || i END, md5(i::text)::uuid, i / 4.0, timestamptz '2024-05-01Z' + i * interval '1 us',
    decode(md5(i::text), 'hex'), i % 2 = 0, i FROM generate_series(1, 300) i;
CREATE TABLE parts (id int PRIMARY KEY, item_id bigint REFERENCES items, label text);
INSERT INTO parts SELECT i, i % 20 + 1, 'part ' || i FROM generate_series(1, 100) i;
CREATE FUNCTION slow(id bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE AS
    $$ BEGIN IF id = 13 THEN PERFORM pg_sleep(9); END IF; RETURN id; END $$;
"""


def route(path, query, more="result row;", combine="combine on;"):
    return f'route GET {path} {{ query "{query}"; {combine} {more} }}\n'


CONF = route("/items/{id}", "SELECT id, name FROM items WHERE id = :id") + \
    route("/few/{id}", "SELECT id, name FROM items WHERE id = :id", combine="combine 4;") + \
    route("/plain/{id}", "SELECT id, name FROM items WHERE id = :id", combine="") + \
    route("/names/{name}", "SELECT id, :name AS name FROM items WHERE name = :name") + \
    route("/name", "SELECT id FROM items WHERE name = :name") + \
    route("/uids/{uid}", "SELECT id, name FROM items WHERE uid = :uid") + \
    route("/value/{id}", "SELECT name FROM items WHERE id = :id", "result value;") + \
    route("/parts/{id}", 'SELECT i.id, i.name, p.id AS \\"parts[].id\\", p.label AS \\"parts[].label\\" FROM items i '
          "LEFT JOIN parts p ON p.item_id = i.id WHERE i.id = :id ORDER BY p.id DESC") + \
    route("/inverse/{id}", "SELECT id, 100 / (id - 7) AS x, '$1 and :id' AS text FROM items WHERE id = :id") + \
    route("/several/{small}", "SELECT id FROM items WHERE small / 10 = :small") + \
    route("/count/{id}", "WITH mine AS (SELECT * FROM parts WHERE item_id = :id::bigint) SELECT count(*) AS n FROM mine") + \
    route("/slow/{id}", "SELECT slow(:id::bigint) AS id", "result row; timeout 400ms;") + \
    route("/cached/{id}", "SELECT id, name FROM items WHERE id = :id", "result row; cache ttl=60s tags=item:{id};") + \
    "route PUT /items/{id} { query \"UPDATE items SET name = :name WHERE id = :id\"; result none; invalidates item:{id}; }\n" + \
    "route GET /hold { query \"SELECT pg_sleep(:s::float8)\"; result row; param s default=1; }\n"


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("combine", SCHEMA)


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db, workers=1).start()


@pytest.fixture(scope="module")
def volley(api):
    with Volley(api.port) as connections:
        assert all(answer.status == 200 for answer in connections.send(["/plain/1"] * 40))
        yield connections


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "T"


def send_together(api, volley, targets):
    """Requests that all lie there when the worker looks."""
    (worker,) = api.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    try:
        assert eventually(lambda: is_stopped(worker), every=0.001)
        for connection, target in zip(volley.connections, targets):
            connection.send("GET", target)
    finally:
        os.kill(worker, signal.SIGCONT)


def meet(api, volley, targets):
    send_together(api, volley, targets)
    return [connection.read() for connection, _ in zip(volley.connections, targets)]


def quoted(path, keys):
    return [path + urllib.parse.quote(str(key), safe="") for key in keys]


# --- together

def test_lookups_that_meet_are_one_query(api, volley, db):
    db.forget_calls()
    before = api.stat("pool_combined")
    answers = meet(api, volley, [f"/items/{i}" for i in range(1, 41)])
    assert [answer.json() for answer in answers] == \
        [{"id": row[0], "name": row[1]} for row in db.run("SELECT id, name FROM items WHERE id <= 40 ORDER BY id")]
    assert db.calls("%FROM items WHERE id%") <= 3
    assert eventually(lambda: api.stat("pool_combined") - before >= 38)


def test_it_is_off_unless_it_is_asked_for(api, volley, db):
    db.forget_calls()
    assert all(answer.status == 200 for answer in meet(api, volley, [f"/plain/{i}" for i in range(1, 41)]))
    assert db.calls("%FROM items WHERE id%") == 40


def test_a_few_that_need_not_wait_stay_apart(api, volley, db):
    db.forget_calls()
    assert [answer.json()["id"] for answer in meet(api, volley, [f"/items/{i}" for i in (1, 2, 3, 4)])] == [1, 2, 3, 4]
    assert db.calls("%perfd_key%") == 0 and db.calls("%FROM items WHERE id%") == 4


def test_keys_asked_twice_are_fetched_once(api, volley, db):
    db.forget_calls()
    answers = meet(api, volley, [f"/items/{7 + i % 2}" for i in range(40)])
    assert [answer.json()["id"] for answer in answers] == [7, 8] * 20
    assert db.value("SELECT sum(rows) FROM pg_stat_statements WHERE query LIKE '%FROM items WHERE id%'"
                    " AND query NOT LIKE '%pg_stat_statements%'") <= 6
    db.forget_calls()
    answers = meet(api, volley, ["/items/9"] * 40)
    assert [answer.json()["id"] for answer in answers] == [9] * 40
    assert db.calls("%FROM items WHERE id%") <= 3


def test_a_query_takes_no_more_keys_than_it_may(api, volley, db):
    db.forget_calls()
    answers = meet(api, volley, [f"/few/{i}" for i in range(1, 41)])
    assert [answer.json()["id"] for answer in answers] == list(range(1, 41))
    assert 10 <= db.calls("%FROM items WHERE id%") <= 12
    assert db.value("SELECT max(rows / calls) FROM pg_stat_statements WHERE query LIKE '%perfd_key%'"
                    " AND query NOT LIKE '%pg_stat_statements%'") == 4


def test_keys_of_any_type_and_of_any_characters(api, volley, db):
    names = [row[0] for row in db.run("SELECT name FROM items WHERE id <= 20 ORDER BY id")]
    named = [name for name in names if name]  # an empty segment is no parameter
    answers = meet(api, volley, quoted("/names/", named) + quoted("/name?name=", names))
    assert [answer.json()["name"] for answer in answers[:len(named)]] == named
    assert [answer.json()["id"] for answer in answers[len(named):]] == list(range(1, 21))
    uids = [str(row[0]) for row in db.run("SELECT uid FROM items WHERE id <= 20 ORDER BY id")]
    answers = meet(api, volley, [f"/uids/{uid}" for uid in uids] + [f"/uids/{uid.upper()}" for uid in uids])
    assert [answer.json()["id"] for answer in answers] == list(range(1, 21)) * 2


@pytest.mark.parametrize("column", ["size", "at", "data", "ok", "small"])
def test_any_other_type(make_perfd, db, column):
    conf = route("/x", f"SELECT id FROM items WHERE {column} = :key AND id <= 20")
    api = make_perfd(conf, db, workers=1).start()
    rows = db.run(f"SELECT min(id), CASE WHEN pg_typeof({column}) = 'bytea'::regtype THEN encode({column}::text::bytea, 'base64')"
                  f" ELSE {column}::text END FROM items WHERE id <= 20 GROUP BY {column} HAVING count(*) = 1")
    keys = [text.strip() for _, text in rows]
    if column == "data":
        keys = [db.value("SELECT encode(data, 'base64') FROM items WHERE id = %s", (row[0],)) for row in rows]
    if column == "ok":
        rows, keys = [], ["true", "false"]
    with Volley(api.port, 20) as connections:
        connections.send(["/x?key=" + urllib.parse.quote(keys[0], safe="")] * 20)
        answers = meet(api, connections, quoted("/x?key=", keys))
    if column == "ok":
        assert [answer.status for answer in answers] == [500, 500]
    else:
        assert [answer.json()["id"] for answer in answers] == [row[0] for row in rows] and len(rows) == 20


def test_values_nested_rows_and_queries_of_any_form(api, volley, db):
    answers = meet(api, volley, [f"/value/{i}" for i in range(6, 26)])
    assert [answer.json() for answer in answers] == [f"item {i}" for i in range(6, 26)]
    alone = [api.get(f"/parts/{i}").json() for i in range(1, 31)]
    assert [answer.json() for answer in meet(api, volley, [f"/parts/{i}" for i in range(1, 31)])] == alone
    assert [len(one["parts"]) for one in alone] == [5] * 20 + [0] * 10
    answers = meet(api, volley, [f"/count/{i}" for i in range(1, 31)])
    assert [answer.json()["n"] for answer in answers] == [5] * 20 + [0] * 10


# --- each for itself

def test_a_key_without_a_row_is_absent_for_its_request_alone(api, volley):
    answers = meet(api, volley, [f"/items/{i}" for i in range(281, 321)])
    assert [answer.status for answer in answers] == [200] * 20 + [404] * 20


def test_a_wrong_key_is_refused_alone(api, volley, db):
    answers = meet(api, volley, ["/items/x", "/items/99999999999999999999"] + [f"/items/{i}" for i in range(1, 9)])
    assert [answer.status for answer in answers] == [400, 400] + [200] * 8
    uids = [row[0] for row in db.run("SELECT uid FROM items WHERE id <= 8")]
    answers = meet(api, volley, ["/uids/nonsense"] + [f"/uids/{uid}" for uid in uids])
    assert [answer.status for answer in answers] == [400] + [200] * 8 and answers[0].bad_parameters == ["uid"]


def test_an_error_is_that_of_its_key(api, volley):
    answers = meet(api, volley, [f"/inverse/{i}" for i in range(1, 21)])
    assert [answer.status for answer in answers] == [200] * 6 + [422] + [200] * 13
    answers = meet(api, volley, [f"/inverse/{i}" for i in range(8, 28)])
    assert answers[1].json() == {"id": 9, "x": 50, "text": "$1 and :id"}


def test_several_rows_are_the_operators_fault_for_their_key(api, volley):
    answers = meet(api, volley, [f"/several/{i}" for i in range(28, 34)])
    assert [answer.status for answer in answers] == [500, 500, 200, 404, 404, 404]


def test_a_slow_key_times_out_alone(api, volley):
    answers = meet(api, volley, [f"/slow/{i}" for i in range(8, 18)])
    assert [answer.status for answer in answers] == [200] * 5 + [504] + [200] * 4


# --- caches and writes

def test_cached_lookups_are_combined_too(api, volley, db):
    db.forget_calls()
    answers = meet(api, volley, [f"/cached/{i}" for i in range(21, 61)])
    assert {answer.cache for answer in answers} == {"MISS"}
    assert db.calls("%FROM items WHERE id%") <= 3
    again = meet(api, volley, [f"/cached/{i}" for i in range(21, 61)])
    assert {answer.cache for answer in again} == {"HIT"}
    assert [(a.body, a.header("etag")) for a in again] == [(a.body, a.header("etag")) for a in answers]


def test_own_writes_are_read(api, volley):
    for turn in range(5):
        name = f"written {turn} {os.getpid()}"
        assert api.request("PUT", "/items/200", {"name": name}).status == 204
        answers = meet(api, volley, ["/items/200", "/cached/200"] * 20)
        assert {answer.json()["name"] for answer in answers} == {name}


# --- in the line for a connection

@contextlib.contextmanager
def busy(api, seconds):
    """Its only connection is at work for so long."""
    holder = threading.Thread(target=lambda: api.get(f"/hold?s={seconds}"))
    holder.start()
    assert eventually(lambda: api.stat("pool_active") == 1)
    try:
        yield
    finally:
        holder.join()


@pytest.fixture
def narrow(make_perfd, db):
    """One connection, and a line."""
    def make(settings=""):
        return make_perfd(CONF, db, workers=1, pool=f"pool max=1 min=1 {settings};").start()
    return make


def test_those_who_wait_are_joined_by_those_who_come_later(narrow, db):
    api = narrow()
    with Volley(api.port, 20) as volley:
        volley.send([f"/items/{i}" for i in range(1, 21)])
        db.forget_calls()
        with busy(api, 1.5):
            for i, connection in enumerate(volley.connections):
                connection.send("GET", f"/items/{i + 1}")
                time.sleep(0.01)
            answers = [connection.read() for connection in volley.connections]
    assert [answer.json()["id"] for answer in answers] == list(range(1, 21))
    assert db.calls("%FROM items WHERE id%") == 1


def test_each_waits_its_own_time(narrow):
    api = narrow("acquire_timeout=600ms")
    with Volley(api.port, 4) as volley, busy(api, 1.6):
        began = []
        for i, connection in enumerate(volley.connections):
            connection.send("GET", f"/items/{i + 1}")
            began.append(time.monotonic())
            time.sleep(0.15)
        took, statuses = [], []
        for connection, at in zip(volley.connections, began):
            statuses.append(connection.read().status)
            took.append(time.monotonic() - at)
    assert statuses == [504] * 4
    assert all(0.58 < one for one in took), took


def test_who_leaves_takes_nobody_along(narrow, db):
    api = narrow()
    with Volley(api.port, 6) as volley:
        volley.send(["/items/1"] * 6)
        db.forget_calls()
        with busy(api, 1):
            for i, connection in enumerate(volley.connections):
                connection.send("GET", f"/items/{i + 1}")
            assert eventually(lambda: api.stat("in_flight") == 7)
            for connection in volley.connections[::2]:
                connection.close()
            assert eventually(lambda: api.stat("in_flight") == 4)
            assert [connection.read().json()["id"] for connection in volley.connections[1::2]] == [2, 4, 6]


def test_a_query_that_nobody_waits_for_is_not_run(narrow, db):
    api = narrow()
    with Volley(api.port, 6) as volley:
        volley.send(["/items/1"] * 6)
        db.forget_calls()
        with busy(api, 1):
            for i, connection in enumerate(volley.connections):
                connection.send("GET", f"/items/{i + 1}")
            assert eventually(lambda: api.stat("in_flight") == 7)
            for connection in volley.connections:
                connection.close()
            assert eventually(lambda: api.stat("in_flight") == 1)
    assert api.get("/items/1").status == 200
    assert db.calls("%FROM items WHERE id%") == 1


def test_one_that_runs_for_nobody_is_cancelled(make_perfd, db):
    api = make_perfd(route("/slow/{id}", "SELECT slow(:id::bigint) AS id", "result row; timeout 30s;"), db, workers=1).start()
    with Volley(api.port, 6) as volley:
        volley.send([f"/slow/{i}" for i in range(6)])
        send_together(api, volley, [f"/slow/{i}" for i in range(11, 17)])
        assert eventually(lambda: db.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%perfd_key%'"
                                           " AND state = 'active' AND pid <> pg_backend_pid()") == 1)
        for connection in volley.connections:
            connection.close()
        assert eventually(lambda: api.stat("pool_cancelled") == 1)
        assert eventually(lambda: api.stat("in_flight") == 0)


def test_a_request_whose_time_is_over_leaves_the_others(make_perfd, pg, db, well):
    """One batch is at work in a server that hangs, the next one waits; each of its requests has its own second."""
    api = make_perfd(CONF, db, workers=1, pool="pool max=1 min=1;", settings="request_timeout 1s;").start()
    with Volley(api.port, 9) as volley:
        volley.send(["/items/1"] * 9)
        pg.pause()
        send_together(api, volley, [f"/items/{i}" for i in range(1, 7)])
        began, ends = [time.monotonic()] * 6, [0] * 9
        for i, connection in enumerate(volley.connections[6:]):
            time.sleep(0.25)
            connection.send("GET", f"/items/{i + 7}")
            began.append(time.monotonic())

        def read(i):
            ends[i] = (volley.connections[i].read().status, time.monotonic())
        readers = [threading.Thread(target=read, args=(i,)) for i in range(9)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        pg.resume()
    assert [status for status, _ in ends] == [504] * 9
    took = [end - at for (_, end), at in zip(ends, began)]
    assert all(0.95 < one for one in took), took
    assert ends[8][1] - ends[6][1] > 0.3, "all of the batch went with the first"


# --- the database goes

def test_a_database_that_is_gone_fails_all_and_comes_back(make_perfd, pg, db, well):
    api = make_perfd(CONF, db, workers=1).start()
    with Volley(api.port, 20) as volley:
        targets = [f"/items/{i}" for i in range(1, 21)]
        assert {answer.status for answer in meet(api, volley, targets)} == {200}
        pg.stop()
        assert {answer.status for answer in meet(api, volley, targets)} == {503}
        pg.start()
        assert eventually(lambda: {answer.status for answer in meet(api, volley, targets)} == {200}, within=15)


def test_a_table_that_changes_under_it(make_perfd, db):
    api = make_perfd(route("/odd/{id}", "SELECT * FROM odd WHERE id = :id"), db, workers=1)
    db.run("DROP TABLE IF EXISTS odd; CREATE TABLE odd AS SELECT i AS id FROM generate_series(1, 20) i")
    api.start()
    with Volley(api.port, 20) as volley:
        targets = [f"/odd/{i}" for i in range(1, 21)]
        assert [answer.json() for answer in meet(api, volley, targets)] == [{"id": i} for i in range(1, 21)]
        db.run("ALTER TABLE odd ADD COLUMN more text DEFAULT 'x'")
        assert eventually(lambda: [a.json() for a in meet(api, volley, targets)] ==
                          [{"id": i, "more": "x"} for i in range(1, 21)])


# --- perfd -t

@pytest.mark.parametrize("line, text", [
    ("query 'SELECT id FROM items WHERE id = :id'; result rows;", "only lookups of one row"),
    ("query 'SELECT 1 AS one'; result row;", "one parameter"),
    ("query 'SELECT id FROM items WHERE id = :id AND name = :name'; result row;", "one parameter"),
    ("query 'SELECT id FROM items WHERE id = :id; SELECT 1 AS x'; result row;", "one SELECT"),
    ("query 'SELECT id FROM items WHERE id = :id'; result row; share off;", "its own transaction"),
    ("query 'SELECT id FROM items WHERE id = ANY(:id)'; result row;", "the parameter's type"),
    ("query 'SELECT max(:id::bigint) AS id FROM items'; result row;", "aggregate functions are not allowed"),
])
def test_what_cannot_be_combined_is_refused(make_perfd, db, line, text):
    api = make_perfd(f"route GET /x {{\n {line}\n combine on;\n}}", db)
    result = api.check()
    at = "{}:{}: ".format(*api.line_of("combine on"))
    assert result.code != 0 and f"perfd.conf:{at}" in result.err and text in result.err, result


def test_a_write_is_never_combined(make_perfd, db):
    api = make_perfd("route DELETE /x/{id} {\n query 'DELETE FROM items WHERE id = :id RETURNING id';\n result row;"
                     "\n combine on;\n}", db)
    assert "only the lookups of a GET" in api.check().err


def test_perfctl_shows_it(api, volley):
    meet(api, volley, [f"/items/{i}" for i in range(1, 41)])
    assert eventually(lambda: api.perfctl_json("pool")["total"]["combined"] >= 38)
    assert "COMBINED" in api.perfctl("pool").out

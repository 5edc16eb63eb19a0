"""The access log, and what never stands in the error log."""
import os
import re

import pytest

from lib.process import eventually

CONF = """
route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }
route GET /divide/{n} { query "SELECT 1 / :n::int AS n"; result row; }
route GET /search { query "SELECT to_tsquery('simple', :q::text) @@ to_tsvector('simple', 'x') AS found"; result row; }
route GET /raise { query "SELECT refuse(:q::text) AS never"; result row; }
route GET /many { query "SELECT 1 AS n UNION ALL SELECT 2"; result row; }
"""
SECRET = "zanzibar"
# Those of a web server's combined format, and what stands behind them.
COMBINED = re.compile(r'^(\S+) - - \[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d \+0000\] "(\S+ \S+ HTTP/1\.[01])" (\d{3}) (\d+) '
                      r'"([^"]*)" "([^"]*)" duration_us=(\d+) route="([^"]*)" cache=(\S+) wait_us=(\S+) database_us=(\S+) '
                      r'sqlstate=(\S+) request_id=(\S+)$')


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("logs", """CREATE FUNCTION refuse(q text) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN RAISE NOTICE 'I saw %', q; RAISE EXCEPTION 'there is no %', q; END $$""")


def test_the_sqlstate_of_an_error_is_logged(make_perfd, db):
    api = make_perfd(CONF, db, workers=1).start()
    assert api.get("/divide/0", {"X-Request-Id": "failed"}).status == 422
    assert api.get("/divide/1", {"X-Request-Id": "went-well"}).status == 200
    assert api.access_line("failed")["sqlstate"] == "22012" and "sqlstate" not in api.access_line("went-well")


def test_the_combined_format(make_perfd, db):
    api = make_perfd(CONF, db, workers=1, settings="access_log_format combined;").start()
    api.get("/divide/0", {"X-Request-Id": "failed", "Referer": "http://x/y", "User-Agent": 'us"er'})
    api.get("/one", {"X-Request-Id": "went-well"})

    def lines():
        with open(api.access_log, encoding="ascii") as log:
            return [COMBINED.match(line) for line in log if "/readyz" not in line]

    assert eventually(lambda: len(lines()) == 2)
    failed, well = lines()
    assert failed.groups()[:6] == ("127.0.0.1", "GET /divide/0 HTTP/1.1", "422", failed[4], "http://x/y", "us%22er")
    assert failed.groups()[7:9] == ("GET /divide/{n}", "-") and failed.groups()[11:] == ("22012", "failed")
    assert int(failed[4]) > 0 and int(failed[7]) >= int(failed[11]) > 0
    assert well.groups()[7:9] == ("GET /one", "MISS") and well.groups()[11:] == ("-", "went-well")


def test_a_fifo_that_nobody_reads_holds_up_nobody(make_perfd, db):
    api = make_perfd(CONF, db, workers=1)
    os.mkfifo(api.access_log)
    api.start()
    for _ in range(20):
        assert api.get("/one").status == 200
    assert eventually(lambda: api.stat("access_log_lost") >= 20)
    assert api.log_contains("lines are lost") and api.log().count("lines are lost") == 1
    reader = os.open(api.access_log, os.O_RDONLY | os.O_NONBLOCK)
    try:
        api.get("/one", {"X-Request-Id": "heard"})
        text = b""

        def hears():
            nonlocal text
            try:
                text += os.read(reader, 65536)
            except BlockingIOError:
                pass
            return b'"heard"' in text

        assert eventually(hears)
        for _ in range(30):  # 240 KB of lines into the 64 KB that a pipe takes
            assert api.get("/one?" + "x" * 7900).status in (200, 400)
        response, took = api.timed("/one")
        assert response.status == 200 and took < 1
    finally:
        os.close(reader)


def test_no_parameters_value_stands_in_the_error_log(make_perfd, db):
    api = make_perfd(CONF, db, workers=1, settings="log_level debug;").start()
    assert api.get(f"/search?q={SECRET}%20{SECRET}").status == 500  # two words without an operator between them
    assert api.log_contains('syntax error in tsquery: "..." (SQLSTATE 42601)')
    eventually(lambda: False, 0.12)  # the next one is told, too
    assert api.get(f"/raise?q={SECRET}").status == 500
    assert api.log_contains("(SQLSTATE P0001)") and api.log_contains("NOTICE: in words of its own")
    assert SECRET not in api.log()


def test_mistakes_of_a_query_do_not_fill_the_error_log(make_perfd, db):
    api = make_perfd(CONF, db, workers=1).start()
    with api.connect() as connection:
        for _ in range(200):
            assert connection.request("GET", "/many").status == 500
    assert 1 <= api.log().count("more than one row") < 100

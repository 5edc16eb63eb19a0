"""Keyset pages: every row once, in order, whatever its keys are and whatever is inserted meanwhile; cursors that nobody
gets anything out of; and an index that is read from where the page begins."""
import base64
import contextlib
import itertools
import json
import random
import re
import urllib.parse

import pytest

from lib.http_client import Connection
from lib.load import at_once
from lib.process import eventually

SCHEMA = """
CREATE TABLE notes (id bigint PRIMARY KEY, owner int NOT NULL, at timestamptz, name text, size numeric, uid uuid,
                    kind int NOT NULL, share float8, data bytea, ok bool, code varchar(20), fixed char(4), day date,
                    tags text[], span interval, small int2, price float4);
INSERT INTO notes SELECT i, i % 3, CASE WHEN i % 7 > 0 THEN timestamptz '2024-05-01 10:00Z' + i % 40 * interval '1 us' END,
    CASE WHEN i % 5 > 0 THEN (ARRAY['', 'a', 'A"b\\c', 'z''x', E'line\\nbreak', 'é', '日本', '100%&=+ #', E'\\t', 'zz'])[1 + i % 10] END,
    CASE WHEN i % 11 = 0 THEN 'NaN' WHEN i % 6 > 0 THEN (i % 13) / 7.0 END,
    CASE WHEN i % 4 > 0 THEN md5((i % 50)::text)::uuid END, i % 2,
    CASE WHEN i % 9 > 0 THEN sin(i % 20) ELSE 'Infinity' END, decode(md5((i % 30)::text), 'hex'),
    CASE WHEN i % 3 > 0 THEN i % 2 = 0 END, 'c' || i % 25, 'f' || i % 25, date '2024-01-01' + i % 30,
    ARRAY['x,y' || i % 15, NULL, '"'], i % 17 * interval '1 hour 1 us', i % 40, i % 7 / 3.0::float4
    FROM generate_series(1, 200) i;
CREATE TABLE long (id text PRIMARY KEY);
INSERT INTO long SELECT repeat('x', 2990 + i) FROM generate_series(0, 20) i;
CREATE TABLE ties (a int); INSERT INTO ties VALUES (1), (1), (1);
CREATE TABLE live (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, rank int NOT NULL);
INSERT INTO live (rank) SELECT (i * 7919) % 1000 FROM generate_series(1, 300) i;
CREATE TABLE kept (id int PRIMARY KEY, word text NOT NULL); INSERT INTO kept SELECT i, 'w' FROM generate_series(1, 7) i;
"""

COLUMNS = "id, owner, at, name, size, uid, kind, share, data, ok, code, fixed, day, tags, span, small, price"


def route(path, keys, query=None, more=""):
    query = query or f"SELECT {COLUMNS} FROM notes"
    return f'route GET {path} {{ query "{query}"; result rows; page keyset {keys}; {more} }}\n'


CONF = route("/newest", "id:desc") + route("/one", "id", more="param limit default=10 min=1 max=50;") + \
    route("/of/{owner}", "at:desc id:desc", f"SELECT {COLUMNS} FROM notes WHERE owner = :owner AND "
          "(:word::text IS NULL OR name LIKE :word) AND (:ids::bigint[] IS NULL OR id = ANY(:ids)) AND "
          "(:data::bytea IS NULL OR data = :data)") + \
    route("/long", "id", "SELECT id FROM long") + route("/ties", "a", "SELECT a FROM ties") + \
    route("/live", "rank:desc id", "SELECT id, rank FROM live") + \
    route("/quoted", '"a ""b:desc" id', 'SELECT name AS \\"a \\"\\"b\\", id FROM notes') .replace('"a ""b:desc"', "'a \"b:desc'") + \
    route("/nested", "id:desc", 'SELECT id, name AS \\"it.name\\", owner AS \\"it.owner\\" FROM notes') + \
    route("/joined", "id:desc", "WITH big AS (SELECT id FROM notes WHERE kind = 1) SELECT n.id, n.name, "
          "count(*) OVER (PARTITION BY n.owner ORDER BY n.id) AS seen FROM big JOIN notes n USING (id) -- all of them") + \
    route("/fails", "id", "SELECT id, 10 / (id - 130) AS x FROM notes WHERE id > 100", "errors verbose;") + \
    "route GET /kept { query \"SELECT id, word FROM kept WHERE word = :word\"; result rows; page keyset id;" \
    " param limit default=3; param word default=w; cache ttl=60s stale=60s tags=kept; }\n" \
    "route POST /kept { query \"INSERT INTO kept VALUES (:id, 'w')\"; result none; invalidates kept; }\n"


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("pages", SCHEMA)


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    return make_module_perfd(CONF, db).start()


def link_of(response):
    """The next page's reference, or None."""
    link = response.header("link")
    return re.fullmatch(r'<([^>]*)>; rel="next"', link).group(1) if link else None


def cursor_of(response):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(link_of(response)).query)["cursor"][0]


def pages(connection, target, meanwhile=None):
    """The rows of each page, from link to link."""
    found = []
    while target is not None:
        response = connection.request("GET", target)
        assert response.status == 200, response
        found.append(response.json())
        link = link_of(response)
        target = link and urllib.parse.urljoin(target, link)
        if meanwhile:
            meanwhile()
    return found


def ids_of(found):
    return [row["id"] for page in found for row in page]


# --- the rows

def test_pages_follow_each_other_to_the_last_row(api):
    with api.connect() as connection:
        found = pages(connection, "/newest?limit=30")
        assert [len(page) for page in found] == [30] * 6 + [20]
        assert ids_of(found) == list(range(200, 0, -1))
        assert [len(page) for page in pages(connection, "/newest")] == [50] * 4
        assert [len(page) for page in pages(connection, "/one")] == [10] * 20


def test_there_is_no_next_page_without_more_rows(api):
    assert link_of(api.get("/newest?limit=199")) is not None
    assert link_of(api.get("/newest?limit=200")) is None
    assert api.get("/of/77").json() == [] and link_of(api.get("/of/77")) is None


KEYS = ["at", "name", "size", "uid", "kind", "share", "data", "ok", "code", "fixed", "day", "tags", "span", "small", "price"]


def orders():
    """Each type of key up and down, and mixtures of two and three."""
    chosen = [((key, way), ("id", other)) for key in KEYS for way in ("asc", "desc") for other in ("asc", "desc")]
    pick = random.Random(5)
    for _ in range(24):
        keys = pick.sample(KEYS, pick.choice((2, 3)))
        chosen.append(tuple((key, pick.choice(("asc", "desc"))) for key in keys + ["id"]))
    return chosen


@pytest.mark.once
def test_every_order_of_every_type_gives_each_row_once(make_perfd, db):
    """With NULLs, ties, NaN, infinity, microseconds and texts of any characters among the keys."""
    wanted = orders()
    conf = "".join(route(f"/o{i}", " ".join(f"{key}:{way}" for key, way in order)) for i, order in enumerate(wanted))
    api = make_perfd(conf, db).start()
    with api.connect() as connection:
        for i, order in enumerate(wanted):
            sorted_ids = [row[0] for row in db.run(f"SELECT id FROM notes ORDER BY {', '.join(' '.join(k) for k in order)}")]
            for limit in (50, 17) if i % 8 else (50, 17, 3):
                assert ids_of(pages(connection, f"/o{i}?limit={limit}")) == sorted_ids, (order, limit)


def test_names_that_need_quotes_and_queries_of_more_than_a_table(api, db):
    with api.connect() as connection:
        assert ids_of(pages(connection, "/quoted?limit=9")) == \
            [row[0] for row in db.run("SELECT id FROM notes ORDER BY name DESC, id")]
        assert ids_of(pages(connection, "/joined?limit=9")) == list(range(199, 0, -2))
        assert api.get("/joined?limit=1").json()[0].keys() == {"id", "name", "seen"}
        assert api.get("/nested?limit=1").json() == [{"id": 200, "it": {"name": None, "owner": 2}}]


def test_rows_that_were_there_come_once_whatever_is_inserted(api, db):
    before = sorted(row[0] for row in db.run("SELECT id FROM live"))
    connection = db.server.connect(db.name)
    with contextlib.closing(connection), connection.cursor() as cursor, api.connect() as consumer:
        def insert():
            cursor.execute("INSERT INTO live (rank) SELECT random() * 1000 FROM generate_series(1, 20)")
        found = pages(consumer, "/live?limit=20", insert)
    ids = ids_of(found)
    assert len(set(ids)) == len(ids), "a row came twice"
    assert [i for i in sorted(ids) if i in set(before)] == before, "a row was lost"
    keys = [(-row["rank"], row["id"]) for page in found for row in page]
    assert keys == sorted(keys)


def test_a_last_row_that_is_deleted_holds_up_nobody(api, db):
    response = api.get("/live?limit=5")
    rows = response.json()
    db.run("DELETE FROM live WHERE id = %s", (rows[-1]["id"],))
    behind = api.get("/live" + link_of(response)).json()
    assert (-behind[0]["rank"], behind[0]["id"]) > (-rows[-1]["rank"], rows[-1]["id"])


# --- the link

def test_the_link_keeps_the_other_parameters(api, db):
    data = base64.b64encode(bytes(db.value("SELECT data FROM notes WHERE id = 3"))).decode()
    query = urllib.parse.urlencode({"word": "%é&=+ #%", "limit": 2, "data": data})
    target = f"/of/0?{query}&ids=3&ids=33&ids=63&ids=93&ids=123&ids=153"
    db.run("UPDATE notes SET name = '1é&=+ #2', data = (SELECT data FROM notes WHERE id = 3) "
           "WHERE id IN (3, 33, 63, 93, 123, 153, 183)")
    response = api.get(target)
    kept = urllib.parse.parse_qs(urllib.parse.urlsplit(link_of(response)).query, strict_parsing=True)
    assert kept.keys() == {"word", "limit", "data", "ids", "cursor"} and kept["word"] == ["%é&=+ #%"]
    assert kept["data"] == [data] and kept["limit"] == ["2"]
    with api.connect() as connection:
        assert sorted(ids_of(pages(connection, target))) == [3, 33, 63, 93, 123, 153]
        assert len(pages(connection, target)) == 3


def test_a_link_has_no_byte_that_a_header_or_a_target_must_not_have(api):
    link = link_of(api.get("/of/1?limit=1&word=" + urllib.parse.quote('%"<>\r\n\\^`{}|%') + "&ids=1&ids=4")) or \
        link_of(api.get("/of/1?limit=1&ids=1&ids=4"))
    assert re.fullmatch(r"\?[A-Za-z0-9._~%=&-]+", link)


def test_head_has_the_link_too(api):
    assert link_of(api.request("HEAD", "/newest?limit=3")) == link_of(api.get("/newest?limit=3")) is not None


def test_pages_in_other_formats(api):
    lines, link = [], "/newest?limit=90"
    while link:
        response = api.get(link, {"Accept": "application/x-ndjson"})
        assert response.header("content-type") == "application/x-ndjson"
        lines += response.text.splitlines()
        link = link_of(response) and "/newest" + link_of(response)
    assert [json.loads(line)["id"] for line in lines] == list(range(200, 0, -1))
    response = api.get("/long?limit=2", {"Accept": "text/csv"})
    assert response.header("content-type").startswith("text/csv") and len(response.text.splitlines()) == 1 + 2
    assert link_of(response) == link_of(api.get("/long?limit=2"))


def test_a_long_link_comes_through_evhttp_too(make_perfd, db, api):
    other = make_perfd(CONF, db, settings="fast_path off;").start()
    assert link_of(other.get("/long?limit=2")) == link_of(api.get("/long?limit=2"))
    assert len(link_of(api.get("/long?limit=2"))) > 3900


# --- limits

def test_the_limit_has_bounds(api):
    assert api.get("/newest?limit=0").bad_parameters == ["limit"]
    assert api.get("/newest?limit=201").bad_parameters == ["limit"]
    assert api.get("/newest?limit=x&cursor=y").bad_parameters == ["limit"]
    assert api.get("/one?limit=51").bad_parameters == ["limit"]
    assert len(api.get("/newest").json()) == 50 and len(api.get("/one").json()) == 10


def test_the_limit_may_change_on_the_way(api):
    response = api.get("/newest?limit=7")
    behind = api.get(f"/newest?limit=100&cursor={cursor_of(response)}")
    assert [row["id"] for row in behind.json()] == list(range(193, 93, -1))


# --- cursors are not trusted

def is_refused(response):
    assert response.status == 400 and response.bad_parameters == ["cursor"], response
    return True


def test_a_mutated_cursor_is_refused(api, db):
    pick = random.Random(3)
    good = cursor_of(api.get("/of/1?limit=3"))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    db.forget_calls()
    with api.connect() as connection:
        for at in range(len(good)):
            for letter in pick.sample(letters.replace(good[at], ""), 3) + ["%01", "+", "="]:
                assert is_refused(connection.request("GET", f"/of/1?limit=3&cursor={good[:at]}{letter}{good[at + 1:]}"))
        for bad in ["", "x", "AQ", good[:-1], good + "A", good + good, "A" * 5000, good[1:], "%E2%82%AC"]:
            assert is_refused(connection.request("GET", f"/of/1?limit=3&cursor={bad}")), bad
        assert is_refused(connection.request("GET", f"/of/1?limit=3&cursor={good}&cursor={good}"))
        assert connection.request("GET", f"/of/1?limit=3&cursor={good}").status == 200
    assert db.calls("%perfd_page%") == 1


def test_a_cursor_is_of_no_use_with_another_query(api):
    good = cursor_of(api.get("/of/1?limit=3&word=%25"))
    assert api.get(f"/of/1?limit=9&word=%25&cursor={good}").status == 200
    for other in [f"/of/2?word=%25&cursor={good}", f"/of/1?cursor={good}", f"/of/1?word=a%25&cursor={good}",
                  f"/newest?cursor={good}", f"/live?cursor={good}"]:
        assert is_refused(api.get(other)), other
    assert is_refused(api.get(f"/live?cursor={cursor_of(api.get('/quoted?limit=3'))}"))


def forge(good, *values):
    """A cursor of the same query with other values under a check that is right. XXH3 is no secret, but Debian has no
    module for it: libxxhash is asked by its C interface."""
    import ctypes
    lib = ctypes.CDLL("libxxhash.so.0")
    lib.XXH3_64bits_withSeed.restype = ctypes.c_uint64
    lib.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    lib.XXH3_64bits.restype = ctypes.c_uint64
    lib.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    seed = lib.XXH3_64bits(b"GET /newest", len(b"GET /newest"))
    seed = lib.XXH3_64bits_withSeed(b"id", 2, (seed + 1) & (2 ** 64 - 1))
    raw = b"".join(b"\xff\xff" if v is None else len(v).to_bytes(2, "little") + v for v in values)

    def made(body):
        check = lib.XXH3_64bits_withSeed(body, len(body), seed)
        return base64.urlsafe_b64encode(b"\x01" + check.to_bytes(8, "little") + body).rstrip(b"=").decode()
    assert made(base64.urlsafe_b64decode(good + "==")[9:]) == good, "the test forges otherwise than perfd makes them"
    return made(raw)


def test_a_forged_cursor_chooses_values_and_nothing_else(api):
    good = cursor_of(api.get("/newest?limit=3"))
    assert [row["id"] for row in api.get(f"/newest?limit=2&cursor={forge(good, b'100')}").json()] == [99, 98]
    for value in [b"x", b"", b"1 OR true", b"9999999999999999999999", b"1\0", b"\xff", b"'; DROP TABLE notes --"]:
        assert is_refused(api.get(f"/newest?limit=2&cursor={forge(good, value)}")), value
    assert api.get(f"/newest?limit=2&cursor={forge(good, None)}").status == 200
    assert is_refused(api.get(f"/newest?limit=2&cursor={forge(good, b'1', b'2')}"))
    assert is_refused(api.get(f"/newest?limit=2&cursor={forge(good)}"))


def test_what_postgresql_refuses_at_bind_is_the_cursors_fault(make_perfd, db, api):
    conf = route("/newest", "id:desc", "SELECT at::text::timestamptz AS id FROM notes")
    other = make_perfd(conf, db).start()
    good = cursor_of(api.get("/newest?limit=3"))
    assert is_refused(other.get(f"/newest?cursor={forge(good, b'the day before')}"))


# --- what cannot be answered

def test_two_rows_with_the_same_keys_at_an_end_are_the_operators_fault(api):
    assert api.get("/ties?limit=3").json() == [{"a": 1}] * 3
    assert api.get("/ties?limit=2").status == 500
    assert api.log_contains("two rows have the same keys")


def test_a_key_that_no_target_has_room_for_is_the_operators_fault(api):
    response = api.get("/long?limit=3")
    assert [len(row["id"]) for row in api.get("/long" + link_of(response)).json()] == [2993, 2994, 2995]
    assert api.get("/long?limit=15").status == 500
    assert api.log_contains("too long for a cursor")


def test_an_error_of_the_query_is_told_as_one_of_the_query(api, db):
    assert api.get("/fails?limit=100").status == 422
    assert "division" in api.get("/fails?limit=100").problem["detail"]


# --- caches

def test_cached_pages_carry_their_link(api, make_perfd, db, redis):
    first = api.get("/kept")
    again = api.get("/kept")
    assert (first.cache, again.cache) == ("MISS", "HIT") and link_of(first) == link_of(again) is not None
    with api.connect() as connection:
        assert ids_of(pages(connection, "/kept")) == ids_of(pages(connection, "/kept")) == [1, 2, 3, 4, 5, 6, 7]
    assert api.get("/kept?limit=7").header("link") is None
    other = make_perfd(CONF, db, redis).start()
    assert link_of(other.get("/kept")) == link_of(first)
    other.term()
    from_redis = other.start().get("/kept")
    assert (from_redis.cache, link_of(from_redis)) == ("REDIS", link_of(first))
    from_memory = other.get("/kept")
    assert (from_memory.cache, link_of(from_memory)) == ("HIT", link_of(first))


def test_coalesced_and_stale_pages_carry_their_link(make_perfd, db):
    conf = 'route GET /slow { query "SELECT id, pg_sleep(0.01) AS w FROM kept"; result rows; page keyset id;' \
           ' param limit default=3; cache ttl=100ms stale=60s; }'
    api = make_perfd(conf, db).start()
    answers = at_once(6, lambda i: api.get("/slow"))
    links = {link_of(answer) for answer in answers}
    assert len(links) == 1 and None not in links
    assert {answer.cache for answer in answers} >= {"MISS", "COALESCED"}
    stale = eventually(lambda: next((a for a in [api.get("/slow")] if a.cache == "STALE"), None), every=0.15)
    assert {link_of(stale)} == links


def test_a_page_of_the_same_rows_with_another_link_has_another_etag(api, db):
    """Else a consumer that asks whether its page still holds would never hear of those behind it."""
    last = api.get("/kept?limit=7")
    assert last.header("link") is None
    assert api.get("/kept?limit=7", {"If-None-Match": last.header("etag")}).status == 304
    assert api.post("/kept", {"id": 8}).status == 204
    now = api.get("/kept?limit=7", {"If-None-Match": last.header("etag")})
    assert now.status == 200 and now.json() == last.json() and link_of(now) is not None
    db.run("DELETE FROM kept WHERE id = 8")


# --- the index

def plans_of(pg, begin):
    """auto_explain's plans since that place of the server's log."""
    with open(pg.log, encoding="utf-8") as log:
        log.seek(begin)
        text = log.read()
    return [json.loads(found) for found in re.findall(r"plan:\n((?:\t.*\n)+)", text)]


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.mark.parametrize("keys, index", [("at:desc id:desc", "at DESC, id DESC"), ("at id", "at, id"),
                                         ("kind:desc id", "kind DESC, id"), ("at id:desc", "at, id DESC")])
def test_a_page_reads_its_own_rows_and_none_before_it(make_perfd, pg, keys, index):
    db = pg.create_database("deep", f"""CREATE TABLE t AS SELECT i AS id, i % 5 AS owner, i % 2 AS kind,
        timestamptz '2024-05-01Z' + i / 3 * interval '1 s' AS at FROM generate_series(1, 20000) i;
        CREATE INDEX ON t (owner, {index}); ANALYZE t;
        ALTER DATABASE deep SET session_preload_libraries = auto_explain;
        ALTER DATABASE deep SET auto_explain.log_min_duration = 0;
        ALTER DATABASE deep SET auto_explain.log_analyze = on;
        ALTER DATABASE deep SET auto_explain.log_format = json""")
    conf = route("/t/{owner}", keys, "SELECT id, kind, at FROM t WHERE owner = :owner")
    api = make_perfd(conf, db, workers=1, pool="pool max=1 min=1;").start()
    order = ", ".join(key.replace(":", " ") for key in keys.split())
    wanted = [row[0] for row in db.run(f"SELECT id FROM t WHERE owner = 3 ORDER BY {order}")]
    begin = eventually(lambda: len(open(pg.log, "rb").read()))
    with api.connect() as connection:
        found = pages(connection, "/t/3?limit=200")
        usual = pages(connection, "/t/3")
    assert ids_of(found) == ids_of(usual) == wanted
    plans = [plan["Plan"] for plan in plans_of(pg, begin) if "perfd_page" in plan["Query Text"]]
    assert len(plans) == 20 + 80
    for plan in plans:
        limit = plan["Actual Rows"]
        scans = [node for node in nodes(plan) if "Scan" in node["Node Type"] and node["Node Type"] != "Subquery Scan"]
        assert all(node["Node Type"] in ("Index Scan", "Index Only Scan") for node in scans), plan
        assert sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in scans) <= \
            len(scans) * (limit + 1), plan


# --- perfd -t

def says(perfd, text, word):
    """perfd -t names the place of word in perfd.conf, and says text."""
    result = perfd.check()
    line, column = perfd.line_of(word)
    assert result.code != 0 and f"perfd.conf:{line}:{column}: " in result.err and text in result.err, result
    return True


@pytest.mark.parametrize("keys, query, text", [
    ("nope", "SELECT id FROM notes", 'the result has no column "nope"'),
    ("ID", "SELECT id FROM notes", 'the result has no column "ID"'),
    ("id doc", "SELECT id, to_json(name) AS doc FROM notes", "json"),
    ("id:desc doc:desc", "SELECT id, point(1, 2) AS doc FROM notes", "point"),
    ("id", "SELECT id FROM notes ORDER BY at", "leave ORDER BY"),
    ("id", "SELECT id FROM notes LIMIT 9", "leave ORDER BY"),
    ("id", "SELECT id FROM notes WHERE id > :limit", "the page has the parameters"),
    ("id", "SELECT id FROM notes WHERE name = :cursor", "the page has the parameters"),
    ("id", "SELECT 1 AS id; SELECT 2 AS id", "one SELECT"),
    ("id", "INSERT INTO live (rank) VALUES (1) RETURNING id", "one SELECT"),
    ("id", 'SELECT id, name AS \\"all[].name\\" FROM notes', "cut apart"),
])
def test_what_cannot_come_in_pages_is_refused(make_perfd, db, keys, query, text):
    conf = f'route GET /x {{\n query "{query}";\n result rows;\n page keyset {keys};\n}}'
    assert says(make_perfd(conf, db), text, "page keyset")


def test_words_that_only_look_like_an_order_are_none(make_perfd, db):
    query = "SELECT n.id, 'ORDER BY' AS limit, row_number() OVER (ORDER BY id) AS offset, " \
            "(SELECT max(id) FROM notes ORDER BY 1 LIMIT 1) AS fetch FROM notes n /* ORDER BY */"
    api = make_perfd(route("/x", "id", query), db)
    assert api.check().code == 0, api.check()
    assert api.start().get("/x?limit=1").json()[0]["limit"] == "ORDER BY"


def test_a_reload_keeps_cursors_of_the_same_order(make_perfd, db):
    api = make_perfd(route("/x", "id", more="cache ttl=5s;"), db).start()
    link = link_of(api.get("/x?limit=5"))
    assert api.reload(route("/x", "id", more="cache ttl=9s; param limit max=20;")).code == 0
    assert eventually(lambda: api.get("/x?limit=30").status == 400)
    assert [row["id"] for row in api.get("/x" + link).json()] == [6, 7, 8, 9, 10]
    assert api.reload(route("/x", "id:desc")).code == 0
    assert eventually(lambda: api.get("/x" + link).status == 400)

"""perfctl advise: what it finds, that its SQL is right, and that it finds nothing where all is well."""
import json
import random
import re
import time

import pytest

from lib.example import PLAIN, USERS, create, serve
from lib.load import Load
from lib.perfd import PERFCTL, ROOT, run

SLOW = """
route GET /slow/{n} { query "SELECT pg_sleep(0.005)::text AS s, :n::int AS n"; result row; share off; }
route GET /other { query "SELECT 1 AS one"; result row; }
"""
CACHED = """
route GET /ttl/{n} { query "SELECT :n::int AS n"; result row; cache ttl=40ms tti=0; }
route GET /tti/{n} { query "SELECT :n::int AS n"; result row; cache ttl=60s tti=10ms; }
route GET /well/{n} { query "SELECT :n::int AS n"; result row; cache ttl=60s tti=0; }
"""
ORDERS = '"App Data"."Orders"'
HARD = f"""
CREATE SCHEMA tools;
CREATE EXTENSION hypopg SCHEMA tools;
CREATE SCHEMA "App Data";
CREATE TYPE state AS ENUM ('open', 'paid', 'sent');
CREATE TABLE {ORDERS} AS SELECT id, id % 1000 AS "Customer Id", id % 500 AS buyer_id, 'a' || id % 2000 AS code,
    ('mail' || id || '@example.com')::varchar(80) AS email, (ARRAY['open', 'paid', 'sent'])[1 + id % 3]::state AS state,
    timestamptz '2024-01-01 UTC' + id * interval '1 hour' AS at, box(point(id, 0), point(0, id)) AS area,
    jsonb_build_object('name', 'n' || id) AS doc, id % 100 AS store, id % 3000 AS token, id % 10 AS tenth, repeat('x', 60) AS pad
FROM generate_series(1::bigint, 10000) id;
ALTER TABLE {ORDERS} ADD PRIMARY KEY (id);
CREATE INDEX ON {ORDERS} (store);
CREATE TABLE public."Orders" AS SELECT 1 AS "Customer Id";
CREATE TABLE buyers AS SELECT id, 'buyer ' || id AS name FROM generate_series(1::bigint, 500) id;
ALTER TABLE buyers ADD PRIMARY KEY (id);
CREATE TABLE events (id bigint, kind int, device bigint, pad text) PARTITION BY LIST (kind);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2);
INSERT INTO events SELECT id, 1 + id % 2, id % 1500, repeat('x', 60) FROM generate_series(1, 8000) id;
CREATE ROLE outsider LOGIN;
ALTER DATABASE hard SET min_parallel_table_scan_size = 0;
ALTER DATABASE hard SET parallel_setup_cost = 0;
ALTER DATABASE hard SET parallel_tuple_cost = 0;
ANALYZE;
"""
INDEX = f"CREATE INDEX CONCURRENTLY ON {ORDERS} (%s);"
# Queries, and the columns of the index that each lacks: as HypoPG has it, and by the plan alone. [] is none, None that no
# plain index would spare the scan. Names have their schema, whatever the search_path is, and their quotes.
QUERIES = {
    "quoted": (f'SELECT id FROM {ORDERS} AS "user" WHERE "user"."Customer Id" = :v::bigint', '"Customer Id"', '"Customer Id"'),
    "two": (f"SELECT id FROM {ORDERS} WHERE token = :v::bigint AND at > :w::timestamptz", "token, at", "token, at"),
    "enum": (f"SELECT id FROM {ORDERS} WHERE code = :v AND state = :w::state", "code, state", "code, state"),
    "varchar": (f"SELECT id FROM {ORDERS} WHERE email = :v", "email", "email"),
    "lower": (f"SELECT id FROM {ORDERS} WHERE lower(email) = :v", "(lower((email)::text))", None),
    "document": (f"SELECT id FROM {ORDERS} WHERE doc ->> 'name' = :v", "(doc ->> 'name'::text)", None),
    "cast": (f"SELECT id FROM {ORDERS} WHERE token::text = :v", "((token)::text)", None),
    "joined": (f"SELECT o.id FROM buyers b JOIN {ORDERS} o ON o.buyer_id = b.id WHERE b.name = :v", "buyer_id", []),
    "pages": (f"SELECT id, at FROM {ORDERS} WHERE state = :v::state", "state, at DESC, id DESC", []),
    "newest": (f"SELECT o.id, b.name FROM {ORDERS} o JOIN buyers b ON b.id = o.buyer_id ORDER BY o.at DESC LIMIT :v",
               "at DESC", []),
    "any": (f"SELECT id, state FROM {ORDERS} WHERE state = ANY (:v::state[]) ORDER BY state, id LIMIT 20", "state, id", []),
    "box": (f"SELECT id FROM {ORDERS} WHERE area = :v::box", None, None),
    "pattern": (f"SELECT id FROM {ORDERS} WHERE code LIKE :v", None, None),
    "row": (f"SELECT id FROM {ORDERS} WHERE id > token + :v::int", [], []),
    "bitmap": (f"SELECT id FROM {ORDERS} WHERE store = :v::bigint AND at = :w::timestamptz", [], []),
    "tenth": (f"SELECT id FROM {ORDERS} WHERE tenth = :v::bigint", [], []),
    "catalog": ("SELECT attname::text FROM pg_attribute WHERE attname::text = :v", [], []),
    "small": ("SELECT id FROM buyers WHERE name = :v", [], []),
}
HARD_CONF = "\n".join(f"route GET /{name} {{ sql {name}.sql; result rows; "
                      f"{'page keyset at:desc id:desc;' if name == 'pages' else ''} }}" for name in QUERIES) + f"""
route POST /email {{ query 'UPDATE {ORDERS} SET pad = pad WHERE email = :v'; result none; }}
route GET /device {{ query 'SELECT id FROM events WHERE device = :v::bigint'; result rows; }}
"""


@pytest.fixture(scope="module")
def db(pg):
    db = create(pg, "advise", PLAIN)
    db.run("CREATE EXTENSION hypopg; ANALYZE")
    return db


@pytest.fixture
def api(db, redis, make_perfd):
    redis.flush()
    return serve(make_perfd, db, redis).start()


def advice(api, *more):
    """What is found, once it is certain that nothing else was the matter."""
    result = run(PERFCTL, "--dir", api.run_dir, "advise", "-o", "json", *more, env=api.env)
    found = json.loads(result.out)["advice"]
    assert result.code == (1 if found else 0) and not result.err, result
    return found


def of_the_load_test():
    """A request by the weights of scripts/load-test.json."""
    with open(f"{ROOT}/scripts/load-test.json", encoding="utf-8") as file:
        reads = [r for r in json.load(file)["requests"] if r.get("method", "GET") == "GET"]
    weights, dice = [r["weight"] for r in reads], random.Random(1)

    def target(_thread, _turn):
        path = dice.choices(reads, weights)[0]["path"]
        return path.replace("{user}", str(dice.randint(1, USERS))).replace("{offset}", str(50 * dice.randrange(4)))

    return target


def test_nothing_where_all_is_well_and_the_index_that_was_dropped(api, db):
    with Load(api.port, of_the_load_test()) as load:
        load.wait_for(1000, within=30)
    assert not load.wrong and not load.failed
    assert advice(api) == [] and "nothing to advise" in run(PERFCTL, "--dir", api.run_dir, "advise", env=api.env).out

    indexes = "SELECT array_agg(indexname ORDER BY 1) FROM pg_indexes WHERE tablename = 'posts'"
    db.run("DROP INDEX posts_user_id_idx, posts_user_id_created_at_idx")
    left = db.value(indexes)
    found = advice(api)
    # The order is worth more than a lookup.
    todo = "CREATE INDEX CONCURRENTLY ON public.posts (user_id, created_at DESC, id DESC);"
    assert [(f["kind"], f["about"], f["todo"]) for f in found] == [("missing index", "GET /api/users/{id}/posts", todo)]
    before, after = re.search(r"cost falls from (\d+) to (\d+), says HypoPG", found[0]["found"]).groups()
    assert int(before) >= 2 * int(after) > 0
    db.run("DROP EXTENSION hypopg")
    alone = advice(api)
    assert [f["todo"] for f in alone] == ["CREATE INDEX CONCURRENTLY ON public.posts (user_id);"]
    assert "HypoPG" not in alone[0]["found"] and db.value(indexes) == left
    db.run(found[0]["todo"])
    db.run("ANALYZE posts")
    assert advice(api) == []


def test_a_consumer_that_asks_row_by_row(api):
    """What is counted are samples: 1200 are right by a quarter beyond five sigma."""
    with Load(api.port, lambda _, turn: f"/api/users/{turn % USERS}/posts" if turn % USERS else "/api/users") as load:
        load.wait_for(1200, within=30)
    found = [f for f in advice(api) if f["kind"] == "n+1"]
    assert [f["about"] for f in found] == ["GET /api/users/{id}/posts"]
    assert "127.0.0.1" in found[0]["found"]


def test_a_pool_that_is_too_small(make_perfd, db):
    api = make_perfd(SLOW, db, workers=1, pool="pool max=2 min=2;").start()
    with Load(api.port, lambda thread, turn: f"/slow/{turn}" if turn % 2 else "/other", threads=8) as load:
        load.wait_for(200, within=20)
        found = advice(api)
    assert [f["kind"] for f in found] == ["pool"] and re.search(r"pool max=[34];", found[0]["todo"]), found


def test_lifetimes_that_cost_hits(make_perfd, db):
    """Each key is asked for again after 15 ms or more: later than the tti always, and than the ttl at the third time."""
    api = make_perfd(CACHED, db, workers=1).start()
    with api.connect() as connection:
        for _ in range(20):
            for path in ("ttl", "tti", "well"):
                for key in range(15):
                    assert connection.request("GET", f"/{path}/{key}").status == 200
            time.sleep(0.015)
    found = {f["about"]: f for f in advice(api)}
    assert set(found) == {"GET /ttl/{n}", "GET /tti/{n}"} and {f["kind"] for f in found.values()} == {"cache"}
    kept = {route["route"]: route for route in api.perfctl_json("cache")["routes"]}["GET /ttl/{n}"]
    assert found["GET /ttl/{n}"]["found"].startswith(
        f"of 300 lookups {kept['hits'] / 3:.1f} % hit; {kept['expired'] / 3:.1f} % met an answer whose ttl was over"), kept
    longer = re.fullmatch(r"cache ttl=(\d+)ms; .*", found["GET /ttl/{n}"]["todo"])
    assert longer and 80 <= int(longer[1]) <= 400, found
    assert found["GET /tti/{n}"]["todo"] == "cache ttl=1m tti=100ms;", "ten times as long, as nothing hit"


def expected(which):
    """By what is told: the index, or none of the usual kind; and for whom."""
    found = {}
    for name, query in QUERIES.items():
        if query[which] != []:
            todo = query[which] and INDEX % query[which]
            found.setdefault(todo, set()).add(f"GET /{name}")
    found[INDEX % "email"].add("POST /email")
    found["CREATE INDEX ON public.events (device);"] = {"GET /device"}
    return found


def told(found):
    by_todo = {}
    for f in found:
        todo = f["todo"] if f["kind"] == "missing index" else None
        by_todo.setdefault(todo, set()).update(f["about"].split(", "))
    return by_todo


@pytest.fixture(scope="module")
def hard(pg):
    return pg.create_database("hard", HARD)


@pytest.fixture(scope="module")
def hard_api(make_module_perfd, hard):
    files = {f"{name}.sql": query[0] for name, query in QUERIES.items()}
    return make_module_perfd(HARD_CONF, hard, workers=1, files=files).start()


def test_what_cannot_be_looked_at_is_told(hard_api, hard):
    """A role without rights, a database that is not there, a file that is broken: none of them is all well."""
    poor = hard_api.perfctl("advise", "--url", hard.url.replace(f"//{hard.server.user}@", "//outsider@"), "-o", "json")
    assert poor.code == 1 and 'GET /quoted: ERROR:  permission denied for schema App Data' in poor.err, poor
    assert {u["about"] for u in poor.json["unknown"]} >= {"GET /quoted", "GET /small", "GET /device", "POST /email"}
    assert poor.json["advice"] == [] and "GET /catalog" not in poor.err, "what fails hides nothing behind it"
    text = hard_api.perfctl("advise", "--url", hard.url.replace(f"//{hard.server.user}@", "//outsider@"))
    assert text.code == 1 and text.out == "nothing to advise about what could be looked at\n", text
    lost = hard_api.perfctl("advise", "--url", f"postgresql:///hard?host={hard_api.folder}", "-o", "json")
    assert lost.code == 1 and [u["about"] for u in lost.json["unknown"]] == ["indexes"] and hard_api.folder in lost.err, lost
    torn = hard_api.perfctl("advise", "--conf", "/none", "-o", "json")
    assert torn.code == 1 and [u["about"] for u in torn.json["unknown"]] == ["indexes and the cache"], torn


def test_an_index_that_is_there_is_not_advised_again(hard_api, hard):
    """PostgreSQL has its reasons for not using it: here the URL says that it would cost too much."""
    url = hard.url + "&options=-c%20random_page_cost%3D10000%20-c%20enable_bitmapscan%3Doff"
    hard.run(f'DROP EXTENSION hypopg; CREATE INDEX twice ON {ORDERS} (at, token); CREATE INDEX part ON {ORDERS} (email) '
             "WHERE id < 7")
    try:
        found = told(advice(hard_api, "--url", url))
        assert INDEX % "token, at" not in found and INDEX % "email" in found and INDEX % '"Customer Id"' in found, found
        assert INDEX % "store" not in found
    finally:
        hard.run('DROP INDEX "App Data".twice, "App Data".part; CREATE EXTENSION hypopg SCHEMA tools')


def test_its_sql_is_right_and_enough(hard_api, hard):
    found = advice(hard_api)
    assert told(found) == expected(1)
    hard.run("DROP EXTENSION hypopg")
    assert told(advice(hard_api)) == expected(2)
    hard.run("CREATE EXTENSION hypopg SCHEMA tools")
    for f in found:
        if f["kind"] == "missing index":
            hard.run(f["todo"])
    hard.run("ANALYZE")
    assert set(told(advice(hard_api))) == {None}

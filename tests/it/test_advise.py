"""perfctl advise: what it finds, and that it finds nothing where all is well."""
import json
import random
import re

import pytest

from lib.example import USERS, create, serve
from lib.load import Load
from lib.perfd import PERFCTL, ROOT, run

SLOW = """
route GET /slow/{n} { query "SELECT pg_sleep(0.005)::text AS s, :n::int AS n"; result row; share off; }
route GET /other { query "SELECT 1 AS one"; result row; }
"""


@pytest.fixture(scope="module")
def db(pg):
    db = create(pg, "advise")
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
    todo = "CREATE INDEX CONCURRENTLY ON posts (user_id, created_at DESC, id DESC);"  # the order is worth more than a lookup
    assert [(f["kind"], f["about"], f["todo"]) for f in found] == [("missing index", "GET /api/users/{id}/posts", todo)]
    before, after = re.search(r"cost falls from (\d+) to (\d+), says HypoPG", found[0]["found"]).groups()
    assert int(before) >= 2 * int(after) > 0
    db.run("DROP EXTENSION hypopg")
    alone = advice(api)
    assert [f["todo"] for f in alone] == ["CREATE INDEX CONCURRENTLY ON posts (user_id);"]
    assert "HypoPG" not in alone[0]["found"] and db.value(indexes) == left
    db.run(found[0]["todo"])
    db.run("ANALYZE posts")
    assert advice(api) == []


def test_a_consumer_that_asks_row_by_row(api):
    with Load(api.port, lambda _, turn: f"/api/users/{turn % USERS}/posts" if turn % USERS else "/api/users") as load:
        load.wait_for(600, within=30)
    found = [f for f in advice(api) if f["kind"] != "missing index"]
    assert [(f["kind"], f["about"]) for f in found] == [("n+1", "GET /api/users/{id}/posts")]
    assert "127.0.0.1" in found[0]["found"]


def test_a_pool_that_is_too_small(make_perfd, db):
    api = make_perfd(SLOW, db, workers=1, pool="pool max=1 min=1;").start()
    with Load(api.port, lambda thread, turn: f"/slow/{turn}" if turn % 2 else "/other", threads=8) as load:
        load.wait_for(200, within=20)
        found = advice(api)
    assert [f["kind"] for f in found] == ["pool"] and "pool max=" in found[0]["todo"]
    needed = int(found[0]["todo"].split("max=")[1].split(";")[0])
    assert 2 <= needed <= 16, found

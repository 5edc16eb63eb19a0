"""`plan` of a route: each statement is planned as its route says, whoever else uses the connection."""
import pytest

from lib.load import Load, Volley
from lib.process import eventually

CONF = """
route GET /auto { query "SELECT :n::int AS n, current_setting('plan_cache_mode') AS plan"; result row; }
route GET /generic {
    query "SELECT :n::int AS n, current_setting('plan_cache_mode') AS plan, 1 AS g"; result row; plan generic;
}
route GET /custom {
    query "SELECT :n::int AS n, current_setting('plan_cache_mode') AS plan, 2 AS c"; result row; plan custom;
}
route POST /custom {
    query "INSERT INTO done VALUES (:n) RETURNING n, current_setting('plan_cache_mode') AS plan"; result row; plan custom;
}
route GET /range { query "SELECT count(*) FROM items WHERE id BETWEEN :a AND :b"; result value; plan generic; }
route GET /key { query "SELECT id FROM items WHERE id = :id"; result row; plan custom; }
route GET /combined {
    query "SELECT id, current_setting('plan_cache_mode') AS plan FROM items WHERE items.id = :id"; result row;
    combine on; plan custom;
}
route GET /statements {
    query "SELECT generic_plans AS generic, custom_plans AS custom FROM pg_prepared_statements WHERE statement LIKE :like";
    result row;
}
route POST /discard { query "DISCARD ALL"; result none; plan generic; }
"""
MODES = {"/auto": "auto", "/generic": "force_generic_plan", "/custom": "force_custom_plan"}


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("plans", "CREATE TABLE items AS SELECT generate_series(1, 10000) id; CREATE TABLE done (n int);"
                                       "ALTER TABLE items ADD PRIMARY KEY (id); ANALYZE items")


@pytest.fixture
def start(make_perfd, db):
    return lambda pool="pool max=1 min=1;", **kwargs: make_perfd(CONF, db, pool=pool, workers=1, **kwargs).start()


def test_statements_are_planned_as_their_route_says(start):
    api = start()
    for i in range(12):
        assert api.get(f"/range?a={i}&b={i + 10}").status == 200
        assert api.get(f"/key?id={i + 1}").status == 200
    assert api.get("/statements?like=%25BETWEEN%20%24%25").json() == {"generic": 12, "custom": 0}
    assert api.get("/statements?like=%25WHERE%20id%20%3D%20%24%25").json() == {"generic": 0, "custom": 12}


def test_combined_lookups_are_planned_so_too(start):
    api = start()
    with Volley(api.port) as volley:
        answers = volley.send([f"/combined?id={i}" for i in range(1, 121)])
    assert [a.json() for a in answers] == [{"id": i, "plan": "force_custom_plan"} for i in range(1, 121)]
    assert eventually(lambda: api.stat("pool_combined") > 20)


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.calm
def test_neighbours_on_a_connection_are_not_disturbed(start, most):
    api = start(f"pool max={most} min={most};")
    wrong = []

    def check(request, response):
        path, n = request.split("?n=")
        if response.status != 200 or (response.json()["n"], response.json()["plan"]) != (int(n), MODES[path]):
            wrong.append((request, response.text))

    paths = list(MODES)
    with Load(api.port, lambda thread, turn: f"{paths[(thread + turn // 3) % 3]}?n={turn}", threads=12, check=check) as load:
        load.wait_for(1000)
        for n in range(20):
            assert api.post("/custom", {"n": n}).json() == {"n": n, "plan": "force_custom_plan"}
        load.wait_for(1000)
    assert not wrong and not load.failed, (wrong[:3], load.failed[:3])
    assert eventually(lambda: api.stat("pool_pipelined") > 100)


def test_a_session_that_forgot_its_mode_is_told_again(start):
    api = start()
    for _ in range(3):
        assert api.get("/generic?n=1").json()["plan"] == "force_generic_plan"
        assert api.post("/discard").status == 204
        assert api.get("/generic?n=1").json()["plan"] == "force_generic_plan"
        assert api.get("/auto?n=1").json()["plan"] == "auto"


def test_a_generic_plan_needs_prepared_statements(start, make_perfd, db):
    api = make_perfd(CONF, db, pool="prepare off;")
    checked = api.check()
    line, column = api.line_of("route GET /generic")
    assert checked.code == 2 and f"perfd.conf:{line}:{column}: plan generic needs prepared statements" in checked.err

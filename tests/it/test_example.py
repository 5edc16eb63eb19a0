"""The example API: the repository's own perfd.conf and queries on a small load of its data."""
import json
import os
import subprocess

import pytest

from lib.example import POSTS, USERS, create, serve
from lib.perfd import PERFCTL, ROOT, Perfd, run
from lib.process import eventually


@pytest.fixture(scope="module")
def db(pg):
    return create(pg, "example")


@pytest.fixture(scope="module")
def api(db, redis, make_module_perfd):
    redis.flush()
    return serve(make_module_perfd, db, redis).start()


def test_the_data_looks_like_production(db):
    most, users = db.run("SELECT max(n), count(*) FROM (SELECT count(*) n FROM posts GROUP BY user_id) x")[0]
    assert most > 5 * POSTS / users  # skewed
    assert db.value("SELECT stddev(length(body)) / avg(length(body)) FROM posts") > 0.5
    assert db.value("SELECT extract(year FROM max(created_at)) - extract(year FROM min(created_at)) FROM posts") >= 3


def test_the_guides_indexes_are_there(db):
    definitions = " ".join(row[0] for row in db.run("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"))
    for columns in ("(email)", "(user_id)", "(created_at DESC)", "(user_id, created_at DESC)"):
        assert columns in definitions, columns


def test_users(api):
    users = api.get("/api/users?limit=5&offset=10").json()
    assert [u["id"] for u in users] == [11, 12, 13, 14, 15]
    assert set(users[0]) == {"id", "email", "name", "bio", "created_at", "updated_at"}
    assert len(api.get("/api/users").json()) == 50
    assert api.get("/api/users?limit=0&offset=x").bad_parameters == ["limit", "offset"]


def test_a_user_from_an_upstream(api):
    own, other = api.get("/api/users/8"), api.get("/api/upstream/users/8")
    assert (other.status, other.body, other.cache) == (200, own.body, "MISS")
    assert api.get("/api/upstream/users/8").cache == "HIT"
    assert api.get("/api/upstream/users/999999").problem["code"] == "not_found"
    assert api.get("/api/upstream/users/..").status == 400


def test_one_user(api):
    assert api.get("/api/users/7").json()["id"] == 7
    assert api.get("/api/users/7").cache == "HIT"
    assert api.get("/api/users/999999").status == 404
    assert api.get("/api/users/seven").bad_parameters == ["id"]


def test_posts_of_a_user(api, db):
    author = db.value("SELECT user_id FROM posts GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")
    posts = api.get(f"/api/users/{author}/posts?limit=10").json()
    assert len(posts) == 10
    assert [p["created_at"] for p in posts] == sorted((p["created_at"] for p in posts), reverse=True)
    assert set(posts[0]) == {"id", "title", "body", "created_at"}


def test_one_join_is_what_n_plus_1_gives(api):
    joined = api.get("/api/users-with-posts?limit=30").json()
    assert [u["id"] for u in joined] == list(range(1, 31))
    for user in joined:
        posts = api.get(f"/api/users/{user['id']}/posts?limit=200").json()
        assert [p["id"] for p in user["posts"][:200]] == [p["id"] for p in posts], user["id"]


def test_newest_posts_page_by_page(api):
    first = api.get("/api/posts?limit=10").json()
    times = [p["created_at"] for p in first]
    assert times == sorted(times, reverse=True) and "author" in first[0]
    before = times[-1].replace("+", "%2B")
    second = api.get(f"/api/posts?limit=10&before={before}").json()
    assert all(p["created_at"] < times[-1] for p in second) and len(second) == 10
    assert api.get("/api/posts?before=yesterday-ish").bad_parameters == ["before"]


def test_a_users_life(api):
    created = api.post("/api/users", {"email": "new@example.com", "name": "New"})
    assert created.status == 201
    user = created.json()
    path = f"/api/users/{user['id']}"
    assert api.get(path).json() == user and eventually(lambda: api.get(path).cache == "HIT")
    assert api.post("/api/users", {"email": "new@example.com", "name": "Again"}).status == 409
    assert api.post("/api/users", {"email": "nobody", "name": " "}).bad_parameters == ["email", "name"]
    assert api.post("/api/users", {}).bad_parameters == ["email", "name"]
    changed = api.request("PATCH", path, {"name": "Newer"}).json()
    assert changed["name"] == "Newer" and changed["email"] == "new@example.com"
    assert {api.get(path).json()["name"] for _ in range(8)} == {"Newer"}
    post = api.post("/api/posts", {"user_id": user["id"], "title": "First", "body": "Hello"})
    assert post.status == 201
    assert {api.get("/api/posts?limit=1").json()[0]["id"] for _ in range(8)} == {post.json()["id"]}
    assert [p["title"] for p in api.get(path + "/posts").json()] == ["First"]
    assert api.request("DELETE", path).json() == {"id": user["id"]}
    assert {api.get(path).status for _ in range(8)} == {404}
    assert api.get(path + "/posts").json() == []
    assert api.request("DELETE", path).status == 404


def test_what_others_change(api, db):
    """By psql, say: nobody tells perfd but the database."""
    def ask():
        return (api.get("/api/users/8").json().get("name"), api.get("/api/users?limit=1").json()[0]["name"],
                api.get("/api/users/8/posts").json()[0]["title"])

    db.run("INSERT INTO posts (user_id, title, body, created_at) VALUES (8, 'First', 'x', now() + interval '1 day')")
    assert eventually(lambda: ask()[2] == "First")
    db.run("UPDATE users SET name = 'Changed' WHERE id IN (1, 8); UPDATE posts SET title = 'Second' WHERE title = 'First'")
    assert eventually(lambda: {ask() for _ in range(8)} == {("Changed", "Changed", "Second")})
    assert eventually(lambda: api.get("/api/posts?limit=1").json()[0]["author"] == "Changed")
    db.run("DELETE FROM users WHERE id = 8")
    assert eventually(lambda: api.get("/api/users/8").status == 404 and api.get("/api/users/8/posts").json() == [])


def test_a_post_needs_its_author(api):
    assert api.post("/api/posts", {"user_id": 999999, "title": "x", "body": "y"}).status == 409
    assert api.post("/api/posts", {"user_id": 0, "title": ""}).bad_parameters == ["body", "title", "user_id"]


def test_the_load_tests_requests_are_answered_as_it_expects(api, tmp_path):
    with open(f"{ROOT}/scripts/load-test.json", encoding="utf-8") as file:
        scenario = json.load(file)
    scenario["variables"]["user"].update({"from": 9, "to": USERS})  # those that no other test deletes
    (tmp_path / "load.json").write_text(json.dumps(scenario))
    done = run(PERFCTL, "load", f"{tmp_path}/load.json", "--url", f"http://127.0.0.1:{api.port}", "--rate", "300",
               "--duration", "1s", "--seed", "1", "-o", "json")
    wrong = [row for row in done.json["requests"] if not row["requests"] == row["expected"] > 0]
    assert not wrong, wrong
    assert done.json["total"]["requests"] == 300


def test_the_repositorys_configuration_is_good(api):
    assert Perfd.command(api, "-t").code == 0

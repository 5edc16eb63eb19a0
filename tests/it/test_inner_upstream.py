"""Items of a batch and parts of a fan that an upstream answers."""
import json
import time

import pytest

from lib.upstream import answer, after
from lib.process import eventually

CONF = """
upstream api {{ url {url}; forward Authorization Accept-Language; take Location Link; }}
route GET  /any/{{name}}  {{ upstream api /{{name}}; }}
route POST /any/{{name}}  {{ upstream api /{{name}}; }}
route GET  /fan/{{name}}  {{ fan {{ one /any/{{name}}; two /any/fixed optional; }} }}
route GET  /kept/{{name}} {{ fan {{ one /any/{{name}}; }} cache ttl=60s; }}
route GET  /held/{{name}} {{ upstream api /{{name}}; cache ttl=60s; }}
route PUT  /held/{{name}} {{ upstream api /{{name}}; }}
route GET  /both/{{name}} {{ fan {{ one /held/{{name}}; }} cache ttl=60s; }}
route GET  /outer/{{name}} {{ fan {{ kept /kept/{{name}}; }} cache ttl=60s; }}
batch /batch {{ }}
"""


@pytest.fixture(scope="module")
def module_api(make_module_perfd, backend):
    return make_module_perfd(CONF.format(url=backend.url), workers=1).start()


@pytest.fixture
def api(module_api, backend):
    yield module_api
    backend.behaviours.clear()
    backend.asked.clear()


def send(api, *items, **kwargs):
    response = api.request("POST", "/batch", [{"path": i} if isinstance(i, str) else i for i in items], **kwargs)
    assert response.status == 200, response
    return response.json()


def test_a_body_is_json_only_where_it_is(api, backend):
    backend.on("/good", answer(b' {"a": [1]} \n'))
    backend.on("/problem", answer(b'{"why":"so"}', status=409, kind="application/problem+json; charset=utf-8"))
    backend.on("/lies", answer(b'{"a": 1}}, {"id": 0', kind="application/json"))
    backend.on("/page", answer(b'<p class="x">\xc3\xa9</p>\n', kind="text/html"))
    backend.on("/image", answer(b"\xff\xd8\xff\xe0", kind="image/jpeg"))
    backend.on("/none", answer(b"", status=204))
    good, problem, lies, page, image, none = send(api, "/any/good", "/any/problem", "/any/lies", "/any/page", "/any/image",
                                                  "/any/none")
    assert good == {"id": 0, "status": 200, "body": {"a": [1]}}
    assert problem == {"id": 1, "status": 409, "body": {"why": "so"}}
    assert (lies["status"], lies["body"]) == (200, '{"a": 1}}, {"id": 0')
    assert page == {"id": 3, "status": 200, "headers": {"Content-Type": "text/html"}, "body": '<p class="x">é</p>\n'}
    assert (image["status"], image["body"]["code"]) == (502, "answer_not_text")
    assert none == {"id": 5, "status": 204, "body": None}


def test_what_an_item_takes_along(api, backend):
    backend.on("/a", answer(b"{}", status=201, fields=["Location: /there"]))
    headers = {"Authorization": "Basic x", "Accept-Language": "de", "X-Request-Id": "outer"}
    (made,) = send(api, {"method": "POST", "path": "/any/a", "body": {"b": [1.5, "ü"]}}, headers=headers)
    assert made == {"id": 0, "status": 201, "headers": {"Location": "/there"}, "body": {}}
    (asked,) = backend.asked
    assert asked.body == b'{"b": [1.5, "\\u00fc"]}' and asked.header("Content-Type") == "application/json"
    assert (asked.header("Authorization"), asked.header("Accept-Language")) == ("Basic x", "de")
    assert asked.header("X-Request-Id") == "outer.0"


def test_what_connection_names_goes_no_further(api, backend):
    """RFC 9110 7.6.1: neither with a request of its own nor within another one."""
    headers = {"Authorization": "Basic x", "Accept-Language": "de", "Connection": "keep-alive, authorization"}
    assert send(api, "/any/a", headers=headers)[0]["status"] == 200 and api.get("/fan/b", headers).status == 200
    assert {asked.header("Authorization") for asked in backend.asked} == {None}
    assert {asked.header("Accept-Language") for asked in backend.asked} == {"de"}


def test_what_an_upstream_s_connection_names_is_not_the_consumer_s(api, backend):
    backend.on("/named", answer(fields=["Connection: x", "Connection: keep-alive, link", "Link: </1>", "Location: /there"]))
    got = api.get("/any/named")
    assert (got.header("link"), got.header("location")) == (None, "/there")


def test_fields_that_stand_in_several_lines_are_one(api, backend):
    backend.on("/links", answer(fields=["Link: </1>", "link: </2>", "Location: /there"]))
    assert send(api, "/any/links")[0]["headers"] == {"Link": "</1>, </2>", "Location": "/there"}


def test_an_object_of_many_names_is_one(api, backend):
    many = {f"n{i}": i for i in range(3000)}
    backend.on("/many", answer(many))
    assert send(api, "/any/many")[0]["body"] == many


def test_a_part_that_fails(api, backend):
    backend.on("/bad", answer(b"<p>no</p>", status=418, kind="text/html"))
    problem = api.get("/fan/bad").problem
    assert (problem["status"], problem["code"], problem["part"], problem["detail"]) == (
        418, "part_failed", "one", "one: it failed")
    backend.on("/fixed", answer(b"", status=301, fields=["Location: /"]))
    backend.on("/page", answer(b"<p>yes</p>", kind="text/html"))
    assert api.get("/fan/page").json() == {"one": "<p>yes</p>", "two": None}


def test_nothing_of_a_consumer_s_reaches_an_answer_that_others_get(api, backend):
    headers = {"Authorization": "Basic x", "Accept-Language": "de", "Cookie": "a=b"}
    assert api.get("/fan/a", headers).status == 200
    assert {asked.target: asked.header("Authorization") for asked in backend.asked} == {"/a": "Basic x", "/fixed": "Basic x"}
    backend.asked.clear()
    assert api.get("/kept/a", headers).cache == "MISS" and api.get("/kept/a").cache == "HIT"
    assert backend.asked
    assert all(asked.header(name) is None for asked in backend.asked for name in ("Authorization", "Accept-Language"))


@pytest.mark.parametrize("field", ["Cache-Control: max-age=60, no-store", "Cache-Control: private", "Vary: *", "Set-Cookie: a=b"])
@pytest.mark.parametrize("path", ["/kept/", "/both/", "/outer/"])
def test_what_its_upstream_forbids_to_keep_is_not_kept_as_a_part(api, backend, path, field):
    name = f"p{hash((path, field)) % 2**32}"  # of each case its own
    path += name
    backend.on(f"/{name}", answer(fields=[field]))
    assert [api.get(path).cache for _ in range(3)] == ["MISS"] * 3 and backend.count(f"/{name}") == 3
    backend.on(f"/{name}", answer(fields=["Cache-Control: max-age=60"]))
    assert eventually(lambda: api.get(path).cache == "HIT", 3)


def test_a_write_to_the_upstream_drops_the_fan(api, backend):
    assert [api.get("/both/w").cache for _ in range(2)] == ["MISS", "HIT"]
    assert api.request("PUT", "/held/w", {}).status == 200
    assert api.get("/both/w").cache == "MISS" and backend.count("/w") == 3


def test_who_leaves_ends_what_the_upstream_was_asked(api, backend):
    backend.on("/slow", after(9, answer(b"{}")))
    connection = api.connect()
    connection.send("GET", "/fan/slow")
    assert eventually(lambda: backend.count("/slow") == 1, 5) and eventually(lambda: api.stat("in_flight") > 0, 3)
    connection.close()
    assert eventually(lambda: api.stat("in_flight") == 0, 3)


def test_a_large_body_is_looked_at_by_a_thread(api, backend):
    """Whether it is JSON; the item after it need not wait for that."""
    numbers = list(range(200_000))
    backend.on("/long", answer(json.dumps(numbers).encode(), kind="application/json"))
    backend.on("/lies", answer(b"[" + b"1," * 200_000, kind="application/json"))
    backend.on("/bytes", answer(b"text " * 20_000 + b"\xff", kind="text/plain"))
    jobs = api.stat("offload_json")
    long, lies, wrong, short = send(api, "/any/long", "/any/lies", "/any/bytes", "/any/fixed")
    assert long["body"] == numbers and short["status"] == 200
    assert isinstance(lies["body"], str) and len(lies["body"]) == 400_001
    assert (wrong["status"], wrong["body"]["code"]) == (502, "answer_not_text")
    assert api.stat("offload_json") - jobs >= 3


def test_consumers_leave_while_a_large_body_is_looked_at(api, backend):
    backend.on("/long", answer(json.dumps(list(range(200_000))).encode(), kind="application/json"))
    for wait in (0.001, 0.003, 0.005, 0.01, 0.02, 0.04) * 3:
        with api.connect() as connection:
            connection.send("POST", "/batch", [{"path": "/any/long"}] * 3)
            time.sleep(wait)
    assert eventually(lambda: api.stat("in_flight") == 0 and api.stat("connections") <= 1)
    assert send(api, "/any/long")[0]["status"] == 200

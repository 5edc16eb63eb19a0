"""Large request bodies: read by a thread, with the same outcome as in the loop."""
import json
import time

import pytest

from lib.load import at_once
from lib.perfd import SANITIZED
from lib.process import eventually

CONF = """
route POST /length { query "SELECT length(:text::text) AS n, :id::int8 AS id"; result row; param id default=7; }
route POST /sum { query "SELECT sum(v)::text AS sum, count(*) AS n FROM unnest(:list::int8[]) v"; result row; }
route POST /letters { query "SELECT length(:text::text) AS n"; result row; param text pattern=^[a-z]*$ max_length=2000000; }
route POST /kept { query "SELECT jsonb_array_length(:doc::jsonb) AS n"; result row; }
route GET /one { query "SELECT 1 AS one"; result row; }
"""


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("bodies")


@pytest.fixture(scope="module", params=["on", "off"], ids=["by_a_thread", "by_the_loop"])
def api(request, make_module_perfd, db):
    perfd = make_module_perfd(CONF, db, workers=1, settings=f"offload {request.param}; max_body 20MB;").start()
    perfd.threads = request.param == "on"
    return perfd


LARGE = 400_000


def test_what_it_says_arrives(api):
    before = api.stat("offload_json")
    assert api.post("/length", {"text": "ä" * LARGE, "id": 5}).json() == {"n": LARGE, "id": 5}
    assert api.post("/length", {"text": "\n\"\\\u2028" * LARGE}).json() == {"n": 4 * LARGE, "id": 7}
    numbers = list(range(-100_000, 100_000))
    assert api.post("/sum", {"list": numbers}).json() == {"sum": str(sum(numbers)), "n": len(numbers)}
    assert api.post("/kept", {"doc": [{"a": n, "b": ["x", None]} for n in range(20_000)]}).json() == {"n": 20_000}
    assert api.post("/letters", {"text": "z" * LARGE}).json() == {"n": LARGE}
    assert api.stat("offload_json") - before == (5 if api.threads else 0)
    api.post("/length", {"text": "short"})
    assert api.stat("offload_json") - before == (5 if api.threads else 0)


def test_what_is_wrong_is_told(api):
    text = b'{"text":"' + b"x" * LARGE + b'"'
    for body, offset in ((text + b",}", LARGE + 11), (text + b'} "', LARGE + 12), (text, LARGE + 10),
                         (text[:-9] + b"\xff" + text[-9:] + b"}", LARGE + 1)):
        problem = api.post("/length", body).problem
        assert problem["code"] == "bad_body" and problem["status"] == 400
        assert problem["errors"][0]["offset"] == offset, (problem, offset)
    for path, body, names in (("/length", {"text": "x" * LARGE, "id": "five", "other": 1}, ["id", "other"]),
                              ("/letters", {"text": "Z" * LARGE}, ["text"]),
                              ("/sum", {"list": [1] * LARGE + ["a"]}, ["list"])):
        answer = api.post(path, body)
        assert answer.status == 400 and answer.problem["code"] == "bad_parameter" and answer.bad_parameters == names


def test_many_at_once_and_in_order(api):
    bodies = [json.dumps({"text": "x" * (LARGE + n), "id": n}).encode() for n in range(12)]
    answers = at_once(12, lambda n: [api.post("/length", bodies[n]).json() for _ in range(3)])
    assert answers == [[{"n": LARGE + n, "id": n}] * 3 for n in range(12)]
    request = b"POST /length HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    more = b"GET /one HTTP/1.1\r\nHost: t\r\n\r\n"
    first, second, third = api.raw(request % (len(bodies[3]), bodies[3]) + more +
                                   request % (len(bodies[4]), bodies[4]), answers=3)
    assert (first.json()["id"], second.json(), third.json()["id"]) == (3, {"one": 1}, 4)


def test_who_goes_away_leaves_nothing_behind(api):
    body = json.dumps({"text": "x" * LARGE}).encode()
    for turn in range(20):
        with api.connect() as connection:
            connection.send("POST", "/length", body)
            time.sleep(0.0005 * turn)
    assert eventually(lambda: api.stat("in_flight") == 0 and api.stat("offload_active") == 0)
    assert api.post("/length", body).json()["n"] == LARGE


def test_one_of_many_megabytes_holds_up_nothing(api):
    body = json.dumps({"text": "x" * 10_000_000}).encode()
    times = []
    for _ in range(5):
        before = api.stat("loop_blocked")
        assert api.post("/length", body).json()["n"] == 10_000_000
        time.sleep(0.05)
        times.append(api.stat("loop_blocked") - before)
    if api.threads:
        assert SANITIZED or min(times) == 0, "copying them is slow there"
        blocked = [line for line in api.log().splitlines() if "reading parameters" in line and "without a CPU" not in line]
        assert not blocked
    else:
        assert max(times) > 0 and api.log_contains("reading parameters, POST /length")

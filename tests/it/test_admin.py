"""What the admin's listener tells: /metrics, /stats and /history beside what perfctl tells, and the page that draws them."""
import gzip
import hashlib
import html.parser
import json
import re
import base64

import pytest
from prometheus_client import parser as prometheus
from prometheus_client.openmetrics import parser as openmetrics

from lib.http_client import request_once
from lib.process import eventually

CONF = """
cors { origins *; }
route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }
route GET /n/{n} { query "SELECT :n::int AS n"; result row; }
route GET /late/{secret} { query "SELECT pg_sleep(0.02)::text, :secret::text"; result row; slow_query 1ms; }
"""
PATHS = ["/", "/metrics", "/stats", "/history"]
FIGURES = ["requests", "hits", "errors_4xx", "errors_5xx", "count", "p50_us", "p95_us", "p99_us", "p999_us", "max_us"]


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("admin")


@pytest.fixture(scope="module")
def api(make_module_perfd, db):
    """With something to tell, that changes no more."""
    perfd = make_module_perfd(CONF, db, pool="slow_query_params on;").start()
    for i in range(30):
        perfd.get("/one")
        perfd.get(f"/n/{i}")
    perfd.get("/n/x")
    perfd.get("/late/never-told")
    assert eventually(lambda: routes_of(perfd.perfctl_json("routes"))["GET /late/{secret}"]["count"] == 1)
    return perfd


def ask(api, path, method="GET", **headers):
    return request_once(api.admin, method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def routes_of(document):
    return {route["route"]: route for route in document["routes"]}


def test_stats_are_perfctls(api):
    answer = ask(api, "/stats")
    assert answer.status == 200 and answer.header("content-type") == "application/json"
    stats, ctl = answer.json(), api.perfctl_json("routes")
    assert stats["schema"] == "perfd.stats/1" and stats["since_us"] == ctl["since_us"] and stats["master_pid"] == ctl["master_pid"]
    theirs = routes_of(ctl)
    for name, route in routes_of(stats).items():
        if name == "(other)":
            continue
        assert {figure: route[figure] for figure in FIGURES} == {figure: theirs[name][figure] for figure in FIGURES}, name
        for kind in ("hit", "miss", "error"):
            assert sum(route[kind]["counts"]) == route[kind]["count"] == theirs[name][kind]["count"]
            assert not route[kind]["counts"] or route[kind]["le_us"][-1] == route[kind]["max_us"]
    metrics = api.perfctl_json("stats")["metrics"]
    assert set(stats["metrics"]) == set(metrics)
    assert stats["metrics"]["cache_hits"] == metrics["cache_hits"]["value"] >= 29
    slow = api.perfctl_json("slow")["queries"]
    assert stats["slow"] == [{key: value for key, value in query.items() if key not in ("pid", "params")} for query in slow[:20]]
    assert [query["params"] for query in slow] == [["never-told"]] and "never-told" not in answer.text
    assert stats["events"][0]["text"] == api.perfctl_json("events")["events"][-1]["text"]


def samples(families):
    return {(sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples}


def test_metrics_in_both_formats(api):
    """As prometheus_client, which we did not write, reads them, and as perfctl counts."""
    theirs = routes_of(api.perfctl_json("routes"))["GET /n/{n}"]
    read = {}
    for accept, type_of, parser in ((None, "application/openmetrics-text; version=1.0.0; charset=utf-8", openmetrics),
                                    ("*/*", "application/openmetrics-text; version=1.0.0; charset=utf-8", openmetrics),
                                    ("application/openmetrics-text;q=0.5,text/plain;q=0.3,*/*;q=0.1",
                                     "application/openmetrics-text; version=1.0.0; charset=utf-8", openmetrics),
                                    ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8", prometheus)):
        answer = ask(api, "/metrics", **({"Accept": accept} if accept else {}))
        assert answer.status == 200 and answer.header("content-type") == type_of and ("vary", "Accept") in answer.headers
        read[parser] = samples(parser.text_string_to_metric_families(answer.text))
        assert read[parser]["perfd_route_requests_total", ("route", "GET /n/{n}")] == theirs["requests"] == 31
        assert read[parser]["perfd_route_time_error_seconds_count", ("route", "GET /n/{n}")] == theirs["error"]["count"] == 1
    assert set(read[openmetrics]) == set(read[prometheus])


def test_history_is_what_perfd_remembers(api):
    """Of each second; those that were counted are in one of them, and perfctl says the same of each."""
    def counted():
        history = ask(api, "/history").json()
        assert history["schema"] == "perfd.history/1"
        return sum(point["requests"] for point in history["seconds"]) >= 62 and history["seconds"]
    points = eventually(counted, 5)
    theirs = {point["at_us"]: point for point in api.perfctl("history", "-o", "json").json["points"]}
    assert points and all(theirs[point["at_us"]] == point for point in points[-10:])
    busy = max(points, key=lambda point: point["requests"])
    assert busy["p50_us"] > 0 and busy["cpu_us"] >= 0 and busy["errors_4xx"] <= 1


def test_who_looks_is_not_among_those_who_are_looked_at(api):
    """The page asks each second: its own questions would be in the rate, and in the times."""
    def counted():
        stats = api.perfctl_json("stats")
        of_consumers = [stats["metrics"][name]["value"] for name in ("requests", "responses_4xx", "sent_bytes")]
        return of_consumers + [stats["histograms"]["answer"]["count"]], stats["metrics"]["admin_requests"]["value"]
    consumers, admins = counted()
    for path in [*PATHS, "/nothing"]:
        ask(api, path)
    assert counted() == (consumers, admins + len(PATHS) + 1)
    assert api.get("/nothing").status == 404 and counted()[0][:2] == [consumers[0] + 1, consumers[1] + 1]


def test_what_is_large_is_compressed_if_it_may_be(api):
    for path in PATHS[:3]:
        plain, packed = ask(api, path), ask(api, path, Accept_Encoding="gzip")
        assert plain.header("content-encoding") is None and packed.header("content-encoding") == "gzip", path
        assert ("vary", "Accept-Encoding") in packed.headers and ("vary", "Accept-Encoding") in plain.headers, path
        assert len(packed.body) < len(plain.body) / 2
        unpacked = gzip.decompress(packed.body)
        assert unpacked == plain.body if path == "/" else len(unpacked) > len(plain.body) / 2


def test_methods_and_paths(api):
    for path in PATHS:
        head, options, post = (ask(api, path, method) for method in ("HEAD", "OPTIONS", "POST"))
        assert head.status == 200 and int(head.header("content-length")) > 100 and head.body == b"", path
        assert options.status == 204 and "GET" in options.header("allow"), path
        assert post.status == 405 and "GET" in post.header("allow"), path
        assert api.get(path).status == 404, path  # consumers see nothing of it
    assert ask(api, "/metrics/x").status == 404 and ask(api, "/one").status == 404
    etag = ask(api, "/").header("etag")
    assert ask(api, "/", If_None_Match=etag).status == 304


def test_no_page_of_another_origin_reads_it(api):
    assert api.get("/one", {"Origin": "https://app.example"}).header("access-control-allow-origin")
    for path in PATHS:
        answer = ask(api, path, Origin="https://app.example")
        assert answer.header("access-control-allow-origin") is None and answer.header("x-content-type-options") == "nosniff", path


class Parts(html.parser.HTMLParser):
    """What a page has: the texts within script and style, and every reference."""

    def __init__(self, text):
        super().__init__(convert_charrefs=False)
        self.texts, self.references, self.inline, self.within = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.within = tag if tag in ("script", "style") else None
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]
        self.references += [(tag, value) for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        if self.within:
            self.texts.append([tag, ""])

    def handle_endtag(self, tag):
        self.within = None

    def handle_data(self, data):
        if self.within:
            self.texts[-1][1] += data


def test_no_page_whose_name_was_led_here_reads_it(api):
    """DNS rebinding: to the browser its origin is this one."""
    for host in ("evil.example", "evil.example:8081", "localhost.evil.example", "127.0.0.1.evil.example:80", "evil.example."):
        assert {path: ask(api, path, Host=host).status for path in PATHS} == dict.fromkeys(PATHS, 421), host
        assert ask(api, "/healthz", Host=host).status == 200
    for host in ("127.0.0.1", f"127.0.0.1:{api.admin}", "[::1]:80", "[::1]", "localhost", "LOCALHOST:8081", "a.localhost", "10.1.2.3", ""):
        assert ask(api, "/stats", Host=host).status == 200, host


def test_the_page_is_whole_and_strict(api):
    """Nothing is loaded from anywhere, and only what stands in it may run: each script and style has its hash."""
    answer = ask(api, "/")
    assert answer.status == 200 and answer.header("content-type") == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.header("content-security-policy").split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'" and not re.search(r"unsafe|\*|http", answer.header("content-security-policy"))
    page = Parts(answer.text)
    assert [tag for tag, _ in page.texts] == ["style", "script", "script"] and page.inline == []
    for tag, text in page.texts:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[f"{tag}-src"], tag
    assert all(value.startswith(("data:", "#", "/")) and not value.startswith("//") for _, value in page.references), page.references
    assert not re.search(r"sourceMappingURL|@import|url\(", "".join(text for _, text in page.texts))


@pytest.mark.parametrize("settings", ["offload off;", "compress off;"])
def test_without_threads_or_compression(make_perfd, db, settings):
    api = make_perfd(CONF, db, workers=1, settings=settings).start()
    api.get("/n/1")
    answer = ask(api, "/stats", Accept_Encoding="gzip")
    assert answer.status == 200 and (answer.header("content-encoding") == "gzip") == (settings == "offload off;")
    body = gzip.decompress(answer.body) if settings == "offload off;" else answer.body
    assert routes_of(json.loads(body))["GET /n/{n}"]["requests"] == 1

"""perfd.conf as an admin meets it: -t, -T, --help-config, reload."""
import re

import pytest

from lib.perfd import PERFD, ROOT, run

GOOD = 'route GET /one { query "SELECT 1 AS one"; result row; }\n'


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("config", "CREATE TABLE items (id int PRIMARY KEY, name text)")


def refused(perfd, where, *words):
    """-t exits 2 and says file:line:column and every one of the words."""
    result = perfd.check()
    said = result.out + result.err
    assert result.code == 2, result
    line, column = where
    name = perfd.conf_file
    pattern = re.escape(name) + (rf":{line}:{column}: " if column else rf":{line}:\d+: ")
    assert re.search(pattern, said), (pattern, said)
    for word in words:
        assert word in said, (word, said)
    return said


def test_a_good_file_is_accepted(make_perfd, db):
    result = make_perfd(GOOD, db).check()
    assert result.code == 0, result


@pytest.mark.parametrize("text, at, words", [
    ("lisen 127.0.0.1:1;", "lisen", ["lisen", "listen"]),
    ("route GET /x { qury \"SELECT 1\"; }", "qury", ["qury", "query"]),
    ("route GET /x { query \"SELECT 1\"; timeout 3parsecs; }", "3parsecs", ["3parsecs"]),
    ("request_timeout 5MB;", "5MB", ["5MB"]),
    ("max_body 3s;", "3s", ["3s"]),
    ("route FETCH /x { query \"SELECT 1\"; }", "FETCH", ["FETCH"]),
    ("route GET /x { query \"SELECT 1\"; result many; }", "many", ["many"]),
    ("route GET /x { query \"SELECT 1\"; status 99; }", "99", ["99"]),
    ("route GET /x { query \"SELECT 1\"; bigint maybe; }", "maybe", ["maybe"]),
    ("log_level loud;", "loud", ["loud"]),
], ids=["unknown directive", "unknown in a block", "wrong unit", "size for a time", "time for a size", "wrong method",
        "wrong result", "status out of bounds", "wrong switch", "wrong word"])
def test_a_wrong_word_is_named_where_it_stands(make_perfd, db, text, at, words):
    perfd = make_perfd(GOOD + text + "\n", db)
    refused(perfd, perfd.line_of(at), *words)


def test_out_of_bounds_says_the_bounds(make_perfd, db):
    perfd = make_perfd(GOOD, db, workers=100000)
    said = refused(perfd, perfd.line_of("100000"), "100000")
    assert re.search(r"\b1\b", said), said


def test_an_unclosed_block_is_named_where_it_began(make_perfd, db):
    perfd = make_perfd('route GET /x {\n    query "SELECT 1";\n', db)
    refused(perfd, (perfd.line_of("route GET /x")[0], None))


def test_an_unclosed_quote_is_named_where_it_began(make_perfd, db):
    perfd = make_perfd('route GET /x {\n    query "SELECT 1;\n    result row;\n}\n', db)
    refused(perfd, perfd.line_of('"SELECT'))


def test_a_missing_semicolon_is_named(make_perfd, db):
    perfd = make_perfd('route GET /x {\n    query "SELECT 1"\n}\n', db)
    refused(perfd, (perfd.line_of("query")[0], None), ";")


def test_a_directive_given_twice_is_refused(make_perfd, db):
    perfd = make_perfd("max_body 1MB;\nmax_body 2MB;\n" + GOOD, db)
    refused(perfd, (perfd.line_of("max_body 2MB")[0], None), "max_body")


def test_a_missing_sql_file_is_named(make_perfd, db):
    perfd = make_perfd("route GET /x { sql absent.sql; }\n", db)
    refused(perfd, perfd.line_of("absent.sql"), "absent.sql")


def test_a_route_given_twice_is_refused(make_perfd, db):
    perfd = make_perfd(GOOD + 'route GET /one { query "SELECT 2 AS two"; }\n', db)
    refused(perfd, (perfd.line_of("SELECT 2")[0], None), "/one")


def test_an_include_loop_is_refused(make_perfd, db):
    perfd = make_perfd("include a.conf;\n", db, files={"a.conf": "include b.conf;\n", "b.conf": "include a.conf;\n"})
    result = perfd.check()
    assert result.code == 2, result
    assert re.search(r"[ab]\.conf:1:\d+: ", result.out + result.err), result


def test_included_files_are_read_relative_to_the_including_one(make_perfd, db):
    perfd = make_perfd("include conf.d/*.conf;\n", db, files={
        "conf.d/a.conf": 'route GET /a { sql a.sql; result row; }\n', "conf.d/a.sql": "SELECT 1 AS a",
        "conf.d/b.conf": 'route GET /b { query "SELECT 1 AS b"; result row; }\n'})
    assert perfd.check().code == 0
    perfd.start()
    assert perfd.get("/a").json() == {"a": 1}
    assert perfd.get("/b").json() == {"b": 1}


def test_an_error_in_an_included_file_names_that_file(make_perfd, db):
    perfd = make_perfd("include more.conf;\n", db, files={"more.conf": "# one\n  lisen 1;\n"})
    result = perfd.check()
    assert result.code == 2 and re.search(r"more\.conf:2:3: ", result.out + result.err), result


def test_the_environment_is_expanded(make_perfd, db):
    conf = """route GET /x { query "SELECT '${IT_WORD:-default}' AS word, '${IT_OTHER:-other}' AS other"; result row; }\n"""
    perfd = make_perfd(conf, db, env={"IT_WORD": "environment"}).start()
    assert perfd.get("/x").json() == {"word": "environment", "other": "other"}


def test_an_unset_name_without_default_is_refused(make_perfd, db):
    perfd = make_perfd("max_body ${IT_NOT_SET};\n" + GOOD, db)
    refused(perfd, (perfd.line_of("IT_NOT_SET")[0], None), "IT_NOT_SET")


def test_single_quotes_keep_the_environment_out(make_perfd, db):
    perfd = make_perfd("""route GET /x { query 'SELECT $$${IT_WORD}$$ AS word'; result row; }\n""", db,
                       env={"IT_WORD": "wrong"}).start()
    assert perfd.get("/x").json() == {"word": "${IT_WORD}"}


def test_sql_that_postgresql_refuses_is_named_in_the_file(make_perfd, db):
    perfd = make_perfd("route GET /x { sql bad.sql; }\n", db,
                       files={"bad.sql": "-- about :nothing\nSELECT id,\n       nmae\nFROM items\nWHERE id = :id\n"})
    result = perfd.check()
    assert result.code == 2, result
    assert re.search(r'bad\.sql:3:8: .*column "nmae" does not exist', result.out + result.err), result


def test_sql_that_postgresql_refuses_is_named_in_perfd_conf(make_perfd, db):
    perfd = make_perfd('route GET /x {\n    query "SELECT absent\n           FROM items";\n}\n', db)
    result = perfd.check()
    line, column = perfd.line_of("absent")
    assert result.code == 2, result
    assert re.search(rf'perfd\.conf:{line}:{column}: .*column "absent" does not exist', result.out + result.err), result


def test_a_parameter_without_a_type_is_explained(make_perfd, db):
    perfd = make_perfd('route GET /x { query "SELECT id FROM items WHERE :f IS NULL OR id = :f"; }\n', db)
    refused(perfd, perfd.line_of(":f IS NULL"), "needs a cast", ":id::int8")


def test_a_default_that_its_type_refuses(make_perfd, db):
    perfd = make_perfd('route GET /x { query "SELECT name FROM items LIMIT :many"; param many default=ten; }\n', db)
    refused(perfd, perfd.line_of("many default"), '"ten"', "integer")


def test_path_names_must_be_parameters_of_the_query(make_perfd, db):
    perfd = make_perfd('route GET /x/{ident} { query "SELECT id FROM items WHERE id = :id"; }\n', db)
    refused(perfd, (perfd.line_of("/x/{ident}")[0], None), "ident")


def test_without_a_database_the_text_is_still_checked(make_perfd):
    nowhere = "postgresql:///none?host=/tmp/perfd-it-no-such-folder"
    result = make_perfd(GOOD, nowhere).check()
    assert result.code == 0, result
    perfd = make_perfd("""route GET /x { query "SELECT 'open"; }\n""", nowhere)
    refused(perfd, (perfd.line_of("SELECT 'open")[0], None))


EVERYTHING = """
max_body 2MB; max_uri 4KB; request_timeout 20s; shutdown_timeout 5s; keepalive_min 1s;
route GET /items/{id} {
    sql item.sql; result row; cache ttl=90s tti=1500ms tags=item:{id},items; timeout 250ms; bigint string;
    param id min=1 max=1000;
}
route GET /items {
    query "SELECT id, name FROM items WHERE name ~ :q LIMIT :limit";
    param limit default=50 min=1 max=200; param q pattern="^[a-z ;]*$" max_length=20 required;
    cache off;
}
route POST /items { query "INSERT INTO items VALUES (:id, :name)"; result none; invalidates items item:{id}; errors verbose; }
"""


def test_the_effective_configuration_parses_again_and_hides_passwords(make_perfd, pg, db):
    files = {"item.sql": "SELECT id, name\nFROM items WHERE id = :id -- one\n"}
    perfd = make_perfd(EVERYTHING, pg.url("config", password="s3cret"), files=files, cache="size 32MB; entries 500;")
    printed = perfd.command("-T")
    assert printed.code == 0, printed
    assert "s3cret" not in printed.out + printed.err
    assert "***" in printed.out
    again = make_perfd(printed.out, db, files=files)
    again.configure(printed.out, whole=True)
    checked = again.check()
    assert checked.code == 0, (checked, printed.out)
    assert again.command("-T").out == printed.out


def test_help_lists_every_directive():
    printed = run(PERFD, "--help-config")
    assert printed.code == 0, printed
    for name in ("listen admin workers run_dir access_log error_log log_level max_body max_uri keepalive_min "
                 "request_timeout shutdown_timeout include database url pool connect_timeout statement_timeout listen_url slow_query slow_query_params redis "
                 "timeout prefix connections max_value cache size entries ttl tti ttl_without_listener route sql query result status invalidates share bigint errors "
                 "param page combine").split():
        assert re.search(rf"(?m)^\s*{name}\b", printed.out), f"{name} is not explained\n{printed.out}"


def test_version_and_wrong_usage():
    assert run(PERFD, "-V").code == 0
    assert run(PERFD, "--no-such-option").code not in (0, 3)
    missing = run(PERFD, "-c", "/tmp/perfd-it-absent.conf", "-t")
    assert missing.code == 2 and "/tmp/perfd-it-absent.conf" in missing.err + missing.out, missing


def test_the_shipped_file_is_good(pg):
    pg.create_database("shipped")  # without tables: only -t's words about them may differ
    result = run(PERFD, "-c", f"{ROOT}/perfd.conf", "-t", env={"PERFD_DATABASE_URL": "postgresql:///x?host=/nonexistent"})
    assert result.code == 0, result


BAD_FILES = [("lisen 1;", "lisen"), ("route GET /two { query \"SELECT absent\"; }", "absent"),
             ("route GET /two { sql absent.sql; }", "absent.sql"), ("max_body 1parsec;", "1parsec")]


@pytest.mark.parametrize("text, at", BAD_FILES, ids=["unknown directive", "bad query", "missing file", "bad unit"])
def test_a_bad_file_on_reload_changes_nothing(make_perfd, db, text, at):
    perfd = make_perfd(GOOD, db).start()
    workers = perfd.worker_pids()
    result = perfd.reload(GOOD.replace("/one", "/changed") + text + "\n")
    line, column = perfd.line_of(at)
    assert result.code not in (0, 3, 64), result
    assert f"perfd.conf:{line}:{column}: " in result.out + result.err, result
    assert perfd.log_contains(f"perfd.conf:{line}:{column}: ")
    assert perfd.worker_pids() == workers
    assert perfd.get("/one").json() == {"one": 1}
    assert perfd.get("/changed").status == 404


def test_a_bad_file_on_sighup_changes_nothing(make_perfd, db):
    perfd = make_perfd(GOOD, db).start()
    workers = perfd.worker_pids()
    perfd.configure("lisen 1;")
    perfd.sighup()
    assert perfd.log_contains("lisen")
    assert perfd.get("/one").status == 200
    assert perfd.worker_pids() == workers


def test_a_good_file_on_reload_applies(make_perfd, db):
    perfd = make_perfd(GOOD, db).start()
    result = perfd.reload('route GET /two { query "SELECT 2 AS two"; result row; }\n')
    assert result.code == 0, result
    for _ in range(20):  # every worker
        assert perfd.get("/two").json() == {"two": 2}
        assert perfd.get("/one").status == 404


def test_a_changed_route_does_not_answer_from_the_old_cache(make_perfd, db):
    perfd = make_perfd('route GET /one { query "SELECT 1 AS one"; result row; cache ttl=300s; }\n', db).start()
    assert [perfd.get("/one").json() for _ in range(2)] == [{"one": 1}] * 2
    assert perfd.reload('route GET /one { query "SELECT 11 AS one"; result row; cache ttl=300s; }\n').code == 0
    assert [perfd.get("/one").json() for _ in range(10)] == [{"one": 11}] * 10


def test_a_change_that_needs_a_restart_is_refused_and_said(make_perfd, db):
    perfd = make_perfd(GOOD, db).start()
    perfd.head = perfd.head.replace(perfd.run_dir, perfd.run_dir + "2")
    result = perfd.reload(GOOD)
    assert result.code not in (0, 3, 64) and "run_dir" in result.out + result.err, result
    assert perfd.get("/one").status == 200

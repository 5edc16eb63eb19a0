"""perfctl config: what is in force, and whether the files still say so."""
import json
import re
import socket

import pytest

ROUTE = 'route GET /one { query "SELECT 1 AS one"; result row; cache ttl=%s; }\n'


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("effective")


@pytest.fixture
def api(make_perfd, db):
    return make_perfd(ROUTE % "60s", db, files={"two.sql": "SELECT 2 AS two"}).start()


def config(api):
    """What is in force, as perfctl and its JSON tell it alike."""
    document, text = api.perfctl_json("config"), api.perfctl("config")
    assert document["schema"] == "perfctl.config/1" and text.code == 0 and not text.err, text
    told = re.match(r"# Configuration (\d+), read at (\S+Z) from (.*)\n(?:# The files have changed(.*)\n)?", text.out)
    assert int(told[1]) == document["generation"] and told[3] == document["file"] == api.conf_file
    assert (told[4] is not None) == document["changed"]
    assert text.out[told.end():] == document["text"]
    return document


def test_it_is_what_perfd_prints_and_reads_again(api):
    document = config(api)
    assert document["text"] == api.command("-T").out == api.perfctl("config", "--file").out
    assert not document["changed"] and document["error"] is None and document["generation"] == 1
    api.configure(document["text"], whole=True)
    assert api.check().code == 0


def test_a_password_is_hidden(make_perfd):
    api = make_perfd("", "postgresql://me:hidden-word@127.0.0.1:1/none").start("/healthz")
    text = config(api)["text"]
    assert "hidden-word" not in text and "***" in text


def test_a_change_is_told_until_it_is_in_force(api):
    old = config(api)["text"]
    api.configure(ROUTE % "61s")
    changed = config(api)
    assert changed["changed"] and changed["text"] == old and "61s" not in old
    assert "ttl=61s" in api.perfctl("config", "--file").out
    assert api.perfctl("reload").code == 0
    now = config(api)
    assert not now["changed"] and now["generation"] == 2 and "ttl=61s" in now["text"]


def test_a_query_s_file_counts_too(api):
    assert api.reload("route GET /two { sql two.sql; result row; }\n").code == 0
    assert not config(api)["changed"]
    api.write("two.sql", "SELECT 22 AS two")
    assert config(api)["changed"]


def test_a_file_with_an_error_is_told_and_what_is_in_force_stays(api):
    api.configure("no_such_directive on;\n")
    line, column = api.line_of("no_such_directive")
    told = config(api)
    assert told["changed"] and told["error"].startswith(f"{api.conf_file}:{line}:{column}: "), told
    assert "GET /one" in told["text"]
    assert api.perfctl("config", "--file").code == 1


def test_file_goes_with_config_alone(api):
    assert api.perfctl("stats", "--file").code == 64


class Asker:
    """A client of the control socket that reads when it is told to."""

    def __init__(self, api):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{api.run_dir}/control.sock")
        self.socket.settimeout(10)
        self.socket.sendall(b'{"command":"config"}\n')

    def read(self):
        parts = []
        while part := self.socket.recv(1 << 16):
            parts.append(part)
        return b"".join(parts)


@pytest.mark.once
def test_a_large_one_waits_for_its_reader_and_the_master_for_nobody(make_perfd, db):
    """3 MB are more than a socket's buffer; more askers than the master has places for."""
    many = "".join(f'route GET /r{i} {{ query "SELECT {i} AS n -- {"x" * 3000}"; result row; }}\n' for i in range(1000))
    api = make_perfd(many, db).start()
    slow = [Asker(api) for _ in range(15)]
    assert api.perfctl("ping", timeout=5).code == 0
    document = json.loads(slow[14].read())
    assert document["text"] == api.command("-T").out and len(document["text"]) > 3_000_000
    slow[13].socket.close()
    assert api.reload().code == 0
    more = [Asker(api) for _ in range(20)]
    assert api.perfctl("ping", timeout=5).code == 0
    assert json.loads(more[19].read())["generation"] == 2
    for asker in slow + more:
        asker.socket.close()
    assert len(config(api)["text"]) > 3_000_000

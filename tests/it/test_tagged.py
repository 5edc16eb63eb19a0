"""Requests that carry a tag, while sessions are ended, queries cancelled and all connections cut: none is ever answered
with another's rows. A short run here; TAGGED sets the number of requests."""
import contextlib
import json
import os
import random
import subprocess
import tempfile
import threading
import types

import psycopg2
import pytest

from lib.perfd import BUILD, ROOT
from lib.process import eventually

REQUESTS = int(os.environ.get("TAGGED", "60000"))
CONF = 'route GET /tag/{n} { query "SELECT :n::int8 AS tag"; result row; }\n'
LONGEST_MS = 4500  # request_timeout, and a busy machine
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def client():
    program = f"{BUILD}/tests/bench/tagged"
    subprocess.run(["make", "-s", "-C", ROOT, f"MODE={os.path.basename(BUILD)}", program.removeprefix(f"{ROOT}/")],
                   check=True, stdout=subprocess.DEVNULL)
    return program


class Passage:
    """A program between perfd and PostgreSQL whose end cuts all connections at once."""

    def __init__(self, folder, server):
        self.path, self.server_path = f"{folder}/.s.PGSQL.5432", f"{server.folder}/.s.PGSQL.5432"
        self.program = f"{folder}/passage"
        subprocess.run(["cc", "-O2", f"{ROOT}/tests/bench/peers/delay.c", "-o", self.program, "-levent"], check=True)
        self.process = None

    def open(self):
        self.process = subprocess.Popen([self.program, self.path, self.server_path, "0"])
        assert eventually(lambda: os.path.exists(self.path))
        os.chmod(self.path, 0o777)

    def close(self):
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


@pytest.fixture
def passage(pg):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        way = Passage(folder, pg)
        way.open()
        yield way
        way.close()


class Trouble:
    """One fault after the other, until the block ends."""

    def __init__(self, db, passage):
        self.db, self.passage = db, passage
        self.counts = {"terminate": 0, "cancel": 0, "cut": 0}
        self.enough = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.enough.set()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def _run(self):
        first = list(self.counts)
        while not self.enough.wait(random.uniform(0.02, 0.2)):
            what = first.pop() if first else random.choices(["terminate", "cancel", "cut"], [4, 4, 1])[0]
            if what == "cut":
                self.passage.close()
                self.passage.open()
            else:
                with contextlib.suppress(psycopg2.Error):
                    self.db.run(f"SELECT pg_{what}_backend(pid) FROM pg_stat_activity WHERE application_name = 'perfd' "
                                f"AND datname = current_database() AND random() < {random.choice([0.3, 1])}")
            self.counts[what] += 1


def test_an_answer_is_its_own_requests(make_perfd, pg, passage, client, well):
    db = pg.create_database("tagged")
    behind = types.SimpleNamespace(url=db.url.replace(pg.folder, os.path.dirname(passage.path)))
    api = make_perfd(CONF, behind, pool="statement_timeout 1s; pool max=4 min=2 acquire_timeout=1s;",
                     settings="request_timeout 4s;")
    api.head = api.head.replace(f"access_log {api.access_log};", "access_log off;")
    api.configure(CONF)
    api.start()
    with Trouble(db, passage) as trouble:
        done = subprocess.run([client, str(api.port), "/tag", str(REQUESTS)], capture_output=True, text=True, check=False)
    last = json.loads(done.stdout.splitlines()[-1])
    print(last, trouble.counts, {name: api.stat(name) for name in ("pool_repeated", "pool_opened", "pool_pipelined")})
    assert done.returncode == 0 and not done.stderr, done
    # Refusals are quick: a single outage can take most of the requests.
    assert last["requests"] == REQUESTS and last["right"] > 0.03 * REQUESTS, last
    assert last["longest_ms"] < LONGEST_MS, last
    assert all(count > 0 for count in trouble.counts.values()) or REQUESTS < 50000, trouble.counts
    assert eventually(lambda: api.get("/tag/7").json() == {"tag": 7}, 3)

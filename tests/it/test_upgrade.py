"""A new binary takes the place of the old one: no request fails, the cache stays warm, and what goes wrong changes
nothing."""
import json
import os
import signal
import socket
import socket
import threading
import time

import pytest

from lib.http_client import request_once
from lib.load import Load
from lib.perfd import BUILD, PERFD, ROOT, SANITIZED, run
from lib.ports import free_ports
from lib.process import alive, children, eventually, name_of, tell
from lib.upgrade import OTHER_LAYOUT, Adopted, Upgradable
from lib.workers import connect_to
from test_systemd import listening, passing

pytestmark = pytest.mark.rare

SCHEMA = """
CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO items SELECT i, 0 FROM generate_series(1, 9) i;
CREATE TABLE knob AS SELECT 15.0::float8 AS s;
"""
CONF = """
keepalive_min 500ms;
route GET /items/{id} { query "SELECT id, n FROM items WHERE id = :id::int"; result row;
                        cache ttl=1h tti=1h tags=item:{id}; }
route POST /items/{id} { query "UPDATE items SET n = n + 1 WHERE id = :id::int RETURNING n"; result row; status 200;
                         invalidates item:{id}; }
route GET /pid { query "SELECT 1 AS one"; result row; }
route POST /later/{id} { query "UPDATE items SET n = n + 1 WHERE id = :id::int AND pg_sleep(1) IS NOT NULL RETURNING n";
                         result row; status 200; invalidates item:{id}; }
route GET /slow { query "SELECT pg_sleep(s), 1 AS one FROM knob"; result row; timeout 20s; cache ttl=1h tti=1h; }
route GET /sleep { query "SELECT pg_sleep(:s), 1 AS one"; result row; timeout 20s; }
"""
TAKEN_OVER = "a new perfd has just taken over; ask again"
UPGRADES = int(os.environ.get("UPGRADES", "3"))


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("upgrade", SCHEMA)


@pytest.fixture
def make(db):
    made = []

    def started(conf=CONF, **kwargs):
        perfd = Upgradable(conf, db, **kwargs)
        made.append(perfd)
        return perfd.start()
    yield started
    for perfd in made:
        perfd.finish()


def raw(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        client.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
        return client.recv(4096).decode()


def targets(thread, turn):
    return [("GET", "/items/1", None), ("POST", f"/items/{2 + thread}", {}), ("GET", "/pid", None)][(thread + turn) % 3]


def connect_to_control(api):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(f"{api.run_dir}/control.sock")
    return sock


def title_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as cmdline:
            return cmdline.read().rstrip("\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Watch:
    """perfctl ping, time and again, for as long as the block lasts."""

    def __init__(self, api):
        self.api, self.failed, self.times = api, [], 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.is_set():
            result = self.api.perfctl("ping")
            self.times += 1
            if result.code != 0:
                self.failed.append(result)
            time.sleep(0.05)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)


def test_upgrades_under_load_lose_nothing(make):
    api = make()
    masters = {api.process.pid}
    requests = 0
    with Load(api.port, targets, threads=2) as kept, Load(api.port, targets, threads=2, fresh=True) as fresh, \
            Watch(api) as watch:
        for _ in range(UPGRADES):
            kept.wait_for(100, within=30)
            before = api.stat("requests")
            assert before >= requests, "counters fell"
            api.install(PERFD)
            result = api.upgrade()
            assert result.code == 0 and "it goes on with the shared memory" in result.out, (result, api.log())
            second = run(PERFD, "-c", api.conf_file, cwd=api.folder)
            assert second.code == 3 and "another perfd" in second.err, second
            requests = api.stat("requests")
            assert requests >= before, "counters fell"
            masters.add(api.process.pid)
            fresh.wait_for(100, within=30)
        assert api.old_ended() == 0
    assert not kept.failed and not fresh.failed, (kept.failed[:3], fresh.failed[:3])
    assert not kept.wrong and not fresh.wrong, (kept.wrong[:3], fresh.wrong[:3])
    assert not watch.failed and watch.times > UPGRADES, watch.failed[:2]
    assert len(masters) == UPGRADES + 1
    assert len(api.events("upgraded")) == 2 * UPGRADES
    print(f"{UPGRADES} upgrades, {kept.answered + fresh.answered} requests, longest {max(kept.longest, fresh.longest):.3f} s")


def test_who_had_connected_to_the_old_master_is_answered_by_it_and_obeyed_no_more(make):
    api = make()
    with api.connect() as kept:
        kept.send("GET", "/sleep?s=1.5")  # it lives for so long
        early = [connect_to_control(api) for _ in range(2)]
        assert api.upgrade().code == 0
        for sock, command, answer in zip(early, ("ping", "stop"), ({"ok": True}, {"ok": False, "error": TAKEN_OVER})):
            sock.sendall(json.dumps({"command": command}).encode() + b"\n")
            with sock, sock.makefile() as lines:
                assert json.loads(lines.readline()) == answer
        assert kept.read().status == 200
    assert api.old_ended() == 0 and api.get("/pid").status == 200


def test_the_cache_stays_warm_and_writes_through_either_reach_it(make):
    api = make()
    api.get("/items/1")
    assert "HIT" in api.get("/items/1").header("server-timing")
    with api.connect() as old, api.connect() as other:
        assert old.request("GET", "/items/9").status == 200
        before = api.stat("cache_hits")
        assert api.upgrade().code == 0
        response = api.get("/items/1")
        assert response.json() == {"id": 1, "n": 0} and "HIT" in response.header("server-timing")
        # The old worker finishes what it has; a write through it is seen by the new ones.
        answer = old.request("POST", "/items/1", {})
        assert answer.status == 200 and answer.header("connection") == "close"
        assert api.get("/items/1").json() == {"id": 1, "n": 1}
    assert api.stat("cache_hits") > before
    assert api.old_ended() == 0


def test_the_end_of_the_old_workers_blanks_no_figure_of_the_new_ones(make):
    api = make()
    with api.connect() as under_way:
        under_way.send("GET", f"/sleep?s={5 if SANITIZED else 3}")
        assert eventually(lambda: api.stat("in_flight") == 1)
        assert api.upgrade().code == 0
        new = set(api.worker_pids())

        def shown():
            return {worker["pid"] for worker in api.perfctl_json("workers")["workers"]}

        assert eventually(lambda: shown() == new)
        assert alive(api.before.pid), "its worker has ended before this could be seen"
        while api.before.poll() is None:
            assert shown() == new
        assert shown() == new
        assert under_way.read().status == 200


def test_usr2_does_the_same_and_a_reload_meanwhile_is_refused(make):
    api = make()
    old = api.process
    tell(old.pid, signal.SIGUSR2)
    assert eventually(lambda: "is checked and started" in api.log())
    result = api.perfctl("reload")
    assert result.code != 0 and "an upgrade is under way" in result.err or api.master_pid() != old.pid
    assert eventually(lambda: api.master_pid() != old.pid, 10), api.log()
    api.follow()
    assert api.old_ended() == 0
    assert api.reload(CONF + 'route GET /new { query "SELECT 2 AS two"; result row; }\n').code == 0
    assert api.get("/new").json() == {"two": 2}
    assert eventually(lambda: [title_of(pid)[-7:] for pid in api.worker_pids()] == ["(gen 3)"] * 2), api.worker_pids()


@pytest.mark.parametrize("script, says", [
    ("exit 1", "ended with status 1"),
    ("echo 'perfd: this is broken' >&2; exit 2", "this is broken"),
    ("kill -SEGV $$", "was killed by SIGSEGV"),
    ("sleep 60", "-t took longer than 0.3 s"),
    ('[ "$1" = -t ] && exit 0; exit 3', "the new perfd ended with status 3"),
    ('[ "$1" = -t ] && exit 0; exec sleep 60', "was not ready within 0.3 s"),
], ids=["exits", "says why", "crashes", "hangs in the check", "exits later", "hangs later"])
def test_a_broken_binary_changes_nothing(make, script, says):
    api = make(settings="upgrade_timeout 300ms;")
    workers = api.worker_pids()
    api.get("/items/1")
    api.install_script(script + "\n")
    with Load(api.port, targets, threads=2) as load:
        result = api.upgrade()
        assert result.code == 1 and says in result.err, result
        load.wait_for(50)
    assert not load.failed and not load.wrong, (load.failed[:3], load.wrong[:3])
    assert api.worker_pids() == workers and api.master_pid() == api.process.pid
    assert eventually(lambda: len(children(api.process.pid)) == len(workers) + 1), "the new one lives on"
    assert says in api.events("upgrade_refused")[-1]["text"]
    assert "HIT" in api.get("/items/1").header("server-timing")
    api.configure(CONF, whole=False)
    assert api.reload().code == 0
    api.install(PERFD)
    api.configure(api.head.replace("upgrade_timeout 300ms;", "") + CONF, whole=True)
    assert api.reload().code == 0
    assert api.upgrade().code == 0, api.log()


def test_a_configuration_that_the_new_one_cannot_start_with_changes_nothing(make):
    api = make()
    workers = api.worker_pids()
    api.configure(CONF.replace("SELECT 1", "SELEKT 1"))
    result = api.upgrade()
    assert result.code == 1 and "SELEKT" in result.err, result
    # Good in itself, but its log cannot be opened by workers.
    api.configure(api.head.replace(api.access_log, f"{api.folder}/none/access.log") + CONF, whole=True)
    result = api.upgrade()
    assert result.code == 1 and "its workers could not start" in result.err, result
    api.configure(api.head.replace(api.error_log, f"{api.folder}/none/error.log") + CONF, whole=True)
    result = api.upgrade()
    assert result.code == 1 and "none/error.log: No such file" in result.err, result
    api.configure(api.head.replace(api.run_dir, f"{api.folder}/elsewhere") + CONF, whole=True)
    result = api.upgrade()
    assert result.code == 1 and "that needs a restart" in result.err, result
    assert api.worker_pids() == workers and api.get("/pid").status == 200
    api.configure(CONF)
    assert api.upgrade().code == 0


def test_the_old_one_serves_until_the_new_workers_are_ready(make, pg, well):
    """They wait for a database that does not answer, until it counts as down."""
    api = make(pool="connect_timeout 1s;")
    api.get("/items/1")
    api.install_script(f'[ "$1" = -t ] && exit 0; exec {PERFD} "$@"\n')  # the check would wait, too
    pg.pause()
    tell(api.process.pid, signal.SIGUSR2)
    assert api.wait_for_heir(), api.log()
    time.sleep(0.4)
    assert api.master_pid() == api.process.pid, "its workers cannot be ready yet"
    assert api.get("/items/1").status == 200
    assert eventually(lambda: api.master_pid() != api.process.pid, 10), api.log()
    api.follow()


# ---- deaths in the middle

def stop_in_the_middle(api, workers):
    """An upgrade whose new master stands still, with so many workers started, and has not taken over."""
    tell(api.process.pid, signal.SIGUSR2)
    heir = api.wait_for_heir()
    assert heir, api.log()
    assert eventually(lambda: len(children(heir)) >= workers, 20, every=0.0005)
    tell(heir, signal.SIGSTOP)
    assert api.master_pid() == api.process.pid, "it was too fast for this test"
    return heir


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_in_the_middle_the_new_one_changes_nothing(make, workers):
    api = make()
    before = api.worker_pids()
    api.get("/items/1")
    with Load(api.port, targets, threads=2) as kept, Load(api.port, targets, threads=2, fresh=True) as fresh:
        heir = stop_in_the_middle(api, workers)
        started = [pid for pid in children(heir) if name_of(pid) == "perfd-worker"]
        tell(heir, signal.SIGKILL)
        assert api.log_contains("upgrade refused: the new perfd was killed by SIGKILL")
        assert api.log_contains("the processes of the other perfd have ended", within=10)
        assert eventually(lambda: not [pid for pid in started if alive(pid)], 1), "it is seen to have closed its files before"
        kept.wait_for(50)
        fresh.wait_for(50)
        assert api.worker_pids() == before and api.master_pid() == api.process.pid
        assert "HIT" in api.get("/items/1").header("server-timing")
        assert api.upgrade().code == 0, api.log()
        kept.wait_for(50)
    assert not kept.failed and not fresh.failed, (kept.failed[:3], fresh.failed[:3])
    assert not kept.wrong and not fresh.wrong, (kept.wrong[:3], fresh.wrong[:3])
    assert api.stat("restarts") == 0


def test_killed_in_the_middle_the_old_one_is_followed(make):
    api = make()
    api.get("/items/1")
    with Load(api.port, targets, threads=2) as kept, Load(api.port, targets, threads=2, fresh=True) as fresh:
        kept.wait_for(50)
        heir = stop_in_the_middle(api, 1)
        api.kill_master()
        tell(heir, signal.SIGCONT)
        assert eventually(lambda: api.master_pid() == heir, 10), api.log()
        api.process = Adopted(heir)
        kept.wait_for(100)
        fresh.wait_for(100)
        assert api.log_contains("the processes of the other perfd have ended", within=10)
    assert not kept.failed and not fresh.failed, (kept.failed[:3], fresh.failed[:3])
    assert not kept.wrong and not fresh.wrong, (kept.wrong[:3], fresh.wrong[:3])
    assert "HIT" in api.get("/items/1").header("server-timing")
    assert api.perfctl("ping").code == 0 and eventually(lambda: len(api.worker_pids()) == 2)
    assert api.upgrade().code == 0


def test_what_a_killed_master_s_workers_leave_is_cleared_up(make, db):
    """A fetch of a worker whose master is dead, too: who waits for it in the new one's workers fetches for itself."""
    api = make()
    fetches, lives_on = api.worker_pids()
    with connect_to(api, fetches, "/pid") as old, connect_to(api, lives_on, "/pid") as other:
        old.send("GET", "/slow")
        other.send("GET", "/sleep?s=15")
        assert eventually(lambda: api.stat("in_flight") == 2)
        assert api.upgrade().code == 0
        db.run("UPDATE knob SET s = 0")
        with api.connect() as waiter:
            waiter.send("GET", "/slow")
            assert eventually(lambda: api.stat("cache_waiting") == 1), "it does not wait for the other one's fetch"
            api.before.kill()
            time.sleep(0.1)
            began = time.monotonic()
            tell(fetches, signal.SIGKILL)
            assert waiter.read().status == 200
            assert time.monotonic() - began < 3
            assert alive(lives_on) and "have ended" not in api.log(), "it was not for this that it was noticed"
            tell(lives_on, signal.SIGKILL)
    assert api.log_contains("the processes of the other perfd have ended")


def test_a_retired_one_is_in_nobody_s_way(make):
    """It drains for as long as a request takes. Told to upgrade, it does not fall; and when the new master is killed
    meanwhile, the next perfd starts in its folder at once."""
    api = make()
    with api.connect() as under_way:
        under_way.send("GET", f"/sleep?s={8 if SANITIZED else 5}")
        assert eventually(lambda: api.stat("in_flight") == 1)
        assert api.upgrade().code == 0
        tell(api.before.pid, signal.SIGUSR2)
        assert api.log_contains("upgrade refused: perfd is stopping") and alive(api.before.pid)
        api.kill_master()
        api.start()
        assert alive(api.before.pid) and under_way.read().status == 200
    assert api.old_ended() == 0


@pytest.mark.parametrize("kind, sockets", [("v4", 1), ("reuse", 2)])
def test_the_service_manager_s_sockets_stay_its_own(db, kind, sockets):
    api = Upgradable(CONF, db)
    path = f"{api.folder}/front.sock"
    api.head = api.head.replace(f"listen 127.0.0.1:{api.port}", f"listen 127.0.0.1:{api.port} unix:{path}")
    api.configure(CONF)
    api.within = passing(f"{kind}={api.port}", f"unix={path}")
    try:
        api.start()
        for _ in range(2):
            assert api.upgrade().code == 0
            assert listening(api.process.pid, api.port) == sockets
            assert all(api.get("/pid").status == 200 for _ in range(10))
            assert api.old_ended() == 0
        assert api.reload().code == 0 and api.get("/pid").status == 200
        assert "HTTP/1.1 200" in raw(path)
        assert api.term() == 0 and os.path.exists(path), "it is the service manager's"
    finally:
        api.finish()


def test_an_address_that_comes_back_while_it_goes_is_there(make):
    api = make()
    other, = free_ports(1)
    head = api.head
    both = head.replace(f"listen 127.0.0.1:{api.port};", f"listen 127.0.0.1:{api.port} 127.0.0.1:{other};")
    for settings in (both, head):
        api.configure(settings + CONF, whole=True)
        assert api.reload().code == 0
    api.configure(both + CONF, whole=True)
    api.install_script(f'[ "$1" = -t ] || sleep 1.5; exec {PERFD} "$@"\n')
    assert api.upgrade().code == 0
    assert [request_once(other, "GET", "/pid", timeout=3).status for _ in range(10)] == [200] * 10


# ---- another layout

@pytest.fixture(scope="module")
def other_layout():
    done = run("make", "-s", f"MODE={os.path.basename(BUILD)}", os.path.relpath(OTHER_LAYOUT, ROOT), cwd=ROOT, timeout=300)
    assert done.code == 0, done
    return OTHER_LAYOUT


def test_with_another_layout_it_starts_cold_and_nothing_old_is_answered(make, other_layout):
    api = make(settings="keepalive_min 4s;", conf=CONF.replace("keepalive_min 500ms;", ""))
    with api.connect() as writer, api.connect() as reader:
        assert reader.request("GET", "/items/7").json()["n"] == 0
        assert reader.request("GET", "/items/8").json()["n"] == 0
        writer.send("POST", "/later/7", {})  # through the old one, and done when the new one serves
        api.install(other_layout)
        result = api.upgrade()
        assert result.code == 0 and "it starts cold" in result.out and "layout is another" in result.out, result
        new = api.connect()
        assert new.request("GET", "/items/7").json()["n"] == 0
        assert new.request("GET", "/items/7").json()["n"] == 0
        assert writer.read().json() == {"n": 1}
        assert new.request("GET", "/items/7").json()["n"] == 1, "the new one answers what the old one's write made stale"
        assert new.request("POST", "/items/8", {}).json() == {"n": 1}
        answer = reader.request("GET", "/items/8")
        assert answer.header("connection") == "close", "this is not the old one's connection"
        assert answer.json()["n"] == 1, "the old one answers what the new one's write made stale"
        assert api.old_ended() == 0
        assert api.log_contains("the processes of the other perfd have ended")
        assert new.request("GET", "/items/7").json()["n"] == 1
        assert "HIT" in new.request("GET", "/items/7").header("server-timing")
    assert api.upgrade().code == 0


@pytest.mark.once
def test_a_cold_one_that_dies_leaves_the_old_one_warm_again(make, other_layout):
    api = make()
    api.get("/items/1")
    api.install(other_layout)
    heir = stop_in_the_middle(api, 2)
    assert "HIT" not in api.get("/items/1").header("server-timing"), "both serve, and one answers from its cache"
    tell(heir, signal.SIGKILL)
    assert api.log_contains("the processes of the other perfd have ended", within=10)
    assert api.get("/items/1").status == 200
    assert "HIT" in api.get("/items/1").header("server-timing")
    assert api.perfctl("stats").code == 0 and api.stat("requests") > 0

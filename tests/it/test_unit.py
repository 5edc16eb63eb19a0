"""What scripts/install/perfd.service leaves perfd is enough for perfd."""
import os
import re
import signal
import sys

import pytest

from lib.perfd import ROOT, run
from lib.process import eventually
from lib.upgrade import Upgradable

UNIT = f"{ROOT}/scripts/install/perfd.service"
WITHIN = [sys.executable, f"{os.path.dirname(__file__)}/lib/walls.py", UNIT]
CONF = """
route GET /one { query "SELECT 1 AS one"; result row; cache ttl=60s; }
route POST /two { query "SELECT :n::int AS n"; result row; }
upstream self { url http://localhost:%d; }
route GET /far { upstream self /one; }
"""

pytestmark = pytest.mark.skipif(os.environ.get("MODE", "release") != "release",
                                reason="sanitizers do more than perfd: tried with the release build")


def test_the_walls_hold():
    assert run(*WITHIN, "true").code == 0
    assert run(*WITHIN, "setpriv", "--reuid", "1", "true").code != 0
    assert run(*WITHIN, sys.executable, "-c", "import socket; socket.socket(socket.AF_PACKET)").code != 0
    assert run(*WITHIN, sys.executable, "-c", "import mmap; mmap.mmap(-1, 4096, prot=7)").code != 0


@pytest.fixture
def perfd(pg, redis):
    perfd = Upgradable("", pg.create_database("unit"), redis, within=WITHIN)
    yield perfd
    perfd.finish()


def test_perfd_lives_within_its_unit(perfd):
    perfd.configure(CONF % perfd.port)
    perfd.start()
    for _ in range(2):
        assert perfd.get("/one").status == 200
        assert perfd.post("/two", {"n": 2}).json() == {"n": 2}
        assert perfd.get("/far").status == 200
        assert perfd.reload().code == 0, perfd.log()
    victim = perfd.worker_pids()[0]
    os.kill(victim, signal.SIGSEGV)
    assert eventually(lambda: victim not in perfd.worker_pids() and len(perfd.worker_pids()) == 2, 5)
    perfd.usr1()
    assert eventually(lambda: perfd.get("/one").status == 200, 5)
    result = perfd.upgrade()
    assert result.code == 0 and "goes on with the shared memory" in result.out and perfd.old_ended() == 0, (result, perfd.log())
    assert perfd.quit() == 0
    assert not re.search(r"not permitted|not supported by protocol", perfd.log()), perfd.log()


def test_it_stops_before_systemd_loses_patience(make_perfd):
    """A master told to stop gracefully ends 6 s after shutdown_timeout at the latest."""
    with open(UNIT, encoding="utf-8") as unit:
        patience = int(re.search(r"^TimeoutStopSec=(\d+)s$", unit.read(), re.M)[1])
    default = int(re.search(r"^shutdown_timeout (\d+)s;$", make_perfd("").command("-T").out, re.M)[1])
    assert patience >= default + 6


def test_it_is_not_exposed(tmp_path):
    """Tenths, as systemd-analyze counts them."""
    with open(UNIT, encoding="utf-8") as unit:
        (tmp_path / "perfd.service").write_text(re.sub(r"@\w+@", "/usr/bin", unit.read()))
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", f"{tmp_path}/perfd.service")
    assert rated.code == 0, rated.out[-300:] + rated.err

"""What perfd finds when it starts: descriptors, addresses, folders."""
import os
import re
import subprocess

import pytest

from lib.perfd import PERFD, run
from lib.process import eventually

CONF = 'route GET /one { query "SELECT 1 AS one"; result row; }\n'


@pytest.fixture(scope="module")
def db(pg):
    return pg.create_database("start")


def skip_unless_possible(inside, kind):
    """A container's kernel may refuse its root a namespace, and so it does in a folder that is no mount point."""
    if run(*inside, "true").code != 0:
        pytest.skip(f"the kernel allows no {kind} namespace here; as root of the machine it is tried")


def test_started_without_standard_descriptors_their_numbers_stay_free_of_sockets(make_perfd, db):
    perfd = make_perfd(CONF, db)
    perfd.process = subprocess.Popen(["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', PERFD, perfd.conf_file],
                                     cwd=perfd.folder)
    assert eventually(lambda: perfd.status("/readyz") == 200, 10), perfd.log()
    assert [os.readlink(f"/proc/{perfd.process.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3


def test_a_host_without_ipv6_skips_its_addresses_but_not_all(make_perfd, db):
    perfd = make_perfd(CONF, db)
    v4, v6 = f"127.0.0.1:{perfd.port}", f"[::1]:{perfd.port}"
    inside = ["unshare", "-n", "sh", "-c", "ip link set lo up && sysctl -qw net.ipv6.conf.all.disable_ipv6=1 && exec "
              '"$@"', "sh"]
    skip_unless_possible(inside, "network")

    def start(listen):
        perfd.configure(perfd.head.replace(f"listen {v4}", f"listen {listen}") + CONF, whole=True)
        return run(*inside, "timeout", "-s", "TERM", "2", PERFD, "-c", perfd.conf_file, cwd=perfd.folder)

    result = start(v6)
    assert result.code == 3 and "no address is left" in result.err and "perfd.conf:1:8" in result.err, result
    assert start(f"{v4} {v6}").code == 124  # timeout(1) had to end it
    assert f"{v6}: this host has no IPv6; skipped" in perfd.log()


def test_the_error_log_may_stand_in_the_folder_that_the_first_start_makes(make_perfd, db):
    perfd = make_perfd(CONF, db)
    perfd.configure(perfd.head.replace(perfd.error_log, f"{perfd.run_dir}/error.log") + CONF, whole=True)
    perfd.start()
    assert os.path.exists(f"{perfd.run_dir}/error.log")


def test_a_start_that_fails_late_leaves_nothing(make_perfd, db):
    perfd = make_perfd(CONF, db)
    folder = f"{perfd.folder}/{'r' * 100}"  # the control socket's path is the last thing made, and too long
    perfd.configure(perfd.head.replace(perfd.run_dir, folder) + CONF, whole=True)
    result = perfd.command()
    assert result.code == 3 and "control.sock" in result.err, result
    assert os.listdir(folder) == []


def test_a_cache_that_the_machine_cannot_hold_is_refused_with_both_figures(make_perfd):
    """Refused by the figures alone: nothing of it is allocated."""
    perfd = make_perfd("", cache="size 1000GB;").launch()
    assert perfd.wait() == 3
    told = re.search(r"cache: size is (\d+) MB, but only (\d+) MB are left to take \((.+)\)", perfd.log())
    assert told and int(told[1]) == 1024000 and 0 < int(told[2]) < 1024000, perfd.log()


UNSHARE = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
SMALL_SHM = "mount -t tmpfs -o size=64M tmpfs /dev/shm && exec \"$0\" \"$@\""


def test_a_container_with_a_small_dev_shm_is_no_limit(make_perfd, pg):
    """A tmpfs of 64 MB, a container's default, would end a cache of 128 MB with SIGBUS."""
    skip_unless_possible(UNSHARE, "mount")
    db = pg.create_database("small_shm")
    query = "SELECT repeat(md5(:n::text), 60000) AS text"  # 1.9 MB
    perfd = make_perfd(f'route GET /large/{{n}} {{ query "{query}"; result row; cache ttl=60s; }}', db,
                       cache="size 128MB; entries 1000;", within=UNSHARE + ["sh", "-c", SMALL_SHM]).start()
    for n in range(60):
        assert perfd.get(f"/large/{n}").status == 200
    assert eventually(lambda: perfd.stat("cache_used_bytes") > 100 << 20)
    pids = perfd.worker_pids()
    assert all(perfd.get(f"/large/{n}").status == 200 for n in range(60)) and perfd.worker_pids() == pids

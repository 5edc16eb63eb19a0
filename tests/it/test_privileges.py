"""Who the processes are, and what they may do: user, group, logs, keys, cores, CPUs."""
import contextlib
import os
import pwd
import shutil
import signal

import pytest

from lib.http_client import request_once
from lib.perfd import PERFCTL, run
from lib.ports import free_ports
from lib.process import alive, eventually, tell
from test_tls import curl, make_certificate

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

CONF = 'route GET /one { query "SELECT 1 AS one"; result row; }\n'
NOBODY, DAEMON = 65534, 1
CAP_SYS_RESOURCE = 1 << 24
AS_NOBODY = "user nobody; group daemon;"


@pytest.fixture(scope="module")
def db(pg):
    os.chmod(pg.folder, 0o755)  # workers reach its socket as somebody else
    return pg.create_database("privileges")


def make(make_perfd, db, settings=AS_NOBODY, **more):
    perfd = make_perfd(CONF, db, settings=settings, **more)
    os.chmod(perfd.folder, 0o755)
    return perfd


def facts(pid, thread=None):
    with open(f"/proc/{pid}/{f'task/{thread}/' if thread else ''}status", encoding="utf-8") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)


def oom_score(pid):
    with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as score:
        return int(score.read())


def core_limit(pid):
    """None: it has just ended, as one that a reload replaced."""
    try:
        with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
            return next(line.split()[4] for line in limits if line.startswith("Max core file size"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def open_files(pid):
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass  # closed meanwhile
    return found


def descendants(perfd):
    return [*perfd.worker_pids(), perfd.keeper_pid()]


def test_workers_and_keeper_become_the_user_for_good(make_perfd, db):
    perfd = make(make_perfd, db).start()
    assert perfd.get("/one").json() == {"one": 1}
    assert facts(perfd.process.pid)["Uid"].split() == ["0"] * 4
    pids = descendants(perfd)
    assert len(pids) == 3
    for pid in pids:
        now = facts(pid)
        assert now["Uid"].split() == [str(NOBODY)] * 4 and now["Gid"].split() == [str(DAEMON)] * 4
        assert set(map(int, now["Groups"].split())) == set(os.getgrouplist("nobody", DAEMON))
        assert int(now["CapEff"], 16) == int(now["CapPrm"], 16) == 0 and now["NoNewPrivs"] == "1"
    assert "workers run as root" not in perfd.log()


def test_the_oom_killer_takes_workers_first_and_the_master_last(make_perfd, db):
    perfd = make(make_perfd, db, within=["choom", "-n", "50", "--"]).start()
    if int(facts(os.getpid())["CapEff"], 16) & CAP_SYS_RESOURCE:
        assert oom_score(perfd.process.pid) == -900
    else:  # a container's root
        assert oom_score(perfd.process.pid) == 50 and perfd.log().count("the OOM score of the master is not lowered") == 1
    assert {oom_score(pid) for pid in descendants(perfd)} == {150}


def test_a_score_that_was_lowered_for_the_master_is_not_its_workers(make_perfd, db):
    """As the unit of systemd does, where perfd is not root."""
    if not int(facts(os.getpid())["CapEff"], 16) & CAP_SYS_RESOURCE:
        pytest.skip("this root may not lower a score (CAP_SYS_RESOURCE)")
    perfd = make(make_perfd, db, within=["choom", "-n", "-900", "--"]).start()
    assert oom_score(perfd.process.pid) == -900
    assert {oom_score(pid) for pid in descendants(perfd)} == {100}


def test_statistics_are_read_by_the_workers_group_alone(make_perfd, db):
    """They tell keys and consumers. The workers, of that group, read them for the admin's listener."""
    perfd = make(make_perfd, db).start()
    stats = os.stat(f"{perfd.run_dir}/perfd.stats")
    assert (stats.st_mode & 0o777, stats.st_uid, stats.st_gid) == (0o640, 0, DAEMON)
    assert request_once(perfd.admin, "GET", "/stats").status == 200
    as_group = ["setpriv", "--reuid", str(NOBODY), "--clear-groups", "--regid"]
    ctl = [shutil.copy(PERFCTL, perfd.folder), "--dir", perfd.run_dir, "routes"]
    assert run(*as_group, str(DAEMON), *ctl).code == 0
    told = run(*as_group, str(NOBODY), *ctl)
    assert told.code == 1 and "only its owner and the group of perfd's workers may read it" in told.err


def test_logs_are_the_users_and_are_reopened_by_its_workers(make_perfd, db):
    perfd = make(make_perfd, db).start()
    for turn in range(2):
        assert {os.stat(path).st_uid for path in (perfd.access_log, perfd.error_log)} == {NOBODY}
        perfd.get("/one", {"X-Request-Id": f"turn-{turn}"})
        assert perfd.access_line(f"turn-{turn}")
        for path in (perfd.access_log, perfd.error_log):
            os.rename(path, f"{path}.{turn}")
        perfd.usr1()
        for pid in perfd.worker_pids():  # which open them after the master has made them
            assert eventually(lambda pid=pid: {perfd.access_log, perfd.error_log} <= set(open_files(pid)))
    assert "going on with the old file" not in perfd.log()


def test_a_reload_gives_a_new_log_to_the_user(make_perfd, db):
    perfd = make(make_perfd, db).start()
    perfd.head = perfd.head.replace(perfd.access_log, f"{perfd.folder}/other.log")
    assert perfd.reload(CONF).code == 0
    perfd.access_log = f"{perfd.folder}/other.log"
    perfd.get("/one", {"X-Request-Id": "other"})
    assert perfd.access_line("other") and os.stat(perfd.access_log).st_uid == NOBODY


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_link_gives_a_file_of_root_away(make_perfd, db, link):
    perfd = make(make_perfd, db)
    target = perfd.write("roots", "")
    link(target, perfd.access_log)
    perfd.launch()
    assert perfd.wait() == 3 and perfd.log_contains("access log")
    assert os.stat(target).st_uid == 0


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_link_makes_root_write_elsewhere(make_perfd, db, link):
    """The folder of the error log may be the workers' user's."""
    perfd = make(make_perfd, db)
    target = perfd.write("roots", "")
    link(target, perfd.error_log)
    perfd.launch()
    assert perfd.wait() == 3 and "error.log: Too many" in perfd.log()
    os.unlink(perfd.error_log)
    perfd.start()
    os.rename(perfd.error_log, f"{perfd.error_log}.1")
    link(target, perfd.error_log)
    perfd.usr1()
    assert perfd.log_contains("going on with the old file")
    perfd.head = perfd.head.replace(perfd.error_log, f"{perfd.folder}/error.log.2")
    link(target, f"{perfd.folder}/error.log.2")
    refused = perfd.reload(CONF)
    assert refused.code == 1 and "error.log.2: Too many" in refused.err
    assert os.stat(target).st_uid == 0 and os.path.getsize(target) == 0


def test_no_link_makes_root_lock_another_file(make_perfd, db):
    perfd = make(make_perfd, db)
    target = perfd.write("roots", "much longer than a number")
    os.mkdir(perfd.run_dir)
    os.symlink(target, f"{perfd.run_dir}/perfd.pid")
    perfd.launch()
    assert perfd.wait() == 3 and perfd.log_contains("perfd.pid: Too many")
    with open(target, encoding="ascii") as file:
        assert file.read() == "much longer than a number"


def test_a_key_that_only_root_may_read(make_perfd, db):
    perfd = make(make_perfd, db)
    perfd.tls, = free_ports(1)
    make_certificate(perfd.folder, "one.test")
    os.chmod(f"{perfd.folder}/one.test.key", 0o600)
    perfd.head += f"tls {{ listen 127.0.0.1:{perfd.tls}; certificate one.test.pem one.test.key; }}\n"
    perfd.configure(CONF)
    perfd.start()
    assert curl(perfd, "/one").stdout == '{"one":1}'
    assert perfd.reload().code == 0 and curl(perfd, "/one").stdout == '{"one":1}'
    # Half renewed, it harms nobody: who starts anew has what the others have.
    perfd.write("one.test.key", "half of it")
    before = perfd.worker_pids()
    for pid in before:
        tell(pid, signal.SIGKILL)
    assert eventually(lambda: len(set(perfd.worker_pids()) - set(before)) == 2 and perfd.status("/readyz") == 200)
    assert all(curl(perfd, "/one").stdout == '{"one":1}' for _ in range(4))
    result = perfd.reload()
    assert result.code != 0 and "one.test.key" in result.err


@contextlib.contextmanager
def pg_hba(pg, db, line):
    """A first rule of who may connect, for a while."""
    hba = f"{pg.data}/pg_hba.conf"
    with open(hba, encoding="ascii") as file:
        before = file.read()
    try:
        with open(hba, "w", encoding="ascii") as file:
            file.write(f"{line}\n{before}")
        db.run("SELECT pg_reload_conf()")
        yield
    finally:
        with open(hba, "w", encoding="ascii") as file:
            file.write(before)
        db.run("SELECT pg_reload_conf()")


def test_the_database_meets_nobody_but_the_user(make_perfd, pg, db):
    """peer: a role is for the user of its name alone. Whoever checks queries must be that user too."""
    db.run("DROP ROLE IF EXISTS nobody; CREATE ROLE nobody LOGIN")
    with pg_hba(pg, db, "local all nobody peer"):
        perfd = make(make_perfd, f"postgresql://nobody@/{db.name}?host={pg.folder}").start()
        assert eventually(lambda: perfd.get("/one").status == 200)
        result = perfd.check()
        assert result.code == 0 and "not checked" not in result.err, result
        assert perfd.reload().code == 0 and "not checked" not in perfd.log()


def test_libpq_s_files_are_those_of_the_users_home(make_perfd, pg, db):
    """A password that stands in ~/.pgpass alone. The home is a folder that only this perfd sees."""
    if run("unshare", "--mount", "true").code != 0:
        pytest.skip("the kernel allows no mount namespace here; as root of the machine it is tried")
    db.run("DROP ROLE IF EXISTS locked; CREATE ROLE locked LOGIN PASSWORD 'words'")
    home = pwd.getpwnam("daemon").pw_dir
    furnish = (f"mount -t tmpfs tmpfs {home} && echo '*:*:*:locked:words' > {home}/.pgpass && chmod 600 {home}/.pgpass && "
               f"chown daemon {home}/.pgpass && exec \"$0\" \"$@\"")
    with pg_hba(pg, db, "local all locked scram-sha-256"):
        perfd = make(make_perfd, f"postgresql://locked@/{db.name}?host={pg.folder}", settings="user daemon;",
                     env={"HOME": "/root"}, within=["unshare", "--mount", "sh", "-c", furnish]).start()
        assert eventually(lambda: perfd.get("/one").status == 200), perfd.log()


def test_workers_hear_of_the_masters_death_from_the_kernel_too(make_perfd, db):
    """The change of the user takes PR_SET_PDEATHSIG away. The pipe that tells it as well is held open here."""
    perfd = make(make_perfd, db).start()
    master, workers = perfd.process.pid, perfd.worker_pids()
    pipes = {os.readlink(f"/proc/{workers[0]}/fd/{fd}") for fd in os.listdir(f"/proc/{workers[0]}/fd")}
    held = [os.open(f"/proc/{master}/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK) for fd in os.listdir(f"/proc/{master}/fd")
            if (name := os.readlink(f"/proc/{master}/fd/{fd}")).startswith("pipe:") and name in pipes and int(fd) > 2]
    assert held, "the pipe of the master's life"
    perfd.kill_master()
    try:
        assert eventually(lambda: not [pid for pid in workers if alive(pid)], 8)
        assert "the master is gone" not in perfd.log()
    finally:
        for fd in held:
            os.close(fd)


def test_core_limit(make_perfd, db):
    """What /proc tells of a process is its user's where it may leave a core, and root's where not."""
    perfd = make(make_perfd, db, settings="user nobody; core_limit unlimited;").start()
    assert {core_limit(pid) for pid in descendants(perfd)} == {"unlimited"}
    assert {os.stat(f"/proc/{pid}/environ").st_uid for pid in descendants(perfd)} == {NOBODY}
    perfd.head = perfd.head.replace("unlimited", "1MB")
    assert perfd.reload(CONF).code == 0
    assert eventually(lambda: {core_limit(pid) for pid in perfd.worker_pids()} == {str(1 << 20)})
    perfd.head = perfd.head.replace("core_limit 1MB", "core_limit off")
    assert perfd.reload(CONF).code == 0
    assert eventually(lambda: {core_limit(pid) for pid in perfd.worker_pids()} == {"0"})
    assert {os.stat(f"/proc/{pid}/environ").st_uid for pid in perfd.worker_pids()} == {0}


def test_cpu_affinity_keeps_loops_apart_and_threads_free(make_perfd, db):
    cpus = sorted(os.sched_getaffinity(0))
    perfd = make(make_perfd, db, settings="cpu_affinity auto;", workers=len(cpus) + 1).start()
    loops = sorted(tuple(os.sched_getaffinity(pid)) for pid in perfd.worker_pids())
    assert loops == sorted([(cpu,) for cpu in cpus] + [(cpus[0],)])
    pid = perfd.worker_pids()[0]
    threads = [int(thread) for thread in os.listdir(f"/proc/{pid}/task") if int(thread) != pid]
    assert threads and all(os.sched_getaffinity(thread) == set(cpus) for thread in threads)
    assert os.sched_getaffinity(perfd.keeper_pid()) == set(cpus)


@pytest.mark.parametrize("settings, told", [
    ("user no-such-user;", '"no-such-user" is no user'), ("user nobody; group no-such;", '"no-such" is no group'),
    ("group daemon;", "group needs user"), ("core_limit 7parsecs;", "7parsecs")])
def test_what_is_wrong_is_named(make_perfd, db, settings, told):
    perfd = make(make_perfd, db, settings=settings)
    result = perfd.check()
    assert result.code == 2 and told in result.err and "perfd.conf:7:" in result.err, result


def test_another_user_needs_a_restart(make_perfd, db):
    perfd = make(make_perfd, db).start()
    before = perfd.worker_pids()
    perfd.head = perfd.head.replace("user nobody", "user www-data")
    result = perfd.reload(CONF)
    assert result.code != 0 and "a change of user needs a restart" in result.err
    assert perfd.worker_pids() == before


def test_root_without_a_user_is_warned_once(make_perfd, db):
    perfd = make(make_perfd, db, settings="").start()
    assert perfd.reload().code == 0
    assert perfd.log().count("workers run as root") == 1


def test_who_is_not_root_goes_on_with_one_warning(make_perfd, db):
    perfd = make(make_perfd, db, settings="user daemon;",
                 within=["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"])
    os.chown(perfd.folder, NOBODY, NOBODY)
    perfd.start()
    assert perfd.get("/one").status == 200
    assert perfd.reload().code == 0
    warnings = [line for line in perfd.log().splitlines() if " warn " in line]
    assert len(warnings) == 1 and "perfd is not root" in warnings[0] and "daemon" in warnings[0], warnings
    assert {facts(pid)["Uid"].split()[1] for pid in descendants(perfd)} == {str(NOBODY)}


@pytest.mark.parametrize("umask, forbidden", [("000", 0o022), ("077", 0o077)])
def test_a_careless_umask_opens_nothing_and_a_careful_one_counts(make_perfd, db, umask, forbidden):
    perfd = make(make_perfd, db, settings="", within=["sh", "-c", f'umask {umask}; exec "$0" "$@"']).start()
    paths = [perfd.run_dir, *(f"{perfd.run_dir}/{name}" for name in os.listdir(perfd.run_dir)), perfd.access_log]
    assert len(paths) == 5
    assert not [path for path in paths if os.stat(path).st_mode & forbidden]

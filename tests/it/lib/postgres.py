"""A PostgreSQL of the tests' own: a cluster in a temporary folder, one unix socket, ended by its pid."""
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile

import psycopg2

from .process import alive, continue_family, eventually, family, stop_family, tell

BIN = os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin")
SETTINGS = {
    "listen_addresses": "''",
    "max_connections": "100",
    "shared_preload_libraries": "'pg_stat_statements'",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "timezone": "'UTC'",
}


def _as_postgres(argv):
    return ["runuser", "-u", "postgres", "--", *argv] if os.geteuid() == 0 else argv


class Postgres:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pgit.", dir="/tmp")  # short: a socket path holds 107 bytes
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self.data = f"{self.folder}/data"
        self.log = f"{self.folder}/log"
        self.pid = None
        self._make_data()
        with open(f"{self.data}/postgresql.conf", "a", encoding="ascii") as conf:
            conf.write(f"unix_socket_directories = '{self.folder}'\n")
            conf.writelines(f"{name} = {value}\n" for name, value in SETTINGS.items())

    def _make_data(self):
        self._run("initdb", "-A", "trust", "-U", self.user, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")

    def _run(self, program, *args):
        subprocess.run(_as_postgres([f"{BIN}/{program}", "-D", self.data, *args]), check=True,
                       stdout=subprocess.DEVNULL)

    def start(self):
        self._run("pg_ctl", "-l", self.log, "-w", "-t", "30", "start")
        with open(f"{self.data}/postmaster.pid", encoding="ascii") as pidfile:
            self.pid = int(pidfile.readline())

    def stop(self):
        """Fast: sessions are ended, data is kept."""
        if self.pid is None:
            return
        continue_family(self.pid)
        tell(self.pid, signal.SIGINT)
        if not eventually(lambda: not alive(self.pid), within=20):
            tell(self.pid, signal.SIGQUIT)
            assert eventually(lambda: not alive(self.pid), within=10), "PostgreSQL does not end"
        self.pid = None

    def kill(self):
        """As a power cut would, without a word to anybody."""
        for member in family(self.pid):
            tell(member, signal.SIGKILL)
        assert eventually(lambda: not alive(self.pid), within=10)
        for lock in (f"{self.data}/postmaster.pid", f"{self.folder}/.s.PGSQL.5432.lock"):
            os.unlink(lock)  # where nobody reaps the dead, its process seems to live on
        self.pid = None

    def pause(self):
        stop_family(self.pid)

    def resume(self):
        continue_family(self.pid)

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database, password=None):
        secret = f":{password}" if password else ""
        return f"postgresql://{self.user}{secret}@/{database}?host={self.folder}"

    def connect(self, database="postgres"):
        connection = psycopg2.connect(host=self.folder, user=self.user, dbname=database)
        connection.autocommit = True
        return connection

    def create_database(self, database, schema=""):
        maintenance = Database(self, "postgres")
        maintenance.run(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        maintenance.run(f'CREATE DATABASE "{database}"')
        db = Database(self, database)
        db.run("CREATE EXTENSION pg_stat_statements")
        if schema:
            db.run(schema)
        return db


class Standby(Postgres):
    """A copy of a running server that follows it, until it is promoted."""

    def __init__(self, primary):
        self.primary = primary
        super().__init__()

    def _make_data(self):
        self._run("pg_basebackup", "-h", self.primary.folder, "-U", self.user, "-X", "stream", "-c", "fast", "-R",
                  "--no-sync")

    def promote(self):
        """Returns once it takes writes."""
        self._run("pg_ctl", "-w", "-t", "30", "promote")

    def pause_replay(self):
        Database(self, "postgres").run("SELECT pg_wal_replay_pause()")
        assert eventually(lambda: Database(self, "postgres").value("SELECT pg_get_wal_replay_pause_state()") == "paused")

    def resume_replay(self):
        Database(self, "postgres").run("SELECT pg_wal_replay_resume()")


@contextlib.contextmanager
def primary_and_standby(database, schema):
    """Two running servers, removed whatever became of them."""
    primary = Postgres()
    try:
        primary.start()
        primary.create_database(database, schema)
        standby = Standby(primary)
        try:
            standby.start()
            yield primary, standby
        finally:
            standby.remove()
    finally:
        primary.remove()


class Database:
    """One database, asked by one short connection a question so that a restart of the server leaves nothing behind."""

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.url = server.url(name)

    def run(self, sql, params=None):
        connection = self.server.connect(self.name)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, params)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def value(self, sql, params=None):
        return self.run(sql, params)[0][0]

    def calls(self, pattern):
        """How often pg_stat_statements saw statements LIKE pattern run in this database."""
        return int(self.value("""SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_database d
                                 ON d.oid = s.dbid WHERE d.datname = current_database() AND query LIKE %s
                                 AND query NOT LIKE '%%pg_stat_statements%%'""", (pattern,)))

    def forget_calls(self):
        self.run("SELECT pg_stat_statements_reset()")

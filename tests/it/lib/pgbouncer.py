"""A real PgBouncer in transaction mode before a test's PostgreSQL, on a unix socket, ended by its pid."""
import os
import shutil
import signal
import subprocess
import tempfile

import psycopg2

from .process import eventually, tell

PORT = 6432


class PgBouncer:
    def __init__(self, pg, pool_size=2):
        self.pg = pg
        self.folder = tempfile.mkdtemp(prefix="bounce.", dir="/tmp")
        self.process = None
        with open(f"{self.folder}/users", "w", encoding="ascii") as users:
            users.write(f'"{pg.user}" ""\n')
        with open(f"{self.folder}/ini", "w", encoding="ascii") as ini:
            ini.write(f"[databases]\n* = host={pg.folder} port=5432\n[pgbouncer]\npool_mode = transaction\n"
                      f"default_pool_size = {pool_size}\nmax_client_conn = 200\nauth_type = trust\n"
                      f"auth_file = {self.folder}/users\nunix_socket_dir = {self.folder}\nlisten_port = {PORT}\n"
                      f"admin_users = {pg.user}\nlogfile = {self.folder}/log\n")
        if os.geteuid() == 0:
            for name in (self.folder, f"{self.folder}/users", f"{self.folder}/ini"):
                shutil.chown(name, "postgres", "postgres")

    def start(self):
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self.process = subprocess.Popen(["pgbouncer", "-q", f"{self.folder}/ini"], cwd="/", stdin=subprocess.DEVNULL,
                                        **user)
        assert eventually(self._answers, within=10), "PgBouncer does not start"
        return self

    def _answers(self):
        try:
            psycopg2.connect(host=self.folder, port=PORT, user=self.pg.user, dbname="postgres").close()
            return True
        except psycopg2.OperationalError:
            return False

    def url(self, database):
        return f"postgresql://{self.pg.user}@/{database}?host={self.folder}&port={PORT}"

    def connect(self, database):
        connection = psycopg2.connect(host=self.folder, port=PORT, user=self.pg.user, dbname=database)
        connection.autocommit = True
        return connection

    def kill(self):
        """Without a word to anybody."""
        if self.process is not None:
            tell(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
        self.process = None

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

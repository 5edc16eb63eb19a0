"""A PgBouncer that gives each transaction any server session, in front of a PostgreSQL of the tests."""
import os
import pwd
import shutil
import subprocess
import tempfile

import psycopg2

from .process import eventually

PORT = 6432


class Pooler:
    """`with Pooler(pg) as pooler:` answers at pooler.url(database) until the block ends, by pool_size sessions."""

    def __init__(self, pg, pool_size=20):
        self.pg = pg
        self.folder = tempfile.mkdtemp(prefix="pgb.", dir="/tmp")
        self.process = None
        with open(f"{self.folder}/ini", "w", encoding="ascii") as ini:
            ini.write(f"[databases]\n* = host={pg.folder} user={pg.user}\n[pgbouncer]\npool_mode = transaction\n"
                      f"default_pool_size = {pool_size}\nlisten_port = {PORT}\nunix_socket_dir = {self.folder}\n"
                      f"auth_type = any\nlogfile = {self.folder}/log\n")
        if os.geteuid() == 0:
            for name in (self.folder, f"{self.folder}/ini"):
                shutil.chown(name, "postgres", "postgres")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.process = subprocess.Popen(["/usr/sbin/pgbouncer", f"{self.folder}/ini"], user=user and user.pw_uid,
                                        group=user and user.pw_gid, extra_groups=[] if user else None,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert eventually(self._answers, 10), "pgbouncer does not start"
        return self

    def kill(self):
        """Without a word to anybody."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _answers(self):
        try:
            self.connect("postgres").close()
            return True
        except psycopg2.OperationalError:
            return False

    def connect(self, database):
        connection = psycopg2.connect(host=self.folder, port=PORT, user=self.pg.user, dbname=database)
        connection.autocommit = True
        return connection

    def url(self, database):
        return f"postgresql://{self.pg.user}@/{database}?host={self.folder}&port={PORT}"

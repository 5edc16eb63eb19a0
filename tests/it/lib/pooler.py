"""A pgbouncer that gives each transaction any server session, in front of a PostgreSQL of the tests."""
import os
import pwd
import shutil
import subprocess
import tempfile

from .process import eventually


class Pooler:
    """`with Pooler(pg) as pooler:` answers at pooler.url(database) until the block ends."""

    def __init__(self, pg):
        self.pg = pg
        self.folder = tempfile.mkdtemp(prefix="pgb.", dir="/tmp")
        self.process = None

    def __enter__(self):
        with open(f"{self.folder}/ini", "w", encoding="ascii") as ini:
            ini.write(f"[databases]\n* = host={self.pg.folder} user={self.pg.user}\n[pgbouncer]\npool_mode = transaction\n"
                      f"listen_port = 6432\nunix_socket_dir = {self.folder}\nauth_type = any\n"
                      f"ignore_startup_parameters = options,extra_float_digits\nlogfile = {self.folder}/log\n")
        user = None
        if os.geteuid() == 0:
            user = "postgres"
            for name in (self.folder, f"{self.folder}/ini"):
                shutil.chown(name, user, user)
        self.process = subprocess.Popen(["/usr/sbin/pgbouncer", f"{self.folder}/ini"], user=user and pwd.getpwnam(user).pw_uid,
                                        group=user and pwd.getpwnam(user).pw_gid, extra_groups=[] if user else None,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert eventually(lambda: os.path.exists(f"{self.folder}/.s.PGSQL.6432"), 10), "pgbouncer does not start"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database):
        return f"postgresql://{self.pg.user}@/{database}?host={self.folder}&port=6432"

"""An instance whose binary is replaced while it runs: a copy of its own, and a new master that is nobody's child."""
import ctypes
import os
import shutil
import signal
import subprocess

from .perfd import BUILD, PERFD, Perfd
from .process import alive, children, eventually, tell

PR_SET_CHILD_SUBREAPER = 36
# The same perfd, but for the number that says what its shared memory means.
OTHER_LAYOUT = os.path.join(BUILD, "tests/it/perfd-other-layout")


def _is_another_master(pid, than):
    """A child that has only been forked has its arguments where its parent has them."""
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as cmdline:
            return cmdline.read().startswith("perfd: master") and _arguments_at(pid) != _arguments_at(than)
    except (FileNotFoundError, ProcessLookupError):  # it ends just now
        return False


def _arguments_at(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rsplit(")", 1)[1].split()[45]  # arg_start of proc(5)


class Adopted:
    """What subprocess.Popen is to a child, for a process that was started by one that has ended."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
            except ChildProcessError:  # its parent lives still
                self.returncode = None if alive(self.pid) else 0
        return self.returncode

    def wait(self, within=10):
        if eventually(lambda: self.poll() is not None, within) is False:
            raise subprocess.TimeoutExpired(str(self.pid), within)
        return self.returncode

    def send_signal(self, sig):
        tell(self.pid, sig)

    def kill(self):
        tell(self.pid, signal.SIGKILL)


class Upgradable(Perfd):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Orphans become this process's, which tells how they ended.
        assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        self.program = f"{self.folder}/perfd"
        self.install(PERFD)

    def install(self, source):
        """By rename, as packages do."""
        shutil.copy(source, f"{self.program}.new")
        os.rename(f"{self.program}.new", self.program)

    def install_script(self, text):
        with open(f"{self.program}.new", "w", encoding="utf-8") as script:
            script.write("#!/bin/sh\n" + text)
        os.chmod(f"{self.program}.new", 0o755)
        os.rename(f"{self.program}.new", self.program)

    def master_pid(self):
        with open(f"{self.run_dir}/perfd.pid", encoding="ascii") as pid:
            return int(pid.read().split()[0])

    def upgrade(self, timeout=60):
        """By perfctl, which waits for the outcome; then this is the new master's."""
        result = self.perfctl("upgrade", timeout=timeout)
        if result.code == 0:
            self.follow()
        return result

    def follow(self):
        old, pid = self.process, self.master_pid()
        assert pid != old.pid, self.log()
        self.process = Adopted(pid)
        self.before = old

    def finish(self):
        """Also of a test that failed between an upgrade and follow()."""
        try:
            if self.master_pid() != self.process.pid and alive(self.master_pid()):
                self.follow()
        except (OSError, IndexError):
            pass  # it has ended
        super().finish()

    def old_ended(self, within=15):
        self.before.wait(within)
        return self.before.returncode

    def wait_for_heir(self, within=5):
        """The new master, before it has taken over: of the old one's children the one that is a perfd of its own."""
        def found():
            return next((pid for pid in children(self.process.pid) if _is_another_master(pid, self.process.pid)), None)
        return eventually(found, within, every=0.001)

    def events(self, kind):
        return [event for event in self.perfctl_json("events")["events"] if event["kind"] == kind]

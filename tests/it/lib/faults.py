"""Calls of a perfd that fail when they are told to: tests/fault/preload/faults.c, told through a page of memory."""
import mmap
import os
import re
import struct
import subprocess
import tempfile

from .perfd import BUILD, ROOT

FOLDER = f"{ROOT}/tests/fault/preload"
SO = f"{BUILD}/faults.so"
ALLOCATOR = f"{BUILD}/allocator.so"
with open(f"{FOLDER}/faults.def", encoding="ascii") as table:
    NAMES = re.findall(r"^CALL\((\w+), ", table.read(), re.M)
# In words of 8 bytes, as struct page has them.
ON, SEED, MEANT, ROWS, ROW = 0, 1, 2, 4, 4
RATE, NTH, CALLS, FAILED = range(4)
ALL, FIRST, FORKED = range(3)


def build():
    subprocess.run(["make", "-s", "-C", ROOT, f"MODE={os.environ.get('MODE', 'release')}", "WERROR=1", "preload"], check=True)


class Faults:
    """Perfd(..., env=faults.env): nothing fails before fail() or fail_once() is called, and nothing after stop()."""

    def __init__(self, seed=1):
        fd, self.path = tempfile.mkstemp(prefix="faults.", dir="/tmp")
        os.ftruncate(fd, mmap.PAGESIZE)
        self.page = mmap.mmap(fd, mmap.PAGESIZE)
        os.close(fd)
        self._set(SEED, seed)
        self.env = {"LD_PRELOAD": SO, "FAULTS_PAGE": self.path}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()
        os.unlink(self.path)

    def _set(self, word, value):
        struct.pack_into("=Q", self.page, 8 * word, value)

    def _get(self, word):
        return struct.unpack_from("=Q", self.page, 8 * word)[0]

    @staticmethod
    def _row(name, field):
        return ROWS + ROW * NAMES.index(name) + field

    def fail(self, **rates):
        """Shares of 1, by the calls' names, until stop()."""
        for name, rate in rates.items():
            self._set(self._row(name, RATE), round(rate * 1_000_000))
        self._set(ON, 1)

    def fail_once(self, name, nth, meant=ALL):
        """The call of that name that is its nth from now on, in the program itself (FIRST), or in what it forks."""
        self._set(MEANT, meant)
        self._set(self._row(name, NTH), nth)
        self._set(ON, 1)

    def count(self, meant=ALL):
        """Nothing fails, and calls are counted from now on."""
        self._set(MEANT, meant)
        self._set(ON, 1)

    def stop(self):
        self._set(ON, 0)
        for name in NAMES:
            self._set(self._row(name, RATE), 0)
            self._set(self._row(name, NTH), 0)

    def calls(self, name):
        return self._get(self._row(name, CALLS))

    def failed(self, name=None):
        return sum(self._get(self._row(each, FAILED)) for each in ([name] if name else NAMES))

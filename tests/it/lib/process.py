"""What every server of the tests needs: ends by pid, waits that do not sleep longer than they must."""
import os
import signal
import time


def eventually(condition, within=5.0, every=0.02):
    """The first true value of condition(), or the last false one when `within` seconds have passed."""
    end = time.monotonic() + within
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(every)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listing:
            return [int(word) for word in listing.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def name_of(pid):
    """What ps calls it: a worker and the keeper name themselves."""
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as comm:
            return comm.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def family(pid):
    found = [pid]
    for child in children(pid):
        found += family(child)
    return found


def tell(pid, sig):
    try:
        os.kill(pid, sig)
        return True
    except ProcessLookupError:
        return False


def stop_family(pid):
    """SIGSTOP for a process and its children, parent first so that it starts no new ones."""
    tell(pid, signal.SIGSTOP)
    for member in family(pid):
        tell(member, signal.SIGSTOP)


def continue_family(pid):
    for member in reversed(family(pid)):
        tell(member, signal.SIGCONT)

"""Runs a command within the system calls, memory rights and address families that a systemd unit leaves it:
walls.py UNIT COMMAND... What systemd does of it beside that (folders, users) is not done here."""
import errno
import mmap
import os
import re
import socket
import subprocess
import sys


def settings(unit):
    """Name to the values of its lines."""
    found = {}
    with open(unit, encoding="utf-8") as lines:
        for name, value in re.findall(r"^(\w+)=(.*)$", lines.read(), re.M):
            found.setdefault(name, []).append(value)
    return found


def system_calls(sets):
    """Those of a unit's SystemCallFilter= lines, ~ taking away, with systemd's sets as systemd-analyze has them."""
    text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True).stdout
    known = {block.split()[0]: re.findall(r"^    ([@\w-]+)", block, re.M) for block in text.split("\n\n") if block.startswith("@")}

    def members(name):
        return {call for member in known[name] for call in members(member)} if name.startswith("@") else {name}

    allowed = members("@default")
    for line in sets:
        for name in line.removeprefix("~").split():
            allowed = allowed - members(name) if line.startswith("~") else allowed | members(name)
    return allowed


def build(unit):
    import seccomp
    given = settings(unit)
    calls = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for call in system_calls(given["SystemCallFilter"]):
        try:
            calls.add_rule(seccomp.ALLOW, call)
        except (RuntimeError, OSError, ValueError):
            pass  # of another architecture
    rest = seccomp.SyscallFilter(seccomp.ALLOW)
    families = {int(getattr(socket, name)) for name in given["RestrictAddressFamilies"][0].split()}
    for family in set(range(1, 46)) - families:
        rest.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", seccomp.Arg(0, seccomp.EQ, family))
    if given.get("MemoryDenyWriteExecute") == ["yes"]:
        both = mmap.PROT_WRITE | mmap.PROT_EXEC
        rest.add_rule(seccomp.ERRNO(errno.EPERM), "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, both))
        rest.add_rule(seccomp.ERRNO(errno.EPERM), "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, mmap.PROT_EXEC, mmap.PROT_EXEC))
    return rest, calls


if __name__ == "__main__":
    for walls in build(sys.argv[1]):
        walls.load()
    os.execvp(sys.argv[2], sys.argv[2:])

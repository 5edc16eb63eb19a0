"""Free TCP ports of 127.0.0.1, below those that the kernel gives to clients, and each test process's own."""
import contextlib
import itertools
import os
import random
import re
import socket

FIRST, LAST, SHARE = 10_000, 32_000, 2_000
WORKER = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or random.randrange((LAST - FIRST) // SHARE))


def _in_turn():
    """So that none is given to two who have not listened yet."""
    first = FIRST + WORKER * SHARE % (LAST - FIRST)
    return itertools.cycle(random.sample(range(first, first + SHARE), SHARE))


_candidates = _in_turn()


def free_ports(count):
    """Different from each other because all are held until the last is known."""
    with contextlib.ExitStack() as held:
        ports = []
        for port in itertools.islice(_candidates, SHARE):
            sock = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise RuntimeError("no port is free")


def is_free(port):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

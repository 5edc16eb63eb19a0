"""Requests that come when they come, whatever the server does with those before: an open loop."""
import asyncio
import dataclasses
import time

from .http_client import request_bytes


@dataclasses.dataclass(frozen=True)
class Answer:
    at: float       # seconds since the begin, when it was due
    status: int     # 0: none
    seconds: float  # from when it was due to its last byte


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def _one(port, target, begun, at, timeout):
    await asyncio.sleep(max(0, begun + at - time.monotonic()))
    status, writer = 0, None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_bytes("GET", target, headers={"Connection": "close"}))
            status = int((await reader.read()).split(b" ", 2)[1])
    except (OSError, TimeoutError, IndexError):
        pass
    finally:
        if writer is not None:
            writer.close()
    return Answer(at, status, time.monotonic() - begun - at)


async def _all(port, target, rate, seconds, timeout):
    begun = time.monotonic() + 0.05
    return await asyncio.gather(*(_one(port, target, begun, n / rate, timeout) for n in range(int(rate * seconds))))


def open_loop(port, target, rate, seconds, timeout=10):
    """rate requests a second, each on a connection of its own. The answers, in the order in which they were due."""
    return asyncio.run(_all(port, target, rate, seconds, timeout))

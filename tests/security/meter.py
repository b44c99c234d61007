"""What a gateway's process holds, and whether it serves honest callers meanwhile."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes import Served
from tests.rawpeer import ask

HONEST_SECONDS = 2.0  # within which an honest request is answered, whatever goes on
SETTLE_SECONDS = 40.0
PAUSE_SECONDS = 0.05  # between two looks at another process, and between two honest requests


@dataclass(frozen=True)
class Reading:
    """One look at the process. `descriptors` is None where the system does not tell."""

    memory_mib: float
    descriptors: int | None
    open_requests: int

    def is_back_to(self, before: Reading, more_mib: float) -> bool:
        """Return whether nothing is held that was not held before, but a few kept connections and caches."""
        extra = 0 if self.descriptors is None or before.descriptors is None else self.descriptors - before.descriptors
        is_small = self.memory_mib - before.memory_mib < more_mib
        return is_small and self.open_requests <= before.open_requests and extra <= 8


def memory_mib(pid: int) -> float:
    """Return a process's resident memory."""
    found = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)
    return int(found.stdout) / 1024


def read(gateway: Served) -> Reading:
    """Look at the process now."""
    folder = Path(f"/proc/{gateway.pid}/fd")
    descriptors = len(list(folder.iterdir())) if folder.exists() else None
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=10) as answer:
        found = re.search(r"^gateway_open_requests (\d+)", answer.read().decode(), re.MULTILINE)
    return Reading(memory_mib(gateway.pid), descriptors, int(found[1]) if found else 0)


async def settled(gateway: Served, before: Reading, more_mib: float) -> Reading:
    """Return a reading once what a storm took is given back, up to so much memory. Fails if that takes too long."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not (reading := await asyncio.to_thread(read, gateway)).is_back_to(before, more_mib):
        assert time.monotonic() < deadline, f"not given back: {before} before, {reading} after"
        await asyncio.sleep(PAUSE_SECONDS)
    return reading


@dataclass
class Honest:
    """What honest callers saw."""

    count: int = 0
    slowest_seconds: float = 0.0


@asynccontextmanager
async def honest_callers(port: int, request: bytes) -> AsyncIterator[Honest]:
    """Call again and again for the length of a block, on new connections; each call must be a 200, in time."""
    seen = Honest()
    is_over = asyncio.Event()

    async def call() -> None:
        while not is_over.is_set() or not seen.count:
            began = time.monotonic()
            async with asyncio.timeout(HONEST_SECONDS):
                status, _, _ = await ask(port, request)
            assert status == 200
            seen.count += 1
            seen.slowest_seconds = max(seen.slowest_seconds, time.monotonic() - began)
            await asyncio.sleep(PAUSE_SECONDS)

    calling = asyncio.create_task(call())
    try:
        yield seen
    finally:
        is_over.set()
        await calling

"""What the tests of faults share: a gateway in the test's own loop, and what it holds before and after.

In one loop, so that tasks, connections and descriptors can be counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.server.gateway import Gateway
from tests.rawpeer import RawClient, RawUpstream, Script, Visit, answer_ok, ask
from tests.running import config_for, running, upstream_at
from tests.security.conftest import Report
from tests.security.rig import is_whole

H = b"Host: gw.test\r\n"
BY_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world"
BY_CHUNKS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"d\r\ndata: hello\n\n\r\nd\r\ndata: world\n\n\r\n0\r\n\r\n"
)
LEAVE_SECONDS = 2.0  # within which a client's end reaches the upstream
HANG_SECONDS = 15.0


@dataclass(frozen=True)
class Held:
    """What this process holds: gateway, upstream and clients together."""

    tasks: int
    descriptors: int

    @classmethod
    def now(cls) -> Held:
        """Count."""
        folder = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
        return cls(len(asyncio.all_tasks()), len(os.listdir(folder)))


@asynccontextmanager
async def no_leak(gateway: Gateway, upstream: RawUpstream, report: Report, what: str) -> AsyncIterator[None]:
    """Hold that whatever the block opens is closed soon after it, and that the gateway serves on."""
    script = upstream.script
    before = Held.now()
    yield
    async with asyncio.timeout(HANG_SECONDS):
        await gateway.quiet.wait()
    upstream.script = answer_ok
    status, _, _ = await ask(gateway.port, b"GET /public/after HTTP/1.1\r\n" + H + b"\r\n")
    assert status == 200
    for _ in range(500):
        # The request just made leaves one kept connection, with a task at the upstream and two descriptors.
        after = Held.now()
        if after.tasks <= before.tasks + 1 and after.descriptors <= before.descriptors + 2:
            break
        await asyncio.sleep(0.02)  # polls sockets that are closing
    upstream.script = script
    change = f"tasks {before.tasks} -> {after.tasks}, descriptors {before.descriptors} -> {after.descriptors}"
    report(f"fault {what}: {change}")
    assert after.tasks <= before.tasks + 1
    assert after.descriptors <= before.descriptors + 2


async def truth(port: int, request: bytes) -> tuple[int, bool, bytes]:
    """Return what a client saw: the status, whether the answer was whole, and all of it."""
    async with RawClient.connect(port) as client:
        await client.send(request)
        received = b""
        async with asyncio.timeout(HANG_SECONDS):
            with contextlib.suppress(ConnectionError):
                while not is_whole(received) and (piece := await client.reader.read(65536)):
                    received += piece
    return int(received[9:12] or 0), is_whole(received), received


def get(target: str, *lines: bytes) -> bytes:
    """Return a request's bytes."""
    return f"GET {target} HTTP/1.1\r\n".encode() + H + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


async def in_batches(count: int, size: int, one: Callable[[int], object]) -> None:
    """Run `one` for each number, so many at once."""
    for first in range(0, count, size):
        await asyncio.gather(*(one(number) for number in range(first, min(first + size, count))))  # type: ignore[call-overload]


@asynccontextmanager
async def gateway_with(script: Script, **settings: float) -> AsyncIterator[tuple[Gateway, RawUpstream]]:
    """Run a gateway in front of an upstream that follows the script."""
    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url, **settings))) as gateway:
        yield gateway, upstream


def cut_after(answer: bytes, size: int, end: str) -> Script:
    """Return a script that sends so many bytes of an answer and ends the connection: `close` or `reset`."""

    async def script(visit: Visit) -> None:
        await visit.send(answer[:size])
        getattr(visit, end)()

    return script

"""Clients that leave at any moment, a thousand times: what they asked for ends with them."""

from __future__ import annotations

import asyncio

import pytest

from tests.rawpeer import RawClient, Visit
from tests.running import BEARER
from tests.security.conftest import Report
from tests.security.faults import BY_CHUNKS, HANG_SECONDS, LEAVE_SECONDS, H, gateway_with, get, in_batches, no_leak


@pytest.mark.slow
async def test_clients_killed_a_thousand_times(report: Report) -> None:
    open_visits: set[Visit] = set()
    begun = 0

    async def script(visit: Visit) -> None:
        nonlocal begun
        begun += 1
        open_visits.add(visit)
        try:
            if "stream" in visit.target:
                await visit.send(BY_CHUNKS[: BY_CHUNKS.index(b"d\r\ndata: world")])
            if "websocket" in visit.target:
                await visit.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
                await visit.send(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
            await visit.wait_for_client_to_leave()
        finally:
            open_visits.discard(visit)

    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
    requests = [
        (get("/api/thinking", BEARER.strip()), b""),
        (get("/api/stream", BEARER.strip()), b"hello"),
        (get("/public/websocket", upgrade, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), b"101"),
        (b"POST /public/upload HTTP/1.1\r\n" + H + b"Content-Length: 100000\r\n\r\nhalf", b""),
        (b"GET /public/half-a-head HTTP/1.1\r\nHost: ", b""),
    ]

    async with gateway_with(script) as (gateway, upstream):

        async def one(number: int) -> None:
            request, answer = requests[number % len(requests)]
            async with RawClient.connect(gateway.port) as client:
                await client.send(request)
                if answer:
                    async with asyncio.timeout(HANG_SECONDS):
                        await client.reader.readuntil(answer)
                else:
                    await asyncio.sleep(
                        0.01
                    )  # most have reached the upstream by then; some have not, and that counts too
                if number % 2:
                    client.reset()

        async with no_leak(gateway, upstream, report, "1,000 clients killed"):
            await in_batches(1000, 50, one)
            deadline = asyncio.get_running_loop().time() + LEAVE_SECONDS
            while open_visits:
                assert asyncio.get_running_loop().time() < deadline, f"{len(open_visits)} abandoned runs go on"
                await asyncio.sleep(0.01)
    report(f"fault 1,000 clients killed: {begun} had reached the upstream, none of those requests ran on")
    assert begun >= 500

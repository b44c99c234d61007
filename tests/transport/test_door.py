"""What a client sends early, late or never at the door for TLS. The storm is in tests/security/test_crowd.py."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.model import Limits
from gateway.server.gateway import Gateway
from gateway.transport.door import TlsDoor
from tests.rawpeer import RawClient, RawUpstream
from tests.running import BEARER, config_for, running, upstream_at
from tests.server.test_server import make_certificate

GET = b"GET /api/x HTTP/1.1\r\nHost: a\r\n" + BEARER + b"\r\n"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    limits = Limits(header_timeout_seconds=0.2)
    async with RawUpstream() as upstream:
        files = make_certificate(tmp_path, "door")
        async with running(replace(config_for(upstream_at(upstream.url)), tls=files, limits=limits)) as gateway:
            yield gateway


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def call(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting())
    writer.write(GET)
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    return answer


async def test_first_bytes_that_come_before_anybody_shakes_hands_are_not_lost(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    # uvloop reads though it was told not to, before the handshake has begun: every other client then waited in vain.
    def run_late(door: TlsDoor, handshake: object) -> None:
        async def wait_and_shake() -> None:
            handshake._transport.resume_reading()  # type: ignore[attr-defined]
            while not handshake._ahead:  # type: ignore[attr-defined]  # noqa: ASYNC110
                await asyncio.sleep(0)
            await type(handshake).shake(handshake)  # type: ignore[attr-defined]

        task = asyncio.get_running_loop().create_task(wait_and_shake())
        door._shaking.add(task)
        task.add_done_callback(door._shaking.discard)

    monkeypatch.setattr(TlsDoor, "run", run_late)
    async with asyncio.timeout(5):
        assert (await call(gateway.port)).startswith(b"HTTP/1.1 200 ")


async def test_many_handshakes_one_after_the_other(gateway: Gateway) -> None:
    for _ in range(50):
        async with asyncio.timeout(5):
            assert (await call(gateway.port)).startswith(b"HTTP/1.1 200 ")


async def test_request_that_comes_with_the_end_of_the_handshake_is_read(gateway: Gateway) -> None:
    """The last flight of a client and its request in one packet, as TLS 1.3 clients do."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting().wrap_bio(incoming, outgoing)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
    client.write(GET)
    writer.write(outgoing.read())
    answer = b""
    while not answer.startswith(b"HTTP/1.1 200 "):
        incoming.write(await asyncio.wait_for(reader.read(65536), 5))
        try:
            answer += client.read(65536)
        except ssl.SSLWantReadError:  # tickets
            continue
    writer.transport.abort()


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", id="half-a-record"),
        pytest.param(GET, id="no-tls"),
        pytest.param(b"\x00" * 100_000, id="noise"),
    ],
)
async def test_who_does_not_shake_hands_is_let_go_in_time(gateway: Gateway, first: bytes) -> None:
    async with RawClient.connect(gateway.port) as client:
        await client.send(first)
        assert b"HTTP/1.1 200" not in await asyncio.wait_for(client.rest(), 5)
    for _ in range(10):
        await asyncio.sleep(0)
    assert gateway.room.count == 0


async def test_end_of_the_gateway_ends_handshakes(gateway: Gateway) -> None:
    async with RawClient.connect(gateway.port) as client:
        while not gateway.room.count:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await gateway.stop()
        assert await asyncio.wait_for(client.rest(), 5) == b""
        assert gateway.room.count == 0

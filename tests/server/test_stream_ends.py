"""Streams that end with their token, by time and by revocation, over real sockets; and heartbeats, as clients see."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.file import load
from gateway.proxy.event_stream import HEARTBEAT
from gateway.record.exposition import metrics_text
from gateway.server.gateway import Gateway
from gateway.server.gauges import gauges_of
from tests.minting import SECRET, mint
from tests.proxy.test_event_stream import events_of
from tests.rawpeer import RawClient, RawUpstream, Visit
from tests.running import WIRE

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDED = 'event: gateway\ndata: {"error":"Invalid or expired token","code":"%s"}\n\n'
LAST = b"\n\n\r\n0\r\n\r\n"
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def body_of(received: bytes) -> tuple[bytes, bool]:
    """Return what stood in chunks, and whether the last one came."""
    body, rest = b"", received
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size, 16)
        if not count:
            return body, True
        body, rest = body + rest[:count], rest[count + 2 :]
    return body, False


async def ticks(visit: Visit) -> None:
    """Answer with an event every 50 ms, by CR LF, each in two pieces; WebSockets with a frame, others with records."""
    if visit.header("Upgrade") is not None:
        await visit.send(SWITCHING + b"\x81\x02hi")
        await visit.wait_for_client_to_leave()
        return
    silent, records = "silent" in visit.target, "records" in visit.target
    await visit.send(EVENTS.replace(b"text/event-stream", b"application/json") if records else EVENTS)
    number = 0
    try:
        while True:
            await asyncio.sleep(0.05 if not silent else 30)
            number += 1
            if records:
                await visit.send(chunk(b'{"n":%d}\x1e' % number))
            else:
                await visit.send(chunk(b"data: %d\r\n" % number))
                await visit.send(chunk(b"\r\n"))
    except (ConnectionError, asyncio.CancelledError):
        return


def file_for(upstream: RawUpstream, streams: str, more: str = "") -> str:
    return f"""
listen: 127.0.0.1:0
admin: none
upstream: {upstream.url}
providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}, expiry: optional}}}}
{streams}
{more}
routes:
  /live: {{provider: jobs, allow: authenticated, websocket: true}}
  /other: {{provider: jobs, allow: authenticated, streams: {{end: by_itself, max: none, heartbeat: none}}}}
"""


def bearer(seconds: float | None = None, **claims: object) -> bytes:
    said = {"sub": "user-1", **claims} | ({} if seconds is None else {"exp": time.time() + seconds})
    return f"Authorization: Bearer {mint(said)}\r\n".encode()


OPEN: list[RawClient] = []


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    while OPEN:
        client = OPEN.pop()
        client.close()
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()


class Client(RawClient):
    """One that is closed behind the test."""

    async def status(self) -> int:
        return int((await self.head())[9:12])


async def ask(gateway: Gateway, target: str, lines: bytes) -> Client:
    client = Client(*await asyncio.open_connection("127.0.0.1", gateway.port, limit=1 << 22))
    OPEN.append(client)
    await client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n".encode() + lines + b"\r\n")
    return client


class Running:
    """A gateway by a file, which may change."""

    def __init__(self, tmp_path: Path, upstream: RawUpstream, streams: str, more: str = "") -> None:
        self.path = tmp_path / "gateway.yaml"
        self.path.write_text(file_for(upstream, streams, more))
        self.gateway = Gateway(load(self.path, dict(WIRE)))

    async def __aenter__(self) -> Gateway:
        await self.gateway.start()
        return self.gateway

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.stop()


@pytest.mark.slow
async def test_stream_and_websocket_end_with_a_token_of_five_seconds_and_a_grace_of_two(tmp_path: Path) -> None:
    async with (
        RawUpstream(ticks) as upstream,
        Running(tmp_path, upstream, "streams: {end: with_token, grace: 2s}") as gateway,
    ):
        line, began = bearer(5.0), time.time()
        events, records, frames, other = [
            await ask(gateway, "/live/x", line),
            await ask(gateway, "/live/records", line),
            await ask(gateway, "/live/ws", line + UPGRADE),
            await ask(gateway, "/other/x", line),
        ]
        assert [await one.status() for one in (events, records, frames, other)] == [200, 200, 101, 200]

        async def until(client: RawClient, end: bytes) -> tuple[bytes, float]:
            return await client.reader.readuntil(end), time.time() - began

        async def until_cut(client: RawClient) -> tuple[bytes, float]:
            return await client.rest(), time.time() - began

        (said, at), (broken, broken_at), (closed, closed_at) = await asyncio.gather(
            until(events, LAST), until_cut(records), until(frames, b"token_expired")
        )
        assert all(6.5 <= moment <= 8.5 for moment in (at, broken_at, closed_at)), (at, broken_at, closed_at)
        body, is_whole = body_of(said)
        assert is_whole and body.endswith((ENDED % "token_expired").encode())
        *numbers, last = events_of(body)
        assert last == ("gateway", '{"error":"Invalid or expired token","code":"token_expired"}')
        assert [int(data) for _, data in numbers] == list(range(1, len(numbers) + 1)), "each event is whole"
        assert not body_of(broken)[1], "what has no events is broken, and looks so"
        assert closed == b"\x81\x02hi\x88\x0f" + (4401).to_bytes(2, "big") + b"token_expired"
        assert await frames.rest() == b"", "a moment for an answer, and no more"
        assert gateway.open_streams == 1, "the one whose route says otherwise"
        text = metrics_text(gateway.metrics, gauges_of(gateway)).decode()
        assert 'gateway_ended_total{ended="expired"} 3.0' in text


async def test_silent_stream_is_kept_alive_and_a_dead_upstream_is_not(tmp_path: Path) -> None:
    async with RawUpstream(ticks) as upstream, Running(tmp_path, upstream, "streams: {heartbeat: 100ms}") as gateway:
        client = await ask(gateway, "/live/silent", bearer())
        await client.head()
        assert await client.reader.readexactly(3 * len(chunk(HEARTBEAT))) == 3 * chunk(HEARTBEAT)


async def test_revoked_caller_ends_at_once_wherever_he_is(tmp_path: Path) -> None:
    listed = tmp_path / "revoked.yaml"
    listed.write_text("")
    async with RawUpstream(ticks) as upstream, Running(tmp_path, upstream, "", "revoked_file: revoked.yaml") as gateway:
        line = bearer()
        events, frames = await ask(gateway, "/live/x", line), await ask(gateway, "/live/ws", line + UPGRADE)
        other = await ask(gateway, "/live/x", bearer(sub="user-2"))
        for one in (events, frames, other):
            await one.head()
        listed.write_text("revoked: [{sub: user-1}]")
        began = time.monotonic()
        body, is_whole = body_of(await asyncio.wait_for(events.reader.readuntil(LAST), 5))
        closed = await asyncio.wait_for(frames.reader.readuntil(b"token_revoked"), 5)
        assert time.monotonic() - began < 3.0, "one look a second, and a turn of the clock"
        assert is_whole and body.endswith((ENDED % "token_revoked").encode())
        assert closed.endswith(b"\x88\x0f" + (4401).to_bytes(2, "big") + b"token_revoked")
        assert await frames.rest() == b""
        assert gateway.open_streams == 1, "somebody else's"
        again = await ask(gateway, "/live/x", line)
        status, _, said = await again.answer()
        assert status == 401 and b'"token_revoked"' in said, "also from the memory of verified tokens"
        listed.write_text("revoked: []")
        await gateway.revoking.look()
        await gateway.revoking.look()
        assert await (await ask(gateway, "/live/x", line)).status() == 200, "what is taken back counts"


async def test_file_with_a_mistake_keeps_the_old_list_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = tmp_path / "revoked.yaml"
    listed.write_text("revoked: [{sub: user-1}]")
    async with RawUpstream(ticks) as upstream, Running(tmp_path, upstream, "", "revoked_file: revoked.yaml") as gateway:
        assert gateway.is_ready()
        listed.write_text("revoked:\n  - {sub: user-1-secret-name, sudo: x}\n")
        await gateway.revoking.look()
        assert not gateway.is_ready()
        assert gateway.revoking.error is not None and "revoked.yaml:2:" in gateway.revoking.error
        assert "secret-name" not in gateway.revoking.error + caplog.text, "nobody is named"
        assert (await (await ask(gateway, "/live/x", bearer())).answer())[0] == 401, "the former list counts"
        listed.unlink()
        await gateway.revoking.look()
        assert not gateway.is_ready() and "cannot be read" in str(gateway.revoking.error)
        assert (await (await ask(gateway, "/live/x", bearer())).answer())[0] == 401, "no list is no empty list"
        listed.write_text("# all was taken back\n")
        await gateway.revoking.look()
        await gateway.revoking.look()
        assert gateway.is_ready()
        assert await (await ask(gateway, "/live/x", bearer())).status() == 200
        assert gateway.revoking.reads["failed"] == 2


async def test_file_that_is_written_in_place_lets_nobody_in_meanwhile(tmp_path: Path) -> None:
    listed = tmp_path / "revoked.yaml"
    whole = "# by hand\nrevoked:\n  - {sub: user-3}\n  - {sub: user-1}\n"
    listed.write_text("revoked:\n  - {sub: user-1}\n")
    async with RawUpstream(ticks) as upstream, Running(tmp_path, upstream, "", "revoked_file: revoked.yaml") as gateway:

        async def status(subject: str) -> int:
            return await (await ask(gateway, "/live/x", bearer(sub=subject))).status()

        for written in ("", "# by hand\n", whole[: whole.index("  - {sub: user-1")], whole):
            with listed.open("w") as file:
                file.write(written)
            await gateway.revoking.look()
            assert gateway.revoking.error is None, "each of these is a list"
            assert await status("user-1") == 401, f"still revoked where the file is {written!r}"
        assert await status("user-3") == 401, "what is added counts at once"
        assert await status("user-2") == 200
        await gateway.revoking.look()
        assert len(gateway.revoking.listed.entries) == 2, "a line that only moved is no other entry"
        listed.write_text("revoked: [{sub: user-3}]\n")
        await gateway.revoking.look()
        await gateway.revoking.look()
        assert await status("user-1") == 200, "what is taken back counts once the file has stood still"


async def test_revocation_counts_for_streams_that_began_before_a_reload(tmp_path: Path) -> None:
    listed = tmp_path / "revoked.yaml"
    listed.write_text("")
    async with RawUpstream(ticks) as upstream:
        running = Running(tmp_path, upstream, "", "revoked_file: revoked.yaml")
        async with running as gateway:
            events = await ask(gateway, "/live/x", bearer())
            await events.head()
            running.path.write_text(file_for(upstream, "streams: {max: 1s}", "revoked_file: revoked.yaml"))
            await gateway.use(load(running.path, dict(WIRE)))
            await asyncio.sleep(1.2)
            assert gateway.open_streams == 1, "it keeps what it began with"
            listed.write_text("revoked: [{before: 2099-01-01}]")
            await gateway.revoking.look()
            body, is_whole = body_of(await asyncio.wait_for(events.reader.readuntil(LAST), 5))
            assert is_whole and body.endswith((ENDED % "token_revoked").encode())

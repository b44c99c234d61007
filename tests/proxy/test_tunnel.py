"""WebSocket through the gateway: bytes pass as they are, on routes that say so, for callers who may."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.frames import FrameBorders, close_frame, close_payload
from gateway.proxy.silence import Silence
from tests.rawpeer import RawClient, RawUpstream, Visit, ask
from tests.running import BEARER, TOKEN, config_for, running, upstream_at

H = b"Host: gw.test\r\n"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = (
    f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n".encode()
)


def accept(key: str | None) -> str:
    data = f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def frame(payload: bytes, opcode: int = 1, *, masked: bool) -> bytes:
    length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    if not masked:
        return bytes([0x80 | opcode]) + length + payload
    mask = os.urandom(4)
    data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes([0x80 | opcode, length[0] | 0x80]) + length[1:] + mask + data


GOODBYE_OF_CLIENT = frame(b"\x03\xe9", 8, masked=True)


async def shake_hands(visit: Visit, *lines: str) -> None:
    head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", *lines]
    accepted = f"Sec-WebSocket-Accept: {accept(visit.header('Sec-WebSocket-Key'))}"
    await visit.send("\r\n".join([*head, accepted, "", ""]).encode())


async def echo_bytes(visit: Visit) -> None:
    await shake_hands(visit, "Sec-WebSocket-Protocol: chat")
    while data := await visit.reader.read(65536):
        await visit.send(data)


async def test_bytes_pass_both_ways_untouched() -> None:
    async with RawUpstream(echo_bytes) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            lines = b"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
            await client.send(b"GET /api/ws HTTP/1.1\r\n" + H + BEARER + UPGRADE + lines + b"\r\n")
            head = await client.head()
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"Sec-WebSocket-Protocol: chat\r\n" in head
            assert f"Sec-WebSocket-Accept: {accept(KEY)}\r\n".encode() in head
            assert b"Transfer-Encoding" not in head and b"Content-Length" not in head
            sent = frame(b"hello", masked=True) + frame(b"", 9, masked=True) + frame(b"\x03\xe8bye", 8, masked=True)
            await client.send(sent)
            assert await client.reader.readexactly(len(sent)) == sent
        visit = upstream.visits[0]
        assert visit.header("Upgrade") == "websocket"
        assert visit.header("Sec-WebSocket-Extensions") == "permessage-deflate"
        assert visit.header("X-Auth-Subject") == "user-1"


async def test_frames_sent_with_the_handshake_are_not_lost() -> None:
    async with RawUpstream(echo_bytes) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            early = frame(b"early", masked=True)
            await client.send(b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n" + early)
            await client.head()
            assert await client.reader.readexactly(len(early)) == early


async def test_large_messages_wait_for_a_slow_reader() -> None:
    size, sent = 32 * 1024 * 1024, 0

    async def flood(visit: Visit) -> None:
        nonlocal sent
        await shake_hands(visit)
        for _ in range(size // 65536):
            await visit.send(b"x" * 65536)
            sent += 65536

    async with RawUpstream(flood) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n")
            await client.head()
            client.transport.pause_reading()
            before = -1
            while before != sent or not sent:  # until nothing moves any more
                before = sent
                await asyncio.sleep(0.2)
            assert sent < size // 2, "the gateway swallowed what the client did not take"
            client.transport.resume_reading()
            assert len(await client.reader.readexactly(size)) == size


@pytest.mark.parametrize(
    ("target", "lines", "status"),
    [
        pytest.param(b"/api/ws", b"", 401, id="no-token"),
        pytest.param(b"/api/ws", b"Authorization: Bearer bad\r\n", 401, id="bad-token"),
        pytest.param(b"/plain/ws", b"", 403, id="route-without-websocket"),
        pytest.param(b"/nowhere", b"", 404, id="no-route"),
    ],
)
async def test_websocket_is_refused_before_the_upstream_hears_of_it(target: bytes, lines: bytes, status: int) -> None:
    async with RawUpstream(echo_bytes) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET " + target + b" HTTP/1.1\r\n" + H + lines + UPGRADE + b"\r\n")
            found, _, _ = await client.answer()
            assert found == status
            assert await client.rest() == b""
        assert upstream.connections == 0


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(
            ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: bm9wZQ=="], id="wrong-accept"
        ),
        pytest.param(["Upgrade: websocket", "Connection: Upgrade"], id="no-accept"),
        pytest.param(
            ["Upgrade: h2c", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept(KEY)}"], id="other-protocol"
        ),
        pytest.param(["Upgrade: websocket", f"Sec-WebSocket-Accept: {accept(KEY)}"], id="no-connection"),
    ],
)
async def test_101_that_does_not_answer_the_handshake_is_a_502(lines: list[str]) -> None:
    async def script(visit: Visit) -> None:
        await visit.send("\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode())
        await visit.wait_for_client_to_leave()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        status, _, body = await ask(gateway.port, b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n")
        assert status == 502
        assert b"upstream_broken" in body


async def test_refusal_of_the_upstream_reaches_the_client_as_it_is() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nContent-Length: 3\r\n\r\nno!")

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        status, head, body = await ask(gateway.port, b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n")
        assert (status, body) == (426, b"no!")
        assert b"Sec-WebSocket-Version: 8" in head


async def test_token_of_a_websocket_protocol_list() -> None:
    from dataclasses import replace

    from gateway.policy.providers import TokenSource
    from tests.running import SHARED

    async with RawUpstream(echo_bytes) as upstream:
        config = config_for(upstream_at(upstream.url))
        provider = replace(SHARED, token_sources=(TokenSource("websocket_protocol"),))
        routes = [replace(route, providers=(provider,)) if route.providers else route for route in config.policy.routes]
        config = replace(config, policy=type(config.policy)(routes))
        async with running(config) as gateway:
            async with RawClient.connect(gateway.port) as client:
                offered = f"Sec-WebSocket-Protocol: chat, {TOKEN}\r\n".encode()
                await client.send(b"GET /api/ws HTTP/1.1\r\n" + H + UPGRADE + offered + b"\r\n")
                assert (await client.head()).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("breaks", ["close", "reset"])
async def test_cut_of_the_upstream_stays_a_cut(breaks: str) -> None:
    async def script(visit: Visit) -> None:
        await shake_hands(visit)
        await visit.send(frame(b"half", masked=False)[:4])
        await visit.reader.readexactly(1)
        getattr(visit, breaks)()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n")
            await client.head()
            assert await client.reader.readexactly(4) == frame(b"half", masked=False)[:4]
            await client.send(b"x")
            assert await client.rest() == b"", "no close frame is made up"


async def test_client_that_leaves_ends_the_upstreams_connection() -> None:
    async def script(visit: Visit) -> None:
        await shake_hands(visit)
        await visit.wait_for_client_to_leave()
        visit.upstream.left.set()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n")
            await client.head()
        await asyncio.wait_for(upstream.left.wait(), 5)


async def test_drain_says_goodbye_with_1001_to_both_sides_at_a_border_of_frames() -> None:
    heard = asyncio.get_running_loop().create_future()
    arrived, draining_began = asyncio.Event(), asyncio.Event()

    async def script(visit: Visit) -> None:
        await shake_hands(visit)
        await visit.send(frame(b"whole", masked=False) + frame(b"torn apart", masked=False)[:5])
        await visit.reader.readexactly(7)
        arrived.set()
        await draining_began.wait()
        await visit.send(frame(b"torn apart", masked=False)[5:])
        rest = b""
        while piece := await visit.reader.read(65536):
            rest += piece
        heard.set_result(rest)

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n")
            await client.head()
            whole = frame(b"whole", masked=False)
            assert await client.reader.readexactly(len(whole) + 5) == whole + frame(b"torn apart", masked=False)[:5]
            await client.send(frame(b"x", masked=True))
            await arrived.wait()
            draining = asyncio.create_task(gateway.drain())
            await asyncio.sleep(0)  # it runs up to its first wait
            assert gateway.is_draining
            draining_began.set()
            received = await client.rest()
            assert received == frame(b"torn apart", masked=False)[5:] + b"\x88\x02\x03\xe9"
            await draining
            up = await asyncio.wait_for(heard, 5)
            assert up[-8:-6] == b"\x88\x82", "masked, as everything to a server is"
            mask, payload = up[-6:-2], up[-2:]
            assert bytes(a ^ b for a, b in zip(payload, mask, strict=False)) == b"\x03\xe9"


async def drained(first: bytes, later: bytes, answer: bytes = b"") -> bytes:
    """Return what a client gets of a drain that begins after `first` came from the upstream and before `later`.

    The client answers the close frame, and the upstream with `answer`; where that is none, the gateway waits its time.
    """
    draining_began = asyncio.Event()

    async def script(visit: Visit) -> None:
        await shake_hands(visit)
        await visit.send(first)
        await draining_began.wait()
        await visit.send(later)
        await visit.send(answer)
        await visit.wait_for_client_to_leave()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n")
            await client.head()
            received = await client.reader.readexactly(len(first))
            draining = asyncio.create_task(gateway.drain())
            while not gateway.is_draining:  # noqa: ASYNC110  # one turn of the loop
                await asyncio.sleep(0)
            draining_began.set()
            await client.send(GOODBYE_OF_CLIENT)
            received += await client.rest()
            await draining
            return received


async def test_drain_ends_at_a_border_though_more_frames_come_at_once() -> None:
    torn, more = frame(b"torn apart", masked=False), frame(b"more", masked=False)
    # Not a byte behind the close frame: RFC 6455 section 5.5.1.
    received = await drained(torn[:5], torn[5:] + more[:3], more[3:] + frame(b"\x03\xe9", 8, masked=False))
    assert received == torn + b"\x88\x02\x03\xe9"


async def test_drain_adds_nothing_to_a_farewell_that_is_said_already() -> None:
    goodbye = frame(b"\x0f\xa0done", 8, masked=False)
    assert await drained(goodbye, b"") == goodbye


async def test_drain_waits_for_the_answer_to_its_close_frame_and_no_longer() -> None:
    async def script(visit: Visit) -> None:
        await shake_hands(visit)
        while piece := await visit.reader.read(65536):
            if piece[0] == 0x88:
                await visit.send(frame(b"\x03\xe9", 8, masked=False))

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n")
            await client.head()
            draining = asyncio.create_task(gateway.drain())
            assert await client.reader.readexactly(4) == b"\x88\x02\x03\xe9"
            await client.send(frame(b"still on the way", masked=True))
            await asyncio.sleep(0.05)  # a frame that is not the answer must not end it; there is nothing to wait for
            assert not client.reader.at_eof()
            await client.send(frame(b"\x03\xe9", 8, masked=True))
            assert await asyncio.wait_for(client.rest(), 1) == b""
            await draining


@pytest.mark.parametrize(
    ("request_line", "lines", "status"),
    [
        pytest.param(b"GET /public/ws HTTP/1.1", UPGRADE + b"Content-Length: 5\r\n", 400, id="with-a-body"),
        pytest.param(
            b"GET /public/ws HTTP/1.1", UPGRADE.replace(b"Connection: Upgrade\r\n", b""), 200, id="no-connection"
        ),
        pytest.param(b"GET /public/ws HTTP/1.0", UPGRADE, 200, id="http-1.0"),
        pytest.param(b"POST /public/ws HTTP/1.1", UPGRADE, 200, id="post"),
    ],
)
async def test_what_only_looks_like_a_handshake_opens_no_tunnel(request_line: bytes, lines: bytes, status: int) -> None:
    # WebSocket smuggling: what another parser reads as a body or as a request must never be taken for frames.
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(request_line + b"\r\n" + H + lines + b"\r\n")
            if status == 400:
                await client.send(b"hello")
            assert (await client.answer())[0] == status
        assert len(upstream.visits) == (status == 200)
        assert all(visit.header("Upgrade") is None for visit in upstream.visits)


FRAMES = st.lists(st.tuples(st.integers(0, 70_000), st.booleans()), max_size=4)


@given(FRAMES, st.lists(st.integers(1, 5000), min_size=1))
def test_borders_are_found_in_any_chunking(frames: list[tuple[int, bool]], cuts: list[int]) -> None:
    stream, borders = b"", {0}
    for size, masked in frames:
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 else None
        if length is None:
            length = b"\x7f" + size.to_bytes(8, "big")
        stream += bytes([0x82, length[0] | (0x80 if masked else 0)]) + length[1:] + (b"mask" if masked else b"")
        stream += bytes(size)
        borders.add(len(stream))
    following, position, index = FrameBorders(), 0, 0
    while position < len(stream):
        step = cuts[index % len(cuts)]
        following.feed(stream[position : position + step])
        position, index = min(position + step, len(stream)), index + 1
        assert following.is_at_border == (position in borders)


@pytest.mark.parametrize("mask", [b"", b"abcd"], ids=["plain", "masked"])
@pytest.mark.parametrize("payload", [0, 1, 125, 126], ids=lambda size: f"{size}-bytes")
def test_following_costs_the_same_however_small_the_frames_are(mask: bytes, payload: int) -> None:
    second = (0x80 if mask else 0) | min(payload, 126)
    one = bytes([0x82, second]) + (b"\x00\x7e" if payload == 126 else b"") + mask + bytes(payload)
    following = FrameBorders()
    steps = 0

    def note(frame: Any, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return note

    piece = one * (256 * 1024 // len(one))
    sys.settrace(note)
    try:
        assert following.feed(piece) == len(piece), "all of it passes"
        first, steps = steps, 0
        following.feed(piece)
    finally:
        sys.settrace(None)
    assert first < 20 * 1300, "a line of code for each ten bytes at most"
    assert steps < 20 * 1300


@pytest.mark.parametrize("length", [126, 65536])
def test_head_that_comes_byte_by_byte_is_never_held_twice(length: int) -> None:
    size = b"\xfe\x00\x7e" if length == 126 else b"\xff" + length.to_bytes(8, "big")
    following, whole = FrameBorders(), b"\x82" + size + b"abcd"
    for byte in whole:
        following.feed(bytes([byte]))
        assert len(following._head) < 14
    assert following._left == length


def test_frames_of_an_ordinary_client_are_never_lost() -> None:
    following = FrameBorders()
    for _ in range(1000):
        following.feed(frame(b"x" * 20, masked=True) * 200)
    assert following.is_at_border


async def test_drain_puts_no_frame_of_ours_between_frames_that_nobody_follows() -> None:
    flood = frame(b"", 9, masked=False) * 30_000
    assert await drained(flood, b"") == flood


def test_silence_ends_when_nothing_has_moved_for_its_time() -> None:
    silence = Silence(10.0, 100.0)
    assert silence.pause_seconds == 1.0
    assert not silence.is_over((1, 0), 109.0)
    assert not silence.is_over((1, 0), 118.0)
    assert not silence.is_over((1, 1), 119.5), "either way counts"
    assert not silence.is_over((1, 1), 129.0)
    assert silence.is_over((1, 1), 129.5)


async def test_silent_websocket_ends_on_both_sides_after_idle_timeout() -> None:
    async with RawUpstream(echo_bytes) as upstream:
        async with running(config_for(upstream_at(upstream.url, idle_timeout_seconds=0.1))) as gateway:
            async with RawClient.connect(gateway.port) as client:
                await client.send(b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n")
                await client.head()
                assert await asyncio.wait_for(client.rest(), 5) == b"\x88\x02\x03\xe9"
                await asyncio.wait_for(upstream.left.wait(), 5)
            assert not gateway.tunnels


@pytest.mark.parametrize("who", [pytest.param("client", marks=pytest.mark.slow), "upstream"])
async def test_either_side_keeps_a_websocket_open(who: str) -> None:
    """Twenty pings, each within the time, last twice as long as that."""
    ping = frame(b"", 9, masked=who == "client")

    async def script(visit: Visit) -> None:
        await shake_hands(visit)
        for _ in range(20):
            if who == "upstream":
                await visit.send(ping)
                await asyncio.sleep(0.1)
            else:
                await visit.reader.readexactly(len(ping))
        await visit.send(b"\x88\x00")

    async with RawUpstream(script) as upstream:
        async with running(config_for(upstream_at(upstream.url, idle_timeout_seconds=1.0))) as gateway:
            async with RawClient.connect(gateway.port) as client:
                await client.send(b"GET /public/ws HTTP/1.1\r\n" + H + UPGRADE + b"\r\n")
                await client.head()
                for _ in range(20 if who == "client" else 0):
                    await client.send(ping)
                    await asyncio.sleep(0.1)
                received = await client.rest()
    assert received == (ping * 20 if who == "upstream" else b"") + b"\x88\x00"


def test_close_frame_is_masked_towards_servers_only() -> None:
    assert close_frame(close_payload(1001), masked=False) == b"\x88\x02\x03\xe9"
    masked = close_frame(close_payload(1001), masked=True)
    assert masked[:2] == b"\x88\x82"
    assert bytes(a ^ b for a, b in zip(masked[6:], masked[2:6], strict=False)) == b"\x03\xe9"

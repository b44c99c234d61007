"""Bodies and the requests around them: each is one, whole, and judged on its own. Ambiguous ones: tests/security."""

from __future__ import annotations

import asyncio

import pytest

from tests.rawpeer import RawClient, RawUpstream, ask
from tests.running import BEARER, config_for, running, upstream_at

HIDDEN = b"GET /api/secret HTTP/1.1\r\nHost: gw.test\r\n\r\n"
H = b"Host: gw.test\r\n"


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/public/c") -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\n" + H + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: %d" % len(HIDDEN)


async def test_chunk_extensions_and_trailers_are_not_passed_on() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        trailer = b"3;a=b\r\nabc\r\n0\r\nX-Auth-Subject: evil\r\n\r\n"
        status, _, _ = await ask(gateway.port, post(CHUNKED, b"Trailer: X-Auth-Subject", body=trailer))
        assert status == 200
        assert upstream.visits[0].body == b"abc"
        assert b"evil" not in upstream.requests[0]
        assert b"Trailer" not in upstream.requests[0]


async def test_bodies_arrive_whole_by_length_and_by_chunks() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        await ask(gateway.port, post(b"Content-Length: 5", body=b"hello"))
        await ask(gateway.port, post(CHUNKED, body=b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"))
        assert [visit.body for visit in upstream.visits] == [b"hello", b"hello"]
        assert upstream.visits[0].header("Content-Length") == "5"
        assert upstream.visits[1].header("Transfer-Encoding") == "chunked"


async def test_each_request_of_a_connection_is_judged_on_its_own() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            good, bare = b"GET /api/1 HTTP/1.1\r\n" + H + BEARER + b"\r\n", b"GET /api/2 HTTP/1.1\r\n" + H + b"\r\n"
            await client.send(good + bare + good + bare + b"GET /public/3 HTTP/1.1\r\n" + H + b"\r\n")
            assert [(await client.answer())[0] for _ in range(5)] == [200, 401, 200, 401, 200]
            assert [visit.target for visit in upstream.visits] == ["/api/1", "/api/1", "/public/3"]


@pytest.mark.parametrize("declared", [LENGTH, CHUNKED], ids=["length", "chunked"])
async def test_unread_body_of_a_refused_request_is_never_a_request(declared: bytes) -> None:
    # CL.0 and its kind: after an early 401 the body must not be taken for the next request.
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(post(declared, target=b"/api/x"))
            status, head, _ = await client.answer()
            assert status == 401
            assert b"Connection: close" in head
            await client.send(HIDDEN.replace(b"/api/secret", b"/public/secret"))
            client.writer.write_eof()
            assert await client.rest() == b""
            assert upstream.visits == []


async def test_get_with_a_body_that_looks_like_a_request() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET /public/c HTTP/1.1\r\n" + H + LENGTH + b"\r\n\r\n" + HIDDEN)
            assert (await client.answer())[0] == 200
            assert len(upstream.visits) == 1
            assert upstream.visits[0].body == HIDDEN


async def test_upgrade_to_h2c_is_dropped_and_the_request_served() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
            await client.send(b"GET /public/c HTTP/1.1\r\n" + H + upgrade + b"\r\n" + HIDDEN)
            status, head, _ = await client.answer()
            assert status == 200
            assert b"Connection: close" in head
            assert await client.rest() == b""
            sent = upstream.requests[0].lower()
            assert b"upgrade" not in sent and b"http2-settings" not in sent and b"h2c" not in sent
            assert len(upstream.visits) == 1


async def test_websocket_refused_by_the_upstream_leaves_no_tunnel() -> None:
    async def refuse(visit) -> None:  # type: ignore[no-untyped-def]
        await visit.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")

    async with RawUpstream(refuse) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            await client.send(
                b"GET /public/ws HTTP/1.1\r\n" + H + upgrade + b"Sec-WebSocket-Version: 13\r\n\r\n" + HIDDEN
            )
            status, _, body = await client.answer()
            assert (status, body) == (403, b"no")
            assert await client.rest() == b""
            assert len(upstream.visits) == 1


async def test_head_in_single_bytes_is_the_same_head() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            for byte in post(CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n"):
                await client.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await client.answer())[0] == 200
            assert upstream.visits[0].body == b"abc"

"""Requests that two parsers could read in two ways never get past the gateway (CWE-444)."""

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


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(post(CHUNKED, LENGTH, body=b"0\r\n\r\n" + HIDDEN), id="cl.te"),  # CVE-2019-18277 and its kind
        pytest.param(post(b"Content-Length: 4", CHUNKED, body=b"2d\r\n" + HIDDEN + b"\r\n0\r\n\r\n"), id="te.cl"),
        pytest.param(post(b"Transfer-Encoding: xchunked", LENGTH, body=HIDDEN), id="xchunked"),
        pytest.param(post(b"Transfer-Encoding: identity, chunked", body=b"0\r\n\r\n" + HIDDEN), id="identity-chunked"),
        pytest.param(post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n" + HIDDEN), id="chunked-twice"),
        pytest.param(post(b"Transfer-Encoding: \x0bchunked", LENGTH, body=HIDDEN), id="vertical-tab"),
        pytest.param(post(b"Transfer-Encoding : chunked", LENGTH, body=HIDDEN), id="te-space-before-colon"),
        pytest.param(post(b"Transfer-Encoding:\r\n chunked", LENGTH, body=HIDDEN), id="te-folded"),
        pytest.param(post(b"Transfer-Encoding: cow", body=HIDDEN), id="te-cow"),
        pytest.param(post(b"Transfer-Encoding: ", LENGTH, body=HIDDEN), id="te-empty"),
        pytest.param(post(CHUNKED, b"Transfer-Encoding: identity", body=b"0\r\n\r\n" + HIDDEN), id="te-twice"),
        pytest.param(post(LENGTH, b"Content-Length: 0", body=HIDDEN), id="two-lengths"),
        pytest.param(post(b"Content-Length: 0, %d" % len(HIDDEN), body=HIDDEN), id="length-list"),
        pytest.param(post(b"Content-Length: +%d" % len(HIDDEN), body=HIDDEN), id="length-plus"),
        pytest.param(post(b"Content-Length: -1", body=HIDDEN), id="length-minus"),
        pytest.param(post(b"Content-Length: 0x2d", body=HIDDEN), id="length-hex"),
        pytest.param(post(b"Content-Length : 45", body=HIDDEN), id="length-space-before-colon"),
        pytest.param(post(b"Content-Length: 99999999999999999999999", body=HIDDEN), id="length-overflow"),
        pytest.param(post(CHUNKED, body=b"3;a\nb\r\nabc\r\n0\r\n\r\n" + HIDDEN), id="extension-with-lf"),
        pytest.param(post(CHUNKED, body=b"0x3\r\nabc\r\n0\r\n\r\n" + HIDDEN), id="chunk-0x"),
        pytest.param(post(CHUNKED, body=b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n" + HIDDEN), id="chunk-overflow"),
        pytest.param(post(CHUNKED, body=b"3\r\nabc\n0\r\n\r\n" + HIDDEN), id="chunk-ends-with-lf"),
        pytest.param(post(CHUNKED, body=b"-1\r\nabc\r\n0\r\n\r\n" + HIDDEN), id="chunk-negative"),
        pytest.param(b"POST /public/c HTTP/1.1\nHost: gw.test\nContent-Length: 0\n\n" + HIDDEN, id="bare-lf"),
        pytest.param(b"GET /public/c HTTP/1.1\r\n" + H + b"X: a\x00b\r\n\r\n", id="nul-in-value"),
        pytest.param(b"GET /public/c HTTP/1.1\r\n" + H + b"X: a\rb\r\n\r\n", id="bare-cr-in-value"),
        pytest.param(b"GET /public/c HTTP/1.1\r\n" + H + b"X: a\x01b\r\n\r\n", id="control-in-value"),
        pytest.param(b"GET /public/c HTTP/1.1\r\n" + H + b"X: caf\xe9\r\n\r\n", id="value-no-utf-8"),
        pytest.param(b"GET /public/c HTTP/1.1\r\n" + H + b"X : a\r\n\r\n", id="space-before-colon"),
        pytest.param(b"GET /public/c HTTP/1.1\r\n" + H + b"X: a\r\n b\r\n\r\n", id="folded-header"),
        pytest.param(b"GET /public/c HTTP/1.1\r\n" + H + b": a\r\n\r\n", id="no-name"),
        pytest.param(b"GET /public/c HTTP/1.1\r\n" + H + b"X(y): a\r\n\r\n", id="name-no-token"),
        pytest.param(b"GET /public/c HTTP/1.1\r\n\r\n", id="no-host"),
        pytest.param(b"GET /public/c HTTP/1.1\r\nHost: \r\n\r\n", id="empty-host"),
        pytest.param(b"GET /public/c HTTP/1.1\r\nHost: a b\r\n\r\n", id="host-with-space"),
        pytest.param(b"GET /public/c HTTP/1.1\r\nHost: a/b\r\n\r\n", id="host-with-path"),
        pytest.param(b"GET /public/c HTTP/1.1\r\nHost: a@b\r\n\r\n", id="host-with-user"),
        pytest.param(b"GET /public/c HTTP/1.1\r\n" + H + H + b"\r\n", id="host-twice"),  # CVE-2026-34525
        pytest.param(b"GET /api/x\r\n\r\n", id="http-0.9"),
        pytest.param(b"GET /public/c\r\n\r\n", id="http-0.9-on-a-public-route"),
        pytest.param(b"HEAD /public/cTTP/1.1\r\n" + H + b"\r\n", id="http-0.9-by-a-lost-space"),
        pytest.param(b"GET /public/c HTTP/0.9\r\n" + H + b"\r\n", id="http-0.9-in-words"),
        pytest.param(b"GET /public/c HTTP/1.2\r\n" + H + b"\r\n", id="http-1.2"),
        pytest.param(b"GET /public/c HTTP/2.0\r\n" + H + b"\r\n", id="http-2.0-on-one-line"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="h2-preface"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", id="asterisk"),
        pytest.param(b"CONNECT gw.test:443 HTTP/1.1\r\n" + H + b"\r\n", id="connect"),
        pytest.param(b"TRACE /public HTTP/1.1\r\n" + H + b"\r\n", id="trace"),
        pytest.param(b"GET /public/c HTTP/1.0\r\n" + CHUNKED + b"\r\n\r\n0\r\n\r\n", id="chunked-in-1.0"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="tls"),
    ],
)
async def test_ambiguous_request_is_refused_and_the_connection_ends(data: bytes) -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(data + HIDDEN)
            client.writer.write_eof()
            received = await client.rest()
            assert received[9:12] in (b"400", b"405"), received
            assert received.count(b"HTTP/1.1 ") == 1, "one answer, then the end"
            assert b'"code":"' in received
            assert not any(b"secret" in request for request in upstream.requests)
            assert all(request.startswith(b"POST /public/c ") for request in upstream.requests), (
                "at most the broken body's"
            )


@pytest.mark.parametrize(
    "data",
    [b"HEAD /public/cTTP/1.1\r\nHost: gw.test\r\n\r\n", b"GET /public/c\r\n\r\n", b"GET /public/c HTTP/0.9\r\n\r\n"],
)
async def test_request_line_without_a_version_is_no_request(data: bytes) -> None:
    # Found by mutating requests: with its space lost, the version became part of the target and was sent on.
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(data)
            assert (await client.head()).startswith(b"HTTP/1.1 400 ")
        assert upstream.visits == []


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

"""Clients that are slow, old, gone or in the middle of something: what their connection does then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace

import pytest

from gateway.config.model import Limits
from gateway.server.gateway import Gateway
from tests.desk import Desk
from tests.rawpeer import OK, RawClient, RawUpstream, Visit, ask
from tests.running import config_for, running, upstream_at

H = b"Host: gw.test\r\n"
GET = b"GET /public/x HTTP/1.1\r\n" + H + b"\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b"x" * 65536


def post(length: int) -> bytes:
    return b"POST /public/x HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % length


async def test_empty_line_behind_a_body_does_not_cut_a_long_answer() -> None:
    # RFC 9112 section 2.2: old clients send one. It is the beginning of a head, so the clock for heads runs.
    go_on = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.read_body()
        await visit.send(CHUNKED)
        await go_on.wait()
        await visit.send(b"1\r\na\r\n0\r\n\r\n")

    limits = Limits(header_timeout_seconds=0.15)
    async with (
        RawUpstream(script) as upstream,
        running(config_for(upstream_at(upstream.url), limits=limits)) as gateway,
    ):
        async with RawClient.connect(gateway.port) as client:
            await client.send(post(3) + b"abc")
            await client.head()
            await client.send(b"\r\n")
            await asyncio.sleep(2 * limits.header_timeout_seconds)  # the clock must have run out
            go_on.set()
            assert await client.chunk() == b"a"
            assert await client.chunk() == b""


async def test_upload_goes_on_while_the_answer_already_comes() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(CHUNKED)
        for _ in range(3):
            piece = await visit.reader.readexactly(1)
            await visit.send(b"1\r\n" + piece + b"\r\n")
        await visit.send(b"0\r\n\r\n")

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(post(3) + b"a")  # the head goes up with the first byte of its body
            await client.head()
            assert await client.chunk() == b"a"
            for piece in (b"b", b"c"):
                await client.send(piece)
                assert await client.chunk() == piece
            assert await client.chunk() == b""


async def test_slow_upload_is_not_the_upstreams_fault() -> None:
    async with RawUpstream() as upstream:
        slow = upstream_at(upstream.url, response_timeout_seconds=0.3)
        async with running(config_for(slow)) as gateway:
            async with RawClient.connect(gateway.port) as client:
                await client.send(post(6) + b"abc")
                await asyncio.sleep(0.4)  # longer than the upstream may think, shorter than a client may pause
                await client.send(b"def")
                assert (await client.answer())[0] == 200
        assert upstream.visits[0].body == b"abcdef"


async def test_http_1_0_client_is_not_told_to_continue() -> None:
    # RFC 9110 section 10.1.1: it would take the 100 for the answer.
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        data = b"POST /public/x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
        assert (await ask(gateway.port, data))[0] == 200


@pytest.mark.parametrize(("breaks", "is_whole"), [("close", True), ("reset", False)])
async def test_body_that_ends_with_the_connection_is_whole_only_if_that_ended_well(breaks: str, is_whole: bool) -> None:
    go_on = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await go_on.wait()
        getattr(visit, breaks)()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET)
            await client.head()
            assert await client.chunk() == b"hello"
            go_on.set()
            end = client.reader.readuntil(b"0\r\n\r\n") if is_whole else client.rest()
            assert await asyncio.wait_for(end, 5) == (b"0\r\n\r\n" if is_whole else b"")


async def test_kept_connection_that_breaks_within_a_head_is_not_tried_again() -> None:
    async def script(visit: Visit) -> None:
        if len(visit.upstream.visits) > 1:
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-")  # it has begun to answer: it may have run
            visit.close()
        else:
            await visit.send(OK)

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        assert (await ask(gateway.port, GET))[0] == 200
        assert (await ask(gateway.port, GET))[0] == 502
        assert len(upstream.visits) == 2


async def think(visit: Visit) -> None:
    visit.upstream.arrived.set()  # type: ignore[attr-defined]
    await visit.wait_for_client_to_leave()


async def test_request_without_an_answer_at_the_end_of_the_drain_gets_a_503() -> None:
    async with RawUpstream(think) as upstream:
        upstream.arrived = asyncio.Event()  # type: ignore[attr-defined]
        gateway = Gateway(config_for(upstream_at(upstream.url), drain_timeout_seconds=0.05))
        await gateway.start()
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET)
            await upstream.arrived.wait()  # type: ignore[attr-defined]
            await gateway.drain()
            status, head, body = await client.answer()
            assert status == 503
            assert b"shutting_down" in body and b"Retry-After" in head


async def test_head_that_is_arriving_when_the_drain_begins_is_still_answered() -> None:
    async with RawUpstream(think) as upstream:
        upstream.arrived = asyncio.Event()  # type: ignore[attr-defined]
        gateway = Gateway(config_for(upstream_at(upstream.url), drain_timeout_seconds=1.0))
        await gateway.start()
        async with RawClient.connect(gateway.port) as late, RawClient.connect(gateway.port) as busy:
            await late.send(GET[:10])
            await busy.send(GET)  # keeps the drain from ending at once
            await upstream.arrived.wait()  # type: ignore[attr-defined]
            draining = asyncio.create_task(gateway.drain())
            await asyncio.sleep(0)
            assert gateway.is_draining
            await late.send(GET[10:])
            status, head, _ = await late.answer()
            assert status == 503
            assert b"Connection: close" in head
            busy.reset()
            await draining


async def test_http_1_0_stream_that_the_drain_cuts_does_not_look_whole() -> None:
    # Its end is the end of the connection, so only a reset can say that something is missing.
    async def script(visit: Visit) -> None:
        await visit.send(CHUNKED + b"1\r\na\r\n")
        await visit.wait_for_client_to_leave()

    async with RawUpstream(script) as upstream:
        gateway = Gateway(config_for(upstream_at(upstream.url), drain_timeout_seconds=0.05))
        await gateway.start()
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET /public/x HTTP/1.0\r\n\r\n")
            await client.head()
            assert await client.reader.readexactly(1) == b"a"
            await gateway.drain()
            with pytest.raises(ConnectionResetError):
                await client.reader.read()


async def test_client_that_left_is_not_logged_as_our_shutdown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    async with RawUpstream(think) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        upstream.arrived = asyncio.Event()  # type: ignore[attr-defined]
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET)
            await upstream.arrived.wait()  # type: ignore[attr-defined]
            client.reset()
        await asyncio.wait_for(gateway.quiet.wait(), 5)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "'ended': 'client_gone'" in line
    assert "shutting_down" not in line


async def test_refused_upload_is_over_for_the_log_while_its_rest_is_thrown_away() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /api/x HTTP/1.1\r\n" + H + b"Content-Length: 9\r\n\r\nab")
            assert (await client.answer())[0] == 401
            await asyncio.wait_for(gateway.quiet.wait(), 1)  # while `client` has neither sent all nor left


async def pour(visit: Visit) -> None:
    await visit.send(CHUNKED)
    with contextlib.suppress(ConnectionError):
        while True:
            await visit.send(b"10000\r\n" + PIECE + b"\r\n")


@pytest.mark.parametrize("has_left", [False, True])
async def test_client_that_takes_nothing_is_cut_in_the_end(has_left: bool) -> None:
    # With its FIN come and our response not taken, waiting would keep the upstream's run alive.
    async with RawUpstream(pour) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        limits = gateway.public.limits
        limits.stall_seconds, limits.flush_seconds = (300.0, 0.1) if has_left else (0.1, 300.0)
        async with RawClient.connect(gateway.port) as client:
            client.transport.pause_reading()
            await client.send(GET)
            if has_left:
                client.writer.write_eof()
            await asyncio.wait_for(upstream.left.wait(), 5)


async def test_client_that_sends_many_requests_at_once_is_not_served_alone() -> None:
    request = b"GET /api/x HTTP/1.1\r\n" + H + b"\r\n"
    async with RawUpstream() as upstream:
        config = replace(config_for(upstream_at(upstream.url)), express=False)
        async with running(config) as gateway, RawClient.connect(gateway.port) as greedy:
            async with RawClient.connect(gateway.port) as other:
                await greedy.send(request * 1500)
                await other.send(request)
                assert (await other.answer())[0] == 401
                assert sum(gateway.metrics.requests.values()) < 750, "the other one waited for most of them"
                for _ in range(1500):
                    assert (await greedy.answer())[0] == 401


async def test_pieces_of_a_head_gather_before_they_are_read(desk: Desk) -> None:
    client, wire = desk.client()
    for byte in b"GET /api/x HTTP/1.1\r\nHost: gw.te":
        assert not wire.is_paused, "a head in as many pieces as a long one has packets is read as it comes"
        client.data_received(bytes([byte]))
    client.data_received(b"s")
    assert wire.is_paused
    for piece in (b"t", b"\r\n"):
        while wire.is_paused:  # noqa: ASYNC110
            await asyncio.sleep(0)
        client.data_received(piece)
        assert wire.is_paused, "each further piece waits"
    while wire.is_paused:  # noqa: ASYNC110
        await asyncio.sleep(0)
    client.data_received(b"\r\n")
    desk.gateway.cork.flush()
    assert wire.written.startswith(b"HTTP/1.1 401 ") and not wire.is_paused
    client.data_received(b"G")
    assert not wire.is_paused, "the next head begins anew"


async def test_head_that_comes_byte_by_byte_is_served() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            for byte in b"GET /api/x HTTP/1.1\r\n" + H + b"X-A: " + b"a" * 500 + b"\r\n\r\n":
                await client.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await client.answer())[0] == 401

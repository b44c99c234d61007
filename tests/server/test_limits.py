"""Slow, large and endless clients: refused or closed in bounded time and memory, and nobody else notices."""

from __future__ import annotations

import asyncio

import pytest

from gateway.config.model import Limits
from tests.rawpeer import RawClient, RawUpstream, ask
from tests.running import BEARER, TOKEN, config_for, running, upstream_at

H = b"Host: gw.test\r\n"
GET = b"GET /public/x HTTP/1.1\r\n" + H + b"\r\n"
SMALL = Limits(header_bytes=4096, header_timeout_seconds=0.1)


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        pytest.param(
            b"GET /api/x HTTP/1.1\r\n" + H + b"X: " + b"a" * 5000 + b"\r\n\r\n", 431, b"headers_too_large", id="line"
        ),
        pytest.param(
            b"GET /api/x HTTP/1.1\r\n" + H + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
            431,
            b"headers_too_large",
            id="huge-line",
        ),
        pytest.param(
            b"GET /api/x HTTP/1.1\r\n" + H + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 60) for n in range(80)) + b"\r\n",
            431,
            b"headers_too_large",
            id="sum",
        ),
        pytest.param(
            b"GET /api/x HTTP/1.1\r\n" + H + b"".join(b"X-%d: a\r\n" % n for n in range(2000)) + b"\r\n",
            431,
            b"headers_too_large",
            id="count",
        ),
        pytest.param(b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414, b"target_too_long", id="target"),
        pytest.param(
            b"GET /x?" + b"a" * 100_000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414, b"target_too_long", id="huge-target"
        ),
        pytest.param(
            b"GET /api/x HTTP/1.1\r\n" + H + b"X: " + b"a" * 5000, 431, b"headers_too_large", id="never-ending"
        ),
    ],
)
async def test_head_over_the_limit(head: bytes, status: int, code: bytes) -> None:
    async with RawUpstream() as upstream:
        limits = Limits(header_bytes=4096)
        async with running(config_for(upstream_at(upstream.url), limits=limits)) as gateway:
            found, answer, body = await ask(gateway.port, head)
            assert found == status
            assert code in body
            assert b"Connection: close" in answer
            assert upstream.visits == []
            assert (await ask(gateway.port, GET))[0] == 200


async def test_heads_of_12_kib_and_tokens_of_8_kib_pass_by_default() -> None:
    # aiohttp's own limit of 8190 bytes a field refuses what Mastra takes.
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        big = b"X-Big: " + b"a" * 12_000 + b"\r\n"
        assert (await ask(gateway.port, b"GET /api/x HTTP/1.1\r\n" + H + BEARER + big + b"\r\n"))[0] == 200
        assert len(upstream.visits[0].header("X-Big") or "") == 12_000


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX: "])
async def test_slow_head_is_closed(sent: bytes) -> None:
    # Slowloris. No answer: there is no request yet.
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url), limits=SMALL)) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(sent)
            assert await client.rest() == b""


async def test_slow_second_head_is_closed_and_an_idle_connection_is_not() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url), limits=SMALL)) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET)
            assert (await client.answer())[0] == 200
            await asyncio.sleep(3 * SMALL.header_timeout_seconds)  # longer than a head may take
            await client.send(GET)
            assert (await client.answer())[0] == 200
            await client.send(b"GET /public")
            assert await client.rest() == b""


async def test_honest_request_is_served_while_hundreds_are_slow() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        slow = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(300)]
        for _, writer in slow:
            writer.write(b"GET /public")
        assert (await ask(gateway.port, GET))[0] == 200
        for _, writer in slow:
            writer.close()


async def test_stranger_with_60_mb_gets_his_401_and_the_upload_is_not_taken() -> None:
    size = 60 * 1024 * 1024
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /api/x HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % size)
            sent = 0

            async def upload() -> None:
                nonlocal sent
                try:
                    while sent < size:
                        await client.send(b"x" * 65536)
                        sent += 65536
                except ConnectionError:
                    pass

            uploading = asyncio.create_task(upload())
            status, head, _ = await client.answer()
            assert status == 401
            assert b"Connection: close" in head
            await asyncio.wait_for(uploading, 10)
            assert sent < size, "all of it was taken"
        assert upstream.visits == []


async def test_client_that_uploads_first_and_reads_later_still_gets_its_401() -> None:
    # The answer, then a half-close, then reading on: a plain close would reset the connection under the answer.
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            body = b"x" * 500_000
            # One byte never comes: a body that is there as a whole leaves the connection open.
            await client.send(b"POST /api/x HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % (len(body) + 1))
            await client.send(body)
            assert (await client.answer())[0] == 401
            assert await client.rest() == b""


async def test_many_bad_tokens_leave_the_cache_empty_and_good_ones_leave_it_bounded() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            for number in range(200):
                token = TOKEN[:-6] + f"{number:06d}"
                await client.send(f"GET /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
                assert (await client.answer())[0] == 401
        assert len(gateway.config.policy.verified) == 0


async def test_pipelined_requests_are_answered_in_order_however_many() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            data = b"".join(b"GET /public/%d HTTP/1.1\r\n" % n + H + b"\r\n" for n in range(200))
            await client.send(data)
            for _ in range(200):
                assert (await client.answer())[0] == 200
        assert [visit.target for visit in upstream.visits] == [f"/public/{n}" for n in range(200)]

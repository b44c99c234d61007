"""Upstreams that break off, stall, reset or talk nonsense, a thousand times: clients see the truth, nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from tests.rawpeer import OK, Visit, answer_ok, ask
from tests.running import config_for, running, upstream_at
from tests.security.conftest import Report
from tests.security.faults import BY_CHUNKS, BY_LENGTH, H, cut_after, gateway_with, get, in_batches, no_leak, truth


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("answer", [BY_LENGTH, BY_CHUNKS], ids=["length", "chunks"])
async def test_answer_cut_after_any_byte_never_looks_whole(report: Report, answer: bytes, end: str) -> None:
    async with gateway_with(answer_ok) as (gateway, upstream):
        async with no_leak(gateway, upstream, report, f"answer cut after each of {len(answer)} bytes ({end})"):
            for size in range(len(answer) + 1):
                upstream.script = cut_after(answer, size, end)
                status, whole, received = await truth(gateway.port, get("/public/x"))
                if size == len(answer):
                    # A reset may overtake what was sent before it.
                    assert whole and status in ((200, 502) if end == "reset" else (200,)), received
                elif status == 200:
                    assert not whole, f"cut after {size} bytes, and looked whole: {received!r}"
                else:
                    assert (status, whole) == (502, True), f"cut after {size} bytes: {received!r}"


@pytest.mark.slow
async def test_upstream_killed_a_thousand_times(report: Report) -> None:
    kinds = [
        (BY_LENGTH, 0, "close"),
        (BY_LENGTH, 40, "reset"),
        (BY_LENGTH, len(BY_LENGTH) - 5, "close"),
        (BY_LENGTH, len(BY_LENGTH) - 5, "reset"),
        (BY_CHUNKS, BY_CHUNKS.index(b"d\r\ndata: world"), "close"),  # between two events
        (BY_CHUNKS, BY_CHUNKS.index(b"world"), "reset"),  # within one
        (BY_CHUNKS, len(BY_CHUNKS) - 5, "close"),  # all but the end
        (BY_CHUNKS, len(BY_CHUNKS) - 2, "reset"),
    ]
    seen = {"502": 0, "broken": 0}

    async def script(visit: Visit) -> None:
        answer, size, end = kinds[int(visit.target.rpartition("/")[2]) % len(kinds)]
        await cut_after(answer, size, end)(visit)

    async with gateway_with(script) as (gateway, upstream):

        async def one(number: int) -> None:
            status, whole, received = await truth(gateway.port, get(f"/public/{number}"))
            assert status == 502 if status != 200 else not whole, received
            seen["502" if status == 502 else "broken"] += 1

        async with no_leak(gateway, upstream, report, "1,000 upstreams killed"):
            await in_batches(1000, 50, one)
    told = f"{seen['502']} clients got a 502, {seen['broken']} a body that is seen to be broken"
    report(f"fault 1,000 upstreams killed: {told}")
    assert seen["502"] >= 200 and seen["broken"] >= 200, "both kinds were tried"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"", 504, id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-", 504, id="half-a-head"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", 504, id="only-100"),
        pytest.param(BY_LENGTH[:-5], 200, id="half-a-body"),
        pytest.param(BY_CHUNKS[:-5], 200, id="stream-without-end"),
    ],
)
async def test_upstream_that_goes_silent(report: Report, sent: bytes, status: int) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(sent)
        await visit.wait_for_client_to_leave()

    async with gateway_with(script, response_timeout_seconds=0.3, idle_timeout_seconds=0.3) as (gateway, upstream):

        async def one(number: int) -> None:
            found, whole, received = await truth(gateway.port, get("/public/x"))
            assert (found, whole) == (status, status == 504), received

        async with no_leak(gateway, upstream, report, f"50 silent upstreams after {len(sent)} bytes"):
            await in_batches(50, 50, one)


async def test_upstream_that_cannot_be_reached_in_time() -> None:
    """A listener that accepts nothing, its queue full: the connection is never made."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", port))
            fillers.append(filler)
        upstream = upstream_at(f"http://127.0.0.1:{port}", connect_timeout_seconds=0.3, response_timeout_seconds=0.5)
        async with running(config_for(upstream)) as gateway:
            status, whole, received = await truth(gateway.port, get("/public/x"))
            assert (status, whole) == (504, True), received
            assert str(port).encode() not in received
        for filler in fillers:
            filler.close()


async def test_storm_of_interim_answers_is_not_the_answer(report: Report) -> None:
    async def script(visit: Visit) -> None:
        for _ in range(100):
            await visit.send(
                (b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n") * 50
            )
        await visit.send(OK)

    async with gateway_with(script) as (gateway, upstream):
        async with no_leak(gateway, upstream, report, "10,000 interim answers"):
            status, whole, received = await truth(gateway.port, get("/public/x"))
            assert (status, whole) == (200, True)
            assert b"103" not in received and b"100 Continue" not in received


async def test_endless_interim_answers_end_with_the_time_limit(report: Report) -> None:
    async def script(visit: Visit) -> None:
        while True:
            await visit.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100)
            await asyncio.sleep(0)

    async with gateway_with(script, response_timeout_seconds=0.5) as (gateway, upstream):
        async with no_leak(gateway, upstream, report, "endless interim answers"):
            status, whole, received = await truth(gateway.port, get("/public/x"))
            assert (status, whole) == (504, True), received


@pytest.mark.slow
async def test_kept_connections_that_the_upstream_closes_at_any_moment(report: Report) -> None:
    """A GET is tried once more, a POST reaches the upstream at most once, and nobody gets another's answer."""

    async def script(visit: Visit) -> None:
        body = await visit.read_body()
        text = visit.target.encode() + body
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        number = int(visit.target.rpartition("/")[2])
        if number % 3 == 0:  # unannounced: the gateway may be sending the next request just now
            visit.close() if number % 2 else visit.reset()

    async with gateway_with(script) as (gateway, upstream):
        statuses: list[int] = []

        async def one(number: int) -> None:
            target = f"/public/{number}"
            if number % 2:
                request = f"POST {target} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi".encode()
            else:
                request = get(target)
            status, whole, received = await truth(gateway.port, request)
            statuses.append(status)
            assert whole and status in (200, 502), received
            if status == 200:
                assert received.endswith(target.encode() + b"hi" * (number % 2)), "the answer to its own request"

        async with no_leak(gateway, upstream, report, "600 requests on connections that the upstream closes"):
            await in_batches(600, 20, one)
        posts = [visit.target for visit in upstream.visits if visit.head.startswith(b"POST ")]
        assert len(posts) == len(set(posts)), "no POST was sent twice"
    report(f"fault closing upstream: {statuses.count(200)} answered, {statuses.count(502)} got a 502, no POST twice")


async def test_upstream_that_half_closes_without_an_answer_is_a_502(report: Report) -> None:
    async def script(visit: Visit) -> None:
        visit.writer.write_eof()
        await visit.wait_for_client_to_leave()

    async with gateway_with(script) as (gateway, upstream):
        async with no_leak(gateway, upstream, report, "an upstream that half-closes"):
            assert (await truth(gateway.port, get("/public/x")))[:2] == (502, True)


async def test_answer_that_announces_the_end_of_its_connection_is_whole(report: Report) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        visit.close()

    async with gateway_with(script) as (gateway, upstream):
        async with no_leak(gateway, upstream, report, "answers with Connection: close"):
            for _ in range(20):
                assert (await truth(gateway.port, get("/public/x")))[:2] == (200, True)


async def test_answer_in_single_bytes_is_the_same_answer() -> None:
    async def script(visit: Visit) -> None:
        for byte in BY_CHUNKS:
            await visit.send(bytes([byte]))
            await asyncio.sleep(0)

    async with gateway_with(script) as (gateway, _):
        status, _, body = await ask(gateway.port, get("/public/x"))
        assert (status, body) == (200, b"data: hello\n\ndata: world\n\n")


@pytest.mark.parametrize("lines", [b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"])
async def test_unasked_101_opens_no_tunnel(report: Report, lines: bytes) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPOISON")
        await visit.wait_for_client_to_leave()

    async with gateway_with(script) as (gateway, upstream):
        async with no_leak(gateway, upstream, report, "an unasked 101"):
            request = b"GET /public/x HTTP/1.1\r\n" + H + lines + b"\r\n"
            status, whole, received = await truth(gateway.port, request + get("/api/smuggled"))
            assert (status, whole) == (502, True)
            assert b"POISON" not in received
        assert not any("smuggled" in visit.target for visit in upstream.visits)

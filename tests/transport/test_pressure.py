"""Back-pressure: whoever sends more than is taken waits, and nobody else notices.

Each of these was found by an attack. With transports of our own, that say when they are full, and with
real sockets where only those tell.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from gateway.config.model import Limits
from gateway.proxy.upload import MAX_AHEAD_BYTES
from gateway.transport.client import ClientConnection
from gateway.transport.cork import Cork
from tests.desk import Desk, Wire
from tests.processes import free_port
from tests.proxy.test_tunnel import accept as accepted
from tests.rawpeer import OK, RawClient, RawUpstream, Visit, ask
from tests.running import config_for, running, upstream_at

GET = b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n"
REFUSED = b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"


async def turns() -> None:
    """Let the loop turn often enough for a task and what it writes."""
    for _ in range(10):
        await asyncio.sleep(0)


async def served(client: ClientConnection) -> None:
    """Return when all that has arrived is served: each request takes the loop a turn."""
    while client._arrived.ahead:  # noqa: ASYNC110
        await asyncio.sleep(0)


def answer_of(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size


# --- what has arrived ---


async def test_requests_behind_one_another_wait_in_the_kernel(desk: Desk) -> None:
    client, wire = desk.client()
    most = 0
    for _ in range(2000):
        if not wire.is_paused:
            client.data_received(REFUSED * 100)  # 3,500 bytes
        most = max(most, client._arrived.count_bytes)
    assert wire.is_paused and most < MAX_AHEAD_BYTES + 3500
    await served(client)
    desk.gateway.cork.flush()
    assert not wire.is_paused and wire.written.count(b"HTTP/1.1 404") == desk.ended


async def test_requests_behind_one_under_way_wait_in_the_kernel(desk: Desk) -> None:
    (client, wire), (upstream, _) = desk.client(), desk.upstream()
    client.data_received(GET)
    while not wire.is_paused:
        client.data_received(GET * 100)
    assert client._arrived.count_bytes < MAX_AHEAD_BYTES + 3500
    for _ in range(3):  # each answer lets in one request, not another packet
        desk.gateway.cork.flush()
        upstream.data_received(OK)
        await asyncio.sleep(0)
        assert wire.is_paused


async def test_answers_to_a_client_that_does_not_read_are_not_piled_up(desk: Desk) -> None:
    client, wire = desk.client(room=10_000)
    client.data_received(REFUSED * 1000)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert wire.is_full and 20 < (ended := desk.ended) < 80
    client.data_received(REFUSED)
    assert desk.ended == ended
    wire.empty()
    await served(client)
    assert desk.ended == 1001


async def test_no_request_begins_while_its_client_does_not_take_the_answers_before(desk: Desk) -> None:
    (client, wire), (upstream, _) = desk.client(room=50_000), desk.upstream()
    client.data_received(GET)
    desk.gateway.cork.flush()
    upstream.data_received(answer_of(60_000))
    client.data_received(GET)
    await asyncio.sleep(0)
    assert (wire.is_full, desk.ended, desk.gateway.open_requests) == (True, 0, 1)
    wire.empty()
    assert desk.ended == 1
    await asyncio.sleep(0)
    assert desk.gateway.open_requests == 1  # the second one


async def test_flood_of_one_client_holds_up_nobody() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as flood:
            sending = asyncio.create_task(flood.send(REFUSED * 200_000))  # 7 MB, and not a byte is read
            for _ in range(50):
                assert (await ask(gateway.port, GET))[0] == 200
                assert gateway.listener is not None
                assert all(c._arrived.count_bytes < 512 * 1024 for c in gateway.listener.connections)
            assert not sending.done()
            sending.cancel()


async def test_half_a_head_behind_a_request_is_bound_by_the_time_for_heads() -> None:
    limits = Limits(header_timeout_seconds=0.2)
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url), limits=limits)) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET + b"GET /pub")
            assert (await client.answer())[0] == 200
            assert await client.rest() == b""


# --- what the upstream sends ---


async def test_connection_that_was_held_back_reads_on_for_the_next_request(desk: Desk) -> None:
    (client, wire), (upstream, upstream_wire) = desk.client(room=50_000), desk.upstream()
    client.data_received(GET)
    desk.gateway.cork.flush()
    upstream.data_received(answer_of(60_000))
    assert wire.is_full and desk.is_idle(upstream) and not upstream_wire.is_paused


async def test_answer_in_pieces_is_held_back_while_its_client_is_behind(desk: Desk) -> None:
    (client, wire), (upstream, upstream_wire) = desk.client(room=50_000), desk.upstream()
    client.data_received(GET)
    desk.gateway.cork.flush()
    upstream.data_received(answer_of(200_000)[:100_000])
    assert wire.is_full and upstream_wire.is_paused
    wire.empty()
    assert not upstream_wire.is_paused
    assert (desk.ended, desk.gateway.open_requests) == (0, 1)


async def test_answer_counts_as_complete_when_its_client_has_it(desk: Desk) -> None:
    (client, wire), (upstream, _) = desk.client(room=50_000), desk.upstream()
    client.data_received(GET)
    desk.gateway.cork.flush()
    upstream.data_received(answer_of(60_000))
    assert wire.is_full and desk.ended == 0 and not desk.gateway.quiet.is_set()
    client.connection_lost(None)
    assert desk.gateway.metrics.ended["client_gone"] == 1 and desk.gateway.quiet.is_set()


async def test_stream_to_a_slow_reader_ends_once(desk: Desk) -> None:
    (client, wire), (upstream, _) = desk.client(room=50_000), desk.upstream()
    client.data_received(GET)
    desk.gateway.cork.flush()
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (60_000, b"x" * 60_000)
    upstream.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert wire.is_full and desk.ended == 0
    wire.empty()
    desk.gateway.cork.flush()
    assert desk.ended == 1 and wire.written.endswith(b"x\r\n0\r\n\r\n") and wire.written.count(b"0\r\n\r\n") == 1


async def test_bytes_before_the_request_has_left_are_no_answer_to_it(desk: Desk) -> None:
    # CWE-444: they were for somebody else, or for nobody.
    (client, wire), (upstream, upstream_wire) = desk.client(), desk.upstream()
    client.data_received(GET)
    upstream.data_received(OK)
    assert upstream_wire.is_aborted and not wire.written


async def test_last_answer_has_all_the_time_that_a_slow_reader_needs(desk: Desk) -> None:
    client, wire = desk.client()
    client.data_received(REFUSED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert wire.is_closed and wire.written.endswith(b"}")
    assert client.deadline - desk.listener.loop.time() > desk.listener.limits.stall_seconds - 5


@pytest.mark.parametrize("close", [True, False])
async def test_slow_reader_gets_all_of_a_last_answer(close: bool) -> None:
    size = 3_000_000

    async def script(visit: Visit) -> None:
        await visit.send(answer_of(size))

    async with RawUpstream(script) as upstream:
        config = config_for(upstream_at(upstream.url), drain_timeout_seconds=20.0)
        async with running(config) as gateway:
            gateway.public.limits.flush_seconds = 5.0
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
                client.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(client, ("127.0.0.1", gateway.port))
                await loop.sock_sendall(
                    client, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") if close else GET
                )
                got = await loop.sock_recv(client, 1000)
                draining = None if close else asyncio.create_task(gateway.drain())
                while piece := await loop.sock_recv(client, 100_000):
                    got += piece
                    await asyncio.sleep(0.001)
                if draining is not None:
                    await draining
    assert len(got) > size and got.endswith(b"x")


@pytest.mark.parametrize("size", [100_000, 300_000])
async def test_answer_with_a_large_head_passes(size: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + b"".join(
        b"X-%d: %b\r\n" % (number, b"a" * (size // 100)) for number in range(100)
    )

    async def script(visit: Visit) -> None:
        for piece in (head, b"\r\nok"):
            await visit.send(piece)

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        assert (await ask(gateway.port, GET))[::2] == (200, b"ok")


async def test_request_that_had_an_interim_answer_is_not_sent_twice() -> None:
    async def script(visit: Visit) -> None:
        if visit.target.endswith("/first"):
            await visit.send(OK)
        else:
            await visit.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            visit.close()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET.replace(b"/x", b"/first"))
            await client.answer()
            await client.send(GET)
            assert (await client.answer())[0] == 502
    assert len(upstream.visits) == 2


async def test_client_that_falls_behind_before_the_upstream_is_there_holds_it_too(desk: Desk) -> None:
    (client, wire), (upstream, upstream_wire) = desk.client(), desk.opening()
    client.data_received(GET)
    client.pause_writing()
    upstream.connection_made(upstream_wire)
    desk.gateway.cork.flush()
    assert upstream_wire.is_paused and upstream_wire.written.startswith(b"GET ")
    wire.empty()
    assert not upstream_wire.is_paused


@pytest.mark.parametrize("body", [b"hello", b"x" * 30_000])
async def test_request_that_has_not_left_is_sent_on_another_connection(body: bytes, desk: Desk) -> None:
    # The upstream says 408 on its idle connection, or closes it, just when the next request comes.
    (client, wire), (first, first_wire), _ = desk.client(), desk.upstream(), desk.upstream()
    second, second_wire = desk.opening()
    assert desk.pool.take() is not first  # another that was kept: the second try is not for it
    client.data_received(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    first.data_received(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    await turns()
    assert first_wire.is_aborted and not first_wire.written
    second.connection_made(second_wire)
    desk.gateway.cork.flush()
    assert second_wire.written.startswith(b"POST ") and second_wire.written.endswith(body)
    second.data_received(OK)
    await turns()
    assert wire.written.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("is_sent", [True, False])
async def test_end_of_an_upstream_is_heard_whatever_is_still_to_be_written(is_sent: bool, desk: Desk) -> None:
    (client, _), (upstream, upstream_wire) = desk.client(), desk.upstream(room=10)
    client.data_received(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n")
    if is_sent:
        desk.gateway.cork.flush()
    upstream.eof_received()
    assert upstream_wire.is_aborted


async def test_early_answer_to_a_slow_reader_lingers_when_he_has_it(desk: Desk) -> None:
    (client, wire), (upstream, _) = desk.client(room=50_000), desk.upstream()
    client.data_received(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
    desk.gateway.cork.flush()
    upstream.data_received(answer_of(60_000))
    assert wire.is_full and desk.ended == 0 and not wire.has_ended
    assert client.deadline - desk.listener.loop.time() > 200
    wire.empty()
    assert wire.has_ended and desk.ended == 1 and not wire.is_closed
    assert client.deadline - desk.listener.loop.time() < 10


async def test_last_answer_is_not_lost_by_a_reset_for_what_is_unread(desk: Desk) -> None:
    (client, wire), (upstream, _) = desk.client(), desk.upstream()
    client.data_received(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    while not wire.is_paused:
        client.data_received(GET * 100)
    desk.gateway.cork.flush()
    upstream.data_received(OK)
    assert wire.written.endswith(b"ok") and wire.has_ended and not wire.is_closed, "half-closed: the rest is read away"
    assert not wire.is_paused
    for _ in range(200):
        if not wire.is_paused:
            client.data_received(GET * 1000)
    assert wire.is_paused and not wire.is_aborted, "no more than that is read away"
    client.expire()
    assert wire.is_aborted


async def test_lingering_ends_with_what_the_client_sends(desk: Desk) -> None:
    (client, wire), (upstream, _) = desk.client(), desk.upstream()
    client.data_received(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
    desk.gateway.cork.flush()
    upstream.data_received(OK)
    assert wire.has_ended and not wire.is_closed
    client.eof_received()
    assert wire.is_closed and not wire.is_aborted


async def test_slow_reader_with_unread_requests_has_its_time(desk: Desk) -> None:
    client, wire = desk.client()
    client.data_received(GET)
    while not wire.is_paused:
        client.data_received(GET * 100)
    client.pause_writing()
    client.close(desk.listener.limits.stall_seconds)
    assert wire.has_ended and client.deadline - desk.listener.loop.time() > 200


async def test_trickling_upload_buys_no_time_to_a_client_that_does_not_read(desk: Desk) -> None:
    (client, _), _ = desk.client(), desk.upstream()
    client.data_received(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
    client.pause_writing()
    client.deadline = 5.0
    client.data_received(b"x")
    assert client.deadline == 5.0


@pytest.mark.parametrize("pieces", [1, 2])
async def test_head_as_large_as_the_file_allows_is_read_in_pieces(pieces: int) -> None:
    head = b"GET /public/x HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 1000) for n in range(120))
    limits = Limits(header_bytes=256 * 1024)
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url), limits=limits)) as gateway:
        async with RawClient.connect(gateway.port) as client:
            half = len(head) // pieces
            await client.send(head[:half])
            await asyncio.sleep(0.05)  # so that they arrive apart
            await client.send(head[half:] + b"\r\n")
            assert (await client.answer())[0] == 200


# --- what goes up ---


async def test_upload_waits_for_an_upstream_that_is_full_at_once(desk: Desk) -> None:
    (client, wire), (_, upstream_wire) = desk.client(), desk.upstream(room=50_000)
    client.data_received(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n" + b"x" * 60_000)
    desk.gateway.cork.flush()
    assert upstream_wire.is_full and wire.is_paused and client.is_upload_held
    upstream_wire.empty()
    assert not wire.is_paused and not client.is_upload_held


async def test_connection_that_still_holds_an_upload_is_not_used_again(desk: Desk) -> None:
    (client, _), (upstream, upstream_wire) = desk.client(), desk.upstream()
    client.data_received(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    desk.gateway.cork.flush()
    upstream_wire.unsent_bytes = 5  # the upstream answers without having read it
    upstream.data_received(OK)
    assert upstream_wire.is_aborted and not desk.is_idle(upstream)


# --- who leaves ---


async def test_end_of_what_a_client_sends_is_told_to_the_request_behind() -> None:
    async def script(visit: Visit) -> None:
        if visit.target.endswith("/slow"):
            await visit.wait_for_client_to_leave()
        await visit.send(OK)

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET + b"GET /public/slow HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
            client.writer.write_eof()
            assert (await client.rest()).startswith(b"HTTP/1.1 200")
        async with asyncio.timeout(10):
            await gateway.quiet.wait()


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_client_that_leaves_is_seen_behind_all_that_it_sent(how: str) -> None:
    asked = asyncio.Event()

    async def script(visit: Visit) -> None:
        asked.set()
        await visit.wait_for_client_to_leave()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET * 3000)
            await asked.wait()
            getattr(client, how)()
            async with asyncio.timeout(10):
                await gateway.quiet.wait()
    assert len(upstream.visits) == 1


async def test_what_was_answered_reaches_a_client_that_only_half_closed() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(REFUSED * 3000)
            client.writer.write_eof()
            assert (await client.rest()).count(b"HTTP/1.1 404") == 3000


# --- the cork ---


async def test_cork_keeps_the_order_and_writes_once_all_was_looked_at() -> None:
    cork, first, second = Cork(), Wire(), Wire()
    for number in range(3):
        cork.write(first, b"%d" % number)
        cork.write(second, b"%d" % number)
    assert (first.written, second.written) == (b"", b"")
    second.abort()
    await asyncio.sleep(0)
    assert (first.written, second.written) == (b"012", b"")
    cork.write(first, b"a")
    cork.write_now(first, b"b")
    assert first.written == b"012ab"
    cork.write(first, b"c")
    assert cork.take_back(first) == b"c" and cork.take_back(first) == b""


async def test_fault_of_one_connection_takes_nobody_elses_bytes() -> None:
    class Broken(Wire):
        def write(self, data: Any) -> None:
            raise RuntimeError("no")

    cork, broken, whole = Cork(), Broken(), Wire()
    cork.write(broken, b"a")
    cork.write(whole, b"b")
    cork.flush()
    assert broken.is_aborted and whole.written == b"b"


# --- reloads ---


async def test_idle_connections_do_not_outlive_their_configuration() -> None:
    goes_on = asyncio.Event()

    async def script(visit: Visit) -> None:
        if visit.target.endswith("/stream"):
            await visit.send(b"HTTP/1.1 200 OK\r\n\r\nbegun")
            await goes_on.wait()
            visit.close()
        await visit.send(OK)

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as stream, RawClient.connect(gateway.port) as other:
            await stream.send(b"GET /public/stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            await stream.head()
            await other.send(GET)
            await other.answer()
            old = gateway.pools["default"]
            assert len(old._idle) == 1
            upstream.left.clear()
            await gateway.use(config_for(upstream_at(upstream.url)))
            async with asyncio.timeout(10):
                await upstream.left.wait()
            assert not old._idle and gateway.open_requests == 1
            goes_on.set()
            assert b"begun" in await stream.rest()


# --- found by reading, and by attacks on the second edition of the wires ---

INNER = b"GET /admin HTTP/1.1\r\nHost: internal\r\nX-Auth-Subject: root\r\n\r\n"


async def test_rest_of_an_upload_is_never_sent_as_a_request_of_its_own(desk: Desk) -> None:
    # CWE-444: the large beginning has left at once, the small rest waits in the cork, the kept connection ends.
    (client, _), (first, first_wire) = desk.client(), desk.upstream()
    second, second_wire = desk.opening()
    body = b"x" * 20_000
    head = b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (len(body) + len(INNER))
    client.data_received(head + body)
    client.data_received(INNER)
    assert first_wire.written.startswith(b"POST ")
    first.eof_received()
    second.connection_made(second_wire)
    desk.gateway.cork.flush()
    assert not second_wire.written


async def test_rest_of_an_upload_is_never_sent_with_the_next_request(desk: Desk) -> None:
    # The same by an early response: the connection is free, and what waits for it is somebody else's.
    (one, _), (other, _), (first, first_wire) = desk.client(), desk.client(), desk.upstream()
    one.data_received(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(INNER))
    desk.gateway.cork.flush()
    one.data_received(INNER)
    first.data_received(OK)
    assert first_wire.written.endswith(INNER)
    second, second_wire = desk.opening()
    other.data_received(GET)
    first.eof_received()
    second.connection_made(second_wire)
    desk.gateway.cork.flush()
    assert second_wire.written.startswith(b"GET /public/x ") and INNER not in second_wire.written


@pytest.mark.parametrize("rest", [b"\r\n", REFUSED * 50])
async def test_client_that_has_gone_leaves_no_timer(desk: Desk, rest: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    # An empty line behind the last request waited for its turn for ever, 50 times a second.
    (client, wire), (upstream, _) = desk.client(), desk.upstream()
    client.data_received(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + rest)
    client.eof_received()
    desk.gateway.cork.flush()
    upstream.data_received(OK)
    await turns()
    assert wire.is_closing()
    later: list[Any] = []
    monkeypatch.setattr(desk.listener.loop, "call_later", lambda *call: later.append(call))
    client._leave()
    assert not later


async def test_upload_in_chunks_that_came_at_once_holds_nobody(desk: Desk) -> None:
    # It came before there was a connection to the upstream, and is whole: that the client leaves is to be heard.
    client, wire = desk.client()
    upstream, upstream_wire = desk.opening()
    client.data_received(
        b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    )
    upstream.connection_made(upstream_wire)
    desk.gateway.cork.flush()
    assert not wire.is_paused and not client.is_upload_held
    assert upstream_wire.written.endswith(b"2\r\nhi\r\n0\r\n\r\n")


@pytest.mark.parametrize("is_early", [True, False])
async def test_websocket_waits_for_an_upstream_that_is_full_from_the_first_frames_on(
    desk: Desk, is_early: bool
) -> None:
    (client, wire), (upstream, upstream_wire) = desk.client(), desk.upstream(room=20_000)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    asks = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    client.data_received(
        f"GET /public/ws HTTP/1.1\r\nHost: a\r\n{asks}Sec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    desk.gateway.cork.flush()
    frame = b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"mask" + b"y" * 60_000
    switches = f"HTTP/1.1 101 Switching Protocols\r\n{asks}Sec-WebSocket-Accept: {accepted(key)}\r\n\r\n".encode()
    if is_early:
        client.data_received(frame)
    upstream.data_received(switches)
    if not is_early:
        client.data_received(frame)
    assert upstream_wire.is_full and wire.is_paused
    upstream_wire.empty()
    assert not wire.is_paused
    client.connection_lost(None)


async def test_empty_lines_do_not_start_the_clock_for_heads_anew(desk: Desk) -> None:
    # Slowloris: an empty line in two pieces, and another now and then.
    client, _ = desk.client()
    first = client.deadline
    for piece in (b"\r", b"\n", b"\r\n", b"\r", b"\n"):
        await asyncio.sleep(0.001)
        client.data_received(piece)
        assert client.deadline == first


async def test_whole_response_that_is_not_taken_yet_is_not_reset_by_the_drain(desk: Desk) -> None:
    (client, wire), (upstream, _) = desk.client(room=1000), desk.upstream()
    client.data_received(b"GET /public/x HTTP/1.0\r\n\r\n")
    desk.gateway.cork.flush()
    upstream.data_received(b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 5000)
    upstream.connection_lost(None)
    assert client.relay is not None
    client.relay.shut_down()
    assert not wire.is_aborted and wire.written.endswith(b"z")


async def test_stream_holds_no_head_because_something_waits_behind_it(desk: Desk) -> None:
    (client, _), (upstream, _) = desk.client(), desk.upstream()
    client.data_received(GET.replace(b"\r\n\r\n", b"\r\nX-Secret: hidden\r\n\r\n\r\n"))
    desk.gateway.cork.flush()
    upstream.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert client._arrived.ahead == b"\r\n"
    upstream.data_received(b"0\r\n\r\n")


async def test_what_a_client_uploads_puts_off_no_clock_of_a_response(desk: Desk) -> None:
    (client, _), (upstream, _) = desk.client(), desk.upstream()
    client.data_received(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\na")
    desk.gateway.cork.flush()
    upstream.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    silent_since = client.deadline
    await asyncio.sleep(0.001)
    client.data_received(b"b")
    assert client.deadline == silent_since


async def test_time_for_a_response_begins_once_there_is_a_connection(desk: Desk) -> None:
    client, _ = desk.client()
    upstream, upstream_wire = desk.opening()
    client.data_received(GET)
    begun = client.deadline
    await asyncio.sleep(0.001)
    upstream.connection_made(upstream_wire)
    assert client.deadline > begun


async def test_client_that_is_slow_when_it_is_closed_gets_the_time_for_closing(desk: Desk) -> None:
    client, wire = desk.client(room=10)
    client.write(b"x" * 100)
    client.close(2.0)
    assert wire.is_full and client.deadline - desk.listener.loop.time() < 3


async def test_address_that_leads_nowhere_does_not_cost_the_others_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # RFC 8305: the first address takes connections and never answers one, as a broken IPv6 does.
    port = free_port()  # of both addresses: one that the kernel gives may be somebody's on the other
    with socket.create_server(("127.0.0.2", port), backlog=0):
        with socket.create_connection(("127.0.0.2", port)), socket.socket() as held:
            held.setblocking(False)
            held.connect_ex(("127.0.0.2", port))
            server = await asyncio.start_server(serve_ok, "127.0.0.1", port)
            loop = asyncio.get_running_loop()

            async def both(*_: object, **__: object) -> list[Any]:
                kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
                return [(*kind, ("127.0.0.2", port)), (*kind, ("127.0.0.1", port))]

            async with server, running(config_for(upstream_at(f"http://two.test:{port}"))) as gateway:
                monkeypatch.setattr(loop, "getaddrinfo", both)
                assert (await ask(gateway.port, GET))[0] == 200


async def serve_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    writer.close()
    await writer.wait_closed()


async def test_who_sends_on_after_a_refusal_is_let_go_soon(desk: Desk) -> None:
    client, wire = desk.client()
    client.data_received(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n")
    desk.gateway.cork.flush()
    now = desk.listener.loop.time()
    assert client.deadline - now > 4
    client.data_received(b"x" * 600_000)
    assert wire.is_paused and client.deadline - now < 1

"""How a gateway takes its leave: `drain_delay`, and what becomes of connections without a request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.endpoints.local import LocalState
from gateway.server.gateway import Gateway
from gateway.server.leaving import LAST_CALL_SECONDS
from tests.desk import Desk
from tests.processes import free_port, process, status_of, wait_until
from tests.rawpeer import OK, RawClient, RawUpstream, Visit, ask
from tests.running import config_for, running, upstream_at
from tests.server.test_server import make_certificate
from tests.server.test_workers import Served

DELAY_SECONDS = 3600.0
GET = b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
CLOSE = b"\r\nConnection: close\r\n"


@dataclass
class Clock:
    """Whom a test has wake who sleeps. `asked` are the seconds that were to be slept."""

    asked: list[float] = field(default_factory=list)
    asleep: asyncio.Event = field(default_factory=asyncio.Event)
    _goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.asleep.set()
        await self._goes_on.wait()
        self._goes_on.clear()

    async def wake(self) -> None:
        """End the sleep, and wait for the next."""
        self.asleep.clear()
        self._goes_on.set()
        await asyncio.wait_for(self.asleep.wait(), 10)

    def wake_for_good(self) -> None:
        """End the last sleep."""
        self._goes_on.set()


@dataclass
class Leaving:
    """A gateway in its `drain_delay`."""

    gateway: Gateway
    clock: Clock
    draining: asyncio.Task[None]

    async def end(self) -> None:
        """Have the time go by, and the drain end."""
        if self.clock.asked[-1] == DELAY_SECONDS:
            await self.clock.wake()
        self.clock.wake_for_good()
        await asyncio.wait_for(self.draining, 20)


async def begin_to_leave(gateway: Gateway) -> Leaving:
    clock = Clock()
    draining = asyncio.create_task(gateway.drain(clock.sleep))
    await asyncio.wait_for(clock.asleep.wait(), 10)
    assert clock.asked == [DELAY_SECONDS]
    return Leaving(gateway, clock, draining)


@asynccontextmanager
async def gateway_at(upstream: RawUpstream) -> AsyncIterator[Gateway]:
    async with running(config_for(upstream_at(upstream.url), drain_delay_seconds=DELAY_SECONDS)) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(GET, 200, id="get"),
        pytest.param(POST, 200, id="post"),
        pytest.param(GET.replace(b"GET", b"HEAD"), 200, id="head"),
        pytest.param(GET.replace(b"1.1", b"1.0").replace(b": a", b": a\r\nConnection: keep-alive"), 200, id="http-1.0"),
        pytest.param(GET.replace(b"/public", b"/api"), 401, id="refused"),
        pytest.param(GET.replace(b"/public", b"/nowhere"), 404, id="no-route"),
        pytest.param(b"GET /public/x HTTP/1.1\r\n\r\n", 400, id="no-request"),
    ],
)
async def test_delay_goes_on_serving_and_says_to_each_that_it_is_the_last(request_bytes: bytes, status: int) -> None:
    async def script(visit: Visit) -> None:
        await visit.read_body()
        await visit.send(OK if not visit.head.startswith(b"HEAD") else OK[:-2])

    async with RawUpstream(script) as upstream, gateway_at(upstream) as gateway:
        async with RawClient.connect(gateway.port) as kept:
            await kept.send(GET)
            assert CLOSE not in (await kept.answer())[1]
            leaving = await begin_to_leave(gateway)
            async with RawClient.connect(gateway.port) as new:
                for client in (kept, new):
                    await client.send(request_bytes)
                    head = await client.head()
                    assert int(head[9:12]) == status and CLOSE in head
                    await client.rest()  # it ends
            await leaving.end()


async def test_delay_is_told_by_readyz_and_status() -> None:
    async with RawUpstream() as upstream, gateway_at(upstream) as gateway:
        local = LocalState(gateway)
        leaving = await begin_to_leave(gateway)
        is_ready, said = await local.ready()
        assert not is_ready and said["why"].startswith("it is draining: requests are taken for 3")
        status = await local.status()
        assert status["draining"] is True and 3000 < status["takes_requests_seconds"] <= DELAY_SECONDS
        await leaving.end()
        status = await local.status()
        assert (status["draining"], status["takes_requests_seconds"]) == (True, None)
        assert (await local.ready())[1]["why"] == "it is stopping"


async def test_stream_that_has_begun_ends_whole_and_its_connection_is_told_later() -> None:
    goes_on = asyncio.Event()

    async def script(visit: Visit) -> None:
        if visit.target != "/public/stream":
            await visit.send(OK)
            return
        await visit.send(BEGUN)
        await goes_on.wait()
        await visit.send(b"1\r\nb\r\n0\r\n\r\n")

    async with RawUpstream(script) as upstream, gateway_at(upstream) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(GET.replace(b"/x", b"/stream"))
            assert CLOSE not in await client.head()
            assert await client.chunk() == b"a"
            leaving = await begin_to_leave(gateway)
            goes_on.set()
            assert [await client.chunk(), await client.chunk()] == [b"b", b""]
            # Nobody told the client that its connection ends, so its next request may be on its way.
            await client.send(GET)
            status, head, _ = await client.answer()
            assert status == 200 and CLOSE in head
            assert await client.rest() == b""
            await leaving.end()


async def test_after_the_delay_nobody_is_accepted_and_who_was_is_still_answered() -> None:
    async with RawUpstream() as upstream, gateway_at(upstream) as gateway:
        port = gateway.port
        leaving = await begin_to_leave(gateway)
        async with RawClient.connect(port) as late, RawClient.connect(port) as silent:
            await ask(port, GET)  # by then both are accepted
            await leaving.clock.wake()
            assert leaving.clock.asked == [DELAY_SECONDS, LAST_CALL_SECONDS]
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", port)
            await late.send(POST)
            status, head, _ = await late.answer()
            assert status == 200 and CLOSE in head
            leaving.clock.wake_for_good()
            assert await silent.rest() == b""
            silent.close()
            await asyncio.wait_for(leaving.draining, 20)
        assert gateway.room.count == 0


async def test_websocket_is_told_to_go_when_the_delay_is_over() -> None:
    handshake = (
        b"GET /public/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    accept = b"ICX+Yqv66kxgM0FcWaLWlFLwTAI="

    async def script(visit: Visit) -> None:
        head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        await visit.send(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        while frame := await visit.reader.read(100):
            await visit.send(b"\x81\x02ok")
            if b"\x88" in frame:
                return

    async with RawUpstream(script) as upstream, gateway_at(upstream) as gateway:
        leaving = await begin_to_leave(gateway)
        async with RawClient.connect(gateway.port) as client:
            await client.send(handshake)
            head = await client.head()
            assert head.startswith(b"HTTP/1.1 101 ") and CLOSE not in head
            await client.send(b"\x81\x82\x00\x00\x00\x00hi")
            assert await client.reader.readexactly(4) == b"\x81\x02ok"
            await leaving.clock.wake()
            assert gateway.tunnels, "it is left alone until then"
            leaving.clock.wake_for_good()
            assert await client.reader.readexactly(4) == b"\x88\x02\x03\xe9"  # 1001
        await asyncio.wait_for(leaving.draining, 20)


async def test_told_again_within_the_delay_it_ends_at_once() -> None:
    async with RawUpstream() as upstream, gateway_at(upstream) as gateway:
        leaving = await begin_to_leave(gateway)
        async with RawClient.connect(gateway.port) as client:
            leaving.draining.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving.draining
            await gateway.stop()
            assert await client.rest() == b""


@pytest.mark.parametrize("request_bytes", [GET, POST])
async def test_request_that_nobody_has_read_yet_is_answered(request_bytes: bytes) -> None:
    # Closed with bytes unread, the connection would be reset.
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        client = await connected(gateway)
        with client:
            client.sendall(request_bytes)  # it is in the kernel, and the loop has had no turn since
            await gateway.drain()
            client.settimeout(10)
            answer = await asyncio.to_thread(client.recv, 65536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and CLOSE in answer
    assert len(upstream.visits) == 2


async def test_request_that_crosses_the_end_is_not_answered_by_a_reset() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        client = await connected(gateway)
        assert gateway.listener is not None
        (connection,) = gateway.listener.connections
        with client:
            assert connection.close_if_idle()
            client.settimeout(10)
            assert await asyncio.to_thread(client.recv, 100) == b"", "the end was said"
            client.sendall(POST)
            client.sendall(b"x")  # fails, if the bytes before were answered by a reset
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert client.recv(100) == b""
        while gateway.listener.connections:  # noqa: ASYNC110  # the client has closed, so do we
            await asyncio.sleep(0.01)
    assert len(upstream.visits) == 1, "nothing behind the end is read as a request"


async def test_tls_is_served_within_the_delay_and_its_idle_connections_see_an_end(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path, "gw")
    trust = ssl.create_default_context(cafile=str(tls.certificate_file))
    async with RawUpstream() as upstream:
        config = config_for(upstream_at(upstream.url), drain_delay_seconds=DELAY_SECONDS, tls=tls)
        async with running(config) as gateway:
            clients = [
                RawClient(*await asyncio.open_connection("localhost", gateway.port, ssl=trust, family=socket.AF_INET))
                for _ in range(2)
            ]
            leaving = await begin_to_leave(gateway)
            await clients[0].send(POST)
            status, head, _ = await clients[0].answer()
            assert status == 200 and CLOSE in head
            assert await clients[0].rest() == b""
            await leaving.clock.wake()
            leaving.clock.wake_for_good()
            assert await asyncio.wait_for(clients[1].reader.read(), 10) == b"", "no reset"
            for client in clients:
                client.close()
            await asyncio.wait_for(leaving.draining, 20)


async def connected(gateway: Gateway) -> socket.socket:
    """Return a connection that has had a response, and on which a send gives the loop no turn."""
    client = socket.create_connection(("127.0.0.1", gateway.port))
    client.sendall(GET)
    client.settimeout(10)
    assert (await asyncio.to_thread(client.recv, 65536)).startswith(b"HTTP/1.1 200 OK\r\n")
    return client


async def test_idle_connection_is_closed_in_steps(desk: Desk) -> None:
    client, wire = desk.client()
    assert client.close_if_idle()
    assert wire.has_ended and not wire.is_closing()
    client.data_received(GET)
    assert not wire.written and not desk.ended
    client.eof_received()
    assert wire.is_closed
    assert not client.close_if_idle()


async def test_idle_client_that_does_not_follow_is_left(desk: Desk) -> None:
    (client, wire), (other, other_wire) = desk.client(), desk.client()
    desk.listener.connections |= {client, other}
    client.close_if_idle()
    await desk.listener.close_idle()
    assert other_wire.has_ended and other_wire.is_aborted
    assert not wire.is_aborted, "it has its own time"


async def test_second_signal_leaves_idle_clients_at_once(desk: Desk) -> None:
    _, wire = desk.client()
    closing = asyncio.create_task(desk.listener.close_idle())
    while not wire.has_ended:  # noqa: ASYNC110  # a turn of the loop
        await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert wire.is_aborted


def told(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


@contextmanager
def serving(workers: int, folder: Path) -> Iterator[Served]:
    port, admin = free_port(), free_port()
    file, log = folder / "gateway.yaml", folder / "log"
    file.write_text(
        f"listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\nworkers: {workers}\nupstream: http://127.0.0.1:9\n"
        "drain_delay: 1h\nlog: {format: text}\nroutes: {/x: {public: true}}\n"
    )
    command = [sys.executable, "-m", "gateway", "serve", "-c", str(file)]
    with process(command, log, lambda: status_of(f"http://127.0.0.1:{admin}/readyz") == 200) as running:
        yield Served(running, port, admin, file, log)


@pytest.mark.parametrize("workers", [1, 2])
def test_process_serves_within_the_delay_and_a_second_signal_ends_it(workers: int, tmp_path: Path) -> None:
    with serving(workers, tmp_path) as gateway:
        admin = f"http://127.0.0.1:{gateway.admin}"
        gateway.master.send_signal(signal.SIGTERM)
        wait_until(lambda: "it is draining: requests are taken for 3" in str(told(admin + "/readyz")))
        assert told(admin + "/readyz")[0] == 503
        for _ in range(20):  # on either worker
            assert status_of(f"http://127.0.0.1:{gateway.port}/nowhere") == 404
        assert told(admin + "/status")[1]["draining"] is True
        wait_until(lambda: gateway.log.read_text().count("taken for 3600 s more (drain_delay)") == workers)
        gateway.master.send_signal(signal.SIGTERM)
        assert gateway.master.wait(20) == 0


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the workers in /proc")
def test_signal_that_reaches_every_process_counts_once(tmp_path: Path) -> None:
    # Ctrl-C does, and so does systemd: a worker is told by it and by its master, and that is no second time.
    with serving(2, tmp_path) as gateway:
        workers = gateway.workers()
        for worker in workers:
            os.kill(worker, signal.SIGTERM)
        wait_until(lambda: gateway.log.read_text().count("(drain_delay)") == 2)
        gateway.master.send_signal(signal.SIGTERM)
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        for _ in range(20):
            assert status_of(f"http://127.0.0.1:{gateway.port}/nowhere") == 404
            assert gateway.workers() == workers
        assert "stopped" not in gateway.log.read_text()
        gateway.master.send_signal(signal.SIGTERM)
        assert gateway.master.wait(20) == 0

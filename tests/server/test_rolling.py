"""Two gateways behind a balancer in TCP mode, each stopped and started again under load: nobody notices.

HAProxy sends a connection on as it is, and tries nothing a second time. So do the clients here: what breaks is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import logging
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.processes import free_port, process, status_of, wait_until
from tests.programs import needs
from tests.rawpeer import RawClient, RawUpstream, Visit
from tests.running import WIRE

_log = logging.getLogger("tests.rolling")
# Four times what the balancer needs to see it: two checks, a second apart.
DELAY = "8s"
LEAST_REQUESTS = 2000
BUSY, SEDATE = 12, 4  # clients
BUSY_PAUSE_SECONDS, SEDATE_PAUSE_SECONDS = (
    0.02,
    0.7,
)  # paces the load; the sedate have idle connections most of the time
HAPROXY = """\
global
  stats socket ipv4@127.0.0.1:{stats}
  maxconn 500
defaults
  mode tcp
  retries 0
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  default_backend gateways
backend gateways
  balance roundrobin
  option httpchk GET /readyz
  default-server check inter 1s fall 2 rise 1
{servers}
"""


@dataclass
class Load:
    """Clients of one address, who try nothing a second time."""

    port: int
    done: int = 0
    broken: list[str] = field(default_factory=list)
    is_over: bool = False

    async def client(self, number: int, pause_seconds: float) -> None:
        connection: RawClient | None = None
        count = 0
        while not self.is_over:
            if connection is None or connection.reader.at_eof():  # whoever sees an end asks elsewhere
                if connection is not None:
                    connection.close()
                connection = RawClient(*await asyncio.open_connection("127.0.0.1", self.port))
            count += 1
            if not await self._ask(connection, b"%d-%d" % (number, count), is_post=count % 2 == 0):
                connection.close()
                connection = None
            await asyncio.sleep(pause_seconds)
        if connection is not None:
            connection.close()

    async def _ask(self, connection: RawClient, word: bytes, *, is_post: bool) -> bool:
        """Ask once, and count; True if the connection may be used again."""
        request = b"GET /public/%b HTTP/1.1\r\nHost: a\r\n\r\n" % word
        if is_post:
            request = b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(word), word)
        self.done += 1
        try:
            await connection.send(request)
            status, head, body = await connection.answer()
        except (OSError, EOFError, TimeoutError) as problem:
            self.broken.append(f"{word!r}, post={is_post}: {problem!r}")
            return False
        if (status, body) != (200, word):
            self.broken.append(f"{word!r}, post={is_post}: {status} {body!r}")
        return b"Connection: close" not in head

    async def more(self, requests: int) -> None:
        """Wait until so many more have been asked."""
        until = self.done + requests
        await asyncio.to_thread(wait_until, lambda: self.done >= until)


class Upstream:
    """What stands behind one of the gateways: says what it was told, and streams until it is to end."""

    def __init__(self) -> None:
        self.peer, self.ends = RawUpstream(self._serve), asyncio.Event()

    async def _serve(self, visit: Visit) -> None:
        if visit.target == "/public/stream":
            await self._stream(visit)
            return
        body = await visit.read_body() or visit.target.removeprefix("/public/").encode()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def _stream(self, visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not self.ends.is_set():
            await visit.send(b"4\r\ntick\r\n")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ends.wait(), 0.1)
        await visit.send(b"3\r\nend\r\n0\r\n\r\n")


class Member:
    """One of the gateways, as a process that is stopped and started again."""

    def __init__(self, name: str, folder: Path, upstream: Upstream, workers: int) -> None:
        self.name, self.upstream, self.workers = name, upstream, workers
        self.port, self.admin = free_port(), free_port()
        self._folder, self._starts = folder, 0
        self._running: subprocess.Popen[bytes] | None = None
        self.file = folder / f"{name}.yaml"
        self.file.write_text(
            f"listen: 127.0.0.1:{self.port}\nadmin: 127.0.0.1:{self.admin}\nworkers: {workers}\n"
            f"upstream: {upstream.peer.url}\ndrain_delay: {DELAY}\nroutes: {{/public: {{public: true}}}}\n"
        )

    async def start(self, stack: ExitStack) -> None:
        self._starts += 1
        log, command = self._folder / f"{self.name}-{self._starts}.log", [sys.executable, "-m", "gateway", "serve"]
        up = process([*command, "-c", str(self.file)], log, lambda: status_of(self._readyz) == 200, WIRE)
        self._running = await asyncio.to_thread(stack.enter_context, up)

    def stop(self) -> None:
        assert self._running is not None
        self._running.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        assert self._running is not None
        return await asyncio.to_thread(self._running.wait, 60)

    def is_draining(self) -> bool:
        try:
            urllib.request.urlopen(self._readyz, timeout=10).close()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code == 503 and "it is draining" in json.load(refusal)["why"]
        return False

    def is_deaf(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) != 0

    @property
    def _readyz(self) -> str:
        return f"http://127.0.0.1:{self.admin}/readyz"


class Balancer:
    """HAProxy, and what it believes of each gateway."""

    def __init__(self, members: list[Member]) -> None:
        self.port, self._stats, self._members = free_port(), free_port(), members

    def start(self, stack: ExitStack, folder: Path) -> None:
        file = folder / "haproxy.cfg"
        servers = "\n".join(f"  server {one.name} 127.0.0.1:{one.port} port {one.admin}" for one in self._members)
        file.write_text(HAPROXY.format(port=self.port, stats=self._stats, servers=servers))
        command = ["haproxy", "-db", "-f", str(file)]
        stack.enter_context(process(command, folder / "haproxy.log", lambda: all(map(self.sends_to, self._members))))

    def sends_to(self, member: Member) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._stats), 5) as asked:
                asked.sendall(b"show stat\n")
                told = asked.makefile(encoding="ascii").read().removeprefix("# ")
        except OSError:
            return False
        return any(row["svname"] == member.name and row["status"] == "UP" for row in csv.DictReader(told.splitlines()))


@asynccontextmanager
async def under_load(port: int) -> AsyncIterator[Load]:
    load = Load(port)
    paces = [BUSY_PAUSE_SECONDS] * BUSY + [SEDATE_PAUSE_SECONDS] * SEDATE
    clients = [asyncio.create_task(load.client(number, pause)) for number, pause in enumerate(paces)]
    try:
        yield load
    finally:
        load.is_over = True
        await asyncio.gather(*clients)


@needs("haproxy")
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_request_breaks_while_each_gateway_is_stopped_and_started_again(tmp_path: Path) -> None:
    upstreams = [Upstream(), Upstream()]
    async with upstreams[0].peer, upstreams[1].peer:
        with ExitStack() as stack:
            members = [Member(f"gateway{n}", tmp_path, one, n) for n, one in enumerate(upstreams, 1)]
            for member in members:
                await member.start(stack)
            balancer = Balancer(members)
            await asyncio.to_thread(balancer.start, stack, tmp_path)
            async with under_load(balancer.port) as load:
                for member in members:
                    await load.more(LEAST_REQUESTS // 4)
                    await roll(member, balancer, stack)
                await load.more(LEAST_REQUESTS // 4)
            _log.info("%d of %d requests broke", len(load.broken), load.done)
    assert load.broken == []
    assert load.done >= LEAST_REQUESTS


async def roll(member: Member, balancer: Balancer, stack: ExitStack) -> None:
    """Stop a gateway and start it again; a stream that it has ends while it no longer listens."""
    async with RawClient.connect(member.port) as client:
        await client.send(b"GET /public/stream HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.head()
        member.stop()
        await asyncio.to_thread(wait_until, member.is_draining)
        served = len(member.upstream.peer.visits)
        await asyncio.to_thread(wait_until, lambda: len(member.upstream.peer.visits) > served)
        await asyncio.to_thread(wait_until, lambda: not balancer.sends_to(member))
        await asyncio.to_thread(wait_until, member.is_deaf)
        member.upstream.ends.set()
        while (piece := await client.chunk()) == b"tick":
            pass
        assert (piece, await client.chunk()) == (b"end", b"")
    assert await member.ended() == 0
    await member.start(stack)
    await asyncio.to_thread(wait_until, lambda: balancer.sends_to(member))

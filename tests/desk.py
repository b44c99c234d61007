"""The wires without a network: transports of our own, that say when they are full, and who sits at them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.proxy.wire import Connections, Upstream
from gateway.server.gateway import Gateway
from gateway.transport.client import ClientConnection
from gateway.transport.listener import Listener
from gateway.transport.pool import Pool
from gateway.transport.upstream import UpstreamConnection
from tests.running import config_for, running, upstream_at


class Wire(asyncio.Transport):
    """A transport that takes `room` bytes and is full then, until it is emptied."""

    def __init__(self, room: int = 1 << 40) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.room, self.written, self.protocol = room, b"", asyncio.Protocol()
        self.is_full = self.is_paused = self.is_closed = self.is_aborted = False
        self.has_ended = False  # what is written
        self.unsent_bytes = 0

    def write(self, data: Any) -> None:
        assert not self.is_closing()
        self.written += data
        if len(self.written) > self.room and not self.is_full:
            self.is_full = True
            self.protocol.pause_writing()

    def empty(self) -> None:
        """All of it has left."""
        self.is_full, self.room = False, 1 << 40
        self.protocol.resume_writing()

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_closed or self.is_aborted

    def close(self) -> None:
        self.is_closed = True
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.is_aborted = True
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_ended = True


class _Opening(Connections):
    """Connections of which the next one that is opened is this."""

    def __init__(self, pool: Pool, next_one: UpstreamConnection) -> None:
        self._pool, self._next = pool, next_one

    def take(self) -> Upstream:
        kept = self._pool.take_kept()
        return self._next if kept is None else kept

    def open(self) -> Upstream:
        return self._next


@dataclass
class Desk:
    """A listener without a network: clients, and the connections to the upstream."""

    gateway: Gateway
    listener: Listener
    upstreams: list[UpstreamConnection] = field(default_factory=list)

    def client(self, room: int = 1 << 40) -> tuple[ClientConnection, Wire]:
        """Return a client's connection and its transport."""
        connection, wire = ClientConnection(self.listener), Wire(room)
        wire.protocol = connection
        connection.connection_made(wire)
        return connection, wire

    @property
    def pool(self) -> Pool:
        """The connections to the upstream."""
        return self.gateway.pools["default"]

    def upstream(self, room: int = 1 << 40) -> tuple[UpstreamConnection, Wire]:
        """Return an idle connection to the upstream, which is taken next, and its transport."""
        connection, wire = UpstreamConnection(self.pool), Wire(room)
        wire.protocol = connection
        connection.connection_made(wire)
        self.pool.release(connection)
        return connection, wire

    def opening(self) -> tuple[UpstreamConnection, Wire]:
        """Return the connection that is opened next, and the transport that it will have."""
        connection, wire = UpstreamConnection(self.pool), Wire()
        wire.protocol = connection
        connection.opening = asyncio.get_running_loop().create_task(asyncio.sleep(0))
        self.gateway.runtime.upstreams = {"default": _Opening(self.pool, connection)}
        return connection, wire

    def is_idle(self, connection: UpstreamConnection) -> bool:
        """True if the next request would take it."""
        return self.pool.take() is connection

    @property
    def ended(self) -> int:
        """How many requests have ended."""
        return sum(self.gateway.metrics.requests.values())


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    """Run a listener for the length of a block."""
    async with running(config_for(upstream_at("http://127.0.0.1:9"))) as gateway:
        assert gateway.listener is not None
        yield Desk(gateway, gateway.listener)
        gateway.listener.limits.flush_seconds = 0.0  # nobody takes what is still to be written

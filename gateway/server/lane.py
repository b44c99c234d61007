"""The express lane: a client's connection that reads requests of the common shape by itself, and hands all others over.

Everything that is decided, removed, added, counted and logged is the same code as on the reference path; what is ours
is the reading and writing of bytes. A connection that meets something uncommon between two requests becomes aiohttp's,
with the bytes that were read, and stays so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from gateway.express.grammar import END_OF_HEAD, read_request
from gateway.server.connection import IDLE_SECONDS, LINGER_BYTES, LINGER_SECONDS, ConnectionLimits, ConnectionServer
from gateway.server.exchange import LaneExchange
from gateway.server.host import Host
from gateway.server.shared import MAX_AHEAD_BYTES, Exchange, RequestIds

_LEAVING_SECONDS = 0.02
_MAX_PIECES = 8


class Lane:
    """The connections of one listener, and what they share."""

    def __init__(self, host: Host, reference: ConnectionServer, clock: Callable[[], float]) -> None:
        self.host = host
        self.reference = reference
        self.clock = clock
        self.ids = RequestIds()
        self.connections: set[LaneConnection] = set()
        self.loop = asyncio.get_running_loop()
        self._tick: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self) -> LaneConnection:
        if self._tick is None:
            self._beat()
        return LaneConnection(self)

    def close_idle(self) -> None:
        """Close the connections without a request; the others close after their answer."""
        for connection in list(self.connections):
            connection.close_if_idle()

    def cut(self) -> None:
        """Cut every request under way."""
        for connection in list(self.connections):
            connection.cut()

    def stop(self) -> None:
        """Stop the clock, and close every connection."""
        if self._tick is not None:
            self._tick.cancel()
        for connection in list(self.connections):
            connection.abort()

    @property
    def limits(self) -> ConnectionLimits:
        """What a client may send and take; a reload counts at once."""
        return self.reference.limits

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something in the background, and hold it until it ends."""
        running = self.loop.create_task(work)
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return running

    def _beat(self) -> None:
        """Look at every connection's deadline. One timer for all: a timer for each would cost more than they do."""
        now = self.loop.time()
        for connection in list(self.connections):
            if connection.deadline <= now:
                connection.expire(now)
        self.host.runtime.sweep()
        self._tick = self.loop.call_later(self._beat_seconds(), self._beat)

    def _beat_seconds(self) -> float:
        config = self.host.runtime.config
        times = [config.limits.header_timeout_seconds, config.limits.body_idle_timeout_seconds]
        for upstream in config.upstreams:
            times += [upstream.response_timeout_seconds, upstream.idle_timeout_seconds]
        return min(max(min(times) / 10, 0.01), 0.5)


class LaneConnection(asyncio.Protocol):
    """One client's connection while it is of the common shape."""

    __slots__ = (
        "_ahead", "_discards", "_exchange", "_is_client_behind", "_is_reading_paused", "_lane", "_pieces", "deadline",
        "peer", "transport",
    )  # fmt: skip

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.transport: asyncio.Transport | None = None
        self.deadline = 0.0
        self._ahead = b""
        self._exchange: Exchange | None = None
        self._is_client_behind = False
        self._is_reading_paused = False
        self._pieces = 0
        self._discards = 0  # bytes that may still come and are not wanted; 0: all are
        self.peer = ""

    # --- the client's side of the socket ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else "unix"
        self._lane.connections.add(self)
        self.deadline = self._lane.loop.time() + self._lane.limits.header_timeout_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        self._lane.connections.discard(self)
        self.transport = None
        if self._exchange is not None:
            self._exchange.client_left()

    def data_received(self, data: bytes) -> None:
        if self._discards:
            self._discards -= len(data)
            if self._discards <= 0:
                self.abort()
            return
        exchange = self._exchange
        if exchange is not None and exchange.upload_left:
            data = exchange.uploaded(data)
            if not data:
                return
        if not self._ahead:
            if self._exchange is None:
                self.deadline = self._lane.loop.time() + self._lane.limits.header_timeout_seconds
            self._ahead = data
        else:
            self._ahead += data
        if self._exchange is None:
            self._next()
        elif len(self._ahead) > MAX_AHEAD_BYTES:
            self.may_send(may=False)

    def eof_received(self) -> bool:
        """The client has said all it will: most often it has left, and its request must not run on."""
        if self._exchange is None:
            return False
        self._lane.loop.call_later(_LEAVING_SECONDS, self._leave)
        return True

    def pause_writing(self) -> None:
        self._is_client_behind = True
        if self._exchange is not None:
            self._exchange.client_is_behind(is_behind=True)

    def resume_writing(self) -> None:
        self._is_client_behind = False
        if self._exchange is not None:
            self._exchange.client_is_behind(is_behind=False)

    # --- what the lane and the exchange ask ---

    def write(self, data: bytes) -> None:
        """Write to the client."""
        if self.transport is not None:
            self.transport.write(data)

    def may_send(self, *, may: bool) -> None:
        """Let the client send, or have it wait."""
        if self.transport is not None and self._is_reading_paused is may:
            self._is_reading_paused = not may
            (self.transport.resume_reading if may else self.transport.pause_reading)()

    def exchange_ended(self, *, keeps_alive: bool, lingers: bool = False) -> None:
        """The answer is written: the next request, or the end. `lingers`: the client is still sending."""
        self._exchange = None
        transport = self.transport
        if transport is None:
            return
        if lingers:
            self._linger(transport)
            return
        if not keeps_alive or self._lane.host.is_draining:
            transport.close()
            self._abort_later(self._lane.limits.flush_seconds)
            return
        self.deadline = self._lane.loop.time() + IDLE_SECONDS
        self.may_send(may=True)
        if self._ahead:
            # Not from here: a thousand requests in one packet would be a thousand calls deep.
            self._lane.loop.call_soon(self._next)

    def close_if_idle(self) -> None:
        """Close, unless a request is under way or has begun to arrive."""
        if self._exchange is None and not self._ahead and self.transport is not None:
            self.transport.close()

    def cut(self) -> None:
        """End the request under way."""
        if self._exchange is not None:
            self._exchange.shut_down()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def expire(self, now: float) -> None:
        """The deadline is over."""
        if self._exchange is not None:
            self._exchange.expire()
        elif self.transport is not None:
            self.transport.close()  # no head in time, or nothing for too long
            self._abort_later(self._lane.limits.flush_seconds)
            self.deadline = now + IDLE_SECONDS

    # --- requests ---

    def _next(self) -> None:
        """Take the next request out of what has arrived."""
        if self._exchange is not None or self.transport is None or self.transport.is_closing():
            return
        ahead = self._ahead
        if not ahead:
            return
        end = ahead.find(END_OF_HEAD)
        limit = self._lane.limits.header_bytes
        if end < 0:
            # A head in many small pieces would be searched anew with each: the other road counts as it reads.
            self._pieces += 1
            if self._pieces > _MAX_PIECES or len(ahead) > limit or b"\n" in ahead.replace(b"\r\n", b""):
                self._hand_over()
            return
        self._pieces = 0
        request = read_request(ahead[:end], self._lane.host.runtime.request_lines_read) if end <= limit else None
        if request is None:
            self._hand_over()
            return
        exchange = LaneExchange(self._lane, self, request)
        try:
            is_ours = exchange.begin(ahead[end + 4 :])
        except Exception as surprise:
            if self._exchange is not None:
                exchange.fail_by_mistake(surprise)
                return
            is_ours = False  # the other road meets the same, and knows how to tell it
        if not is_ours:
            self._hand_over()

    def began(self, exchange: Exchange, rest: bytes) -> None:
        """The exchange has taken the request; `rest` is what came behind it."""
        self._exchange = exchange
        self._ahead = rest

    @property
    def waits_for_client(self) -> bool:
        """True while the client may send: if it does not, nobody else is to blame."""
        return not self._is_reading_paused

    @property
    def is_client_behind(self) -> bool:
        """True while the client takes less than was written."""
        return self._is_client_behind

    def _hand_over(self) -> None:
        """Give the connection to aiohttp, with what was read. It keeps it from now on."""
        transport, ahead = self.transport, self._ahead
        if transport is None:
            return
        self._lane.connections.discard(self)
        self.transport, self._ahead = None, b""
        connection = self._lane.reference()
        if self._is_reading_paused:
            transport.resume_reading()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._is_client_behind:
            connection.pause_writing()
        connection.data_received(ahead)

    def _linger(self, transport: asyncio.Transport) -> None:
        """Half-close, and throw away what still comes, for a bounded time and size: else a reset eats the answer."""
        self._ahead, self._discards = b"", LINGER_BYTES
        if transport.can_write_eof():
            transport.write_eof()
        self.may_send(may=True)
        self.deadline = self._lane.loop.time() + LINGER_SECONDS

    def _leave(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _abort_later(self, seconds: float) -> None:
        transport = self.transport
        if transport is not None:
            self._lane.loop.call_later(seconds, transport.abort)

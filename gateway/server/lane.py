"""The express lane: the connections of one listener, their clock, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.server.connection import ConnectionServer
from gateway.server.host import Host
from gateway.server.lane_connection import LaneConnection
from gateway.server.room import Place
from gateway.server.shared import RequestIds

_log = logging.getLogger("gateway.server")


class Lane:
    """The connections of one listener, and what they share."""

    def __init__(self, host: Host, reference: ConnectionServer, clock: Callable[[], float]) -> None:
        self.host = host
        self.reference = reference
        self.limits = reference.limits
        self.clock = clock
        self.ids = RequestIds()
        self.connections: set[LaneConnection] = set()
        self.loop = asyncio.get_running_loop()
        self._tick: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_empty = asyncio.Event()

    def __call__(self) -> LaneConnection:
        if self._tick is None:
            self._beat()
        return LaneConnection(self)

    def lost(self, connection: LaneConnection) -> None:
        """A connection has ended, or is the reference path's now."""
        self.connections.discard(connection)
        if not self.connections:
            self._is_empty.set()

    def hand_over(
        self, transport: asyncio.Transport, place: Place, ahead: bytes, *, is_behind: bool, has_eof: bool
    ) -> None:
        """Give a connection to aiohttp, with what was read and not yet taken. It keeps it from now on."""
        self.host.cork.flush_of(transport)
        connection = self.reference()
        connection.place = place
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if is_behind:
            connection.pause_writing()
        connection.data_received(ahead)
        if has_eof:
            connection.eof_received()

    def close_idle(self) -> None:
        """Close the connections without a request; the others close after their answer."""
        for connection in list(self.connections):
            connection.close_if_idle()

    def cut(self) -> None:
        """Cut every request under way."""
        for connection in list(self.connections):
            connection.cut()

    async def stop(self) -> None:
        """Stop the clock, and close every connection; what was answered may still leave, but not for ever."""
        if self._tick is not None:
            self._tick.cancel()
        for connection in list(self.connections):
            connection.close(self.limits.flush_seconds)
        self._is_empty.clear()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.limits.flush_seconds):
                    await self._is_empty.wait()
        for connection in list(self.connections):
            connection.abort()

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something in the background, and hold it until it ends."""
        running = self.loop.create_task(work)
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return running

    def _beat(self) -> None:
        """Look at every connection's deadline. One timer for all: a timer for each would cost more than they do."""
        now = self.loop.time()
        self._tick = self.loop.call_later(self._beat_seconds(), self._beat)  # first: no fault below may stop the clock
        for connection in list(self.connections):
            try:
                if connection.deadline <= now:
                    connection.expire()
                elif connection.is_reading_paused:
                    connection.look_after()
            except Exception:  # one connection's fault must not stop the clock of the others
                _log.exception("a connection's time is over, and it could not be ended")
                connection.abort()
        self.host.runtime.sweep()

    def _beat_seconds(self) -> float:
        config = self.host.runtime.config
        times = [config.limits.header_timeout_seconds, config.limits.body_idle_timeout_seconds]
        if config.limits.body_timeout_seconds is not None:
            times.append(config.limits.body_timeout_seconds)
        for upstream in config.upstreams:
            times += [upstream.response_timeout_seconds, upstream.idle_timeout_seconds]
        return min(max(min(times) / 10, 0.01), 0.5)

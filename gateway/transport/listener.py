"""The connections of one public port, their clock, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from gateway.policy.revocation import Revoked
from gateway.proxy.host import Host
from gateway.proxy.wire import Relay
from gateway.transport.client import ClientConnection, Common
from gateway.transport.cork import Cork
from gateway.transport.limits import ConnectionLimits
from gateway.transport.room import OUTSIDE, Place, Room

_log = logging.getLogger("gateway.server")
FOLLOW_SECONDS: Final = 0.5  # longer than what crosses our end is on its way; many clients look at the end much later
_TURNS: Final = 2  # of the loop: in the first it hears of what has arrived, in the second that is read


class Listener(Common):
    """Makes a connection for every client that is accepted. `sweep` is called now and then, as `beat_seconds` says."""

    def __init__(
        self,
        host: Host,
        cork: Cork,
        room: Room,
        limits: ConnectionLimits,
        sweep: Callable[[], None],
        *,
        is_fast: bool = True,
    ) -> None:
        self.host, self.cork, self.room, self.limits, self.is_fast = host, cork, room, limits, is_fast
        self.connections: set[ClientConnection] = set()
        self.loop = asyncio.get_running_loop()
        self._sweep = sweep
        self._tick: asyncio.TimerHandle | None = None
        self._is_empty = asyncio.Event()
        self._half_closed: set[ClientConnection] = set()  # by `close_idle`
        self._have_followed = asyncio.Event()

    def make_connection(self, place: Place = OUTSIDE) -> ClientConnection:
        """Return the connection of a client that is accepted, with the place that it has already."""
        if self._tick is None:
            self._beat()
        return ClientConnection(self, place)

    def lost(self, connection: ClientConnection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        self._half_closed.discard(connection)
        if not self._half_closed:
            self._have_followed.set()
        if not self.connections:
            self._is_empty.set()

    async def close_idle(self) -> None:
        """Close the connections without a request; the others close after their response.

        What had arrived by then is read, and who is closed has `FOLLOW_SECONDS` to close as well.
        """
        self._half_closed = {one for one in list(self.connections) if one.close_if_idle()}
        self._have_followed.clear()
        try:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if self._half_closed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FOLLOW_SECONDS):
                        await self._have_followed.wait()
        finally:
            for connection in list(self._half_closed):
                connection.abort()

    def cut(self) -> None:
        """Cut every request under way."""
        for relay in self._relays():
            relay.shut_down()

    def end_revoked(self, revoked: Revoked) -> int:
        """End each request under way whose caller counts no more; returns how many."""
        return sum([relay.end_revoked(revoked) for relay in self._relays()])

    def _relays(self) -> list[Relay]:
        return [one.relay for one in list(self.connections) if one.relay is not None]

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
        self._sweep()

    def _beat_seconds(self) -> float:
        config = self.host.runtime.config
        times = [config.limits.header_timeout_seconds, config.limits.body_idle_timeout_seconds]
        if config.limits.body_timeout_seconds is not None:
            times.append(config.limits.body_timeout_seconds)
        for upstream in config.upstreams:
            times += [upstream.response_timeout_seconds, upstream.idle_timeout_seconds]
        return min(max(min(times) / 10, 0.01), 0.5)

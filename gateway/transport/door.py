"""The door for TLS: a connection is counted from its first byte on, not only once it has shaken hands.

Otherwise a stranger who begins a thousand handshakes and ends none holds a thousand descriptors that nobody counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import cast

from gateway.transport.listener import Listener
from gateway.transport.room import OUTSIDE, peer_of


class TlsDoor:
    """Makes what every accepted connection meets first. `seconds` is how long a handshake may take."""

    def __init__(self, listener: Listener, context: ssl.SSLContext, seconds: Callable[[], float]) -> None:
        self.listener, self.context, self.seconds = listener, context, seconds
        self._shaking: set[asyncio.Task[None]] = set()

    def make_handshake(self) -> asyncio.Protocol:
        """Return what an accepted connection meets first."""
        return _Handshake(self)

    def run(self, handshake: _Handshake) -> None:
        """Shake hands in the background."""
        task = asyncio.get_running_loop().create_task(handshake.shake())
        self._shaking.add(task)
        task.add_done_callback(self._shaking.discard)

    async def stop(self) -> None:
        """End the handshakes under way."""
        for task in self._shaking:
            task.cancel()
        await asyncio.gather(*self._shaking, return_exceptions=True)


class _Handshake(asyncio.Protocol):
    """A connection until its handshake is over; then it is the listener's, with what came behind the handshake."""

    def __init__(self, door: TlsDoor) -> None:
        self._door = door
        self._place = OUTSIDE
        self._transport: asyncio.Transport | None = None
        self._ahead: list[bytes] = []
        self._has_eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = raw = cast(asyncio.Transport, transport)
        self._place = self._door.listener.room.enter(peer_of(raw), raw.abort)
        if not raw.is_closing():
            raw.pause_reading()  # asyncio's loop obeys; uvloop begins to read all the same: see `shake`
            self._door.run(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.leave()

    def data_received(self, data: bytes) -> None:
        self._ahead.append(data)

    def eof_received(self) -> bool:
        self._has_eof = True
        return False

    async def shake(self) -> None:
        """Shake hands, and hand over; a client that cannot, or takes too long, is let go."""
        raw, door = self._transport, self._door
        if raw is None:
            return
        loop, seconds = asyncio.get_running_loop(), door.seconds()
        shaking = loop.create_task(
            loop.start_tls(raw, self, door.context, server_side=True, ssl_handshake_timeout=seconds)
        )
        tls: asyncio.Transport | None = None
        try:
            # Two turns, and nothing is read in either: in the first the transport gets its protocol for TLS, in the
            # second that one is told of its transport. Then it gets what had come to us.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            early, self._ahead = b"".join(self._ahead), []
            if early and raw.get_protocol() is not self:
                _give(early, cast(asyncio.BufferedProtocol, raw.get_protocol()))  # uvloop's is no subclass
            with contextlib.suppress(OSError):  # ssl.SSLError and TimeoutError are some
                tls = await shaking
        finally:
            if tls is None:
                shaking.cancel()
                raw.abort()
                self._place.leave()
        if tls is not None and not tls.is_closing():
            self._hand_over(tls)

    def _hand_over(self, tls: asyncio.Transport) -> None:
        connection = self._door.listener.make_connection(self._place)
        tls.set_protocol(connection)
        connection.connection_made(tls)
        if self._ahead:
            connection.data_received(b"".join(self._ahead))
        if self._has_eof:
            connection.eof_received()


def _give(data: bytes, protocol: asyncio.BufferedProtocol) -> None:
    """Give bytes to the protocol that shakes hands, as its transport would."""
    while data:
        room = memoryview(protocol.get_buffer(len(data)))
        piece = data[: len(room)]
        room[: len(piece)] = piece
        protocol.buffer_updated(len(piece))
        data = data[len(piece) :]

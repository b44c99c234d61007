"""A client's connection: its bytes, in order, to one exchange after the other, and what they write back.

Heads are read by our own grammar; what that does not read, llhttp reads, for this request alone.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final, cast

from gateway.http1.arrivals import Arrivals
from gateway.http1.llhttp import BrokenRequest
from gateway.http1.request import RequestRead
from gateway.policy.model import Headers
from gateway.proxy.exchange import Exchange
from gateway.proxy.host import Host
from gateway.proxy.upload import MAX_AHEAD_BYTES
from gateway.proxy.wire import Client, Relay
from gateway.transport.cork import LARGE_BYTES, Cork
from gateway.transport.hangup import hangup_of, has_unread
from gateway.transport.limits import GATHER_SECONDS, LEAVING_SECONDS, MAX_PIECES, ConnectionLimits
from gateway.transport.room import OUTSIDE, Place, Room, peer_of

# A keep-alive connection without a request; longer than the clients' own limits, so that it is they who close.
IDLE_SECONDS: Final = 75.0
# After a refusal: how long and how much of an unwanted upload is read and thrown away, so that the response arrives.
LINGER_SECONDS: Final = 5.0
LINGER_BYTES: Final = 512 * 1024
_FULL_SECONDS: Final = 0.5  # who has sent more is read no longer, and has so long to take the response
_LINGER_BUFFER_BYTES: Final = 64 * 1024  # the kernel takes no more either: its buffer would grow to megabytes


class Common:
    """What the connections of a listener share. `is_fast` False: llhttp reads every head."""

    host: Host
    cork: Cork
    room: Room
    limits: ConnectionLimits  # what a client may send and take; a reload changes it in place
    loop: asyncio.AbstractEventLoop
    is_fast: bool
    connections: set[ClientConnection]

    def lost(self, connection: ClientConnection) -> None:
        """A connection has ended."""
        raise NotImplementedError

    def exchange_of(self, client: ClientConnection, request: RequestRead) -> Exchange:
        """Return what is to be done with a request."""
        return Exchange(self.host, client, request)

    def unreadable(self, peer: str, scheme: str, head: bytes) -> RequestRead:
        """Return what stands for a request of which nothing could be read."""
        return RequestRead("-", "-", Headers(()), peer, scheme)


class ClientConnection(asyncio.Protocol, Client):
    """One client's connection.

    What has arrived and is not yet a request is bounded: beyond some it is the kernel that holds the client back. No
    request begins while the client does not take the responses before it.
    """

    # More than a dozen, with those of `Client`: what is true of a socket, and what of its reading, writing and leaving.
    __slots__ = (
        "_arrived", "_common", "_discards", "_exchange", "_gathering", "_has_eof", "_is_leaving", "is_reading_paused",
        "peer", "place", "scheme", "transport",
    )  # fmt: skip

    def __init__(self, common: Common, place: Place = OUTSIDE) -> None:
        self._common, self.now = common, common.loop.time
        self.transport: asyncio.Transport | None = None
        self.deadline = 0.0
        self.is_slow = self.is_reading_paused = False
        self._arrived = Arrivals()
        self._exchange: Relay | None = None
        self.is_upload_held = False  # its upload has no taker for now
        self._has_eof = self._is_leaving = False
        self._discards = 0  # bytes that may still come and are not wanted (0: all are; 1: no more are taken)
        self._gathering: asyncio.TimerHandle | None = None
        self.peer, self.scheme = "", "http"
        self.place = place  # or the one that it had at the door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wire = self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.peer = peer_of(transport)
        if transport.get_extra_info("ssl_object") is not None:
            self.scheme = "https"
        self.deadline = self.now() + self._common.limits.header_timeout_seconds
        self._common.connections.add(self)
        if self.place is OUTSIDE:
            self.place = self._common.room.enter(self.peer, wire.abort)
        self.serve = self.place.serve

    def connection_lost(self, exc: Exception | None) -> None:
        self.place.leave()
        self._common.lost(self)
        self.transport = None
        if self._gathering is not None:
            self._gathering.cancel()
        if self._exchange is not None:
            self._exchange.client_left()

    def data_received(self, data: bytes) -> None:
        if self._discards:
            self._discards = max(1, self._discards - len(data))
            if self._discards == 1 and not self.is_slow:
                self.deadline = min(self.deadline, self.now() + _FULL_SECONDS)
            self._hold_or_read()
            return
        exchange = self._exchange
        if exchange is not None and exchange.takes_bytes:
            data = exchange.uploaded(data)
            if not data:
                return
        arrived = self._arrived
        arrived.ahead = arrived.ahead[arrived.at :] + data if arrived.ahead else data
        arrived.at = 0
        if self._exchange is None and not self.is_slow:
            self._next()
        if len(arrived.ahead) - arrived.at > MAX_AHEAD_BYTES:
            self._hold_or_read()

    def eof_received(self) -> bool:
        """The client has said all it will: most often it has left, and its request must not run on.

        A client that only half-closes gets what can be answered at once, and what was answered.
        """
        self._has_eof = True
        if self._exchange is not None or self._arrived.ahead:
            self._begin_to_leave()
        else:
            self.close(self._common.limits.flush_seconds)
        return self.scheme == "http"  # TLS knows no half of a connection

    def pause_writing(self) -> None:
        self.is_slow = True
        if self._exchange is not None:
            self._exchange.client_is_slow(is_slow=True)
        elif not self._is_closing:
            self.deadline = self.now() + self.stall_seconds

    def resume_writing(self) -> None:
        self.is_slow = False
        if self._exchange is not None:
            self._exchange.client_is_slow(is_slow=False)
        elif self._discards:
            self.deadline = self.now() + LINGER_SECONDS
        elif not self._is_closing:
            limits = self._common.limits
            self.deadline = self.now() + (limits.header_timeout_seconds if self._arrived.pieces else IDLE_SECONDS)
            self._go_on()

    # --- what the exchange asks ---

    @property
    def stall_seconds(self) -> float:
        return self._common.limits.stall_seconds

    @property
    def unsent_bytes(self) -> int:
        transport = self.transport
        return 0 if transport is None or transport.is_closing() else transport.get_write_buffer_size()

    def write(self, data: bytes, *, is_urgent: bool = False) -> None:
        cork, transport = self._common.cork, self.transport
        if transport is not None:
            (cork.write_now if is_urgent or len(data) > LARGE_BYTES else cork.write)(transport, data)

    def hold_upload(self, *, is_held: bool) -> None:
        if self.is_upload_held is not is_held:
            self.is_upload_held = is_held
            self._hold_or_read()

    def switch(self, other: Relay) -> bytes:
        ahead = self._arrived.take()
        self._exchange = other
        self._hold_or_read()
        return ahead

    def exchange_ended(self, *, keeps_alive: bool, lingers: bool = False) -> None:
        self._exchange = None
        self.place.rest()
        if self.transport is None:
            return
        if lingers:
            self._linger(self.transport)
            return
        if not keeps_alive or not self._common.host.takes_requests:
            self.close(self.stall_seconds)
            return
        self.deadline = self.now() + IDLE_SECONDS
        self.is_upload_held = False
        if self._arrived.ahead:
            # Not from here: a thousand requests in one packet would be a thousand calls deep.
            self._common.loop.call_soon(self._go_on)
        if self.is_reading_paused:
            self._hold_or_read()

    def reset(self) -> None:
        if self.transport is not None:
            self._common.cork.flush_of(self.transport)
            # abort() alone says FIN, as a clean end does; with no time to linger the kernel says RST.
            no_time = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_time)
            self.transport.abort()

    # --- what the listener asks ---

    def close(self, flush_seconds: float) -> None:
        """Close, once the client has taken all that was written, or that time is over."""
        transport = self.transport
        if transport is None:
            return
        if self.is_reading_paused and not self._discards:
            # Closed with bytes unread the connection would be reset, and what is on its way lost.
            self._linger(transport)
        self._common.cork.flush_of(transport)  # first: a client that is slow then has a clock of its own
        deadline = self.now() + flush_seconds
        self.deadline = min(self.deadline, deadline) if self._discards or transport.is_closing() else deadline
        if not self._discards or self._has_eof:
            transport.close()

    def close_if_idle(self) -> bool:
        """Close, unless a request is under way or has arrived, be it in the kernel. True: the client is to close, too.

        Half of it (RFC 9112 section 9.6): a request that crosses our end would be answered by a reset.
        """
        transport, is_busy = self.transport, self._exchange is not None or self._arrived.ahead or self._discards
        if is_busy or transport is None or transport.is_closing() or has_unread(transport):
            return False
        if self.scheme == "https" or self.unsent_bytes:
            self.close(self.stall_seconds)
            return False
        self._linger(transport)
        return True

    @property
    def relay(self) -> Relay | None:
        """What is done with the request under way."""
        return self._exchange

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def expire(self) -> None:
        if self._exchange is not None:
            self._exchange.expire()
        elif self._is_closing or self._discards:
            self.abort()
        else:  # no head in time, or nothing for too long
            self.close(self._common.limits.flush_seconds)

    def look_after(self) -> None:
        """See whether the client has left while nothing is read: the kernel knows, and nobody else would say so."""
        if self.transport is None or self._discards:
            return
        seen = hangup_of(self.transport)
        if seen == "lost":
            self.abort()
        elif seen == "half-closed" and not self.is_upload_held:
            # Behind an upload that is held back there may be an end that is none: the client waits for its response.
            self._begin_to_leave()

    # --- requests ---

    def _next(self) -> None:
        """Take the next request out of what has arrived."""
        common, arrived = self._common, self._arrived
        max_bytes, requests = common.limits.header_bytes, common.host.runtime.requests
        try:
            request = arrived.next(requests, self.peer, self.scheme, max_bytes, is_fast=common.is_fast)
        except BrokenRequest as problem:
            self._refuse(problem)
            return
        if request is None:
            self._wait_for_the_rest()
            return
        exchange = self._exchange = common.exchange_of(self, request)
        if request.length_bytes:
            arrived.at = exchange.take_body(arrived.ahead, arrived.at)
        arrived.ahead, arrived.at = arrived.ahead[arrived.at :], 0  # what was read may hold secrets, and last for hours
        exchange.begin()
        if arrived.ahead and self._is_of(exchange) and exchange.takes_bytes:
            rest = exchange.uploaded(arrived.take())
            if not self._discards:
                arrived.ahead = rest

    def _is_of(self, exchange: Exchange) -> bool:
        return self._exchange is exchange

    def _refuse(self, problem: BrokenRequest) -> None:
        """Refuse what is no request; nothing behind it can be trusted (CWE-444)."""
        request = problem.head or self._common.unreadable(self.peer, self.scheme, self._arrived.ahead)
        request.keeps_alive, request.is_fast, request.length_bytes = False, False, 0
        exchange = self._exchange = self._common.exchange_of(self, request)
        exchange.begin(problem)

    def _wait_for_the_rest(self) -> None:
        """Half a head is there: have its clock run."""
        common, pieces = self._common, self._arrived.pieces
        if pieces == 1:
            self.deadline = min(self.deadline, self.now() + common.limits.header_timeout_seconds)
        elif pieces > MAX_PIECES and self._gathering is None:
            # A head that comes byte by byte would cost a turn of the loop, and a look, for each of them.
            self._gathering = common.loop.call_later(GATHER_SECONDS, self._read_on)
            self._hold_or_read()

    def _read_on(self) -> None:
        self._gathering = None
        self._hold_or_read()

    def _go_on(self) -> None:
        """Take what arrived while the last request was under way."""
        if self._exchange is not None or self.is_slow or self._is_closing or self._discards:
            return
        if self._arrived.ahead:
            self._next()
        if self.is_reading_paused:
            self._hold_or_read()

    @property
    def _is_closing(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    def _hold_or_read(self) -> None:
        """Read on, unless somebody has to catch up first."""
        transport = self.transport
        waits = self._arrived.count_bytes > max(MAX_AHEAD_BYTES, self._common.limits.header_bytes)
        is_paused = self.is_upload_held or waits or self._discards == 1 or self._gathering is not None
        if transport is None or self.is_reading_paused is is_paused:
            return
        self.is_reading_paused = is_paused
        (transport.pause_reading if is_paused else transport.resume_reading)()

    def _linger(self, transport: asyncio.Transport) -> None:
        """Half-close, and throw away what still comes, for a bounded time and size: else a reset eats the response.

        Not a byte of it is ever read as a request (CWE-444).
        """
        self._arrived.take()
        self._discards, self.is_upload_held = LINGER_BYTES, False
        self.deadline = self.now() + (self.stall_seconds if self.is_slow else LINGER_SECONDS)
        self._common.cork.flush_of(transport)
        wire = transport.get_extra_info("socket")
        if wire is not None:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LINGER_BUFFER_BYTES)
        try:
            if transport.can_write_eof():
                transport.write_eof()
        except OSError:  # it is gone, and nobody has noticed yet: asyncio's own loop says so here
            transport.abort()
            return
        self._hold_or_read()

    def _begin_to_leave(self) -> None:
        if not self._is_leaving:
            self._is_leaving = True
            self._common.loop.call_later(LEAVING_SECONDS, self._leave)

    def _leave(self) -> None:
        """The client had said all it would: whatever waits for somebody else ends; what is answered may still leave."""
        if self._is_closing:
            return
        if self._exchange is None and self._arrived.ahead and not self._arrived.pieces and not self.is_slow:
            self._common.loop.call_later(LEAVING_SECONDS, self._leave)  # one after the other is answered by ourselves
            return
        if self._exchange is not None:
            self._exchange.client_left()
        self.close(self._common.limits.flush_seconds)

"""A connection on the express lane: it reads requests of the common shape by itself, and hands all others over.

Everything that is decided, removed, added, counted and logged is the same code as on the reference path; what is ours
is the reading and writing of bytes. A connection that meets something uncommon between two requests becomes aiohttp's,
with the bytes that were read, and stays so.
"""

from __future__ import annotations

import asyncio
from typing import cast

from gateway.express.cork import LARGE_BYTES
from gateway.express.lines import END_OF_HEAD
from gateway.server.connection import IDLE_SECONDS, LEAVING_SECONDS, LINGER_BYTES, LINGER_SECONDS
from gateway.server.exchange import LaneExchange
from gateway.server.hangup import hangup_of
from gateway.server.room import OUTSIDE, peer_of
from gateway.server.shared import MAX_AHEAD_BYTES, Exchange, SharedByConnections

_MAX_PIECES = 8


class LaneConnection(asyncio.Protocol):
    """One client's connection while it is of the common shape.

    What has arrived and is not yet a request waits in `_ahead`, from `_at` on. It is bounded: beyond some it is the
    kernel that holds the client back. No request begins while the client does not take the answers before it.
    """

    __slots__ = (
        "_ahead", "_at", "_discards", "_exchange", "_has_eof", "_is_leaving", "_lane", "_pieces",
        "deadline", "is_client_behind", "is_reading_paused", "is_upload_held", "peer", "place", "transport",
    )  # fmt: skip

    def __init__(self, lane: SharedByConnections) -> None:
        self._lane = lane
        self.transport: asyncio.Transport | None = None
        self.deadline = 0.0
        self.is_client_behind = self.is_reading_paused = False  # behind: it takes less than was written
        self._ahead, self._at = b"", 0
        self._exchange: Exchange | None = None
        self.is_upload_held = False  # its upload has no taker for now
        self._has_eof = self._is_leaving = False
        # Of a head that is not whole; bytes that may still come and are not wanted (0: all are; 1: no more are taken).
        self._pieces = self._discards = 0
        self.peer = ""
        self.place = OUTSIDE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.peer = peer_of(transport)
        self.deadline = self._lane.loop.time() + self._lane.limits.header_timeout_seconds
        self._lane.connections.add(self)
        self.place = self._lane.host.room.enter(self.peer, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self.place.leave()
        self._lane.lost(self)
        self.transport = None
        if self._exchange is not None:
            self._exchange.client_left()

    def data_received(self, data: bytes) -> None:
        if self._discards:
            self._discards = max(1, self._discards - len(data))
            self._hold_or_read()
            return
        exchange = self._exchange
        if exchange is not None and exchange.upload_left:
            data = exchange.uploaded(data)
            if not data:
                return
        self._ahead = self._ahead[self._at :] + data if self._ahead else data
        self._at = 0
        if self._exchange is None and not self.is_client_behind:
            self._next()
        if len(self._ahead) - self._at > MAX_AHEAD_BYTES:
            self._hold_or_read()

    def eof_received(self) -> bool:
        """The client has said all it will: most often it has left, and its request must not run on.

        A client that only half-closes gets what can be answered at once, and what was answered.
        """
        self._has_eof = True
        if self._exchange is not None or self._ahead:
            self._begin_to_leave()
        else:
            self.close(self._lane.limits.flush_seconds)
        return True

    def pause_writing(self) -> None:
        self.is_client_behind = True
        if not self._is_closing:
            self.deadline = self._lane.loop.time() + self._lane.limits.stall_seconds
        if self._exchange is not None:
            self._exchange.client_is_behind(is_behind=True)

    def resume_writing(self) -> None:
        self.is_client_behind = False
        if self._exchange is not None:
            self._exchange.client_is_behind(is_behind=False)
        elif self._discards:
            self.deadline = self._lane.loop.time() + LINGER_SECONDS
        elif not self._is_closing:
            limits = self._lane.limits
            self.deadline = self._lane.loop.time() + (limits.header_timeout_seconds if self._pieces else IDLE_SECONDS)
            self._go_on()

    # --- what the lane and the exchange ask ---

    def write(self, data: bytes, *, is_urgent: bool = False) -> None:
        """Write to the client, soon; what is urgent, or large, at once."""
        cork, transport = self._lane.host.cork, self.transport
        if transport is not None:
            (cork.write_now if is_urgent or len(data) > LARGE_BYTES else cork.write)(transport, data)

    def close(self, flush_seconds: float) -> None:
        """Close, once the client has taken all that was written, or that time is over."""
        transport = self.transport
        if transport is None:
            return
        if self.is_reading_paused and not self._discards:
            # Closed with bytes unread the connection would be reset, and what is on its way lost.
            self._linger(transport)
        deadline = self._lane.loop.time() + flush_seconds
        self.deadline = min(self.deadline, deadline) if self._discards or transport.is_closing() else deadline
        if not self._discards or self._has_eof:
            self._lane.host.cork.flush_of(transport)
            transport.close()

    def hold_upload(self, *, is_held: bool) -> None:
        """Have the client wait with its upload, or go on."""
        if self.is_upload_held is not is_held:
            self.is_upload_held = is_held
            self._hold_or_read()

    def exchange_ended(self, *, keeps_alive: bool, lingers: bool = False) -> None:
        """The answer is written: the next request, or the end. `lingers`: the client is still sending."""
        self._exchange = None
        if self.transport is None:
            return
        if lingers:
            self._linger(self.transport)
            return
        if not keeps_alive or self._lane.host.is_draining:
            self.close(self._lane.limits.stall_seconds)
            return
        self.deadline = self._lane.loop.time() + IDLE_SECONDS
        self.is_upload_held = False
        if self._ahead:
            # Not from here: a thousand requests in one packet would be a thousand calls deep.
            self._lane.loop.call_soon(self._go_on)
        if self.is_reading_paused:
            self._hold_or_read()

    def close_if_idle(self) -> None:
        """Close, unless a request is under way or has begun to arrive."""
        if self._exchange is None and not self._ahead and not self._discards:
            self.close(self._lane.limits.stall_seconds)

    def cut(self) -> None:
        """End the request under way."""
        if self._exchange is not None:
            self._exchange.shut_down()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def expire(self) -> None:
        """The deadline is over."""
        if self._exchange is not None:
            self._exchange.expire()
        elif self._is_closing or self._discards:
            self.abort()
        else:  # no head in time, or nothing for too long
            self.close(self._lane.limits.flush_seconds)

    def look_after(self) -> None:
        """See whether the client has left while nothing is read: the kernel knows, and nobody else would say so."""
        if self.transport is None or self._discards:
            return
        seen = hangup_of(self.transport)
        if seen == "lost":
            self.abort()
        elif seen == "half-closed" and not self.is_upload_held:
            # Behind an upload that is held back there may be an end that is none: the client waits for its answer.
            self._begin_to_leave()

    # --- requests ---

    def _next(self) -> None:
        """Take the next request out of what has arrived."""
        ahead, at, lane = self._ahead, self._at, self._lane
        limit = at + lane.limits.header_bytes - len(END_OF_HEAD)
        read = lane.host.runtime.requests.read
        # Most often what came is one head, whose end need not be searched for: several cannot be read as one.
        end = len(ahead) - len(END_OF_HEAD)
        request = read(ahead[:-2], self.peer) if not at and end <= limit and ahead.endswith(END_OF_HEAD) else None
        if request is None:
            end = ahead.find(END_OF_HEAD, at)
            if end < 0:
                self._wait_for_the_rest(len(ahead) - at)
                return
            request = read(ahead[at : end + 2], self.peer) if end <= limit else None
        self._pieces = 0
        if request is None:
            self._hand_over()
            return
        exchange = LaneExchange(lane, self, request)
        try:
            is_ours = exchange.begin(ahead, end + len(END_OF_HEAD))
        except Exception as surprise:
            if self._exchange is not None:
                exchange.fail_by_mistake(surprise)
                return
            is_ours = False  # the other road meets the same, and knows how to tell it
        if not is_ours:
            self._hand_over()

    def _wait_for_the_rest(self, waiting: int) -> None:
        """Half a head is there: have its clock run."""
        limits = self._lane.limits
        if not self._pieces:
            self.deadline = self._lane.loop.time() + limits.header_timeout_seconds
        # A head in many small pieces would be searched anew with each: the other road counts as it reads.
        self._pieces += 1
        is_odd = self._pieces > _MAX_PIECES or waiting > min(MAX_AHEAD_BYTES, limits.header_bytes)
        if is_odd or b"\n" in self._ahead[self._at :].replace(b"\r\n", b""):
            self._hand_over()

    def _go_on(self) -> None:
        """Take what arrived while the last request was under way."""
        if self._exchange is not None or self.is_client_behind or self._is_closing:
            return
        if self._ahead:
            self._next()
        if self.is_reading_paused:
            self._hold_or_read()

    @property
    def _is_closing(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    def began(self, exchange: Exchange, end: int) -> None:
        """The exchange has taken the request; `end` is where it ends in what it was given."""
        self._exchange, self._at = exchange, end
        if end == len(self._ahead):
            self._ahead, self._at = b"", 0

    def _hold_or_read(self) -> None:
        """Read on, unless somebody has to catch up first."""
        transport = self.transport
        is_paused = self.is_upload_held or len(self._ahead) - self._at > MAX_AHEAD_BYTES or self._discards == 1
        if transport is None or self.is_reading_paused is is_paused:
            return
        self.is_reading_paused = is_paused
        (transport.pause_reading if is_paused else transport.resume_reading)()

    def _hand_over(self) -> None:
        """Give the connection to aiohttp, with what was read. It keeps it from now on."""
        transport, ahead = self.transport, self._ahead[self._at :]
        if transport is None:
            return
        self.transport, self._ahead = None, b""
        self._lane.lost(self)
        if self.is_reading_paused:
            transport.resume_reading()
        self._lane.hand_over(transport, self.place, ahead, is_behind=self.is_client_behind, has_eof=self._has_eof)

    def _linger(self, transport: asyncio.Transport) -> None:
        """Half-close, and throw away what still comes, for a bounded time and size: else a reset eats the answer."""
        self._ahead, self._at, self._discards, self.is_upload_held = b"", 0, LINGER_BYTES, False
        seconds = self._lane.limits.stall_seconds if self.is_client_behind else LINGER_SECONDS
        self.deadline = self._lane.loop.time() + seconds
        self._lane.host.cork.flush_of(transport)
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
            self._lane.loop.call_later(LEAVING_SECONDS, self._leave)

    def _leave(self) -> None:
        """The client had said all it would: whatever waits for somebody else ends; what is answered may still leave."""
        if self._exchange is None and self._ahead and not self._pieces and not self.is_client_behind:
            self._lane.loop.call_later(LEAVING_SECONDS, self._leave)  # one after the other is answered by ourselves
            return
        if self._exchange is not None:
            self._exchange.client_left()
        self.close(self._lane.limits.flush_seconds)

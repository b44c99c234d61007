"""A connection to an upstream: a request leaves, the head of a response is read, its body passes in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from gateway.http1.body import Body, BrokenBodyError, Chunks
from gateway.http1.fields import END_OF_HEAD
from gateway.http1.response import ResponseRead
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason
from gateway.proxy.wire import Connections, Relay, Upstream
from gateway.transport.cork import LARGE_BYTES, Cork

_MAX_HEAD_BYTES: Final = 1024 * 1024  # and 256 lines


class Home(Connections):
    """Where connections belong, and what they share."""

    cork: Cork
    read: Callable[[bytes], ResponseRead | None]
    make_chunks: Callable[[], Chunks]

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back."""
        raise NotImplementedError

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has ended."""
        raise NotImplementedError


class UpstreamConnection(asyncio.Protocol, Upstream):
    """One connection. Used for one exchange at a time, and again only if the last one ended cleanly."""

    __slots__ = (
        "_body", "_buffer", "_has_come", "_home", "_keeps_alive", "_method", "_turn",
        "idle_since", "is_reused", "opening", "taker", "transport",
    )  # fmt: skip

    def __init__(self, home: Home) -> None:
        self._home = home
        self.transport: asyncio.Transport | None = None
        self.opening: asyncio.Task[None] | None = None
        self.taker: Relay | None = None
        self.idle_since = 0.0
        self.is_reused = self.is_held = self.is_sending = False
        self._buffer = b""  # of a head that is not whole; while it is being opened, of the request
        self._keeps_alive = False
        self._body: Body | None = None  # once its head is there
        self._method = ""
        self._has_come = False  # some of the response, if only an interim one
        self._turn = 0  # of the cork, when the request was written

    @property
    def unsent_bytes(self) -> int:
        transport = self.transport
        return 0 if transport is None or transport.is_closing() else transport.get_write_buffer_size()

    def begin(self, taker: Relay, method: str, data: bytes) -> None:
        self.taker, self._method = taker, method
        self._buffer, self._has_come, self._body = b"", False, None
        self._turn = self._home.cork.turns
        if self.transport is not None:
            self._home.cork.write(self.transport, data)  # however large: see `_is_unsent`
        else:
            self._buffer = data
            taker.upload_may_go_on(may=False)

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            cork = self._home.cork
            if len(data) > LARGE_BYTES:
                self._turn = -1  # the beginning leaves with it: what is corked from here on is no request
                cork.write_now(self.transport, data)
            else:
                cork.write(self.transport, data)
        elif self.opening is not None:
            self._buffer += data

    def hold_response(self, *, is_held: bool) -> None:
        if self.is_held is not is_held:
            self.is_held = is_held
            if self.transport is not None:
                (self.transport.pause_reading if is_held else self.transport.resume_reading)()

    def close(self) -> None:
        self.taker = None
        if self.transport is not None:
            self._home.cork.flush_of(self.transport)
            self.transport.close()

    def abort(self) -> None:
        self.taker = None
        if self.transport is not None:
            self.transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def not_opened(self, problem: Denied) -> None:
        """There is no connection."""
        taker, self.taker, self.opening = self.taker, None, None
        if taker is not None:
            taker.response_broke(problem, may_retry=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wire = self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        if self.opening is None:
            return
        self.opening, taker = None, self.taker
        if taker is None:
            wire.abort()
            return
        if self.is_held:
            wire.pause_reading()
        early, self._buffer = self._buffer, b""
        self._turn = self._home.cork.turns
        self._home.cork.write(wire, early)
        taker.upload_may_go_on(may=True)

    def data_received(self, data: bytes) -> None:
        # Bytes that nobody asked for would be taken for the next request's response (CWE-444).
        if self.taker is None or self._is_unsent():
            self._break("the upstream spoke before it was asked")
            return
        self._has_come = True
        if self._body is not None:
            self._read_body(data)
        else:
            self._read_head(data)
        self._go_on()

    def _go_on(self) -> None:
        taker = self.taker
        if taker is not None and self._body is not None:
            taker.response_goes_on()

    def eof_received(self) -> bool:
        """The upstream will say no more: at once, also while it does not take what is still to be written."""
        if self._is_unsent():
            self._break("the connection ended")
        else:
            self._abort_transport()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._home.forget(self)
        taker, self.taker = self.taker, None
        if taker is None:
            return
        body = self._body
        if body is not None and body.left_bytes is None and body.chunks is None and exc is None:
            taker.response_ended()  # a body that the end of the connection ends
            return
        how = "" if exc is None else f" ({type(exc).__name__})"
        said = f"the connection ended before the response did{how}: look at its log of that time"
        taker.response_broke(Denied(Reason.UPSTREAM_BROKEN, said), may_retry=self.is_reused and not self._has_come)

    def pause_writing(self) -> None:
        if self.taker is not None:
            self.taker.upload_may_go_on(may=False)

    def resume_writing(self) -> None:
        if self.taker is not None:
            self.taker.upload_may_go_on(may=True)

    def _read_head(self, data: bytes) -> None:
        buffer, start = data, 0
        if self._buffer:
            # What has come before holds no end, but for a beginning of one: it is not searched again with each piece.
            start = max(0, len(self._buffer) - len(END_OF_HEAD) + 1)
            buffer = self._buffer + data
        taker = self.taker
        while True:
            end = buffer.find(END_OF_HEAD, start)
            if end > _MAX_HEAD_BYTES or (end < 0 and len(buffer) > _MAX_HEAD_BYTES):
                self._break("the head of the response is too long")
                return
            if end < 0:
                self._buffer = buffer
                return
            response = self._home.read(buffer[: end + 2])
            if response is None:
                self._break("the response is no valid HTTP")
                return
            buffer, start = buffer[end + 4 :], 0
            if response.status >= 200:
                break
            if response.status == 101:
                self._switch(response, buffer)
                return
        self._buffer = b""
        self._keeps_alive = response.keeps_alive
        has_body = not response.is_bodiless and self._method != "HEAD"
        length_bytes = response.length_bytes if has_body else 0
        if taker is None:
            return
        if length_bytes != len(buffer):
            chunks = self._home.make_chunks() if has_body and response.is_chunked else None
            self._body = Body(length_bytes, chunks)
            taker.response_began(response)
            self._read_body(buffer)
            return
        self._give_up_or_release(b"")  # the most common response: it came in one piece
        taker.response_came(response, buffer)

    def _switch(self, response: ResponseRead, rest: bytes) -> None:
        """From here on what comes is no HTTP: it passes as a body that the end of the connection ends."""
        taker = None if self.taker is None else self.taker.switched(response)
        if taker is None:
            self._break("the upstream switched protocols, unasked or not as it was asked")
            return
        self.taker = taker
        self._keeps_alive, self._body = False, Body(None)
        self._buffer = b""
        if rest:
            taker.response_data(rest)

    def _read_body(self, data: bytes) -> None:
        taker, body = self.taker, self._body
        if taker is None or body is None:
            return
        try:
            data = body.take(data)
        except BrokenBodyError as problem:
            self._break(str(problem))
            return
        if data:
            taker.response_data(data)
        if body.is_complete and self.taker is not None:
            self._end(body.rest)

    def _end(self, rest: bytes) -> None:
        """The response is whole: the connection is free, unless more came than was asked for, or it is to be closed."""
        taker = self.taker
        self._give_up_or_release(rest)
        if taker is not None:
            taker.response_ended()

    def _give_up_or_release(self, rest: bytes) -> None:
        self.taker = None
        if self._keeps_alive and not rest and not self.is_sending and self._is_at_rest():
            if self.is_held:
                self.hold_response(is_held=False)
            self._home.release(self)
        else:
            self._abort_transport()

    def _is_at_rest(self) -> bool:
        """True if all that was written has left: what still waits would hold up the next request, or go with it."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        cork = self._home.cork
        if transport in cork.waiting:
            cork.flush_of(transport)
        return not transport.get_write_buffer_size()

    def _is_unsent(self) -> bool:
        """True while not a byte of the request has left."""
        return self.taker is not None and self._turn == self._home.cork.turns and not self._has_come

    def _break(self, why: str) -> None:
        is_unsent, transport = self._is_unsent(), self.transport
        unsent = self._home.cork.take_back(transport) if is_unsent and transport is not None else b""
        taker, self.taker = self.taker, None
        self._abort_transport()
        if taker is not None:
            taker.response_broke(Denied(Reason.UPSTREAM_BROKEN, why), may_retry=False, unsent=unsent)

    def _abort_transport(self) -> None:
        if self.transport is not None:
            self.transport.abort()

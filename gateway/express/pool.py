"""Connections to one upstream: protocols of our own, taken last-in first-out, closed before the upstream would."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast
from urllib.parse import urlsplit

from gateway.express.body import BrokenBodyError, Chunks
from gateway.express.grammar import END_OF_HEAD, AnswerRead, Lines, read_answer
from gateway.policy.reasons import Denied, Reason
from gateway.policy.upstreams import Upstream
from gateway.proxy.headers import is_answer_line_passed

# Node closes idle connections after 5 s; one that it is closing just now must not be taken for the next request.
_KEEPALIVE_SECONDS = 4.0
_MAX_HEAD_BYTES = 64 * 1024
_BODILESS = frozenset({204, 304})


class Taker(Protocol):
    """Whoever waits for an answer."""

    def answer_began(self, answer: AnswerRead) -> None:
        """The head is there."""
        ...

    def answer_data(self, data: bytes) -> None:
        """A piece of the body arrived."""
        ...

    def answer_goes_on(self) -> None:
        """What has arrived so far was given, and more is to come."""
        ...

    def answer_ended(self) -> None:
        """The body is whole. The connection is no longer the taker's."""
        ...

    def answer_broke(self, problem: Denied, *, may_retry: bool) -> None:
        """There is no answer, or it breaks off. `may_retry`: not a byte of it came, on a connection that was kept."""
        ...

    def upload_may_go_on(self, *, may: bool) -> None:
        """The upstream takes bytes again, or no more for now."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """One connection. Used for one exchange at a time, and again only if the last one ended cleanly."""

    __slots__ = (
        "_answer", "_buffer", "_chunks", "_left", "_method", "_pool", "idle_since", "is_reused", "is_sending",
        "taker", "transport",
    )  # fmt: skip

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.transport: asyncio.Transport | None = None
        self.taker: Taker | None = None
        self.idle_since = 0.0
        self.is_reused = False
        self.is_sending = False  # the request's body is not all sent: whatever ends now, ends the connection, too
        self._buffer = b""
        self._answer: AnswerRead | None = None
        self._chunks: Chunks | None = None
        self._left: int | None = None  # bytes of the body still to come; None: until the connection ends
        self._method = ""

    def begin(self, taker: Taker, method: str, data: bytes) -> None:
        """Send a request, or its beginning."""
        self.taker, self._method = taker, method
        self._answer = self._chunks = None
        self._buffer = b""
        self.write(data)

    def write(self, data: bytes) -> None:
        """Send more of the request."""
        if self.transport is not None:
            self.transport.write(data)

    def abort(self) -> None:
        """Give the exchange up: the upstream sees that nobody waits any more."""
        self.taker = None
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        if self.taker is None:
            # Bytes that nobody asked for would be taken for the next request's answer (CWE-444).
            self._close()
            return
        if self._answer is None:
            self._read_head(data)
        else:
            self._read_body(data)
        if self.taker is not None and self._answer is not None:
            self.taker.answer_goes_on()

    def eof_received(self) -> bool | None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._pool.forget(self)
        taker, self.taker = self.taker, None
        if taker is None:
            return
        if self._answer is not None and self._left is None and self._chunks is None and exc is None:
            taker.answer_ended()  # a body that the end of the connection ends
            return
        is_untouched = self._answer is None and not self._buffer
        said = f"the connection ended: {type(exc).__name__}" if exc is not None else "the connection ended"
        taker.answer_broke(Denied(Reason.UPSTREAM_BROKEN, said), may_retry=is_untouched and self.is_reused)

    def pause_writing(self) -> None:
        if self.taker is not None:
            self.taker.upload_may_go_on(may=False)

    def resume_writing(self) -> None:
        if self.taker is not None:
            self.taker.upload_may_go_on(may=True)

    def _read_head(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        while True:
            end = buffer.find(END_OF_HEAD)
            if end < 0:
                if len(buffer) > _MAX_HEAD_BYTES:
                    self._break("the head of the answer is too long")
                self._buffer = buffer
                return
            answer = read_answer(buffer[:end], self._pool.lines)
            if answer is None:
                self._break("the answer is no valid HTTP")
                return
            buffer = buffer[end + 4 :]
            if answer.status >= 200:
                break
            if answer.status == 101:
                self._break("the upstream switched protocols, unasked")
                return
        self._begin_answer(answer)
        self._buffer = b""
        if buffer and self.taker is not None:
            self._read_body(buffer)
        elif buffer:
            self._close()

    def _begin_answer(self, answer: AnswerRead) -> None:
        self._answer = answer
        taker = self.taker
        if taker is None:
            return
        if self._method == "HEAD" or answer.status in _BODILESS:
            self._left = 0
        elif answer.is_chunked:
            self._chunks = Chunks()
            self._left = None
        else:
            self._left = answer.length_bytes
        taker.answer_began(answer)
        if self._left == 0 and self.taker is not None:
            self._end(b"")

    def _read_body(self, data: bytes) -> None:
        taker = self.taker
        if taker is None:
            return
        if self._chunks is not None:
            self._read_chunks(taker, self._chunks, data)
            return
        if self._left is None:
            taker.answer_data(data)
            return
        rest = b""
        if len(data) > self._left:
            data, rest = data[: self._left], data[self._left :]
        self._left -= len(data)
        if data:
            taker.answer_data(data)
        if not self._left and self.taker is not None:
            self._end(rest)

    def _read_chunks(self, taker: Taker, chunks: Chunks, data: bytes) -> None:
        try:
            pieces = chunks.feed(data)
        except BrokenBodyError as problem:
            self._break(str(problem))
            return
        if pieces:
            taker.answer_data(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if chunks.is_complete and self.taker is not None:
            self._end(chunks.rest)

    def _end(self, rest: bytes) -> None:
        """The answer is whole: the connection is free, unless more came than was asked for, or it is to be closed."""
        taker, answer = self.taker, self._answer
        self.taker = None
        may_stay = answer is not None and answer.keeps_alive and not rest and not self.is_sending
        if may_stay and self.transport is not None and not self.transport.is_closing():
            self._pool.release(self)
        else:
            self._close()
        if taker is not None:
            taker.answer_ended()

    def _break(self, why: str) -> None:
        taker, self.taker = self.taker, None
        self._close()
        if taker is not None:
            taker.answer_broke(Denied(Reason.UPSTREAM_BROKEN, why), may_retry=False)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Pool:
    """The connections to one upstream."""

    def __init__(self, upstream: Upstream, clock: Callable[[], float]) -> None:
        parts = urlsplit(upstream.url)
        self.upstream = upstream
        self.lines = Lines(is_answer_line_passed, is_of_answers=True)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._clock = clock
        self._idle: deque[UpstreamConnection] = deque()
        self._is_closed = False

    def take(self) -> UpstreamConnection | None:
        """Return the connection that was used last, if one is free and the upstream will not have closed it."""
        oldest = self._clock() - _KEEPALIVE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            transport = connection.transport
            if transport is None or transport.is_closing():
                continue
            if connection.idle_since < oldest:
                connection.abort()
                continue
            connection.is_reused = True
            return connection
        return None

    async def open(self) -> UpstreamConnection:
        """Open a connection. Raises `Denied` (UPSTREAM_UNREACHABLE, UPSTREAM_TIMEOUT)."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.upstream.connect_timeout_seconds):
                _, connection = await loop.create_connection(lambda: UpstreamConnection(self), self._host, self._port)
        except TimeoutError:
            raise Denied(Reason.UPSTREAM_TIMEOUT, "no connection in time") from None
        except OSError as problem:
            raise Denied(Reason.UPSTREAM_UNREACHABLE, f"{type(problem).__name__}: {problem}"[:300]) from None
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back."""
        if self._is_closed:
            connection.abort()
            return
        connection.idle_since = self._clock()
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has ended; if it was idle, it is so no longer."""
        if connection.taker is None and connection.idle_since:
            try:
                self._idle.remove(connection)
            except ValueError:
                return

    def sweep(self) -> None:
        """Close what has been idle for too long."""
        oldest = self._clock() - _KEEPALIVE_SECONDS
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().abort()

    def close(self) -> None:
        """Close every idle connection; those in use close when they are given back."""
        self._is_closed = True
        while self._idle:
            self._idle.popleft().abort()

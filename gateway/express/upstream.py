"""A connection to an upstream: a request leaves, the head of an answer is read, its body passes in pieces."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from gateway.express.answers import AnswerRead, Answers
from gateway.express.body import BrokenBodyError, Chunks
from gateway.express.cork import LARGE_BYTES, Cork
from gateway.express.lines import END_OF_HEAD
from gateway.policy.reasons import Denied, Reason

_MAX_HEAD_BYTES = 1024 * 1024  # and 256 lines


class Home(Protocol):
    """Where a connection belongs."""

    cork: Cork
    answers: Answers

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back."""
        ...

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has ended."""
        ...


class Taker(Protocol):
    """Whoever waits for an answer."""

    def answer_came(self, answer: AnswerRead, body: bytes) -> None:
        """The whole of it is there. The connection is no longer the taker's."""
        ...

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

    def answer_broke(self, problem: Denied, *, may_retry: bool, unsent: bytes = b"") -> None:
        """There is no answer, or it breaks off. `may_retry`: not a byte of it came, on a connection that was kept.

        `unsent` is all that was sent, where nothing of it has left.
        """
        ...

    def upload_may_go_on(self, *, may: bool) -> None:
        """The upstream takes bytes again, or no more for now."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """One connection. Used for one exchange at a time, and again only if the last one ended cleanly."""

    __slots__ = (
        "_buffer", "_chunks", "_has_come", "_is_answering", "_keeps_alive", "_left", "_method", "_pool",
        "_turn", "idle_since", "is_held", "is_reused", "is_sending", "taker", "transport",
    )  # fmt: skip

    def __init__(self, pool: Home) -> None:
        self._pool = pool
        self.transport: asyncio.Transport | None = None
        self.taker: Taker | None = None
        self.idle_since = 0.0
        self.is_reused = False
        self.is_sending = False  # the request's body is not all sent: whatever ends now, ends the connection, too
        self._buffer = b""
        self._is_answering = self._keeps_alive = False
        self._chunks: Chunks | None = None
        self._left: int | None = None  # bytes of the body still to come; None: until the connection ends
        self._method = ""
        self.is_held = False  # nothing is read: the client takes less than arrives
        self._has_come = False  # some of the answer, if only an interim one
        self._turn = 0  # of the cork, when the request was written

    def begin(self, taker: Taker, method: str, data: bytes) -> None:
        """Send a request, or its beginning."""
        self.taker, self._method = taker, method
        self._chunks = None
        self._buffer, self._has_come, self._is_answering = b"", False, False
        self._turn = self._pool.cork.turns
        if self.transport is not None:
            self._pool.cork.write(self.transport, data)  # however large: see `_is_unsent`

    def write(self, data: bytes) -> None:
        """Send more of the request."""
        if self.transport is not None:
            cork = self._pool.cork
            (cork.write_now if len(data) > LARGE_BYTES else cork.write)(self.transport, data)

    def hold_answer(self, *, is_held: bool) -> None:
        """Have the upstream wait with its answer, or go on."""
        if self.transport is not None and self.is_held is not is_held:
            self.is_held = is_held
            (self.transport.pause_reading if is_held else self.transport.resume_reading)()

    def abort(self) -> None:
        """Give the exchange up: the upstream sees that nobody waits any more."""
        self.taker = None
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        # Bytes that nobody asked for would be taken for the next request's answer (CWE-444).
        if self.taker is None or self._is_unsent():
            self._break("the upstream spoke before it was asked")
            return
        self._has_come = True
        if self._is_answering:
            self._read_body(data)
        else:
            self._read_head(data)
        if self.taker is not None and self._is_answering:
            self.taker.answer_goes_on()

    def eof_received(self) -> bool:
        """The upstream will say no more: at once, also while it does not take what is still to be written."""
        if self._is_unsent():
            self._break("the connection ended")
        else:
            self._close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._pool.forget(self)
        taker, self.taker = self.taker, None
        if taker is None:
            return
        if self._is_answering and self._left is None and self._chunks is None and exc is None:
            taker.answer_ended()  # a body that the end of the connection ends
            return
        how = "" if exc is None else f" ({type(exc).__name__})"
        said = f"the connection ended before the answer did{how}: look at its log of that time"
        taker.answer_broke(Denied(Reason.UPSTREAM_BROKEN, said), may_retry=self.is_reused and not self._has_come)

    def pause_writing(self) -> None:
        if self.taker is not None:
            self.taker.upload_may_go_on(may=False)

    def resume_writing(self) -> None:
        if self.taker is not None:
            self.taker.upload_may_go_on(may=True)

    def _read_head(self, data: bytes) -> None:
        # What has come before holds no end, but for a beginning of one: it is not searched again with each piece.
        start = max(0, len(self._buffer) - len(END_OF_HEAD) + 1)
        buffer = self._buffer + data if self._buffer else data
        while True:
            end = buffer.find(END_OF_HEAD, start)
            if end > _MAX_HEAD_BYTES or (end < 0 and len(buffer) > _MAX_HEAD_BYTES):
                self._break("the head of the answer is too long")
                return
            if end < 0:
                self._buffer = buffer
                return
            answer = self._pool.answers.read(buffer[: end + 2])
            if answer is None:
                self._break("the answer is no valid HTTP")
                return
            buffer, start = buffer[end + 4 :], 0
            if answer.status >= 200:
                break
            if answer.status == 101:
                self._break("the upstream switched protocols, unasked")
                return
        self._buffer = b""
        self._keeps_alive = answer.keeps_alive
        taker, has_body = self.taker, answer.has_body(self._method)
        if taker is not None and (answer.length_bytes if has_body else 0) == len(buffer):
            self._give_up_or_release(b"")  # the most common answer: it came in one piece
            taker.answer_came(answer, buffer)
            return
        self._begin_answer(answer, has_body=has_body)
        if buffer and self.taker is not None:
            self._read_body(buffer)
        elif buffer:
            self._close()

    def _begin_answer(self, answer: AnswerRead, *, has_body: bool) -> None:
        self._is_answering = True
        taker = self.taker
        if taker is None:
            return
        if not has_body:
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
        taker = self.taker
        self._give_up_or_release(rest)
        if taker is not None:
            taker.answer_ended()

    def _give_up_or_release(self, rest: bytes) -> None:
        self.taker = None
        if self._keeps_alive and not rest and not self.is_sending and self._is_at_rest():
            if self.is_held:
                self.hold_answer(is_held=False)
            self._pool.release(self)
        else:
            self._close()

    def _is_at_rest(self) -> bool:
        """True if all that was written has left: what still waits would hold up the next request."""
        transport = self.transport
        return transport is not None and not transport.is_closing() and not transport.get_write_buffer_size()

    def _is_unsent(self) -> bool:
        """True while not a byte of the request has left."""
        return self.taker is not None and self._turn == self._pool.cork.turns and not self._has_come

    def _break(self, why: str) -> None:
        is_unsent, transport = self._is_unsent(), self.transport
        unsent = self._pool.cork.take_back(transport) if is_unsent and transport is not None else b""
        taker, self.taker = self.taker, None
        self._close()
        if taker is not None:
            taker.answer_broke(Denied(Reason.UPSTREAM_BROKEN, why), may_retry=False, unsent=unsent)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

"""A client's connection: aiohttp's, with the limits that a gateway on the open internet needs.

aiohttp waits for ever for a head, bounds each header but not their sum, leaves a handler that reads a broken body
waiting, and closes a refused upload so that the client may never see the refusal. All that is undone here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.policy.reasons import Denied, Reason
from gateway.server.broken import MAX_HEADERS, as_denied
from gateway.server.limits import ConnectionLimits
from gateway.server.room import OUTSIDE, Room, peer_of

# A keep-alive connection without a request; longer than the clients' own limits, so that it is they who close.
IDLE_SECONDS = 75.0
# After a refusal: how long and how much of an unwanted upload is read and thrown away, so that the answer arrives.
LINGER_SECONDS = 5.0
LINGER_BYTES = 512 * 1024
_LINGER_BUFFER_BYTES = 64 * 1024  # the kernel takes no more either: its buffer would grow to megabytes
# Between a client's FIN and the end of its request: enough for a refusal, too little for an agent to run on.
LEAVING_SECONDS = 0.02
# A head in more pieces than a long one has packets: its pieces gather in the kernel, and are read together.
MAX_PIECES = 32
GATHER_SECONDS = 0.02

RefuseBroken = Callable[["Connection", web.BaseRequest, Denied], Awaitable[Any]]


class ConnectionServer(web.Server):
    """Makes a `Connection` for every client that is accepted."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[Any]],
        refuse_broken: RefuseBroken,
        limits: ConnectionLimits,
        room: Room,
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self.refuse_broken = refuse_broken
        self.limits = limits
        self.room = room

    def cut(self) -> None:
        """Cancel every request under way."""
        for connection in self.connections:
            if isinstance(connection, Connection):
                connection.cut()

    def __call__(self) -> Connection:
        return Connection(self, loop=asyncio.get_running_loop())

    def close_idle(self) -> None:
        """Close the connections without a request; the others close after their answer."""
        for connection in self.connections:
            if isinstance(connection, Connection) and connection.is_idle:
                connection.force_close()


class Answered:
    """What aiohttp needs of an answer that is written: nothing to prepare, and whether to keep the connection."""

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """There is nothing left to prepare."""

    async def write_eof(self) -> None:
        """There is nothing left to write."""


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = (
        "_body", "_discarded_bytes", "_guard", "_head_bytes", "_head_pieces", "_head_timer", "_is_discarding",
        "_linger_over", "_reading_on", "place",
    )  # fmt: skip

    def __init__(self, server: ConnectionServer, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=IDLE_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # None switches aiohttp's own log off
            max_line_size=server.limits.header_bytes,
            max_field_size=server.limits.header_bytes,
            max_headers=MAX_HEADERS,
            lingering_time=0,  # ours is `linger`
            auto_decompress=False,  # a bomb passes as it came: CVE-2025-69223
        )
        self._guard = server
        self.place = OUTSIDE  # or the one that it had on the lane, or at the door
        self._body: StreamReader = EMPTY_PAYLOAD  # of the last request whose head was read
        self._head_bytes = self._head_pieces = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._reading_on: asyncio.TimerHandle | None = None
        self._is_discarding = False
        self._discarded_bytes = 0
        self._linger_over: asyncio.Event | None = None

    @property
    def is_idle(self) -> bool:
        """True while no request is under way or waiting, and none has begun to arrive."""
        return self._current_request is None and not self._messages and not self._head_bytes

    async def start(self) -> None:
        """Serve the client's requests; at the end, do not wait for ever until it has taken the last answer."""
        await super().start()
        self._abort_later(self.transport, self._guard.limits.stall_seconds)

    async def give_way(self) -> None:
        """Let the others have their turn before the next request, if that is here already.

        From Python 3.12 on aiohttp begins it at once: a client that sends thousands in one piece would be served alone.
        """
        if self._messages:
            await asyncio.sleep(0)

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written. Raises ConnectionError if it has gone."""
        if not self.writing_paused:
            await self._drain_helper()
            return
        try:
            async with asyncio.timeout(self._guard.limits.stall_seconds):
                await self._drain_helper()
        except TimeoutError:
            if self.transport is not None:
                self.transport.abort()
            raise ConnectionResetError("the client takes nothing") from None

    def force_close(self) -> None:
        """Close; what was written may still leave, but not for ever."""
        transport = self.transport
        super().force_close()
        self._abort_later(transport, self._guard.limits.flush_seconds)

    def cut(self) -> None:
        """Cancel the request under way; it ends its answer so that the client sees it broken."""
        if self._task_handler is not None:
            self._task_handler.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock for the first head."""
        super().connection_made(transport)
        if self.place is OUTSIDE:
            self.place = self._guard.room.enter(peer_of(transport), cast(asyncio.Transport, transport).abort)
        self._start_head_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of everything that waits for this client."""
        self.place.leave()
        self._stop_head_timer()
        if self._reading_on is not None:
            self._reading_on.cancel()
        if self._linger_over is not None:
            self._linger_over.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give bytes to the parser, unless they are of a head that is too long or of a body nobody wants."""
        if self._is_discarding:
            self._discard(data)
            return
        is_head = bool(data) and self._payload_parser is None and not self._upgraded and self._body.is_eof()
        if is_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._start_head_timer()
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:
            self._note_heads()
        elif is_head and self._head_bytes > self._guard.limits.header_bytes:
            self._refuse(Reason.HEADERS_TOO_LARGE, "the head")
        elif is_head:
            self._head_pieces += 1
            if self._head_pieces > MAX_PIECES and self._reading_on is None:
                self._let_pieces_gather()

    async def linger(self) -> None:
        """Half-close, then read and throw away what the client still sends, for a bounded time and size.

        Without it a client that is still uploading gets a reset instead of its 401. Not a byte of it is ever parsed
        as a request (CWE-444).
        """
        transport = self.transport
        if transport is None:
            return
        self._is_discarding = True
        self._linger_over = asyncio.Event()
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LINGER_BUFFER_BYTES)
        if transport.can_write_eof():
            transport.write_eof()
        self._resume_transport_reading()
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await self._linger_over.wait()
        except TimeoutError:
            pass
        self.force_close()

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's gives None, asyncio takes both
        """The client has said all it will: most often it has left, and its request must not run on.

        A client that only half-closes gets what can be answered at once; a wait for the upstream ends here.
        """
        if self._linger_over is not None:
            self._linger_over.set()
        super().eof_received()
        if self.ssl_context is not None:
            return False
        self._loop.call_later(LEAVING_SECONDS, self.force_close)
        return True

    def _note_heads(self) -> None:
        """One head or more was read: the clock stops, and the next bytes are of a body or of another head."""
        self._stop_head_timer()
        self._head_bytes = self._head_pieces = 0
        for message, payload in self._messages:
            if isinstance(message, _ErrInfo):
                # The parser is lost in the middle of a body: whoever reads that body must hear of it.
                if not self._body.is_eof() and self._body.exception() is None:
                    self._body.set_exception(web.RequestPayloadError(str(message.exc)))
            else:
                self._body = payload

    def _let_pieces_gather(self) -> None:
        """Read nothing for a moment: a head that comes byte by byte would cost a turn of the loop for each of them."""
        if self.transport is not None and not (self._reading_paused or self._buffer_paused):
            self.transport.pause_reading()
            self._reading_on = self._loop.call_later(GATHER_SECONDS, self._read_on)

    def _read_on(self) -> None:
        self._reading_on = None
        if self.transport is not None and not (self._reading_paused or self._buffer_paused):
            self.transport.resume_reading()

    def _refuse(self, reason: Reason, what: str) -> None:
        """Queue a refusal behind the requests that were read, and take nothing more."""
        limit = self._guard.limits.header_bytes
        problem = Denied(reason, f"{what} is over {limit} bytes")
        self._is_discarding = True
        self._stop_head_timer()
        self._messages.append((_ErrInfo(reason.status, problem, problem.detail), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _make_error_handler(self, err_info: _ErrInfo) -> Callable[[web.BaseRequest], Awaitable[Any]]:
        """Answer what cannot be parsed from the one table of reasons, instead of aiohttp's own text."""
        problem = as_denied(err_info.exc, self._guard.limits.header_bytes)

        async def refuse(request: web.BaseRequest) -> Any:
            return await self._guard.refuse_broken(self, request, problem)

        return refuse

    def _discard(self, data: bytes) -> None:
        self._discarded_bytes += len(data)
        if self._discarded_bytes > LINGER_BYTES:
            self.force_close()

    def _start_head_timer(self) -> None:
        seconds = self._guard.limits.header_timeout_seconds
        self._head_timer = self._loop.call_later(seconds, self._end_slow_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_slow_head(self) -> None:
        self._head_timer = None
        if self._request_in_progress:
            # Old clients send an empty line behind a body (RFC 9112 section 2.2): no reason to cut its answer.
            self._start_head_timer()
            return
        # Slowloris: a head of one byte a second. There is no request yet to answer.
        self.force_close()

    def _abort_later(self, transport: asyncio.Transport | None, seconds: float) -> None:
        if transport is None:
            return
        try:
            is_behind = transport.get_write_buffer_size() > 0
        except AttributeError:  # asyncio's TLS transport, once its connection is lost
            return
        if is_behind:
            self._loop.call_later(seconds, transport.abort)

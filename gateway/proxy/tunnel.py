"""One WebSocket, passed on as the bytes that come. Frames, extensions, close codes, pings and cuts stay what they are.

The upstream is dialled first, so its refusal reaches the client as it is. Source: RFC 6455 section 4.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from gateway.policy.onward import Line
from gateway.policy.reasons import Denied, Reason
from gateway.proxy.forward import decoded_lines
from gateway.proxy.frames import FrameBorders, close_frame
from gateway.proxy.origin import Origin
from gateway.proxy.silence import Silence

GOING_AWAY = 1001  # RFC 6455 section 7.4.1
_FAREWELL_SECONDS = 2.0  # for the other side to answer our close frame
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
UPGRADE: list[Line] = [("Connection", "Upgrade"), ("Upgrade", "websocket")]


async def dial(origin: Origin, target: str, lines: list[Line]) -> aiohttp.ClientResponse:
    """Ask the upstream for a WebSocket. Returns its answer: a 101 that was checked, or its refusal.

    Raises `Denied` (UPSTREAM_...), also for a 101 that does not answer this handshake (RFC 6455 section 4.1).
    """
    response = await origin.open("GET", target, [*lines, *UPGRADE], None)
    if response.status != 101:
        return response
    keys = [value for name, value in lines if name.lower() == "sec-websocket-key"]
    headers = response.headers
    is_ours = (
        len(keys) == 1
        and headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in [token.strip().lower() for token in headers.get("Connection", "").split(",")]
        and headers.getall("Sec-WebSocket-Accept", []) == [_accept(keys[0])]
    )
    if not is_ours:
        response.close()
        raise Denied(Reason.UPSTREAM_BROKEN, "the upstream's 101 does not answer this WebSocket handshake")
    return response


def switching_lines(response: aiohttp.ClientResponse) -> list[Line]:
    """Return what the upstream chose in its 101: key, sub-protocol, extensions. `UPGRADE` is the caller's to add."""
    return [line for line in decoded_lines(response) if line[0].lower().startswith("sec-websocket-")]


class Tunnel:
    """A WebSocket between a client and an upstream after both handshakes, until one side ends."""

    def __init__(self, client: RequestHandler, response: aiohttp.ClientResponse, idle_timeout_seconds: float) -> None:
        connection = response.connection
        protocol = connection.protocol if connection is not None else None
        if not isinstance(protocol, ResponseHandler) or protocol.transport is None or client.transport is None:
            raise ConnectionResetError("one side has gone")
        self._response = response
        self._client, self._client_transport = client, client.transport
        self._upstream, self._upstream_transport = protocol, protocol.transport
        self.up = _Way(client, protocol, masks=True)
        self.down = _Way(protocol, client, masks=False)
        self.detail: str | None = None  # for the log: why it ended, where that was us
        self._loop = asyncio.get_running_loop()
        self._silence = Silence(idle_timeout_seconds, self._loop.time())
        self._next_look = self._loop.call_later(self._silence.pause_seconds, self._look)

    async def run(self) -> None:
        """Pass bytes until one side ends, or both are silent; then close, so that what was sent still arrives."""
        ways = [self.up, self.down]
        waiting = [asyncio.ensure_future(way.ended.wait()) for way in ways]
        try:
            self._upstream.set_parser(self.down, EMPTY_PAYLOAD)
            self._client.set_parser(self.up)  # type: ignore[arg-type]  # it calls feed_data and feed_eof, no more
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._next_look.cancel()
            for task in waiting:
                task.cancel()
            self._upstream_transport.close()
            self._response.close()
            self._client_transport.close()

    async def go_away(self) -> None:
        """Tell both sides that the gateway stops (1001), give them a moment to answer, and end."""
        for way in (self.up, self.down):
            way.go_away()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await asyncio.gather(self.up.farewell.wait(), self.down.farewell.wait())
        self.down.ended.set()

    def _look(self) -> None:
        """See whether a byte has come or left since the last look."""
        transports = self._client_transport, self._upstream_transport
        unsent = [0 if transport.is_closing() else transport.get_write_buffer_size() for transport in transports]
        if not self._silence.is_over((self.up.count_bytes, self.down.count_bytes, *unsent), self._loop.time()):
            self._next_look = self._loop.call_later(self._silence.pause_seconds, self._look)
            return
        self.detail = f"silent for {self._silence.seconds:g} s"
        for way, transport, left in zip((self.down, self.up), transports, unsent, strict=True):
            if left:
                transport.abort()  # whoever has taken nothing for so long does not take the rest either
            else:
                way.go_away()
        self.down.ended.set()


class _Way:
    """One direction of a tunnel: bytes from one connection to the other, with back-pressure.

    Stands where aiohttp has its reader of frames: `feed_data` and `feed_eof` are what its protocols call.
    """

    def __init__(self, source: BaseProtocol, sink: BaseProtocol, *, masks: bool) -> None:
        assert source.transport is not None and sink.transport is not None  # noqa: S101  # `Tunnel` has looked
        self._source, self._sink = source.transport, sink.transport
        self._sink_protocol = sink
        self._drain = StreamWriter(sink, asyncio.get_running_loop()).drain
        self._draining: asyncio.Task[None] | None = None
        self._borders = FrameBorders()
        self._masks = masks
        self._must_go = False
        self._has_said_goodbye = False
        self.count_bytes = 0
        self.ended = asyncio.Event()
        self.farewell = asyncio.Event()  # the source has sent a close frame: nothing more will come

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Pass bytes on. Returns what aiohttp's protocols expect: not at the end, nothing left."""
        taken = 0
        if not self._has_said_goodbye:
            taken = self._borders.feed(data, stops_at_border=self._must_go)
            self.count_bytes += taken
            if not self._sink.is_closing():
                self._sink.write(data[:taken])
                self._hold_back()
            if self._must_go:
                self.go_away()
        if self._has_said_goodbye:
            # Nothing goes out behind a close frame (RFC 6455 section 5.5.1); the source's own is its farewell.
            self._borders.feed(data[taken:])
            if self._borders.has_close:
                self.farewell.set()
        return False, b""

    def feed_eof(self) -> None:
        """The source has ended, cleanly or not: no close frame is made up for it."""
        self.farewell.set()
        self.ended.set()

    def go_away(self) -> None:
        """Send a close frame with 1001, now or as soon as the frame under way is complete."""
        self._must_go = True
        if not self._borders.is_at_border or self._has_said_goodbye:
            return
        self._has_said_goodbye = True
        if self._borders.has_close:
            self.farewell.set()  # the two were already taking leave
        elif not self._sink.is_closing():
            self._sink.write(close_frame(GOING_AWAY, masked=self._masks))

    def _hold_back(self) -> None:
        if self._sink_protocol.writing_paused and self._draining is None:
            with contextlib.suppress(RuntimeError):  # it is closing
                self._source.pause_reading()
            self._draining = asyncio.create_task(self._read_on())

    async def _read_on(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._drain()
        self._draining = None
        with contextlib.suppress(RuntimeError):
            self._source.resume_reading()


def _accept(key: str) -> str:
    digest = hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")

"""Writing one answer to a client, chunk by chunk, so that a broken one also looks broken."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Protocol

from gateway.policy.onward import Line

_PHRASES = {int(status): status.phrase for status in HTTPStatus}
_BODILESS = frozenset({204, 304})


class Client(Protocol):
    """The client's connection, as far as an answer needs it."""

    transport: asyncio.Transport | None

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        ...


class AnswerWriter:
    """Frames an answer anew for one client: the bytes of the body are the upstream's, the framing is ours."""

    def __init__(self, client: Client, method: str, *, is_http_1_0: bool, keeps_alive: bool) -> None:
        self._client = client
        self._method = method
        self._is_http_1_0 = is_http_1_0
        self._is_chunked = False
        self._ends_by_close = False
        self._is_whole = False
        self.keeps_alive = keeps_alive
        self.status = 0  # nothing was written yet
        self.count_bytes = 0  # of the body

    def write_head(self, status: int, lines: list[Line], reason: str | None = None) -> None:
        """Write status line and headers. A `Content-Length` among the lines frames the body, else chunks do."""
        self.status = status
        has_body = self._method != "HEAD" and status not in _BODILESS and status >= 200
        has_length = any(name.lower() == "content-length" for name, _ in lines)
        framing: list[Line] = []
        if has_body and not has_length:
            # An HTTP/1.0 client knows no chunks: for it the end of the connection is the end of the body.
            self._is_chunked = not self._is_http_1_0
            self._ends_by_close = not self._is_chunked
            self.keeps_alive = self.keeps_alive and self._is_chunked
            framing = [("Transfer-Encoding", "chunked")] if self._is_chunked else []
        if not self.keeps_alive and status != HTTPStatus.SWITCHING_PROTOCOLS:
            framing.append(("Connection", "close"))
        elif self._is_http_1_0:
            framing.append(("Connection", "keep-alive"))
        self._write(_head_bytes(status, reason, [*lines, *framing]))

    async def write(self, chunk: bytes) -> None:
        """Write a piece of the body, and wait while the client is behind."""
        if not chunk:
            return
        self.count_bytes += len(chunk)
        if self._is_chunked:
            self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        else:
            self._write(chunk)
        await self._client.drain()

    def end(self) -> None:
        """Say that the body is whole."""
        self._is_whole = True
        if self._is_chunked:
            self._write(b"0\r\n\r\n")

    def cut(self) -> None:
        """End the connection so that the client sees a broken body, not a whole one."""
        self.keeps_alive = False
        transport = self._client.transport
        if transport is None:
            return
        if self._ends_by_close and not self._is_whole:
            _reset(transport)  # where the end of the connection is the end of the body, only a reset tells
        else:
            transport.close()  # what was written still arrives, and the missing end tells

    def _write(self, data: bytes) -> None:
        transport = self._client.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(data)


def _reset(transport: asyncio.Transport) -> None:
    # abort() alone says FIN, as a clean end does; with no time to linger the kernel says RST.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _head_bytes(status: int, reason: str | None, lines: list[Line]) -> bytes:
    if reason is None:
        reason = _PHRASES.get(status, "")
    text = "".join([f"HTTP/1.1 {status} {reason}\r\n", *(f"{name}: {value}\r\n" for name, value in lines), "\r\n"])
    if "\r\n" in reason or text.count("\r\n") != len(lines) + 2:
        raise ValueError("a header holds a line break")  # response splitting: the parsers already refuse these
    return text.encode("utf-8", "surrogateescape")

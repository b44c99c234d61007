"""A response on its way to the client: a head with framing of ours, then the body in pieces. No I/O."""

from __future__ import annotations

from typing import Final

from gateway.http1.body import LAST_CHUNK, chunk
from gateway.http1.fields import CRLF
from gateway.http1.request import RequestRead
from gateway.proxy.host import Host
from gateway.proxy.wire import Client

FEW: Final = 4  # requests at a time: nobody else's response to wait for


class Delivery:
    """The response to one request: the bytes of the body are the upstream's, the framing is ours.

    `keeps_alive`: another request may come behind.
    """

    __slots__ = ("_client", "_framing", "_host", "_unwritten", "count_bytes", "is_whole", "keeps_alive")

    def __init__(self, host: Host, client: Client, keeps_alive: bool) -> None:
        self._host, self._client, self.keeps_alive = host, client, keeps_alive
        self._framing = ""  # a length, or nothing to frame; else "chunked", or "close": the end of the connection
        self._unwritten = b""  # held back, to be written with what follows
        self.count_bytes = 0  # of the body
        self.is_whole = False

    def begin(self, head: bytes, request: RequestRead, *, has_length: bool) -> None:
        """Take a head, without framing and end; it leaves with what follows. Without a length chunks frame the body."""
        if not has_length:
            # An HTTP/1.0 client knows no chunks: for it the end of the connection is the end of the body.
            self._framing = "close" if request.is_http_1_0 else "chunked"
            self.keeps_alive = self.keeps_alive and not request.is_http_1_0
        self._unwritten = self.framed(head, request)

    def framed(self, head: bytes, request: RequestRead) -> bytes:
        """Return a head with what belongs to this connection, and its end."""
        if self._framing == "chunked":
            head += b"Transfer-Encoding: chunked\r\n"
        if not self.keeps_alive or self._host.is_draining:
            self.keeps_alive = False
            head += b"Connection: close\r\n"
        elif request.is_http_1_0:
            head += b"Connection: keep-alive\r\n"
        return head + CRLF

    def whole(self, head: bytes, body: bytes, request: RequestRead, *, is_urgent: bool) -> None:
        """Write a response at once, given without framing and end of its head."""
        self.count_bytes, self.is_whole = len(body), True
        if self.keeps_alive and not request.is_http_1_0 and not self._host.is_draining:
            whole = b"%b\r\n%b" % (head, body)
        else:
            whole = self.framed(head, request) + body
        self._client.write(whole, is_urgent=is_urgent)

    def data(self, data: bytes) -> None:
        """Write a piece of the body."""
        self.count_bytes += len(data)
        framed = chunk(data) if self._framing == "chunked" else data
        if self._unwritten:
            framed, self._unwritten = self._unwritten + framed, b""
        self._client.write(framed, is_urgent=self._host.open_requests < FEW)

    def flush(self) -> None:
        """Write what was held back."""
        if self._unwritten:
            self._client.write(self._unwritten, is_urgent=self._host.open_requests < FEW)
            self._unwritten = b""

    def end(self) -> None:
        """The body is whole."""
        self.is_whole = True
        if self._framing == "chunked":
            self._unwritten += LAST_CHUNK
        self.flush()

    def cut(self) -> None:
        """The body will never be whole, and must not look so."""
        self.flush()
        if self._framing == "close" and not self.is_whole:
            self._client.reset()  # where the end of the connection is the end of the body, only a reset tells

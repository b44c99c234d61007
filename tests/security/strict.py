"""A second reading of what the gateway sends: HTTP/1.1 requests, taken apart with no leniency at all (RFC 9112).

What a careless server would let pass is a finding here: that is where two readings begin.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[\x21-\x7e]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
_HOP_BY_HOP = {b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"trailer", b"http2-settings"}
_MAX_HEAD_BYTES = 128 * 1024

Receive = Callable[[], bytes]


class Violation(Exception):
    """What came is no request that every server reads alike."""


@dataclass(frozen=True)
class Seen:
    """One request as it arrived: its bytes, and the one way to read them."""

    raw: bytes
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return the values of a header, whose name is compared in any case and with `_` and `-` alike."""
        return [value for found, value in self.fields if _plain(found) == _plain(name)]


class Reader:
    """Takes requests off one connection. `receive` gives further bytes; none means the end.

    The first line of each head is added to `first_lines` as soon as the head is there.
    """

    def __init__(self, receive: Receive, first_lines: list[bytes] | None = None) -> None:
        self._receive = receive
        self._first_lines = first_lines if first_lines is not None else []
        self._data = b""

    def request(self) -> Seen | None:
        """Return the next request, or None at a clean end. Raises `Violation`, `OSError`."""
        head = self._until(b"\r\n\r\n", may_end=True)
        if head is None:
            return None
        self._first_lines.append(head.partition(b"\r\n")[0])
        method, target, fields = _take_apart(head)
        body, raw_body = self._body(fields)
        return Seen(head + raw_body, method, target, fields, body)

    def rest(self) -> bytes:
        """Return what has come behind the last request."""
        return self._data

    def _body(self, fields: tuple[tuple[str, str], ...]) -> tuple[bytes, bytes]:
        lengths = [value for name, value in fields if name.lower() == "content-length"]
        codings = [value for name, value in fields if name.lower() == "transfer-encoding"]
        if len(lengths) + len(codings) > 1:
            raise Violation("more than one framing")
        if lengths:
            if re.fullmatch(r"[0-9]{1,18}", lengths[0]) is None:
                raise Violation(f"Content-Length {lengths[0]!r}")
            body = self._exactly(int(lengths[0]))
            return body, body
        if not codings:
            return b"", b""
        if codings != ["chunked"]:
            raise Violation(f"Transfer-Encoding {codings!r}")
        return self._chunks()

    def _chunks(self) -> tuple[bytes, bytes]:
        body, raw = b"", b""
        while True:
            line = self._until(b"\r\n")
            assert line is not None
            if _CHUNK_SIZE.fullmatch(line[:-2]) is None:
                raise Violation(f"a chunk begins with {line[:60]!r}")
            size = int(line[:-2], 16)
            data = self._exactly(size + 2)
            raw += line + data
            if data[size:] != b"\r\n":
                raise Violation("a trailer" if size == 0 else "a chunk longer than it says")
            if size == 0:
                return body, raw
            body += data[:size]

    def _until(self, end: bytes, *, may_end: bool = False) -> bytes | None:
        while end not in self._data:
            if len(self._data) > _MAX_HEAD_BYTES:
                raise Violation("a head without an end")
            piece = self._receive()
            if not piece and may_end and not self._data:
                return None
            if not piece:
                raise ConnectionError("the connection ended within a message")
            self._data += piece
        cut = self._data.index(end) + len(end)
        found, self._data = self._data[:cut], self._data[cut:]
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            piece = self._receive()
            if not piece:
                raise ConnectionError("the connection ended within a body")
            self._data += piece
        found, self._data = self._data[:size], self._data[size:]
        return found


def _take_apart(head: bytes) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    first, *lines = head[:-4].split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise Violation(f"request line {first[:200]!r}")
    fields = []
    for text in lines:
        field = _FIELD.fullmatch(text)
        if field is None:
            raise Violation(f"header line {text[:200]!r}")
        if field[1].lower() in _HOP_BY_HOP:
            raise Violation(f"a hop-by-hop header: {text[:200]!r}")
        fields.append((field[1].decode(), field[2].decode("latin-1")))
    if sum(name.lower() == "host" for name, _ in fields) != 1:
        raise Violation("not exactly one Host")
    return line[1].decode(), line[2].decode(), tuple(fields)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")

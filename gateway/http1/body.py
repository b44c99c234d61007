"""Chunked bodies on their way, read strictly (RFC 9112 section 7.1)."""

from __future__ import annotations

import re
from math import inf
from typing import Final

from mypy_extensions import mypyc_attr

from gateway.http1.fields import TOKEN_CHARACTER

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")  # some servers pad it with spaces
# Of clients nobody knows one that pads, or whose extensions are more than names and values (RFC 9112 section 7.1.1).
_TOKEN: Final = TOKEN_CHARACTER + rb"+"
_SIZE_OF_REQUESTS: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[\x20\x21\x23-\x5b\x5d-\x7e]*"))?)*'
)
_TRAILER: Final = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*")
_PLAIN_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_MAX_SIZE_LINE: Final = 1024
_MAX_TRAILERS_BYTES: Final = 64 * 1024
_MAX_CHUNK_BYTES: Final = 1 << 60


class BrokenBodyError(Exception):
    """Chunks that are none."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Chunks:
    """Takes a chunked body apart, piece by piece as it arrives. Extensions and trailers are dropped.

    `is_of_request`: strictly, as llhttp does, since what another reads in another way could be a request (CWE-444).
    """

    __slots__ = ("_is_of_request", "_left", "_line", "_state", "_trailers", "is_complete", "rest")

    def __init__(self, *, is_of_request: bool = False) -> None:
        self._is_of_request = is_of_request
        self._state = "size"
        self._line = b""
        self._left = 0
        self._trailers = 0
        self.is_complete = False
        self.rest = b""  # what came behind the end of the body

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payload of what arrived, in pieces. Raises `BrokenBodyError`."""
        if self._state == "size" and not self._line:
            # The common case of a stream, in few steps: what came is one chunk.
            start = _PLAIN_SIZE.match(data)
            if start is not None:
                size = int(start[1], 16)
                if size and start.end() + size + 2 == len(data) and data.endswith(b"\r\n"):
                    return [data[start.end() : -2]]
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            if self._state == "data":
                take = min(self._left, end - at)
                pieces.append(data[at : at + take])
                at += take
                self._left -= take
                if not self._left:
                    self._state = "data-end"
                continue
            at = self._line_end(data, at)
            if at < 0:
                return pieces
            if self.is_complete:
                self.rest = data[at:]
                return pieces
        return pieces

    def _line_end(self, data: bytes, at: int) -> int:
        """Take a line up to its end and act on it; return where it ends, or -1 if the rest of it is still to come."""
        found = data.find(b"\n", at)
        if found < 0:
            self._line += data[at:]
            if len(self._line) > _MAX_SIZE_LINE:
                raise BrokenBodyError("a line between chunks is too long")
            return -1
        line = self._line + data[at:found]
        self._line = b""
        if not line.endswith(b"\r"):
            raise BrokenBodyError("a line between chunks ends with a bare line feed")
        self._take(line[:-1])
        return found + 1

    def _take(self, line: bytes) -> None:
        match self._state:
            case "data-end":
                if line:
                    raise BrokenBodyError("a chunk is longer than it says")
                self._state = "size"
            case "size":
                found = (_SIZE_OF_REQUESTS if self._is_of_request else _SIZE).fullmatch(line)
                if found is None:
                    raise BrokenBodyError("found no size of a chunk")
                self._left = int(found[1], 16)
                if self._left > _MAX_CHUNK_BYTES:
                    raise BrokenBodyError("a chunk is larger than any")
                self._state = "data" if self._left else "trailers"
            case _:
                if b"\r" in line or (line and self._is_of_request and not _TRAILER.fullmatch(line)):
                    raise BrokenBodyError("found no trailer, and no end of them")
                self._trailers += len(line)
                if self._trailers > _MAX_TRAILERS_BYTES:
                    raise BrokenBodyError("the trailers do not end")
                self.is_complete = not line


def chunk(data: bytes) -> bytes:
    """Return data as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"


class Body:
    """A body as it arrives, by whichever framing: a length, chunks, or the end of the connection.

    `left_bytes` are still to come; None: nobody knows. `rest` is what came behind its end. `over_at` is when all of it
    must be there, in seconds of the wire's clock.
    """

    __slots__ = ("chunks", "count_bytes", "is_complete", "left_bytes", "over_at", "rest")

    def __init__(self, left_bytes: int | None, chunks: Chunks | None = None) -> None:
        self.left_bytes, self.chunks = left_bytes, chunks
        self.count_bytes = 0
        self.over_at = inf
        self.is_complete = False
        self.rest = b""

    def take(self, data: bytes) -> bytes:
        """Return what is of it of bytes that arrived, without framing. Raises `BrokenBodyError`."""
        chunks, left_bytes = self.chunks, self.left_bytes
        if chunks is not None:
            pieces = chunks.feed(data)
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.is_complete, self.rest = chunks.is_complete, chunks.rest
        elif left_bytes is not None:
            if len(data) > left_bytes:
                data, self.rest = data[:left_bytes], data[left_bytes:]
            self.left_bytes = left_bytes - len(data)
            self.is_complete = not self.left_bytes
        self.count_bytes += len(data)
        return data

"""Chunked bodies on their way, read strictly (RFC 9112 section 7.1)."""

from __future__ import annotations

import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_PLAIN_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_MAX_SIZE_LINE = 1024
_MAX_TRAILERS_BYTES = 64 * 1024
_MAX_CHUNK_BYTES = 1 << 60


class BrokenBodyError(Exception):
    """Chunks that are none."""


class Chunks:
    """Takes a chunked body apart, piece by piece as it arrives. Extensions and trailers are dropped."""

    __slots__ = ("_left", "_line", "_state", "_trailers", "is_complete", "rest")

    def __init__(self) -> None:
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
                found = _SIZE.fullmatch(line)
                if found is None:
                    raise BrokenBodyError("found no size of a chunk")
                self._left = int(found[1], 16)
                if self._left > _MAX_CHUNK_BYTES:
                    raise BrokenBodyError("a chunk is larger than any")
                self._state = "data" if self._left else "trailers"
            case _:
                if b"\r" in line:
                    raise BrokenBodyError("a trailer holds a carriage return")
                self._trailers += len(line)
                if self._trailers > _MAX_TRAILERS_BYTES:
                    raise BrokenBodyError("the trailers do not end")
                self.is_complete = not line


def chunk(data: bytes) -> bytes:
    """Return data as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"

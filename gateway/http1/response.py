"""Heads of responses, read strictly. One that has no single reading is `None`: such a response is refused.

Source: RFC 9112 sections 4 and 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.http1.fields import (
    CHUNKED,
    CLOSES,
    CODING,
    CONNECTION,
    FIELD_CHARACTERS,
    INVALID,
    LENGTH,
    MAX_HEADERS,
    STAYS,
    BrokenLineError,
    Field,
    Lines,
    rows_of,
)
from gateway.http1.memory import Shapes, without_request_id

_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\x20-\x7e\t\x80-\xff]*))?\r")
_HARMLESS: Final = frozenset({LENGTH, STAYS})
_BODILESS: Final = frozenset({204, 304})
MAX_LINE_BYTES: Final = 64 * 1024  # aiohttp's limit, too


@dataclass(slots=True, init=False)
class ResponseRead:
    """A response's head. Shared by all that are the same: nobody writes to it, but for `for_pages`.

    `length_bytes` None: it does not say; `is_chunked` says how it is framed then. `forwarded` are the status line and
    the lines that go on, as written; None: they are still to be worked out. `for_pages` is what goes on of them where
    CORS is the gateway's, made by who needs it first.
    """

    status: int
    reason: bytes
    fields: list[Field]
    length_bytes: int | None
    is_chunked: bool
    keeps_alive: bool
    forwarded: bytes | None = field(repr=False)
    for_pages: tuple[bytes, bytes] | None = field(init=False, repr=False)
    is_bodiless: bool = field(init=False)  # no body follows, whatever the request (RFC 9112 section 6.3)

    def __init__(
        self,
        status: int,
        reason: bytes,
        fields: list[Field],
        length_bytes: int | None,
        is_chunked: bool,
        keeps_alive: bool,
        forwarded: bytes | None,
    ) -> None:
        self.status, self.reason, self.fields, self.length_bytes = status, reason, fields, length_bytes
        self.is_chunked, self.keeps_alive, self.forwarded = is_chunked, keeps_alive, forwarded
        self.for_pages, self.is_bodiless = None, status in _BODILESS


class Responses:
    """Reads heads of responses. `is_passed` says of a header's name whether it goes on to clients."""

    def __init__(self, is_passed: Callable[[str], bool]) -> None:
        self._lines = Lines(lambda name: (is_passed(name), False), is_of_responses=True)
        self._shapes: Shapes[ResponseRead] = Shapes()

    def read(self, head: bytes) -> ResponseRead | None:
        """Return what a head says, given up to the end of its last line; None if it has no single reading."""
        rest = without_request_id(head)
        known = self._shapes.known.get(rest)
        if known is not None:
            return known
        return self._read(rest)

    def _read(self, head: bytes) -> ResponseRead | None:
        rows = rows_of(head, FIELD_CHARACTERS, MAX_HEADERS + 1)  # and the status line
        if not rows or (len(head) > MAX_LINE_BYTES and max(map(len, rows)) > MAX_LINE_BYTES):
            return None
        start = _STATUS.fullmatch(rows.pop(0))
        if start is None:
            return None
        try:
            fields = self._lines.fields(rows)
        except BrokenLineError:
            return None
        version, status, reason = start.groups(b"")
        length_bytes: int | None = None
        is_chunked, keeps_alive = False, version == b"1"
        is_plain = is_lasting = True
        for one in fields:
            mark = one.mark
            if mark == LENGTH:
                if length_bytes is not None:
                    return None
                length_bytes = int(one.value)
            if not one.is_lasting:
                is_lasting = False
            if not mark or mark in _HARMLESS:
                continue
            if mark in (CLOSES, CONNECTION):
                keeps_alive = False
                is_plain = is_plain and mark == CLOSES
            elif mark == CHUNKED and not is_chunked:
                is_chunked = True
            elif mark in (CHUNKED, CODING, INVALID):
                return None
        if is_chunked and (length_bytes is not None or version == b"0"):
            return None
        forwarded = None
        if is_plain:
            lines = [one.line for one in fields if one.is_passed]
            forwarded = b"HTTP/1.1 %b %b\r\n%b" % (status, reason, b"".join(lines))
        response = ResponseRead(int(status), reason, fields, length_bytes, is_chunked, keeps_alive, forwarded)
        if is_lasting:
            self._shapes.add(head, response)
        return response

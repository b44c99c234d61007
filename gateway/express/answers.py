"""Heads of upstreams' answers, read strictly. One that has no single reading is `None`: such an answer is refused.

Source: RFC 9112 sections 4 and 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.express.lines import (
    CLOSES,
    CODING,
    CONNECTION,
    INVALID,
    LENGTH,
    MAX_HEADERS,
    STAYS,
    BrokenLineError,
    Field,
    Lines,
    rows_of,
)
from gateway.express.shapes import Shapes, without_request_id

_PRINTABLE_OR_HIGH = bytes(range(0x20, 0x7F)) + b"\t" + bytes(range(0x80, 0x100))
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\x20-\x7e\t\x80-\xff]*))?\r")
_HARMLESS = frozenset({LENGTH, STAYS})
_BODILESS = frozenset({204, 304})
_MAX_LINE_BYTES = 64 * 1024  # of the reference path's, too


@dataclass(slots=True)
class AnswerRead:
    """An answer's head. Shared by all that are the same: nobody writes to it.

    `length_bytes` None: it does not say; `is_chunked` says how it is framed then. `kept` are the status line and the
    lines that are passed on, as written; None if its `Connection` names others that are not."""

    status: int
    reason: bytes
    fields: list[Field]
    length_bytes: int | None
    is_chunked: bool
    keeps_alive: bool
    kept: bytes | None = field(repr=False)

    def has_body(self, method: str) -> bool:
        """True if a body follows, be it an empty one (RFC 9112 section 6.3)."""
        return method != "HEAD" and self.status not in _BODILESS


class Answers:
    """Reads heads of answers. `is_passed` says of a header's name whether it goes on to clients."""

    def __init__(self, is_passed: Callable[[str], bool]) -> None:
        self._lines = Lines(lambda name: (is_passed(name), False), is_of_answers=True)
        self._shapes: Shapes[AnswerRead] = Shapes()

    def read(self, head: bytes) -> AnswerRead | None:
        """Return what a head says, given up to the end of its last line; None if it has no single reading."""
        rest = without_request_id(head)
        known = self._shapes.known.get(rest)
        if known is not None:
            return known
        return self._read(rest)

    def _read(self, head: bytes) -> AnswerRead | None:
        rows = rows_of(head, _PRINTABLE_OR_HIGH, MAX_HEADERS + 1)  # and the status line
        if not rows or (len(head) > _MAX_LINE_BYTES and max(map(len, rows)) > _MAX_LINE_BYTES):
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
            elif mark == CODING and not is_chunked and one.value.lower() == "chunked":
                is_chunked = True
            elif mark in (CODING, INVALID):
                return None
        if is_chunked and (length_bytes is not None or version == b"0"):
            return None
        kept = None
        if is_plain:
            lines = [one.line for one in fields if one.is_passed]
            kept = b"HTTP/1.1 %b %b\r\n%b" % (status, reason, b"".join(lines))
        answer = AnswerRead(int(status), reason, fields, length_bytes, is_chunked, keeps_alive, kept)
        if is_lasting:
            self._shapes.add(head, answer)
        return answer

"""Heads of the common shape, read strictly. What is not of that shape is `None`: the reference path takes it.

Nothing is repaired here: a head that this grammar reads has one reading only, and a test holds that aiohttp's parser
(llhttp) reads the same. Source: RFC 9112 sections 2 to 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from gateway.policy.model import ReadHeaders, RequestHead

END_OF_HEAD = b"\r\n\r\n"
MAX_HEADERS = 256
_CRLF = b"\r\n"
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t"
_PRINTABLE_OR_HIGH = _PRINTABLE + bytes(range(0x80, 0x100))
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\x20-\x7e\t\x80-\xff]*))?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110 section 5.1; nothing before the colon
_LENGTH_SHAPE = re.compile(r"[0-9]{1,18}")
_PLAIN_LENGTH_SHAPE = re.compile(r"0|[1-9][0-9]{0,17}")  # of requests: ours is written anew
_HOST_SHAPE = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::\d{0,5})?")
# Whoever sends one of these wants something that the other road knows.
_NAMES_ELSEWHERE = frozenset({"upgrade", "expect", "http2-settings", "trailer", "te", "proxy-connection"})

# Different in each message: not worth a place. And what is secret: no credential is to lie about in memory.
_NOT_REMEMBERED = frozenset(
    {"x-request-id", "traceparent", "tracestate", "content-length", "etag", "idempotency-key"}
    | {"authorization", "cookie", "set-cookie", "proxy-authorization", "sec-websocket-protocol", "x-api-key"}
)
_BODILESS = frozenset({204, 304})
_MAX_ANSWER_LINE_BYTES = 64 * 1024  # of the reference path's, too
_MAX_NAMES = 1024
_MAX_REMEMBERED_LINE = 4096
_MAX_REMEMBERED_BYTES = 2 * 1024 * 1024
_LINE_OVERHEAD_BYTES = 300  # what an entry weighs beside its line, about

# Name, value, name in lower case, the line as it is written, what it is, whether it is passed on, all values by now.
Field = tuple[str, str, str, bytes, int, bool, tuple[str, ...]]
# What a line is to a head; 0 is nothing special. STAYS and CLOSES are `Connection` with its usual words.
_HOST, _LENGTH, _STAYS, _CLOSES, _CONNECTION, _CODING, _ELSEWHERE, _INVALID = range(1, 9)
_SPECIAL = {"host": _HOST, "content-length": _LENGTH, "connection": _CONNECTION, "transfer-encoding": _CODING}
_WISHES = {"keep-alive": _STAYS, "close": _CLOSES}


class Lines:
    """Header lines that were read before: clients and servers repeat themselves. Bounded in bytes; never a decision."""

    def __init__(
        self, is_passed: Callable[[str], bool], *, is_of_answers: bool = False, max_bytes: int = _MAX_REMEMBERED_BYTES
    ) -> None:
        self._is_passed = is_passed
        self._is_of_answers = is_of_answers
        self._encoding = "utf-8" if is_of_answers else "ascii"
        self._max_bytes = max_bytes
        # The lines that were read before. Look there first: a call for each would cost as much as the line.
        self.known: dict[bytes, Field] = {}
        self._names: dict[bytes, tuple[str, str, bytes, int, bool, bool]] = {}
        self._bytes = 0

    def field(self, line: bytes) -> Field | None:
        """Return what a line says that is not `known`; None if it is none. Its bytes were looked at before."""
        written, colon, value = line.partition(b":")
        name = self._names.get(written) or self._name(written)
        if name is None or not colon:
            return None
        value = value.strip(b" \t")
        text = value.decode(self._encoding, "surrogateescape")
        special = self._special(name[3], text) if name[3] else 0
        field = (name[0], text, name[1], name[2] + value + _CRLF, special, name[4], (text,))
        if name[5] and len(line) <= _MAX_REMEMBERED_LINE:
            self._remember(line, field)
        return field

    def _special(self, special: int, text: str) -> int:
        """Return what a line of a special name is, by its value."""
        if special == _CONNECTION:
            return _WISHES.get(text.lower(), _CONNECTION)
        shape = _LENGTH_SHAPE if self._is_of_answers else _PLAIN_LENGTH_SHAPE
        if special == _LENGTH and shape.fullmatch(text) is None:
            return _INVALID
        if special == _HOST and not self._is_of_answers and _HOST_SHAPE.fullmatch(text) is None:
            return _INVALID
        return special

    def _name(self, written: bytes) -> tuple[str, str, bytes, int, bool, bool] | None:
        """Return a header's name: as text, in lower case, as written, its kind, whether it is passed on, and kept."""
        if _NAME.fullmatch(written) is None:
            return None
        text = written.decode("ascii")
        lower = text.lower()
        special = _ELSEWHERE if lower in _NAMES_ELSEWHERE else _SPECIAL.get(lower, 0)
        known = (text, lower, written + b": ", special, self._is_passed(text), lower not in _NOT_REMEMBERED)
        if len(self._names) >= _MAX_NAMES:
            self._names.clear()
        self._names[written] = known
        return known

    def _remember(self, line: bytes, field: Field) -> None:
        self._bytes += 4 * len(line) + _LINE_OVERHEAD_BYTES
        if self._bytes > self._max_bytes:
            # All of it: which lines are old costs more to know than to read them again.
            self.known.clear()
            self._bytes = 4 * len(line) + _LINE_OVERHEAD_BYTES
        self.known[line] = field


@dataclass(slots=True)
class RequestRead(RequestHead):
    """A request's head, and its body's length: 0 without one. `fields` are its lines as they were read."""

    fields: list[Field]
    length_bytes: int
    keeps_alive: bool


@dataclass(slots=True)
class AnswerRead:
    """An answer's head. `length_bytes` None: it does not say; `is_chunked` says how it is framed then.

    `is_plain`: its `Connection` names no other header.
    """

    status: int
    reason: bytes
    fields: list[Field]
    length_bytes: int | None
    is_chunked: bool
    keeps_alive: bool
    is_plain: bool

    def has_body(self, method: str) -> bool:
        """True if a body follows, be it an empty one (RFC 9112 section 6.3)."""
        return method != "HEAD" and self.status not in _BODILESS


def read_request(head: bytes, lines: Lines, client_ip: str) -> RequestRead | None:
    """Return a request's head, given without its empty line; None if it is of another shape."""
    rows = head.split(_CRLF)
    if not _is_clean(head, rows, _PRINTABLE):
        return None
    parts = rows[0].decode("ascii").split(" ")
    if len(parts) != 3 or parts[2] != "HTTP/1.1" or parts[0] not in _METHODS or parts[1][:1] != "/" or "\t" in parts[1]:
        return None
    fields: list[Field] = []
    by_name: dict[str, tuple[str, ...]] = {}
    known = lines.known.get
    has_host, length_bytes, keeps_alive = False, 0, True
    for row in islice(rows, 1, None):
        field = known(row) or lines.field(row)
        if field is None:
            return None
        fields.append(field)
        lower, special = field[2], field[4]
        if special:
            if lower in by_name:
                return None  # two of these have no single reading
            if special == _HOST:
                has_host = True
            elif special == _LENGTH:
                length_bytes = int(field[1])
            elif special == _CLOSES:
                keeps_alive = False
            elif special != _STAYS:
                return None
        by_name[lower] = by_name[lower] + field[6] if lower in by_name else field[6]
    if not has_host:
        return None
    headers = ReadHeaders(fields, by_name)
    return RequestRead(parts[0], parts[1], headers, client_ip, "http", fields, length_bytes, keeps_alive)


def read_answer(head: bytes, lines: Lines) -> AnswerRead | None:
    """Return an answer's head, given without its empty line; None if it has no single reading."""
    rows = head.split(_CRLF)
    start = _STATUS.fullmatch(rows[0])
    if start is None or not _is_clean(head, rows, _PRINTABLE_OR_HIGH):
        return None
    if len(head) > _MAX_ANSWER_LINE_BYTES and max(map(len, rows)) > _MAX_ANSWER_LINE_BYTES:
        return None
    fields: list[Field] = []
    version, status, reason = start.groups()
    length: int | None = None
    is_chunked, keeps_alive = False, version == b"1"
    known = lines.known.get
    is_plain = True
    for row in islice(rows, 1, None):
        field = known(row) or lines.field(row)
        if field is None:
            return None
        fields.append(field)
        special = field[4]
        if not special:
            continue
        if special == _LENGTH and length is None:
            length = int(field[1])
        elif special == _CODING and not is_chunked and field[1].lower() == "chunked":
            is_chunked = True
        elif special in (_LENGTH, _CODING, _INVALID):
            return None
        elif special in (_CLOSES, _CONNECTION):
            keeps_alive = False
            is_plain = is_plain and special == _CLOSES
    if is_chunked and (length is not None or version == b"0"):
        return None
    return AnswerRead(int(status), reason or b"", fields, length, is_chunked, keeps_alive, is_plain)


def _is_clean(head: bytes, rows: list[bytes], allowed: bytes) -> bool:
    """True if a head holds nothing but these bytes and whole line ends, and not too many lines."""
    return len(rows) <= MAX_HEADERS + 1 and head.translate(None, allowed) == _CRLF * (len(rows) - 1)

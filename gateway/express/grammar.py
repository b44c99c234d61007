"""Heads of the common shape, read strictly. What is not of that shape is `None`: the reference path takes it.

Nothing is repaired here: a head that this grammar reads has one reading only, and a test holds that aiohttp's parser
(llhttp) reads the same. Source: RFC 9112 sections 2 to 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from gateway.policy.model import Headers

END_OF_HEAD = b"\r\n\r\n"
MAX_HEADERS = 256
_CRLF = b"\r\n"
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t"
_PRINTABLE_OR_HIGH = _PRINTABLE + bytes(range(0x80, 0x100))
_REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[\x21-\x7e]*) HTTP/1\.1")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\x20-\x7e\t\x80-\xff]*))?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110 section 5.1; nothing before the colon
_LENGTH = re.compile(r"[0-9]{1,18}")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::\d{0,5})?")
# Whoever sends one of these wants something that the other road knows.
_ELSEWHERE = frozenset({"upgrade", "expect", "http2-settings", "trailer", "te", "proxy-connection"})

# Different in each message: not worth a place. And what is secret: no credential is to lie about in memory.
_NOT_REMEMBERED = frozenset(
    {"x-request-id", "traceparent", "tracestate", "content-length", "etag", "idempotency-key"}
    | {"authorization", "cookie", "set-cookie", "proxy-authorization", "sec-websocket-protocol", "x-api-key"}
)
_MAX_NAMES = 1024
_MAX_REMEMBERED_LINE = 4096
_MAX_REMEMBERED_BYTES = 2 * 1024 * 1024
_LINE_OVERHEAD_BYTES = 300  # what an entry weighs beside its line, about

# Name, value, name in lower case, the line as it is written, what it is (0: nothing special), whether it is passed on.
Field = tuple[str, str, str, bytes, int, bool]
HOST, LENGTH, CONNECTION, CODING, ELSEWHERE = 1, 2, 3, 4, 5
_SPECIAL = {"host": HOST, "content-length": LENGTH, "connection": CONNECTION, "transfer-encoding": CODING}


class Lines:
    """Header lines that were read before: clients and servers repeat themselves. Bounded in bytes; never a decision."""

    def __init__(
        self, is_passed: Callable[[str], bool], *, is_of_answers: bool = False, max_bytes: int = _MAX_REMEMBERED_BYTES
    ) -> None:
        self._is_passed = is_passed
        self._encoding = "utf-8" if is_of_answers else "ascii"
        self._max_bytes = max_bytes
        self._fields: dict[bytes, Field] = {}
        self._names: dict[bytes, tuple[str, str, bytes, int, bool, bool]] = {}
        self._bytes = 0

    @property
    def known(self) -> dict[bytes, Field]:
        """The lines that were read before. Look there first: a call for each would cost as much as the line."""
        return self._fields

    def field(self, line: bytes) -> Field | None:
        """Return what a line says that is not `known`; None if it is none. Its bytes were looked at before."""
        written, colon, value = line.partition(b":")
        name = self._names.get(written) or self._name(written)
        if name is None or not colon:
            return None
        value = value.strip(b" \t")
        text = value.decode(self._encoding, "surrogateescape")
        field = (name[0], text, name[1], name[2] + value + _CRLF, name[3], name[4])
        if name[5] and len(line) <= _MAX_REMEMBERED_LINE:
            self._remember(line, field)
        return field

    def _name(self, written: bytes) -> tuple[str, str, bytes, int, bool, bool] | None:
        """Return a header's name: as text, in lower case, as written, its kind, whether it is passed on, and kept."""
        if _NAME.fullmatch(written) is None:
            return None
        text = written.decode("ascii")
        lower = text.lower()
        special = ELSEWHERE if lower in _ELSEWHERE else _SPECIAL.get(lower, 0)
        known = (text, lower, written + b": ", special, self._is_passed(text), lower not in _NOT_REMEMBERED)
        if len(self._names) >= _MAX_NAMES:
            self._names.clear()
        self._names[written] = known
        return known

    def _remember(self, line: bytes, field: Field) -> None:
        self._bytes += 4 * len(line) + _LINE_OVERHEAD_BYTES
        if self._bytes > self._max_bytes:
            # All of it: which lines are old costs more to know than to read them again.
            self._fields.clear()
            self._bytes = 4 * len(line) + _LINE_OVERHEAD_BYTES
        self._fields[line] = field


@dataclass(slots=True)
class RequestRead:
    """A request's head. `length_bytes` is its body's, 0 without one; `size_bytes` that of the head on the wire."""

    method: str
    target: str
    fields: list[Field]
    headers: Headers
    length_bytes: int
    has_length: bool
    keeps_alive: bool
    size_bytes: int


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


def read_request(head: bytes, lines: Lines) -> RequestRead | None:
    """Return a request's head, given without its empty line; None if it is of another shape."""
    rows = _rows(head, _PRINTABLE)
    if rows is None:
        return None
    start = _REQUEST.fullmatch(rows[0])
    if start is None:
        return None
    fields: list[Field] = []
    by_name: dict[str, list[str]] = {}
    known = lines.known.get
    host = length = wish = None
    for row in rows[1:]:
        field = known(row) or lines.field(row)
        if field is None:
            return None
        fields.append(field)
        lower, special = field[2], field[4]
        if lower in by_name:
            if special:
                return None  # two of these have no single reading
            by_name[lower] = [*by_name[lower], field[1]]
            continue
        by_name[lower] = [field[1]]
        if special == HOST:
            host = field[1]
        elif special == LENGTH:
            length = field[1]
        elif special == CONNECTION:
            wish = field[1].lower()
        elif special:
            return None
    if host is None or _HOST.fullmatch(host) is None:
        return None
    if length is not None and _LENGTH.fullmatch(length) is None:
        return None
    if wish is not None and wish not in ("keep-alive", "close"):
        return None
    return RequestRead(
        start[1].decode("ascii"),
        start[2].decode("ascii"),
        fields,
        Headers.read(fields, by_name),
        int(length) if length is not None else 0,
        length is not None,
        wish != "close",
        len(head) + 4,
    )


def read_answer(head: bytes, lines: Lines) -> AnswerRead | None:
    """Return an answer's head, given without its empty line; None if it has no single reading."""
    rows = _rows(head, _PRINTABLE_OR_HIGH)
    start = _STATUS.fullmatch(rows[0]) if rows is not None else None
    if rows is None or start is None:
        return None
    fields: list[Field] = []
    length: int | None = None
    is_chunked, keeps_alive = False, start[1] == b"1"
    known = lines.known.get
    is_plain = True
    for row in rows[1:]:
        field = known(row) or lines.field(row)
        if field is None:
            return None
        fields.append(field)
        special = field[4]
        if not special:
            continue
        if special == LENGTH:
            if length is not None or _LENGTH.fullmatch(field[1]) is None:
                return None
            length = int(field[1])
        elif special == CODING:
            if is_chunked or field[1].lower() != "chunked":
                return None
            is_chunked = True
        elif special == CONNECTION:
            wish = field[1].lower()
            keeps_alive = keeps_alive and wish == "keep-alive"
            is_plain = is_plain and wish in ("keep-alive", "close")
    if is_chunked and (length is not None or start[1] == b"0"):
        return None
    return AnswerRead(int(start[2]), start[3] or b"", fields, length, is_chunked, keeps_alive, is_plain)


def _rows(head: bytes, allowed: bytes) -> list[bytes] | None:
    """Return the lines of a head; None if it holds anything but these bytes and whole line ends."""
    rows = head.split(_CRLF)
    if len(rows) > MAX_HEADERS + 1 or head.translate(None, allowed) != _CRLF * (len(rows) - 1):
        return None
    return rows

"""Header lines, read strictly, and those remembered that were read before.

Nothing is repaired here: a line that is read has one reading only, and a test holds that aiohttp's parser (llhttp)
reads the same. Source: RFC 9110 section 5, RFC 9112 sections 2 to 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol

from gateway.express.remembered import MAX_BYTES, Remembered
from gateway.policy.fields import speaks_of_secret

END_OF_HEAD = b"\r\n\r\n"
CRLF = b"\r\n"
MAX_HEADERS = 256
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110 section 5.1; nothing before the colon
_LENGTH_SHAPE = re.compile(r"[0-9]{1,18}")
_PLAIN_LENGTH_SHAPE = re.compile(r"0|[1-9][0-9]{0,17}")  # of requests: ours is written anew
_HOST_SHAPE = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{0,5})?")
# Different in each message: not worth a place. `Referer` and `Location` are here for their queries: what may hold a
# secret is not to lie about in memory.
_PASSING = frozenset({"x-request-id", "traceparent", "tracestate", "etag", "referer", "location", "content-location"})
_MAX_NAMES = 1024
_MAX_REMEMBERED_LINE = 4096
_LINE_OVERHEAD_BYTES = 300  # what an entry weighs beside its line, about

# What a line is to its head, as a digit of its own in a sum over all lines; 0 is nothing special. STAYS and CLOSES are
# `Connection` with its usual words, CONNECTION with others.
_DIGIT = 1 << 9  # more than there are lines
HOST, AUTHORIZATION, LENGTH, STAYS, CLOSES, CONNECTION, CODING, ELSEWHERE, INVALID = (1 << 9 * n for n in range(9))
_WISHES = {"keep-alive": STAYS, "close": CLOSES}
# What the log tells of whoever sent a request; 0: nothing.
HOST_TOLD, USER_AGENT_TOLD, TRACE_TOLD = 1, 2, 3
_ORDINARY = (0, 0)
_SPECIAL = {  # what a line is to its head, and to the log
    "host": (HOST, HOST_TOLD),
    "authorization": (AUTHORIZATION, 0),
    "content-length": (LENGTH, 0),
    "connection": (CONNECTION, 0),
    "transfer-encoding": (CODING, 0),
    "user-agent": (0, USER_AGENT_TOLD),
    "traceparent": (0, TRACE_TOLD),
    # Whoever sends one of these wants something that the other road knows.
    **dict.fromkeys(("upgrade", "expect", "http2-settings", "trailer", "te", "proxy-connection"), (ELSEWHERE, 0)),
}


@dataclass(slots=True)  # not frozen: making a frozen one takes three times as long, and many are made
class Field:
    """A header line that was read. `line` is as it is written, `mark` what it is to its head.

    `is_passed`: it goes on, unless the message itself says otherwise; `may_stop`: whether it does is said by where the
    request's credential stood; `is_lasting`: it may be remembered; `told`: what it is to the log. Nobody writes to it.
    """

    name: str
    value: str = field(repr=False)  # may be a secret: a repr ends in logs and tracebacks
    line: bytes = field(repr=False)
    mark: int
    is_passed: bool
    may_stop: bool
    is_lasting: bool
    told: int = 0


class Passing(Protocol):
    """What becomes of a line, by its name."""

    def __call__(self, name: str) -> tuple[bool, bool]:
        """Return whether such a line goes on, and whether that is still to be said for each message."""
        ...


@dataclass(slots=True)
class _Name:
    """A header's name, and what is true of all its lines. `start` is what a line begins with, as it is written."""

    text: str
    start: bytes
    mark: int
    is_passed: bool
    may_stop: bool
    is_lasting: bool
    told: int


class BrokenLineError(Exception):
    """A line that is no header."""


class Lines:
    """Header lines that were read before: clients and servers repeat themselves. Bounded in bytes; never a decision."""

    def __init__(self, passing: Passing, *, is_of_answers: bool = False, max_bytes: int = MAX_BYTES) -> None:
        self._passing = passing
        self._is_of_answers = is_of_answers
        self._encoding = "utf-8" if is_of_answers else "ascii"
        self._remembered: Remembered[Field] = Remembered(max_bytes)
        self._names: dict[bytes, _Name] = {}

    def fields(self, rows: list[bytes]) -> list[Field]:
        """Return what lines say, each given with its carriage return; their other bytes were looked at before.

        Raises `BrokenLineError`.
        """
        known, read = self._remembered.known.get, self._read
        return [known(row) or read(row) for row in rows]

    def _read(self, row: bytes) -> Field:
        written, _, rest = row.partition(b":")
        name = self._names.get(written) or self._name(written)
        if rest[-1:] != b"\r":
            raise BrokenLineError
        value = rest[:-1].strip(b" \t")
        text = value.decode(self._encoding, "surrogateescape")
        mark = self._mark(name.mark, text) if name.mark else 0
        # The scheme alone is what is left of a line whose token was cut out: see `requests`.
        is_lasting = name.is_lasting or (mark == AUTHORIZATION and value == b"Bearer")
        field = Field(
            name.text, text, name.start + value + CRLF, mark, name.is_passed, name.may_stop, is_lasting, name.told
        )
        if is_lasting and len(row) <= _MAX_REMEMBERED_LINE:
            self._remembered.keep(row, field, 4 * len(row) + _LINE_OVERHEAD_BYTES)
        return field

    def _mark(self, mark: int, text: str) -> int:
        """Return what a line of a special name is, by its value."""
        if mark == CONNECTION:
            return _WISHES.get(text.lower(), CONNECTION)
        shape = _LENGTH_SHAPE if self._is_of_answers else _PLAIN_LENGTH_SHAPE
        if mark == LENGTH and shape.fullmatch(text) is None:
            return INVALID
        if mark == HOST and not self._is_of_answers and _HOST_SHAPE.fullmatch(text) is None:
            return INVALID
        return mark

    def _name(self, written: bytes) -> _Name:
        if _NAME.fullmatch(written) is None:
            raise BrokenLineError
        text = written.decode("ascii")
        lower = text.lower()
        mark, told = _SPECIAL.get(lower, _ORDINARY)
        is_lasting = lower not in _PASSING and not speaks_of_secret(lower)
        known = _Name(text, written + b": ", mark, *self._passing(text), is_lasting, told)
        if len(self._names) >= _MAX_NAMES:
            self._names.clear()
        self._names[written] = known
        return known


def rows_of(head: bytes, allowed: bytes, max_rows: int) -> list[bytes] | None:
    """Return the rows of a head that ends with its last line; None if there are too many, or other bytes than allowed.

    There is one carriage return for each row; who reads a row sees whether that is where it belongs.
    """
    rows = head.split(b"\n")
    if rows.pop() or len(rows) > max_rows or head.translate(None, allowed) != CRLF * len(rows):
        return None
    return rows


def count(marks: int, mark: int) -> int:
    """Return how many lines had a mark, of the sum of all."""
    return marks // mark % _DIGIT

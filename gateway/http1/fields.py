"""Header lines, read strictly, and those remembered that were read before.

Nothing is repaired here: a line that is read has one reading only, and a test holds that aiohttp's parser (llhttp)
reads the same. Source: RFC 9110 section 5, RFC 9112 sections 2 to 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from gateway.http1.memory import MAX_BYTES
from gateway.policy.fields import speaks_of_secret
from gateway.policy.memory import Remembered
from gateway.policy.onward import Line
from gateway.policy.seen import SeenOnce

STATUS_LINES: Final = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus}
END_OF_HEAD: Final = b"\r\n\r\n"
CRLF: Final = b"\r\n"
MAX_HEADERS: Final = 256
TOKEN_CHARACTER: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"  # RFC 9110 section 5.6.2
FIELD_CHARACTERS: Final = bytes(range(0x20, 0x7F)) + b"\t" + bytes(range(0x80, 0x100))  # RFC 9110 section 5.5
_NAME: Final = re.compile(TOKEN_CHARACTER + rb"{1,256}")  # RFC 9110 section 5.1; nothing before the colon
_LENGTH_SHAPE: Final = re.compile(rb"[0-9]{1,18}")
_PLAIN_LENGTH_SHAPE: Final = re.compile(rb"0|[1-9][0-9]{0,17}")  # of requests: ours is written anew
# RFC 9110 section 7.2: a name or address with an optional port. The escapes and sub-delimiters that RFC 3986
# section 3.2.2 lets a name hold are left out: no DNS name has them, and two servers read them in two ways.
HOST_SHAPE: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{0,5})?")
# Different in each message: not worth a place. `Referer` and `Location` are here for their queries: what may hold a
# secret is not to lie about in memory.
_PASSING: Final = frozenset(
    {
        "x-request-id", "traceparent", "tracestate", "baggage", "sentry-trace", "etag", "if-none-match", "referer",
        "location", "content-location",
    }
)  # fmt: skip
_MAX_NAMES: Final = 1024
_MAX_REMEMBERED_LINE: Final = 4096
_LINE_OVERHEAD_BYTES: Final = 300  # what an entry weighs beside its line, about

# What a line is to its head, as a digit of its own in a sum over all lines; 0 is nothing special. STAYS and CLOSES are
# `Connection` with its usual words, CONNECTION with others; CHUNKED is the usual coding, CODING any other.
_DIGIT: Final = 1 << 9  # more than there are lines
HOST: Final = 1
AUTHORIZATION: Final = 1 << 9
LENGTH: Final = 1 << 18
STAYS: Final = 1 << 27
CLOSES: Final = 1 << 36
CHUNKED: Final = 1 << 45
CONNECTION: Final = 1 << 54
CODING: Final = 1 << 63
ELSEWHERE: Final = 1 << 72
INVALID: Final = 1 << 81
_OPEN: Final = frozenset({AUTHORIZATION, ELSEWHERE})  # a head is of the same form whatever these say
_OPEN_IN_REQUESTS: Final = _OPEN | {LENGTH}
_SCHEME: Final = b"Bearer"  # alone it is what is left of a line whose token was cut out: see `requests`
_WISHES: Final = {b"keep-alive": STAYS, b"close": CLOSES}
# What is told of a line besides: to the log, and to whoever asks for it without taking the head apart; 0: nothing.
HOST_TOLD, USER_AGENT_TOLD, TRACE_TOLD, COOKIE_TOLD, ORIGIN_TOLD, METHOD_TOLD, NAMES_TOLD = 1, 2, 3, 4, 5, 6, 7
_ORDINARY: Final = (0, 0)
_SPECIAL: Final = {  # what a line is to its head, and what is told of it
    "host": (HOST, HOST_TOLD),
    "authorization": (AUTHORIZATION, 0),
    "content-length": (LENGTH, 0),
    "connection": (CONNECTION, 0),
    "transfer-encoding": (CODING, 0),
    "user-agent": (0, USER_AGENT_TOLD),
    "traceparent": (0, TRACE_TOLD),
    "cookie": (0, COOKIE_TOLD),
    "origin": (0, ORIGIN_TOLD),
    "access-control-request-method": (0, METHOD_TOLD),
    "access-control-request-headers": (0, NAMES_TOLD),
    # Whoever sends one of these wants something that the aiohttp wire reads.
    **dict.fromkeys(("upgrade", "expect", "http2-settings", "trailer", "te", "proxy-connection"), (ELSEWHERE, 0)),
}


@dataclass(slots=True, init=False, eq=False)  # not frozen: making a frozen one takes three times as long
class Field:
    """A header line that was read. `line` is as it is written, `mark` what it is to its head.

    `is_passed`: it goes on, unless the message itself says otherwise; `may_stop`: whether it does is said by where the
    request's credential stood; `is_lasting`: it may be remembered; `told`: what is told of it. `is_open`: this is
    what is true of every line of a name; there is no value, and `line` is how they begin. Nobody writes to it. It
    equals itself only: a head is known by the fields that it is made of.
    """

    name: str
    value: str = field(repr=False)  # may be a secret: a repr ends in logs and tracebacks
    line: bytes = field(repr=False)
    mark: int
    is_passed: bool
    may_stop: bool
    is_lasting: bool
    told: int
    is_open: bool

    def __init__(
        self,
        name: str,
        value: str,
        line: bytes,
        mark: int,
        is_passed: bool,
        may_stop: bool,
        is_lasting: bool,
        told: int = 0,
        is_open: bool = False,
    ) -> None:
        self.name, self.value, self.line, self.mark = name, value, line, mark
        self.is_passed, self.may_stop, self.is_lasting, self.told = is_passed, may_stop, is_lasting, told
        self.is_open = is_open


# By a line's name: whether it goes on, and whether that is still to be said for each message.
Passing = Callable[[str], tuple[bool, bool]]


class BrokenLineError(Exception):
    """A line that is no header."""


class Lines:
    """Header lines that were read before: clients and servers repeat themselves. Bounded in bytes; never a decision.

    A line is kept when it comes a second time after its name was first seen: most that differ from one message to the
    next never come again, nor do names that strangers make up.
    """

    def __init__(self, passing: Passing, *, is_of_responses: bool = False, max_bytes: int = MAX_BYTES) -> None:
        self._passing = passing
        self._length_shape = _LENGTH_SHAPE if is_of_responses else _PLAIN_LENGTH_SHAPE
        self._remembered: Remembered[bytes, Field] = Remembered(max_bytes, _weight_of_line)
        self._open = _OPEN if is_of_responses else _OPEN_IN_REQUESTS
        self._seen_once = SeenOnce()
        self._names: Remembered[bytes, Field] = Remembered(_MAX_NAMES)

    def fields(self, rows: list[bytes]) -> list[Field]:
        """Return what lines say, each given with its carriage return; their other bytes were looked at before.

        Raises `BrokenLineError`.
        """
        parts, values = self.parts(rows)
        if not values:
            return parts
        value = iter(values)
        return [_filled(one, next(value), one.mark) if one.is_open else one for one in parts]

    def parts(self, rows: list[bytes]) -> tuple[list[Field], list[bytes]]:
        """Return the same, but open fields for lines that are not remembered, and apart the values of these, in order.

        An open one is of a name of which it does not matter to the head what the value is, or is how long the body is.
        Raises `BrokenLineError`.
        """
        known, read = self._remembered.known.get, self._read
        values: list[bytes] = []
        return [known(row) or read(row, values) for row in rows], values

    def _read(self, row: bytes, values: list[bytes]) -> Field:
        written, _, rest = row.partition(b":")
        known = self._names.known.get(written)
        name = known or self._name(written)
        if rest[-1:] != b"\r":
            raise BrokenLineError
        value, mark = rest[:-1].strip(b" \t"), name.mark
        if mark:
            mark = self._mark(mark, value)
            if mark not in self._open or (mark == AUTHORIZATION and value == _SCHEME):
                return self._kept(row, _filled(name, value, mark))
        elif known and known.is_lasting and not self._seen_once.is_new(hash(row)):
            return self._kept(row, _filled(name, value, 0))
        values.append(value)
        return name

    def _kept(self, row: bytes, field: Field) -> Field:
        if field.is_lasting and len(row) <= _MAX_REMEMBERED_LINE:
            self._remembered.keep(row, field)
        return field

    def _mark(self, mark: int, value: bytes) -> int:
        """Return what a line of a special name is, by its value: bytes, since a Kelvin sign is a `k` in lower case."""
        if mark == CONNECTION:
            return _WISHES.get(value.lower(), CONNECTION)
        if mark == CODING:
            return CHUNKED if value.lower() == b"chunked" else CODING
        if mark == LENGTH and self._length_shape.fullmatch(value) is None:
            return INVALID
        if mark == HOST and HOST_SHAPE.fullmatch(value) is None:
            return INVALID
        return mark

    def _name(self, written: bytes) -> Field:
        if _NAME.fullmatch(written) is None:
            raise BrokenLineError
        text = written.decode("ascii")
        lower = text.lower()
        mark, told = _SPECIAL.get(lower, _ORDINARY)
        is_passed, may_stop = self._passing(text)
        # What stops by where the credential stood may be one, whatever its name says.
        is_lasting = not may_stop and lower not in _PASSING and not speaks_of_secret(lower)
        known = Field(text, "", written + b": ", mark, is_passed, may_stop, is_lasting, told, is_open=True)
        self._names.keep(written, known)
        return known


def _filled(name: Field, value: bytes, mark: int) -> Field:
    """Return the field of a name and a value."""
    is_lasting = name.is_lasting or (mark == AUTHORIZATION and value == _SCHEME)
    return Field(
        name.name, value.decode("utf-8", "surrogateescape"), name.line + value + CRLF, mark, name.is_passed,
        name.may_stop, is_lasting, name.told,
    )  # fmt: skip


def _weight_of_line(row: bytes) -> int:
    """Return about how many bytes a line takes up with what was read of it."""
    return 4 * len(row) + _LINE_OVERHEAD_BYTES


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


def written(lines: Sequence[Line]) -> bytes:
    """Return header lines as they are written. Raises `ValueError` for one that would make two."""
    text = "".join([f"{name}: {value}\r\n" for name, value in lines])
    if text.count("\r\n") != len(lines) or text.count("\n") != len(lines):
        raise ValueError("a header holds a line break")  # response splitting: the parsers already refuse these
    return text.encode("utf-8", "surrogateescape")

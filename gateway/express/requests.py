"""Requests' heads of the common shape, read strictly. What is not of that shape is `None`: the reference path takes it.

A head that this grammar reads has one reading only, and a test holds that aiohttp's parser (llhttp) reads the same.
Source: RFC 9112 sections 2, 3 and 6, RFC 6750 section 2.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.express.lines import (
    AUTHORIZATION,
    CLOSES,
    CONNECTION,
    HOST,
    HOST_TOLD,
    LENGTH,
    MAX_HEADERS,
    STAYS,
    TRACE_TOLD,
    USER_AGENT_TOLD,
    BrokenLineError,
    Lines,
    Passing,
    count,
    rows_of,
)
from gateway.express.shapes import Shapes, without_request_id
from gateway.policy.credentials import MAX_TOKEN_BYTES, TOKEN_CHARACTERS
from gateway.policy.model import Headers, RequestHead
from gateway.proxy.sender import MAX_HOST_CHARACTERS, shown_user_agent, trace_id_of

_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_START = re.compile(rf"({'|'.join(_METHODS)}) (/[\x21-\x7e]*) HTTP/1\.1(?=\r\n)".encode())
# How the line of the token begins behind its first letter, and that letter with the end of the line before.
_BEARER = b"uthorization: Bearer "
_BEGINNINGS = (b"\r\nA", b"\r\na")
_COMMON = frozenset(HOST + token + stays for token in (0, AUTHORIZATION) for stays in (0, STAYS))


@dataclass(slots=True)
class _Shape:
    """What a head says, apart from its first line and its token. Nobody writes to it.

    `before` and `behind` are the lines that are passed on, as written; the line of a token that was cut out belongs
    between them, if `passes_token`. `bearer` is `RequestHead.bearer`, where no token was cut out. `may_stop`: some of
    these lines go on or not by where the credential stood.
    """

    bearer: str | None
    length_bytes: int
    keeps_alive: bool
    before: bytes
    behind: bytes
    passes_token: bool
    may_stop: bool
    host: str
    user_agent: str
    trace_id: str | None


@dataclass(slots=True)
class RequestRead(RequestHead):
    """A request's head; its body's length, 0 without one; its lines that are passed on, as written.

    `may_stop`: some of these, besides Authorization, hold what may be another credential.
    """

    length_bytes: int = 0
    keeps_alive: bool = True
    kept: bytes = field(default=b"", repr=False)
    may_stop: bool = False
    # For the log: bounded already.
    host: str = ""
    user_agent: str = ""
    trace_id: str | None = None

    @property
    def wants_websocket(self) -> bool:
        """False: a head with `Upgrade` is of another shape."""
        return False


class _ReadHeaders(Headers):
    """The headers of a head that was read, taken apart when somebody asks."""

    __slots__ = ("_head",)

    def __init__(self, head: bytes) -> None:
        self._head, self._by_name = head, None

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """Every line, in the order they came."""
        found = (row.partition(":") for row in self._head.decode("ascii").split("\r\n")[1:-1])
        return tuple([(name, value.strip(" \t")) for name, _, value in found])


class Requests:
    """Reads heads of requests. `passing` says of a header's name whether it goes on to upstreams."""

    def __init__(self, passing: Passing) -> None:
        self._lines = Lines(passing)
        self._shapes: Shapes[_Shape] = Shapes()
        self._shapes_with_token: Shapes[_Shape] = Shapes()

    def read(self, head: bytes, client_ip: str) -> RequestRead | None:
        """Return what a head says, given up to the end of its last line; None if it is of another shape."""
        start = _START.match(head)
        if start is None:
            return None
        method, target = start.groups()
        # Without its first line and its token most heads are the same, and may be remembered.
        rest = head[start.end() :]
        at = rest.find(_BEARER)
        token, line = None, b""
        if at > 0 and rest[at - 3 : at] in _BEGINNINGS:
            begin, end = at + len(_BEARER), rest.find(b"\r", at)
            written = rest[begin:end]
            if written and len(written) <= MAX_TOKEN_BYTES and not written.translate(None, TOKEN_CHARACTERS):
                token, line = written.decode("ascii"), rest[at - 1 : end + 2]
                rest = rest[: begin - 1] + rest[end:]
        rest = without_request_id(rest)
        shapes = self._shapes if token is None else self._shapes_with_token
        shape = shapes.known.get(rest)
        if shape is None:
            shape = self._read(rest, shapes, has_token=token is not None)
            if shape is None:
                return None
        kept = shape.before + line + shape.behind if shape.passes_token else shape.before + shape.behind
        return RequestRead(
            method.decode("ascii"), target.decode("ascii"), _ReadHeaders(head), client_ip, "http",
            token or shape.bearer, shape.length_bytes, shape.keeps_alive, kept, shape.may_stop,
            shape.host, shape.user_agent, shape.trace_id,
        )  # fmt: skip

    def _read(self, rest: bytes, shapes: Shapes[_Shape], *, has_token: bool) -> _Shape | None:
        """Read the lines of a head, from the end of its first one on."""
        rows = rows_of(rest[2:], _PRINTABLE, MAX_HEADERS - 1)  # one may have been cut out
        if not rows:
            return None
        try:
            fields = self._lines.fields(rows)
        except BrokenLineError:
            return None
        marks, is_lasting, may_stop, told = 0, True, False, ["", "", "", ""]
        for one in fields:
            marks += one.mark
            if one.told:
                told[one.told] = one.value
            if not one.is_lasting:
                is_lasting = False
            if one.may_stop and one.mark != AUTHORIZATION:
                may_stop = True
        length_bytes, keeps_alive = 0, True
        if marks not in _COMMON:
            if not _has_one_reading(marks):
                return None
            length_bytes = next((int(one.value) for one in fields if one.mark == LENGTH), 0)
            keeps_alive = not count(marks, CLOSES)
        before, behind, passes_token = fields, fields[:0], False
        if has_token:
            if count(marks, AUTHORIZATION) != 1:
                return None  # another one beside the token's
            at = next(at for at, one in enumerate(fields) if one.mark == AUTHORIZATION)
            before, behind, passes_token = fields[:at], fields[at + 1 :], fields[at].is_passed
        shape = _Shape(
            None if count(marks, AUTHORIZATION) else "",
            length_bytes,
            keeps_alive,
            b"".join([one.line for one in before if one.is_passed]),
            b"".join([one.line for one in behind if one.is_passed]),
            passes_token,
            may_stop,
            told[HOST_TOLD][:MAX_HOST_CHARACTERS],
            shown_user_agent(told[USER_AGENT_TOLD]),
            trace_id_of(told[TRACE_TOLD]) if told[TRACE_TOLD] else None,
        )
        if is_lasting:
            shapes.add(rest, shape)
        return shape


def _has_one_reading(marks: int) -> bool:
    """True if there is one host, and at most one length and one wish, and nothing that the other road has to read."""
    return (
        count(marks, HOST) == 1
        and count(marks, LENGTH) <= 1
        and count(marks, STAYS) + count(marks, CLOSES) <= 1
        and marks < CONNECTION
    )

"""Requests' heads as nearly all clients write them, read strictly. What is not of that kind is `None`: llhttp reads it.

A head that this grammar reads has one reading only, and a test holds that aiohttp's parser (llhttp) reads the same.
Source: RFC 9112 sections 2, 3 and 6, RFC 6750 section 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.http1.fields import FIELD_CHARACTERS, MAX_HEADERS, BrokenLineError, Lines, Passing, rows_of
from gateway.http1.forms import CHUNKED_LENGTH as CHUNKED_LENGTH
from gateway.http1.forms import Forms, Shape, Told, form_of
from gateway.http1.memory import Shapes, without_request_id
from gateway.policy.credentials import MAX_TOKEN_BYTES, TOKEN_CHARACTERS
from gateway.policy.model import Headers, RequestHead

ORDINARY_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# TRACE would show an attacker's page the headers that the gateway adds; CONNECT makes a proxy of us.
REFUSED_METHODS: Final = frozenset({"TRACE", "CONNECT"})
IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})  # RFC 9110 section 9.2.2
_START: Final = re.compile(rf"({'|'.join(ORDINARY_METHODS)}) (/[\x21-\x7e]*) HTTP/1\.1(?=\r\n)".encode())
# How the line of the token begins behind its first letter, and that letter with the end of the line before.
_NONE: Final = Headers(())
_BEARER: Final = b"uthorization: Bearer "
_BEGINNINGS: Final = (b"\r\nA", b"\r\na")


@dataclass(slots=True, init=False)
class RequestRead(RequestHead):
    """A request's head, read by either wire.

    `length_bytes` is its body's: 0 without one, `CHUNKED_LENGTH` for chunks. `forwarded` are its lines that go on, as
    written; None: they are still to be worked out. `has_cookie`: one of these, and no more, is Cookie. `may_stop`:
    some others, besides Authorization, hold what may be another credential. `is_fast`: our own grammar read it; then
    none of what follows is true.
    """

    length_bytes: int
    keeps_alive: bool
    forwarded: bytes | None = field(repr=False)
    may_stop: bool
    has_cookie: bool
    # For the log: bounded already.
    host: str
    user_agent: str
    trace_id: str | None
    forwarded_for: str = field(init=False)  # the `X-Forwarded-For` to send; empty: `client_ip`
    is_fast: bool = field(init=False)
    is_http_1_0: bool = field(init=False)
    expects_continue: bool = field(init=False)
    may_be_websocket: bool = field(init=False)  # it looks like it, to somebody
    is_websocket: bool = field(init=False)  # it is a handshake

    def __init__(
        self,
        method: str,
        target: str,
        headers: Headers,
        client_ip: str,
        scheme: str,
        bearer: str | None = None,
        length_bytes: int = 0,
        keeps_alive: bool = True,
        forwarded: bytes | None = b"",
        may_stop: bool = False,
        has_cookie: bool = False,
        host: str = "",
        user_agent: str = "",
        trace_id: str | None = None,
    ) -> None:
        self.method, self.target, self.headers = method, target, headers
        self.client_ip, self.scheme, self.bearer = client_ip, scheme, bearer
        self.length_bytes, self.keeps_alive, self.forwarded = length_bytes, keeps_alive, forwarded
        self.may_stop, self.has_cookie = may_stop, has_cookie
        self.host, self.user_agent, self.trace_id, self.forwarded_for = host, user_agent, trace_id, ""
        self.is_fast, self.is_http_1_0, self.expects_continue = True, False, False
        self.may_be_websocket = self.is_websocket = False

    @property
    def wants_websocket(self) -> bool:
        return self.may_be_websocket

    def forget(self, *, keeps_headers: bool = False) -> None:
        """Let go of what is sent, and may hold secrets: what is answered may last for hours."""
        self.forwarded, self.bearer = b"", None
        if not keeps_headers:
            self.headers, self.target = _NONE, ""


class _ReadHeaders(Headers):
    """The headers of a head that was read, taken apart when somebody asks for one that was not told while reading."""

    __slots__ = ("_head", "_told")

    def __init__(self, head: bytes, told: Told) -> None:
        self._head, self._told, self._by_name = head, told, None

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """Every line, in the order they came."""
        found = (row.partition(":") for row in self._head.decode("utf-8").split("\r\n")[1:-1])
        return tuple([(name, value.strip(" \t")) for name, _, value in found])

    @property
    def raw(self) -> bytes:
        """The lines as they came, each with its end before it."""
        return self._head[self._head.index(b"\r\n") : -2]

    def all(self, lower_name: str) -> Sequence[str]:
        """Return every value of a header; the name is given in lower case."""
        told = self._told.get(lower_name)
        return told if told is not None else super().all(lower_name)


class Requests:
    """Reads heads of requests. `passing` says of a header's name whether it goes on to upstreams."""

    def __init__(self, passing: Passing) -> None:
        self._lines = Lines(passing)
        self._shapes: Shapes[Shape] = Shapes()
        self._shapes_with_token: Shapes[Shape] = Shapes()
        self._forms = Forms()
        self._forms_with_token = Forms()

    def read(self, head: bytes, client_ip: str, scheme: str = "http") -> RequestRead | None:
        """Return what a head says, given up to the end of its last line; None if it is for llhttp to read."""
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
        forwarded = shape.before + line + shape.behind if shape.passes_token else shape.before + shape.behind
        return RequestRead(
            method.decode("ascii"), target.decode("ascii"), _ReadHeaders(head, shape.told), client_ip, scheme,
            token or shape.bearer, shape.length_bytes, shape.keeps_alive, forwarded, shape.may_stop, shape.has_cookie,
            shape.host, shape.user_agent, shape.trace_id,
        )  # fmt: skip

    def _read(self, rest: bytes, shapes: Shapes[Shape], *, has_token: bool) -> Shape | None:
        """Read the lines of a head, from the end of its first one on."""
        rows = rows_of(rest[2:], FIELD_CHARACTERS, MAX_HEADERS - 1)  # one may have been cut out
        if not rows or not _is_text(rest):
            return None
        try:
            parts, values = self._lines.parts(rows)
        except BrokenLineError:
            return None
        forms, key = self._forms_with_token if has_token else self._forms, tuple(parts)
        form = forms.known.get(key)
        if form is None:
            form = form_of(parts, has_token=has_token)
            if form is None:
                return None
            forms.add(key, form)
        shape = form.filled(values) if values else form.shape
        if form.is_lasting:
            shapes.add(rest, shape)
        return shape


def _is_text(head: bytes) -> bool:
    """True for UTF-8: other bytes are read in two ways (RFC 9110 section 5.5), and such a head is refused."""
    if head.isascii():
        return True
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

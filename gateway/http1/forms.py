"""What heads of requests are made of: the same lines in the same order, but for values that differ or may be secret.

A form is known by its lines, and by the names of those that are not remembered. The values of these are read anew with
each head, and nothing of them is kept here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.http1.fields import (
    AUTHORIZATION,
    CHUNKED,
    CLOSES,
    CONNECTION,
    COOKIE_TOLD,
    CRLF,
    HOST,
    HOST_TOLD,
    LENGTH,
    NAMES_TOLD,
    ORIGIN_TOLD,
    STAYS,
    TRACE_TOLD,
    USER_AGENT_TOLD,
    Field,
    count,
)
from gateway.http1.memory import LINE_BYTES, MAX_BYTES, OVERHEAD_BYTES
from gateway.policy.memory import Remembered
from gateway.policy.seen import SeenOnce
from gateway.record.sender import MAX_HOST_CHARACTERS, shown_user_agent, trace_id_of

CHUNKED_LENGTH: Final = -1  # of a body that comes in chunks
# What is asked for of pages' requests, so that nobody has to take their heads apart for it: values by names.
Told = Mapping[str, Sequence[str]]
_NAMES: Final = ("cookie", "origin", "access-control-request-method", "access-control-request-headers")
_NOTHING_TOLD: Final[Told] = dict.fromkeys(_NAMES, ())
_COUNT_TOLD: Final = NAMES_TOLD + 1
_COMMON: Final = frozenset(HOST + token + stays for token in (0, AUTHORIZATION) for stays in (0, STAYS))


@dataclass(slots=True, init=False)
class Shape:
    """What a head says, apart from its first line and its token. Nobody writes to it.

    `before` and `behind` are the lines that are forwarded, as written; the line of a token that was cut out belongs
    between them, if `passes_token`. `bearer` is `RequestHead.bearer`, where no token was cut out. `has_cookie` and
    `may_stop`: as of `RequestRead`. `told` are all values of some names, for each that is in it; a cookie's, too, where
    no token was cut out: such a shape is of one head, and not remembered.
    """

    bearer: str | None
    length_bytes: int
    keeps_alive: bool
    before: bytes = field(repr=False)
    behind: bytes = field(repr=False)
    passes_token: bool
    may_stop: bool
    has_cookie: bool
    told: Told = field(repr=False)
    host: str
    user_agent: str
    trace_id: str | None

    def __init__(
        self,
        bearer: str | None,
        length_bytes: int,
        keeps_alive: bool,
        before: bytes,
        behind: bytes,
        passes_token: bool,
        may_stop: bool,
        has_cookie: bool,
        told: Told,
        host: str,
        user_agent: str,
        trace_id: str | None,
    ) -> None:
        self.bearer, self.length_bytes, self.keeps_alive, self.told = bearer, length_bytes, keeps_alive, told
        self.before, self.behind, self.passes_token = before, behind, passes_token
        self.may_stop, self.has_cookie = may_stop, has_cookie
        self.host, self.user_agent, self.trace_id = host, user_agent, trace_id


@dataclass(slots=True, init=False)
class Form:
    """What is the same of heads of one form. Nobody writes to it.

    `shape` is what a head says if no line is open. `pieces` are the lines that go on, as written, with a gap for each
    open value; those from `token_at` on stand behind the token's line. `gaps` say into which piece goes which one of
    the values. The next ones say which value is the body's length, what the log is told, and the cookie; -1: none.
    `is_lasting`: a head of this form may be remembered whole.
    """

    shape: Shape
    pieces: list[bytes] = field(repr=False)
    token_at: int
    gaps: list[tuple[int, int]]
    length_at: int
    user_agent_at: int
    trace_at: int
    cookie_at: int
    is_lasting: bool

    def __init__(
        self,
        shape: Shape,
        pieces: list[bytes],
        token_at: int,
        gaps: list[tuple[int, int]],
        length_at: int,
        user_agent_at: int,
        trace_at: int,
        cookie_at: int,
        is_lasting: bool,
    ) -> None:
        self.shape, self.pieces, self.token_at, self.gaps = shape, pieces, token_at, gaps
        self.length_at, self.user_agent_at, self.trace_at = length_at, user_agent_at, trace_at
        self.cookie_at, self.is_lasting = cookie_at, is_lasting

    def filled(self, values: list[bytes]) -> Shape:
        """Return what a head of this form says, by the values of its open lines in their order."""
        same, pieces, at = self.shape, self.pieces.copy(), self.token_at
        for piece, value in self.gaps:
            pieces[piece] = values[value]
        length_bytes, user_agent, trace_id, told = same.length_bytes, same.user_agent, same.trace_id, same.told
        if self.length_at >= 0:
            length_bytes = int(values[self.length_at])
        if self.user_agent_at >= 0:
            user_agent = shown_user_agent(values[self.user_agent_at].decode("utf-8"))
        if self.trace_at >= 0:
            trace_id = trace_id_of(values[self.trace_at].decode("utf-8"))
        if self.cookie_at >= 0:
            told = {**told, "cookie": (values[self.cookie_at].decode("utf-8"),)}
        return Shape(
            same.bearer, length_bytes, same.keeps_alive, b"".join(pieces[:at]), b"".join(pieces[at:]),
            same.passes_token, same.may_stop, same.has_cookie, told, same.host, user_agent, trace_id,
        )  # fmt: skip


class Forms(Remembered[tuple[Field, ...], Form]):
    """Forms of heads, bounded in bytes. One is kept when it comes a second time."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(max_bytes, _weight_of_form)
        self._seen_once = SeenOnce()

    def add(self, parts: tuple[Field, ...], form: Form) -> None:
        """Keep a form, if it has come before."""
        if not self._seen_once.is_new(hash(parts)):
            self.keep(parts, form)


def _weight_of_form(parts: tuple[Field, ...]) -> int:
    """Return about how many bytes a form takes up with its lines, which may be kept by nobody else any more."""
    return OVERHEAD_BYTES + sum([LINE_BYTES + 4 * len(one.line) for one in parts])


def form_of(parts: list[Field], *, has_token: bool) -> Form | None:
    """Return the form of a head of these lines; None if it is for llhttp to read.

    `has_token`: a token was cut out of the value of one.
    """
    marks = sum([one.mark for one in parts])
    is_common = marks in _COMMON
    if not is_common and not _has_one_reading(marks):
        return None
    tokens = count(marks, AUTHORIZATION)
    if has_token and tokens != 1:
        return None  # another one beside the token's
    log, log_at = [""] * _COUNT_TOLD, [-1] * _COUNT_TOLD  # of several the log has the last one
    told, is_lasting, cookies, may_stop = _NOTHING_TOLD, True, 0, False
    pieces: list[bytes] = []
    gaps: list[tuple[int, int]] = []
    values, length_at, written, token_at, passes_token = 0, -1, b"", -1, False
    for one in parts:
        if one.told:
            log[one.told], log_at[one.told] = one.value, values if one.is_open else -1
            if one.told >= ORIGIN_TOLD:
                told = _told_with(told, one)
        if not one.is_lasting:
            is_lasting = False
        if one.mark == LENGTH:
            length_at = values
        elif has_token and one.mark == AUTHORIZATION:
            pieces.append(written)
            written, token_at, passes_token = b"", len(pieces), one.is_passed
            continue
        if one.may_stop and one.mark != AUTHORIZATION:
            cookies += one.told == COOKIE_TOLD
            may_stop = may_stop or one.told != COOKIE_TOLD
        if one.is_open:
            if one.is_passed:
                pieces += (written + one.line, b"")
                gaps += ((len(pieces) - 1, values),)
                written = CRLF
            values += 1
        elif one.is_passed:
            written += one.line
    pieces.append(written)
    if token_at < 0:
        token_at = len(pieces)
    told = {**told, "host": (log[HOST_TOLD],)}
    if not tokens:
        told["authorization"] = ()
    if log_at[COOKIE_TOLD] >= 0:
        del told["cookie"]  # it is told with each head, if at all
    shape = Shape(
        None if tokens else "",
        0 if is_common or not count(marks, CHUNKED) else CHUNKED_LENGTH,
        is_common or not count(marks, CLOSES),
        b"".join(pieces[:token_at]),
        b"".join(pieces[token_at:]),
        passes_token,
        may_stop or cookies > 1,
        cookies == 1,
        told,
        log[HOST_TOLD][:MAX_HOST_CHARACTERS],
        shown_user_agent(log[USER_AGENT_TOLD]) if log[USER_AGENT_TOLD] else "",
        trace_id_of(log[TRACE_TOLD]) if log[TRACE_TOLD] else None,
    )
    cookie_at = -1 if has_token or cookies != 1 else log_at[COOKIE_TOLD]
    return Form(
        shape, pieces, token_at, gaps, length_at, log_at[USER_AGENT_TOLD], log_at[TRACE_TOLD], cookie_at, is_lasting
    )


def _told_with(told: Told, one: Field) -> Told:
    """Return what is told with one more line; nothing more of its name, if there is one that is open."""
    name = one.name.lower()
    if one.is_open or name not in told:
        return {other: values for other, values in told.items() if other != name}
    return {**told, name: (*told[name], one.value)}


def _has_one_reading(marks: int) -> bool:
    """True if there is one host, and at most one framing and one wish, and nothing that llhttp has to read."""
    return (
        count(marks, HOST) == 1
        and count(marks, LENGTH) + count(marks, CHUNKED) <= 1
        and count(marks, STAYS) + count(marks, CLOSES) <= 1
        and marks < CONNECTION
    )

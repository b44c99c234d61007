"""What became of one request: filled in along the way, recorded once at its end as a log line and metrics."""

from __future__ import annotations

import time
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _text
from typing import Any, Final, Literal, get_args

from gateway.policy.decision import Allow, Deny
from gateway.policy.denied import Denied
from gateway.policy.mastra_routes import Way
from gateway.policy.model import Principal
from gateway.policy.reasons import Reason
from gateway.policy.upstreams import Upstream

Level = Literal["info", "warning", "error"]
# The last three: a stream that the gateway ended, by time or because its caller counts no more.
Ended = Literal[
    "complete", "refused", "client_gone", "upstream_cut", "shut_down", "failed", "expired", "too_long", "revoked"
]

Own = Literal["pin", "look_up", "close"]
Wire = Literal["fast", "aiohttp"]  # who read the request's head: our own grammar, or aiohttp's parser

WAYS: Final[tuple[Own, ...]] = get_args(Own)
WIRES: Final[tuple[Wire, ...]] = get_args(Wire)
ENDINGS: Final[tuple[Ended, ...]] = get_args(Ended)
BY_OURSELVES: Final = frozenset({"expired", "too_long", "revoked"})
_MAX_FIELD_CHARACTERS: Final = 256
_FAILED_STATUS: Final = 500
_OF_UPSTREAMS: Final = frozenset({Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_BROKEN, Reason.UPSTREAM_TIMEOUT})


class Outcome:
    """One request's record. Times are seconds of `time.perf_counter`; None means that it did not come to that."""

    # Defaults of the class: a request sets few of these, and one is made for each.
    decided_at: float | None = None
    first_byte_at: float | None = None
    host: str = ""
    user_agent: str = ""
    trace_id: str | None = None
    route: str | None = None
    upstream: Upstream | None = None
    provider: str | None = None
    subject: str | None = None
    kind: str | None = None  # of the caller: human, service or agent
    credential: str | None = None  # by which it is known: token, session or key
    decision: Literal["allow", "deny", "none"] = "none"
    code: str | None = None
    would_deny: str | None = None
    rule: str | None = None
    detail: str | None = None
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    is_websocket: bool = False
    is_stream: bool = False
    ended: Ended = "complete"
    wire: Wire = "fast"
    own: Own | None = None  # how its caller was kept to what is their own; None: nothing there has an owner
    lookups_asked: int = 0  # how often the upstream was asked whose a thing is
    lookups_kept: int = 0  # how often that was known from before
    principal: Principal | None = None  # the caller, until the end
    is_own: bool = False  # the gateway itself answers
    has_passed: bool = False  # with an audit: it is written, and the request goes on
    asked_by: str | None = None  # the engine that sends it on; None: we do
    over_at: float | None = None
    ended_at: float = 0.0  # Unix seconds

    def __init__(self, request_id: str, method: str, path: str, client_ip: str, began_at: float | None = None) -> None:
        self.request_id = request_id
        self.method = method
        self.path = path
        self.client_ip = client_ip
        self.began_at = time.perf_counter() if began_at is None else began_at

    @property
    def level(self) -> Level:
        """How bad it is: an error is the gateway's or an upstream's, a warning most often the caller's."""
        if self.code == "shutting_down":
            return "warning"  # each deployment has some
        if self.ended in ("upstream_cut", "failed") or (self.code is not None and self.status >= _FAILED_STATUS):
            return "error"
        is_odd = self.code is not None or self.would_deny is not None or self.status >= _FAILED_STATUS
        is_odd = is_odd or self.ended == "revoked"
        return "warning" if is_odd else "info"

    def note_end(self) -> None:
        """It is over."""
        self.over_at, self.ended_at = time.perf_counter(), time.time()

    def note_decision(self) -> None:
        """The decision stands."""
        self.decided_at = time.perf_counter()

    def note_allow(self, allow: Allow) -> None:
        """The request may pass, and as whom."""
        self.decision, self.route, self.upstream = "allow", allow.route.key, allow.route.upstream
        principal, would = allow.principal, allow.would_deny
        self.principal = principal
        if principal is not None:
            self.provider, self.subject, self.kind = principal.provider, principal.subject, principal.kind
            self.credential = principal.credential
        if would is not None:
            self.would_deny, self.detail, self.rule = would.reason.code, would.detail, would.rule
            self.provider = self.provider or would.provider

    def note_way(self, way: Way) -> None:
        """The caller is kept to what is their own, and how."""
        self.own = None if way == "none" else way

    def note_own(self, allow: Allow) -> None:
        """The gateway answers by itself, and whom."""
        self.decision, self.route, self.is_own = "allow", allow.route.key, True
        if allow.principal is not None:
            self._note_caller(allow.principal)

    def note_deny(self, deny: Deny) -> None:
        """The gateway answers by itself, and why; also when the upstream failed after the request was allowed."""
        self.code, self.detail, self.ended = deny.reason.code, deny.detail, "refused"
        if self.upstream is not None and deny.reason in _OF_UPSTREAMS:
            self.detail = f"upstream {self.upstream.name} at {self.upstream.url}: {deny.detail}"
        self.rule = deny.rule or self.rule  # of what would have been refused, and then met no upstream
        if self.decision != "allow":
            self.decision = "deny"
        if deny.route is not None:
            self.route = deny.route.key
        self.provider = self.provider or deny.provider
        if deny.principal is not None:
            self._note_caller(deny.principal)

    def _note_caller(self, principal: Principal) -> None:
        self.provider, self.subject, self.kind = principal.provider, principal.subject, principal.kind
        self.principal = principal
        self.credential = principal.credential

    def note_cut(self, problem: Denied, ended: Ended | None) -> None:
        """What was answered breaks off, and why; an end of ours by time or by revocation is no refusal."""
        is_clients = problem.reason.status < _FAILED_STATUS  # an upload that breaks, or is too slow or too large
        self.ended = ended or ("client_gone" if is_clients else "upstream_cut")
        self.detail = problem.detail
        self.code = None if ended is None or ended in BY_OURSELVES else problem.reason.code

    def note_first_byte(self) -> None:
        """The upstream's response has begun."""
        self.first_byte_at = time.perf_counter()


@lru_cache(maxsize=8)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def utc(moment: float) -> str:
    """Return Unix seconds as the log writes them."""
    return _utc(int(moment))


def log_line(outcome: Outcome, subject_hash: str | None) -> str:
    """Return `log_fields` as JSON, put together by hand: a quarter of the time that `json` takes."""
    o, began_at = outcome, outcome.began_at
    detail = None if o.detail is None else o.detail[:_MAX_FIELD_CHARACTERS]
    upstream = None if o.upstream is None else o.upstream.name
    said = _where(o.route, upstream, o.provider, o.kind, o.credential)
    if subject_hash is not None:
        said += f', "subject": {_text(subject_hash)}'
    said += _said(o.decision, o.code, o.would_deny, o.rule, detail)
    if o.own is not None:
        said += f', "own": "{o.own}"'
    sender = _sender(o.host, o.user_agent)
    if o.trace_id is not None:
        sender += f', "trace_id": "{o.trace_id}"'
    if o.asked_by is not None:
        sender += f', "asked_by": "{o.asked_by}"'
    # Most lines are of this level, and need no look at the others.
    is_plain = o.code is None and o.would_deny is None and o.status < _FAILED_STATUS and o.ended == "complete"
    level = "info" if is_plain else o.level
    method, path = _text(o.method[:_MAX_FIELD_CHARACTERS]), _text(o.path[:_MAX_FIELD_CHARACTERS])
    ending = '"websocket": true, "ended"' if o.is_websocket else '"ended"'
    if o.decided_at is not None and o.first_byte_at is not None and o.over_at is not None:
        # By `%`, which writes numbers in half the time that an f-string takes.
        return _LINE % (
            utc(o.ended_at), level, o.request_id, _text(o.client_ip), method, path, sender, said, o.status,
            (o.decided_at - began_at) * 1000, (o.first_byte_at - began_at) * 1000, (o.over_at - began_at) * 1000,
            o.bytes_in, o.bytes_out, ending, o.ended,
        )  # fmt: skip
    if o.decided_at is not None and o.first_byte_at is None and o.over_at is not None:
        times = _TIMES_OF_REFUSAL % ((o.decided_at - began_at) * 1000, (o.over_at - began_at) * 1000)
    else:
        moments = (("decision_ms", o.decided_at), ("first_byte_ms", o.first_byte_at), ("total_ms", o.over_at))
        times = "".join([f', "{name}": {(at - began_at) * 1000:.3f}' for name, at in moments if at is not None])
    return _SHORTER_LINE % (
        utc(o.ended_at), level, o.request_id, _text(o.client_ip), method, path, sender, said, o.status, times,
        o.bytes_in, o.bytes_out, ending, o.ended,
    )  # fmt: skip


_START: Final = (
    '{"time": "%s", "level": "%s", "request_id": "%s", "client_ip": %s, "method": %s, "path": %s%s%s, "status": %d'
)
_END: Final = ', "bytes_in": %d, "bytes_out": %d, %s: "%s"}'
_LINE: Final = _START + ', "decision_ms": %.3f, "first_byte_ms": %.3f, "total_ms": %.3f' + _END
_SHORTER_LINE: Final = _START + "%s" + _END
_TIMES_OF_REFUSAL: Final = ', "decision_ms": %.3f, "total_ms": %.3f'


@lru_cache(maxsize=1024)
def _sender(host: str, user_agent: str) -> str:
    """Return the part of a line that says who sent it."""
    fields = {"host": host, "user_agent": user_agent}
    return "".join([f', "{name}": {_text(value)}' for name, value in fields.items() if value])


@lru_cache(maxsize=1024)
def _where(
    route: str | None, upstream: str | None, provider: str | None, kind: str | None, credential: str | None
) -> str:
    """Return the part of a line that says where a request was meant to go, and who vouches for what kind of caller."""
    return _members(
        {"route": route, "upstream": upstream, "provider": provider, "kind": kind, "credential": credential}
    )


@lru_cache(maxsize=1024)  # without the caller, of whom there may be many more
def _said(decision: str, code: str | None, would_deny: str | None, rule: str | None, detail: str | None) -> str:
    """Return the part of a line that says what the caller was told."""
    return _members({"decision": decision, "code": code, "would_deny": would_deny, "rule": rule, "detail": detail})


def _members(fields: dict[str, str | None]) -> str:
    return "".join([f', "{name}": {_text(value)}' for name, value in fields.items() if value is not None])


def log_fields(outcome: Outcome, subject_hash: str | None) -> dict[str, Any]:
    """Return what the log says of one request: never a token, a cookie, a query or a subject in the clear."""
    fields = {
        "time": utc(outcome.ended_at),
        "level": outcome.level,
        "request_id": outcome.request_id,
        "client_ip": outcome.client_ip,
        "method": _bounded(outcome.method),
        "path": _bounded(outcome.path),
        "host": outcome.host or None,
        "user_agent": outcome.user_agent or None,
        "trace_id": outcome.trace_id,
        "asked_by": outcome.asked_by,
        "route": outcome.route,
        "upstream": None if outcome.upstream is None else outcome.upstream.name,
        "provider": outcome.provider,
        "kind": outcome.kind,
        "credential": outcome.credential,
        "subject": subject_hash,
        "decision": outcome.decision,
        "code": outcome.code,
        "would_deny": outcome.would_deny,
        "rule": outcome.rule,
        "detail": _bounded(outcome.detail),
        "own": outcome.own,
        "status": outcome.status,
        "decision_ms": _milliseconds(outcome.began_at, outcome.decided_at),
        "first_byte_ms": _milliseconds(outcome.began_at, outcome.first_byte_at),
        "total_ms": _milliseconds(outcome.began_at, outcome.over_at),
        "bytes_in": outcome.bytes_in,
        "bytes_out": outcome.bytes_out,
        "websocket": outcome.is_websocket or None,
        "ended": outcome.ended,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _bounded(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_FIELD_CHARACTERS]


def _milliseconds(began_at: float, at: float | None) -> float | None:
    return None if at is None else round((at - began_at) * 1000, 3)

"""What became of one request: filled in along the way, recorded once at its end as a log line and metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gateway.policy.decision import Allow, Deny
from gateway.policy.model import Principal

Ended = Literal["complete", "refused", "client_gone", "upstream_cut", "shut_down", "failed"]

ENDINGS: tuple[Ended, ...] = get_args(Ended)
_MAX_FIELD_CHARACTERS = 256


@dataclass(slots=True)
class Outcome:
    """One request's record. Times are seconds of `time.perf_counter`; None means that it did not come to that."""

    request_id: str
    method: str
    path: str
    client_ip: str
    began_at: float = field(default_factory=time.perf_counter)
    decided_at: float | None = None
    first_byte_at: float | None = None
    route: str | None = None
    provider: str | None = None
    subject: str | None = None
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

    def note_decision(self) -> None:
        """The decision stands."""
        self.decided_at = time.perf_counter()

    def note_allow(self, allow: Allow) -> None:
        """The request may pass, and as whom."""
        self.decision, self.route = "allow", allow.route.key
        self._note_principal(allow.principal)
        would = allow.would_deny
        if would is not None:
            self.would_deny, self.detail, self.rule = would.reason.code, would.detail, would.rule
            self.provider = self.provider or would.provider

    def note_deny(self, deny: Deny) -> None:
        """The gateway answers by itself, and why; also when the upstream failed after the request was allowed."""
        self.code, self.detail, self.ended = deny.reason.code, deny.detail, "refused"
        self.rule = deny.rule or self.rule  # of what would have been refused, and then met no upstream
        if self.decision != "allow":
            self.decision = "deny"
        if deny.route is not None:
            self.route = deny.route.key
        self.provider = self.provider or deny.provider
        self._note_principal(deny.principal)

    def _note_principal(self, principal: Principal | None) -> None:
        if principal is not None:
            self.provider, self.subject = principal.provider, principal.subject

    def note_first_byte(self) -> None:
        """The upstream's answer has begun."""
        self.first_byte_at = time.perf_counter()


def log_fields(outcome: Outcome, subject_hash: str | None) -> dict[str, Any]:
    """Return what the log says of one request: never a token, a cookie, a query or a subject in the clear."""
    now = time.perf_counter()
    fields = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "request_id": outcome.request_id,
        "client_ip": outcome.client_ip,
        "method": _bounded(outcome.method),
        "path": _bounded(outcome.path),
        "route": outcome.route,
        "provider": outcome.provider,
        "subject": subject_hash,
        "decision": outcome.decision,
        "code": outcome.code,
        "would_deny": outcome.would_deny,
        "rule": outcome.rule,
        "detail": _bounded(outcome.detail),
        "status": outcome.status,
        "decision_ms": _milliseconds(outcome.began_at, outcome.decided_at),
        "first_byte_ms": _milliseconds(outcome.began_at, outcome.first_byte_at),
        "total_ms": _milliseconds(outcome.began_at, now),
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

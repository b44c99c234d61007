"""What became of one request: filled in along the way, recorded once at its end as a log line and metrics."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import time
from dataclasses import dataclass, field
from typing import Literal

from gateway.policy.decision import Allow, Deny
from gateway.policy.model import Principal

Ended = Literal["complete", "refused", "client_gone", "upstream_cut", "shut_down", "failed"]

_log = logging.getLogger("gateway.access")
_MAX_FIELD_CHARACTERS = 256
_SUBJECT_KEY = secrets.token_bytes(32)  # of this process: subjects can be told apart in its log, not looked up


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
    detail: str | None = None
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    is_websocket: bool = False
    ended: Ended = "complete"

    def note_decision(self) -> None:
        """The decision stands."""
        self.decided_at = time.perf_counter()

    def note_allow(self, allow: Allow) -> None:
        """The request may pass, and as whom."""
        self.decision, self.route = "allow", allow.route.key
        self._note_principal(allow.principal)
        if allow.would_deny is not None:
            self.would_deny, self.detail = allow.would_deny.reason.code, allow.would_deny.detail

    def note_deny(self, deny: Deny) -> None:
        """The gateway answers by itself, and why; also when the upstream failed after the request was allowed."""
        self.code, self.detail, self.ended = deny.reason.code, deny.detail, "refused"
        if self.decision != "allow":
            self.decision = "deny"
        if deny.route is not None:
            self.route = deny.route.key
        self._note_principal(deny.principal)

    def _note_principal(self, principal: Principal | None) -> None:
        if principal is not None:
            self.provider, self.subject = principal.provider, principal.subject

    def note_first_byte(self) -> None:
        """The upstream's answer has begun."""
        self.first_byte_at = time.perf_counter()


def write_line(outcome: Outcome) -> None:
    """Log one request as one JSON line: never a token, a cookie, a query or a subject in the clear."""
    if not _log.isEnabledFor(logging.INFO):
        return
    now = time.perf_counter()
    fields = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "request_id": outcome.request_id,
        "client_ip": outcome.client_ip,
        "method": _bounded(outcome.method),
        "path": _bounded(outcome.path),
        "route": outcome.route,
        "provider": outcome.provider,
        "subject": _hashed(outcome.subject),
        "decision": outcome.decision,
        "code": outcome.code,
        "would_deny": outcome.would_deny,
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
    _log.info(json.dumps({name: value for name, value in fields.items() if value is not None}))


def _bounded(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_FIELD_CHARACTERS]


def _hashed(subject: str | None) -> str | None:
    if subject is None:
        return None
    return hmac.new(_SUBJECT_KEY, subject.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]


def _milliseconds(began_at: float, at: float | None) -> float | None:
    return None if at is None else round((at - began_at) * 1000, 3)

"""One line of the audit: who did what, judged by which file. Bounded, and no token, cookie, query or body in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from json import dumps
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from gateway.config.model import Audit, AuditEvent, Config
from gateway.policy.claims import claim_or_fact
from gateway.policy.denied import Denied
from gateway.policy.model import Principal
from gateway.policy.routes import Policy
from gateway.record.outcome import Outcome, utc

MAX_CHARACTERS: Final = 256  # of one field
MAX_PATH_CHARACTERS: Final = 1024
_MAX_MEMBERS: Final = 16  # of a claim that is a list
# A JWS or JWE, and the key of a machine: somebody pasted it where it does not belong.
_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_.-]*|gwk_[A-Za-z0-9_.-]*")


class _Path(str):
    """A path: longer than other fields may be."""


HashSubject = Callable[[str | None], str | None]


class AuditLines:
    """Makes the lines of one configuration."""

    def __init__(self, config: Config, audit: Audit, hash_subject: HashSubject) -> None:
        self._audit, self._policy, self._digest, self._hash = audit, config.policy, config.digest, hash_subject

    def line(self, event: AuditEvent, outcome: Outcome, now: float) -> bytes:
        """Return a line with its line feed. `now` is Unix seconds."""
        path, captures = _where(self._policy, outcome)
        fields: dict[str, Any] = {
            "time": _moment(now),
            "event": event,
            "request_id": outcome.request_id,
            "client_ip": outcome.client_ip,
            "method": outcome.method,
            "path": _Path(path),
            "route": outcome.route,
            "captures": captures,
            "upstream": None if outcome.upstream is None else outcome.upstream.name,
            "provider": outcome.provider,
            **self._caller(outcome.principal),
            "rule": outcome.rule,
            "code": outcome.code if event == "deny" else None,
            "status": outcome.status if event == "deny" else None,
            "would_deny": outcome.would_deny,
            "own": outcome.own,
            "asked_by": outcome.asked_by,
            "trace_id": outcome.trace_id,
            "configuration": self._digest,
        }
        members = [f'"{name}": {_json(value)}' for name, value in fields.items() if value not in (None, {})]
        return f"{{{', '.join(members)}}}\n".encode("ascii")

    def _caller(self, principal: Principal | None) -> dict[str, Any]:
        if principal is None:
            return {}
        claims = {name: claim_or_fact(principal, name) for name in self._audit.claims}
        return {
            "issuer": principal.issuer,
            **self._named("subject", principal.subject),
            "kind": principal.kind,
            **self._named("actor", principal.actor),
            "credential": principal.credential,
            "claims": {name: value for name, value in claims.items() if value is not None},
        }

    def _named(self, name: str, subject: str | None) -> dict[str, Any]:
        """Return how somebody is called; the digest as well where the name is cut, so that two stay two."""
        if self._audit.is_hashed:
            return {f"{name}_hash": self._hash(subject)}
        is_cut = subject is not None and len(subject) > MAX_CHARACTERS
        return {name: subject, f"{name}_hash": self._hash(subject) if is_cut else None}


def _where(policy: Policy, outcome: Outcome) -> tuple[str, Mapping[str, str]]:
    """Return the canonical path that was judged, and what its route captured; of a path without a reading, as it came.

    Where a path leads is remembered, so that this is one look.
    """
    try:
        path, _, match = policy.find(outcome.path, outcome.method)
    except Denied:
        return outcome.path, {}
    return path.text, match.captures


def _moment(now: float) -> str:
    return f"{utc(now)[:-1]}.{int(now % 1 * 1000):03d}Z"


def _json(value: Any) -> str:
    """Return a field as JSON of ASCII characters that can be printed, bounded."""
    if type(value) is str:  # most are
        return _text(value)
    if isinstance(value, str):
        return _text(value, MAX_PATH_CHARACTERS if isinstance(value, _Path) else MAX_CHARACTERS)
    if isinstance(value, bool) or value is None:
        return dumps(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join([_text(_flat(one)) for one in value[:_MAX_MEMBERS]])}]"
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return f"{{{', '.join([f'{_text(name)}: {_member(one)}' for name, one in value.items()])}}}"
    written = _flat(value)
    return written if isinstance(value, (int, float)) and len(written) <= MAX_CHARACTERS else _text(written)


def _member(value: Any) -> str:
    """Return one claim or capture: what has parts of its own is told as text."""
    return _text(_flat(value)) if isinstance(value, Mapping) else _json(value)


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return dumps(value, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return "(a value that is no JSON)"


def _text(text: str, bound: int = MAX_CHARACTERS) -> str:
    if "eyJ" in text or "gwk_" in text:
        text = _TOKEN.sub("(token)", text[: 2 * bound])
    written = encode_basestring_ascii(text[:bound])
    return written.replace("\x7f", "\\u007f") if "\x7f" in written else written

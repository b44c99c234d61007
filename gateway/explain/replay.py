"""A log asked again: what another file would make of requests that were served.

The log holds no token and no claims, so what depends on them is told only where it cannot come out differently:
rules are three-valued, and here every fact about the caller is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from gateway.config.model import Config
from gateway.policy.denied import Denied
from gateway.policy.expressions import Facts
from gateway.policy.mastra_roles import MastraPermission
from gateway.policy.model import Headers, Principal, RequestHead
from gateway.policy.paths import Path, split_target
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.routes import Match, Route
from gateway.policy.rules import (
    AddressIn,
    AllOf,
    AnyOf,
    Authenticated,
    HasAny,
    MethodIs,
    Named,
    Not,
    PathUnder,
    Rule,
    Unenforced,
    When,
    evaluate,
)
from gateway.policy.words import words_of

ALLOW, UNKNOWN = "allow", "unknown"
_NEEDS_TOKEN = "a token is needed"  # noqa: S105  # words, not a token
_MAX_PATH = 256  # the log cuts longer ones
_UNDECIDED = HasAny("roles", frozenset())  # of a principal without roles it cannot be decided
_OF_TOKENS = frozenset(one.code for one in Reason if one.status == 401 and one is not Reason.LOGIN_TOO_OLD)


@dataclass(frozen=True, slots=True)
class Logged:
    """What one line of the log says of a request."""

    method: str
    path: str
    client_ip: str
    provider: str | None
    code: str | None
    outcome: str  # `allow`, or the code


@dataclass(frozen=True, slots=True)
class Change:
    """What two files decide differently, and of how many requests. `unknown`: the log cannot tell, and rules differ."""

    old: str
    new: str
    example: str
    count: int = 1


def read_log(lines: Iterable[str]) -> tuple[list[Logged], int]:
    """Return the requests of a log, and how many of its lines are none (other events, no JSON, a cut path)."""
    found: list[Logged] = []
    skipped = 0
    for line in lines:
        logged = _read_line(line)
        if logged is None:
            skipped += 1
        else:
            found.append(logged)
    return found, skipped


def replay(requests: Iterable[Logged], old: Config, new: Config) -> tuple[list[Change], int]:
    """Return what changes between two files, most requests first, and how many requests were asked."""
    changes: dict[tuple[str, str, str, str], Change] = {}
    asked = 0
    for request in requests:
        asked += 1
        before, after = _verdict(request, old), _verdict(request, new)
        if before.words == after.words and (before.words != UNKNOWN or before.guard == after.guard):
            continue
        was = request.outcome if before.words == UNKNOWN else before.words  # the log knows what became of it
        if was == after.words:
            continue
        key = was, after.words, before.route, after.route
        known = changes.get(key)
        example = f"{request.method} {request.path}"
        changes[key] = (
            replace(known, count=known.count + 1)
            if known is not None
            else Change(f"{was} ({before.route})", f"{after.words} ({after.route})", example)
        )
    return sorted(changes.values(), key=lambda change: -change.count), asked


@dataclass(frozen=True, slots=True)
class _Verdict:
    words: str
    route: str
    guard: str  # what decides where the words are `unknown`


def _read_line(line: str) -> Logged | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("path"), str) or "decision" not in said:
        return None
    path, method = said["path"], said.get("method")
    if not path.startswith("/") or len(path) >= _MAX_PATH or not isinstance(method, str):
        return None
    provider, refused, would = (
        value if isinstance(value := said.get(name), str) else None for name in ("provider", "code", "would_deny")
    )
    outcome = "allow" if said["decision"] == "allow" else refused or "deny"
    return Logged(method, path, str(said.get("client_ip")), provider, refused or would, outcome)


def _verdict(request: Logged, config: Config) -> _Verdict:
    head = RequestHead(request.method, request.path, Headers([]), request.client_ip, "http")
    try:
        path, _ = split_target(request.path)
        match = config.policy.match(path, request.method)
    except Denied as no:
        return _Verdict(no.reason.code, "no route", "")
    route = match.route
    if route.public and (not route.providers or request.provider is None):
        return _Verdict(ALLOW, route.key, "")
    words = _guarded(request, head, path, match)
    if words != ALLOW and not route.enforce:
        words = f"{ALLOW} (would be {words})"
    return _Verdict(words, route.key, _guard_of(route))


def _guarded(request: Logged, head: RequestHead, path: Path, match: Match) -> str:
    route = match.route
    if request.code in _OF_TOKENS:
        return request.code  # a token that was refused is refused again
    if request.provider is None:
        return _NEEDS_TOKEN  # on a public route nobody looked at one
    if request.provider not in (provider.name for provider in route.providers):
        return Reason.ISSUER_MISMATCH.code
    if route.public:
        return ALLOW
    nobody = Principal(request.provider, "", None, {})
    facts = Facts(nobody, head, path, match.captures, 0.0)
    denying = [evaluate(_blind(rule), facts, unenforced=False) for rule in route.deny]
    allowing = [evaluate(_blind(rule), facts, unenforced=True) for rule in route.allow]
    if True in denying:
        return Reason.DENIED_BY_RULE.code
    if not any(verdict is None for verdict in denying) and True in allowing:
        return ALLOW
    if all(verdict is False for verdict in allowing):
        return Reason.ACCESS_DENIED.code
    return UNKNOWN


def _blind(rule: Rule) -> Rule:
    """Return the rule with every condition about the caller replaced by one that cannot be decided."""
    match rule:
        case AllOf(rules):
            return AllOf(tuple(map(_blind, rules)))
        case AnyOf(rules):
            return AnyOf(tuple(map(_blind, rules)))
        case Not(inner):
            return Not(_blind(inner))
        case Unenforced(inner):
            return Unenforced(_blind(inner))
        case Named(name, inner):
            return Named(name, _blind(inner))
        case Authenticated() | MethodIs() | PathUnder() | AddressIn() | MastraPermission():
            return rule
        case When(expression) if expression.names <= {"request.method", "request.path", "request.ip"}:
            return rule
        case _:
            return _UNDECIDED


def _guard_of(route: Route) -> str:
    """Return in words everything that decides about a caller whose claims are not known."""
    providers = [_shape_of(provider) for provider in route.providers]
    rules = [f"{role} {words_of(rule)}" for role in ("allow", "deny") for rule in getattr(route, role)]
    return "; ".join([*providers, *rules])


def _shape_of(provider: Provider) -> str:
    """Return what a provider asks of tokens; not its secrets, whose order and number may change in a rotation."""
    shown = {field.name: getattr(provider, field.name) for field in fields(provider) if field.name != "secrets"}
    return repr({name: sorted(value) if isinstance(value, frozenset) else value for name, value in shown.items()})

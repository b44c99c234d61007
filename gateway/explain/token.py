"""The checks of a token, each with what the token says and what its provider expects."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable

from gateway.explain.step import Step, shown
from gateway.policy.claim_names import read_claim
from gateway.policy.conditions import CONDITIONS, found_clients
from gateway.policy.denied import Denied
from gateway.policy.providers import Provider
from gateway.policy.resources import Resource, check_resource
from gateway.policy.token import Token
from gateway.policy.verify import CLAIM_CHECKS
from gateway.policy.words import listed

_OF_HEADER = frozenset({"typ", "cat"})
_DATES = frozenset({"exp", "nbf", "iat"})
_MAX_DATE = 253402300799  # the end of year 9999
_THOUSAND_YEARS_SECONDS = 1000 * 365.25 * 86400


def explain_claims(
    token: Token, provider: Provider, now: float, resource: Resource | None = None
) -> tuple[tuple[Step, ...], Denied | None]:
    """Return a step for each check that the provider and the route ask, and the first refusal. `now`: Unix seconds."""
    steps: list[Step] = []
    first: Denied | None = None
    for name, check in CLAIM_CHECKS.items():
        try:
            check(token, provider, now)
        except Denied as refusal:
            first = first or refusal
            steps.append(Step(name, "no", refusal.detail, EXPECTED[name](provider)))
            continue
        expected = EXPECTED[name](provider)
        if expected:
            steps.append(Step(name, "yes", _found(token, name, provider, now), expected))
    if resource is not None:
        expected = f"the route's own resource: {resource.identifier}"
        try:
            check_resource(token.claims, resource)
        except Denied as refusal:
            first = first or refusal
            steps.append(Step("resource", "no", refusal.detail, expected))
        else:
            steps.append(Step("resource", "yes", "aud holds it", expected))
    return tuple(steps), first


def moment(seconds: float, now: float) -> str:
    """Return a moment as a person reads it: `2026-11-21T05:00:00Z, in 42 s`. Both are Unix seconds."""
    return f"{moment_of(seconds)}, {span(seconds - now)}"


def moment_of(seconds: float) -> str:
    """Return Unix seconds as UTC, `2026-11-21T05:00:00Z`; a number that is no date of ours as it is."""
    if not 0 <= seconds <= _MAX_DATE:
        return f"{seconds:g}"
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """Return a length of time from now: `in 42 s`, `3 min ago`; beyond 1,000 years `long ago`."""
    length = abs(seconds)
    if length > _THOUSAND_YEARS_SECONDS:
        return "in the far future" if seconds > 0 else "long ago"
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if length >= 2 * size or unit == "s":
            amount = f"{length / size:.0f} {unit}"
            break
    return f"in {amount}" if seconds > 0 else f"{amount} ago"


def _found(token: Token, name: str, provider: Provider, now: float) -> str:
    if name in CONDITIONS:
        return _FOUND[name](token, provider)
    if name == "sub":
        return shown(read_claim(token.claims, provider.subject_claim))
    place = token.header if name in _OF_HEADER else token.claims
    if name not in place:
        return "absent"
    value = place[name]
    return moment(value, now) if name in _DATES else shown(value)


def _leeway(provider: Provider) -> str:
    return f" (leeway {provider.leeway_seconds:g} s)"


def _kinds(provider: Provider) -> str:
    names = [name for name, kind in provider.preset.categories.items() if not kind or kind in provider.clerk_kinds]
    return f"absent, or a {listed(sorted(provider.clerk_kinds))} token ({', '.join(names)})"


def _parties(provider: Provider) -> str:
    if not provider.preset.compares_azp or provider.authorized_parties is None:
        return ""
    optional = "" if provider.requires_authorized_party else ", or absent"
    return f"{listed(sorted(provider.authorized_parties))}{optional}"


def _expected_claims(provider: Provider) -> str:
    return ", ".join(f"{name} {listed(sorted(texts))}" for name, texts in provider.expected_claims)


def _lifetime(token: Token, provider: Provider) -> str:
    if "iat" not in token.claims:
        return "no iat: what is left counts"
    return f"{token.claims['exp'] - token.claims['iat']:.0f} s from iat to exp"


def _values(names: Iterable[str], token: Token) -> str:
    return ", ".join(f"{name} {shown(read_claim(token.claims, name))}" for name in names)


# What was found where a condition of the provider holds.
_FOUND: dict[str, Callable[[Token, Provider], str]] = {
    "client": lambda token, p: found_clients(token.claims, p),
    "lifetime": _lifetime,
    "required": lambda token, p: "all there",
    "expected": lambda token, p: _values([name for name, _ in p.expected_claims], token),
}
# What each check expects of a token, in words; empty where the provider does not ask.
EXPECTED: dict[str, Callable[[Provider], str]] = {
    "typ": lambda p: listed(["absent", *sorted(p.types)]),
    "iss": lambda p: "",
    "exp": lambda p: ("in the future" if p.requires_expiry else "in the future, or absent") + _leeway(p),
    "nbf": lambda p: "absent, or in the past" + _leeway(p),
    "iat": lambda p: "absent, or in the past" + _leeway(p),
    "aud": lambda p: listed(sorted(p.audiences)) if p.audiences is not None else "",
    "sub": lambda p: "a non-empty text or an integer" + (f" in {p.subject_claim}" if p.subject_claim != "sub" else ""),
    "jti": lambda p: "",
    "client_id": lambda p: "",
    "sid": lambda p: "",
    "cat": lambda p: _kinds(p) if p.preset.categories else "",
    "sts": lambda p: "not pending" if p.preset.refuses_pending else "",
    "azp": _parties,
    "cnf": lambda p: "",
    "act": lambda p: "",
    "client": lambda p: listed(sorted(p.clients or ())),
    "lifetime": lambda p: f"at most {p.max_lifetime_seconds:g} s" if p.max_lifetime_seconds is not None else "",
    "required": lambda p: listed(p.required_claims, "and"),
    "expected": _expected_claims,
}

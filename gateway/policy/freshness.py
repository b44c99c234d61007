"""How long ago a caller logged in, and how: `auth_time`, `acr` and `amr`, and Clerk's `fva`.

Source: OpenID Connect Core 1.0 section 2, RFC 8176 (`amr`), RFC 9470 section 6; Clerk, "Session tokens": `fva` holds,
for the first and the second factor, the minutes since it was verified when the token was made, and -1 for never.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gateway.policy.claim_values import strings
from gateway.policy.expressions import Facts
from gateway.policy.likeness import is_alike, some_alike

SECOND_FACTOR: Final = "mfa"  # RFC 8176 section 2: what a second factor of Clerk counts as, in `acr` and `amr`
_AHEAD_SECONDS: Final = 60.0  # how far the issuer's clock may be ahead; what is later is no login of the past
_NEVER: Final = -1.0


@dataclass(frozen=True, slots=True)
class Fresh:
    """The caller logged in at most `within_seconds` ago, in one of the classes `acr`, by one of the methods `amr`.

    Of these at least one is asked; None and empty: not.
    """

    within_seconds: float | None = None
    acr: tuple[str, ...] = ()
    amr: tuple[str, ...] = ()


class _Unreadable(Exception):
    """A claim of the wrong type: nobody knows what it says, and another login would not tell."""


def is_fresh(condition: Fresh, facts: Facts) -> bool | None:
    """Return whether a login is as fresh, and of the kind, that is asked for.

    None where the token does not say (a claim is missing), says it in another type, or almost.
    """
    try:
        verdicts = _verdicts(condition, facts)
    except _Unreadable:
        return None
    return False if False in verdicts else None if None in verdicts else True


def login_may_do(condition: Fresh, facts: Facts) -> bool | None:
    """Return True if the condition could hold after another login; None where none would change it."""
    if facts.principal.kind == "service":  # nobody is there to log in
        return None
    try:
        _verdicts(condition, facts)
    except _Unreadable:
        return None
    return True


def ages_of(claims: Mapping[str, Any], now: float) -> tuple[float | None, float | None]:
    """Return how long ago, in seconds, the caller logged in, and gave a second factor; None: the token says neither.

    Infinite: never. `now` is Unix seconds. Of several claims the oldest counts. Raises `ValueError` for other types.
    """
    try:
        return _ages(claims, now)
    except _Unreadable as problem:
        raise ValueError(str(problem)) from None


def _verdicts(condition: Fresh, facts: Facts) -> list[bool | None]:
    claims = facts.principal.claims
    return [_within(condition, claims, facts.now), _class(condition, claims), _methods(condition, claims)]


def _within(condition: Fresh, claims: Mapping[str, Any], now: float) -> bool | None:
    if condition.within_seconds is None:
        return True
    age, second = _ages(claims, now)
    if second is not None and SECOND_FACTOR in condition.acr + condition.amr:
        age = max(age or 0.0, second)  # what is asked for is the second factor, as fresh as the first
    if age is None or age < -_AHEAD_SECONDS:
        return None
    return age <= condition.within_seconds


def _class(condition: Fresh, claims: Mapping[str, Any]) -> bool | None:
    if not condition.acr:
        return True
    found = claims.get("acr")
    if found is None:
        return _by_second_factor(condition.acr, claims) if "acr" not in claims else _refuse("acr")
    if not isinstance(found, str):
        _refuse("acr")
    return found in condition.acr or (None if is_alike(found, condition.acr) else False)


def _methods(condition: Fresh, claims: Mapping[str, Any]) -> bool | None:
    if not condition.amr:
        return True
    if "amr" not in claims:
        return _by_second_factor(condition.amr, claims)
    found = strings(claims["amr"])
    if found is None:
        _refuse("amr")
    return not set(condition.amr).isdisjoint(found) or (None if some_alike(found, condition.amr) else False)


def _by_second_factor(wanted: tuple[str, ...], claims: Mapping[str, Any]) -> bool | None:
    """Return whether Clerk's second factor is what is wanted; None where the token says nothing of factors."""
    second = _ages(claims, 0.0)[1]
    return None if second is None else SECOND_FACTOR in wanted and not math.isinf(second)


def _ages(claims: Mapping[str, Any], now: float) -> tuple[float | None, float | None]:
    age = now - _number(claims["auth_time"], "auth_time") if "auth_time" in claims else None
    if "fva" not in claims:
        return age, None
    factors, issued = claims["fva"], _number(claims.get("iat"), "iat")
    if not isinstance(factors, list) or len(factors) != 2:
        _refuse("fva")
    first, second = (_minutes(minutes, now - issued) for minutes in factors)
    return (first if age is None else max(age, first)), second


def _minutes(written: object, since_issued_seconds: float) -> float:
    minutes = _number(written, "fva")
    if minutes == _NEVER:
        return math.inf
    return minutes * 60 + since_issued_seconds if minutes >= 0 else _refuse("fva")


def _number(written: object, name: str) -> float:
    if isinstance(written, bool) or not isinstance(written, (int, float)):
        _refuse(name)
    try:
        return float(written)
    except OverflowError:
        _refuse(name)


def _refuse(name: str) -> NoReturn:
    raise _Unreadable(name)

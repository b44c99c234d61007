"""Values of claims, in the ways that issuers write one thing: a text, a list of texts, several names of one fact."""

from __future__ import annotations

import math
from typing import Any, Final

from gateway.policy.claim_names import Claims
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason

# What a claim says as a list of names; None for one that cannot be read.
Reading = tuple[str, ...] | None
_MAX_SHOWN: Final = 100


def merged(several: list[Reading]) -> Reading:
    """Return what several names of one fact say together; None if there is none, or one cannot be read.

    `role` beside `roles` was once not looked at, so that `deny: {role: banned}` could be passed by.
    """
    known = [one for one in several if one is not None]
    if not known or len(known) < len(several):
        return None
    return tuple(dict.fromkeys(member for one in known for member in one))


def agreed(*values: object) -> str | None:
    """Return the one text that several names of a fact say; None where they disagree, say none, or are no texts."""
    found: str | None = None
    for value in values:
        if value is None or value == "":
            continue
        if not isinstance(value, str) or (found is not None and value != found):
            return None
        found = value
    return found


def strings(value: object) -> Reading:
    """Return an array of strings; None where it is something else, even in one member."""
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return tuple(value)
    return None


def spaced(value: object) -> Reading:
    """Return a text in its parts, as scopes are parted by spaces (RFC 8693 section 4.2), or an array of strings."""
    return tuple([part for part in value.split(" ") if part]) if isinstance(value, str) else strings(value)


def parts(text: str, separator: str) -> tuple[str, ...]:
    """Return what a separator parts, without the spaces around it; nothing between two separators is no part."""
    return tuple(part for part in [piece.strip(" ") for piece in text.split(separator)] if part)


def date_of(claims: Claims, name: str) -> float | None:
    """Return a NumericDate (RFC 7519 section 2): a JSON number, which a string or a boolean is not; None: not there.

    Unix seconds. Raises `Denied` (CLAIM_INVALID).
    """
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Denied(Reason.CLAIM_INVALID, f"{name} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Denied(Reason.CLAIM_INVALID, f"{name} is no date")
    return number


def shown_value(value: Any) -> str:
    """Return a client's value for the log: what it is, and no more of it than a line can bear."""
    if value is None:
        return "missing"
    return repr(value)[:_MAX_SHOWN] if isinstance(value, (str, list, int)) else type(value).__name__

"""Names of claims, read in one way wherever a file names one: literal, or a JSON Pointer when it begins with `/`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

Claims = Mapping[str, Any]


@lru_cache(maxsize=1024)  # names come from the file alone
def steps_of(name: str) -> tuple[str, ...]:
    """Return the way to a claim: one literal name, or the reference tokens of a JSON Pointer (RFC 6901)."""
    if not name.startswith("/"):
        return (name,)
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in name[1:].split("/"))


def claim_at(claims: Any, steps: tuple[str, ...]) -> tuple[bool, Any]:
    """Return whether a claim is there, and its value. A step is a member's name, or a number in an array."""
    value = claims
    for step in steps:
        if isinstance(value, list):
            if not (step.isascii() and step.isdigit() and len(step) <= 6 and int(step) < len(value)):
                return False, None
            value = value[int(step)]
        elif hasattr(value, "keys") and step in value:
            value = value[step]
        else:
            return False, None
    return True, value


def read_claim(claims: Claims, name: str) -> Any:
    """Return the value of the claim of a name; None where it is null or not there."""
    return claims.get(name) if name[:1] != "/" else claim_at(claims, steps_of(name))[1]


def has_claim(claims: Claims, name: str) -> bool:
    """True if the claim of a name is there, be it null."""
    return name in claims if name[:1] != "/" else claim_at(claims, steps_of(name))[0]

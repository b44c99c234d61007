"""Who calls: a person, a program of its own, or somebody for somebody else.

| kind | whose token it is |
| --- | --- |
| agent | it has `act` (RFC 8693 section 4.1), also where a person stands in for another |
| service | a key of a machine; the subject is a machine of Clerk; Auth0 or Entra mark it; the subject is the client |
| human | every other |

Source of the last sign of a service: RFC 9068 section 2.2, where no person is involved `sub` names the client.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from gateway.policy.claim_names import Claims, read_claim
from gateway.policy.claim_values import shown_value
from gateway.policy.denied import Denied
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason

CallerKind = Literal["human", "service", "agent"]

_MAX_ACTORS: Final = 8  # one behind the other: no honest chain comes near
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def caller_of(claims: Claims, subject: str, provider: Provider) -> tuple[CallerKind, str | None]:
    """Return the kind of a caller, and who acts for it: None where nobody does. Raises `Denied`, as `actor_of`."""
    actor = actor_of(claims)
    if actor is not None:
        return "agent", actor
    return ("service" if _is_service(claims, subject, provider) else "human"), None


def actor_of(claims: Claims) -> str | None:
    """Return the subject of the innermost `act`: who began; None where there is none.

    Raises `Denied` (CLAIM_INVALID) unless each `act` is an object with a subject that is a clean text, and they are at
    most eight: whoever cannot be named must not pass for nobody.
    """
    if "act" not in claims:
        return None
    place, act, actor = "act", claims["act"], ""
    for _ in range(_MAX_ACTORS):
        if not isinstance(act, dict):
            found = f"{place} is {shown_value(act)}"
            raise Denied(Reason.CLAIM_INVALID, f"{found}, expected an object (RFC 8693 section 4.1)")
        actor = _subject_of(act, place)
        if "act" not in act:
            return actor
        place, act = f"{place}.act", act["act"]
    raise Denied(Reason.CLAIM_INVALID, f"act is nested more than {_MAX_ACTORS} deep")


def _subject_of(act: dict[str, Any], place: str) -> str:
    subject = act.get("sub")
    if not isinstance(subject, str) or not subject.strip():
        raise Denied(Reason.CLAIM_INVALID, f"{place}.sub is {shown_value(subject)}, expected a text")
    if _CONTROL.search(subject):
        raise Denied(Reason.CLAIM_INVALID, f"{place}.sub holds a control character or half a character")
    return subject


def _is_service(claims: Claims, subject: str, provider: Provider) -> bool:
    preset, own = provider.preset, claims.get("sub")
    if provider.kind == "keys":
        return True
    if isinstance(own, str):
        if preset.machine_prefix and own.startswith(preset.machine_prefix):
            return True
        if preset.service_suffix and own.endswith(preset.service_suffix):
            return True
    for name, value in preset.service_marks:
        if claims.get(name) == value:
            return True
    for name in provider.client_claims:
        client = read_claim(claims, name)
        if isinstance(client, str) and client in (subject, own):
            return True
    return False

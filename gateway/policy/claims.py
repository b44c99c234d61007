"""Claims to principal: the names that issuers use, brought under one set of names that rules compare.

Clerk puts organizations into `o` (v2) or `org_*` (v1), Auth0 puts custom claims under URL names, scopes come
as a string or an array. After this module nobody needs to know.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.policy.callers import caller_of
from gateway.policy.claim_names import Claims, claim_at, read_claim, steps_of
from gateway.policy.claim_values import Reading, merged, parts, shown_value, spaced, strings
from gateway.policy.denied import Denied
from gateway.policy.emails import counted_email, email_claim, namespaced
from gateway.policy.model import Principal
from gateway.policy.organizations import organization_of
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason

_MAX_INTEGER: Final = 2**53 - 1
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def principal_of(claims: Claims, provider: Provider) -> Principal:
    """Return whom verified claims speak for.

    Raises `Denied` (CLAIM_INVALID) for a subject or an actor that is not one clean string, and for an `exp` beyond all
    numbers.
    """
    email_name = email_claim(claims, provider)
    email, domain = counted_email(claims, email_name, provider)
    organization, of_organization, permissions = organization_of(claims, provider)
    issuer, subject = claims.get("iss"), subject_of(claims, provider)
    kind, actor = caller_of(claims, subject, provider)
    roles = merged([*of_organization, *_readings(claims, provider.roles_claim, provider, "roles", "role")])
    return Principal(
        provider=provider.name,
        subject=subject,
        issuer=issuer if isinstance(issuer, str) else None,
        claims=claims,
        expires_at=_expiry(claims),
        email=email,
        email_domain=domain,
        email_name=email_name,
        organization=organization,
        client=client_of(claims, provider),
        roles=roles,
        groups=merged(_readings(claims, provider.groups_claim, provider, "groups", "group")),
        scopes=_scopes(claims, provider),
        permissions=_permissions(claims, permissions, provider),
        kind=kind,
        actor=actor,
        mastra_roles=roles if provider.mastra_role_claim is None else _mastra_roles(claims, provider),
    )


def subject_of(claims: Claims, provider: Provider) -> str:
    """Return the subject, an integer as its decimal text. Raises `Denied` (CLAIM_INVALID) for what is not a clean one.

    RFC 7519 section 4.1.2 asks for a string, and issuers that keep numbers write numbers. One that JSON's readers may
    round (RFC 7493 section 2.2) could be somebody else to the upstream; below zero stands for nobody in many programs.
    """
    subject = read_claim(claims, provider.subject_claim)
    if isinstance(subject, int) and not isinstance(subject, bool):
        if not 0 <= subject <= _MAX_INTEGER:
            found = f"{provider.subject_claim} is {shown_value(subject)}"
            raise Denied(Reason.CLAIM_INVALID, f"{found}, expected a text or an integer from 0 to {_MAX_INTEGER}")
        return str(subject)
    if not isinstance(subject, str) or not subject.strip():
        expected = "missing, empty or neither a string nor an integer"
        raise Denied(Reason.CLAIM_INVALID, f"{provider.subject_claim} is {expected}")
    if _CONTROL.search(subject) or not _is_unicode(subject):
        raise Denied(Reason.CLAIM_INVALID, f"{provider.subject_claim} holds a control character or half a character")
    return subject


def _expiry(claims: Claims) -> float | None:
    expiry = claims.get("exp")
    try:
        return float(expiry) if isinstance(expiry, (int, float)) else None
    except OverflowError:
        raise Denied(Reason.CLAIM_INVALID, "exp is no date") from None


def told_claim(principal: Principal, name: str) -> Any:
    """Return a claim as others may be told it: an email only as far as rules may read it; None for no value."""
    steps, email = steps_of(name), steps_of(principal.email_name)
    if steps == email:
        return principal.email
    if principal.email is None:
        shorter = min(len(steps), len(email))
        if steps[:shorter] == email[:shorter]:
            return None  # it is in there, or there is what it is made of
    return claim_at(principal.claims, steps)[1]


def claim_or_fact(principal: Principal, name: str) -> Any:
    """Return what goes by a claim's usual name, whatever its issuer calls it; else the claim, as `told_claim`."""
    match name:
        case "sub":
            return principal.subject
        case "email":
            return principal.email
        case "org":
            return principal.organization
        case "scope":
            return " ".join(principal.scopes) if principal.scopes is not None else None
        case "roles":
            return _list_or_none(principal.roles)
        case "groups":
            return _list_or_none(principal.groups)
        case "permissions":
            return _list_or_none(principal.permissions)
        case "client":
            return principal.client
        case "provider":
            return principal.provider
        case "kind":
            return principal.kind
        case "actor":
            return principal.actor
    return told_claim(principal, name)


def _list_or_none(members: tuple[str, ...] | None) -> list[str] | None:
    return list(members) if members is not None else None


def client_of(claims: Claims, provider: Provider) -> str | None:
    """Return the client's id; None where two names of it disagree. Clerk's azp is the origin of a page, no client."""
    found: str | None = None
    for name in provider.client_claims:
        value = read_claim(claims, name)
        if value is None or value == "":
            continue
        if name == "aud" and isinstance(value, list) and len(value) == 1:
            value = value[0]  # the same as the text alone: RFC 7519 section 4.1.3
        if not isinstance(value, str) or (found is not None and value != found):
            return None
        found = value
    return found


def _scopes(claims: Claims, provider: Provider) -> Reading:
    """RFC 8693 section 4.2: one string, parted by spaces; Azure and Okta write `scp`, also as an array."""
    names = ("scope", "scp") if provider.scopes_claim is None else (provider.scopes_claim,)
    values = [value for name in names if (value := read_claim(claims, name)) is not None]
    said = merged([spaced(value) for value in values])
    return None if said is None else tuple([part for part in said if part])


def _permissions(claims: Claims, of_organization: list[Reading], provider: Provider) -> Reading:
    if provider.permissions_claim is not None:
        return spaced(read_claim(claims, provider.permissions_claim))
    own = claims.get("permissions")
    return merged(of_organization if own is None else [*of_organization, spaced(own)])


def _readings(claims: Claims, chosen: str | None, provider: Provider, *names: str) -> list[Reading]:
    """Return what each name of a fact that is there says; None for one that cannot be read."""
    if chosen is not None:
        values = [read_claim(claims, chosen)]
    else:
        values = [claims.get(name) for name in names]
        found = namespaced(claims, *names) if provider.preset.has_namespaced_claims else []
        if len(found) > 1:
            return [None]  # of which application they are, nobody knows
        values += [claims[name] for name in found]
    return [_strings_or_one(value, provider) for value in values if value is not None and value != ""]


def _mastra_roles(claims: Claims, provider: Provider) -> Reading:
    return merged(_readings(claims, provider.mastra_role_claim, provider))


def _strings_or_one(value: object, provider: Provider) -> Reading:
    if not isinstance(value, str):
        return strings(value)
    return (value,) if provider.roles_separator is None else parts(value, provider.roles_separator)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8", "strict")
    except UnicodeEncodeError:
        return False
    return True

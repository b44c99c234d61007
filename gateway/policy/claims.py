"""Claims to principal: the names that issuers use, brought under one set of names that rules compare.

Clerk puts organizations into `o` (v2) or `org_*` (v1), Auth0 puts custom claims under URL names, scopes come
as a string or an array. After this module nobody needs to know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.policy.model import Principal
from gateway.policy.providers import Provider
from gateway.policy.reasons import Denied, Reason

Claims = Mapping[str, Any]

_LOCAL_PART_REFUSED = re.compile(r"[\x00-\x20\x7f\"',;:<>()\[\]{}\\]")
_DOMAIN_REFUSED = re.compile(r"[^A-Za-z0-9.-]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def principal_of(claims: Claims, provider: Provider) -> Principal:
    """Return whom verified claims speak for.

    Raises `Denied` (CLAIM_INVALID) for a subject that is not one clean string, and for an `exp` beyond all numbers.
    """
    email_name = email_claim(claims, provider)
    told_email = _email_to_tell(claims, email_name, provider)
    email, domain = read_email(told_email)
    organization, roles, permissions = (_clerk_organization if provider.kind == "clerk" else _organization)(claims)
    issuer = claims.get("iss")
    return Principal(
        provider=provider.name,
        subject=subject_of(claims, provider),
        issuer=issuer if isinstance(issuer, str) else None,
        claims=claims,
        expires_at=_expiry(claims),
        email=email,
        email_domain=domain,
        email_claim=told_email,
        organization=organization,
        client=_client(claims, provider),
        roles=_named(claims, provider.roles_claim, provider, "roles", "role") if roles is None else roles,
        groups=_named(claims, provider.groups_claim, provider, "groups", "group"),
        scopes=_scopes(claims),
        permissions=_strings(claims.get("permissions")) if permissions is None else permissions,
    )


def read_email(value: object) -> tuple[str, str] | tuple[None, None]:
    """Return an email and its domain in lower case, or two Nones for what no rule may compare.

    ASCII, exactly one `@` (CVE-2026-40574: `a@evil.com@example.com`), a local part without spaces, quotes,
    commas, brackets or control characters.
    """
    if not isinstance(value, str) or not value.isascii() or value.count("@") != 1:
        return None, None
    local, domain = value.split("@")
    if not local or not domain or _LOCAL_PART_REFUSED.search(local) or _DOMAIN_REFUSED.search(domain):
        return None, None
    return value, domain.lower()


def subject_of(claims: Claims, provider: Provider) -> str:
    """Return the subject. Raises `Denied` (CLAIM_INVALID) for one that is not one clean string."""
    subject = claims.get(provider.subject_claim)
    if not isinstance(subject, str) or not subject.strip():
        raise Denied(Reason.CLAIM_INVALID, f"{provider.subject_claim} is missing, empty or no string")
    if _CONTROL.search(subject) or not _is_unicode(subject):
        raise Denied(Reason.CLAIM_INVALID, f"{provider.subject_claim} holds a control character or half a character")
    return subject


def email_claim(claims: Claims, provider: Provider) -> str:
    """Return the name of the claim that holds the email."""
    if provider.email_claim is not None:
        return provider.email_claim
    if provider.kind == "auth0" and "email" not in claims:
        return _namespaced(claims, "email") or "email"
    return "email"


def _namespaced(claims: Claims, *names: str) -> str | None:
    """Return the one claim `https://.../NAME`, as Auth0 Actions write them; None if there are none or several."""
    found = [
        claim for claim in claims if claim.startswith(("https://", "http://")) and claim.rpartition("/")[2] in names
    ]
    return found[0] if len(found) == 1 else None


def verified_flags(claims: Claims, email_name: str) -> dict[str, object]:
    """Return what the claims say of whether the email in the claim `email_name` was verified, by name."""
    names = dict.fromkeys(("email_verified", f"{email_name}_verified"))
    return {name: claims[name] for name in names if name in claims}


def _is_email_verified(claims: Claims, email_name: str, provider: Provider) -> bool:
    """True if every `email_verified` that is there is the boolean true, and one is there where it is required."""
    flags = verified_flags(claims, email_name).values()
    return all(flag is True for flag in flags) and (bool(flags) or not provider.requires_verified_email)


def _expiry(claims: Claims) -> float | None:
    expiry = claims.get("exp")
    try:
        return float(expiry) if isinstance(expiry, (int, float)) else None
    except OverflowError:
        raise Denied(Reason.CLAIM_INVALID, "exp is no date") from None


def _email_to_tell(claims: Claims, email_name: str, provider: Provider) -> str | None:
    value = claims.get(email_name)
    return value if isinstance(value, str) and value and _is_email_verified(claims, email_name, provider) else None


def _client(claims: Claims, provider: Provider) -> str | None:
    # Clerk's azp is the origin of a page, not a client.
    names = ("client_id",) if provider.kind == "clerk" else ("azp", "client_id")
    for name in names:
        if isinstance(claims.get(name), str) and claims[name]:
            return str(claims[name])
    return None


def _scopes(claims: Claims) -> tuple[str, ...] | None:
    """RFC 8693 section 4.2: one string, parted by spaces; Azure and Okta write `scp`, also as an array."""
    if "scope" not in claims and "scp" not in claims:
        return None
    found: list[str] = []
    seen = False
    for name in ("scope", "scp"):
        value = claims.get(name)
        parts = tuple(value.split(" ")) if isinstance(value, str) else _strings(value)
        if parts is not None:
            seen = True
            found += [part for part in parts if part]
    return tuple(dict.fromkeys(found)) if seen else None


def _named(claims: Claims, chosen: str | None, provider: Provider, *names: str) -> tuple[str, ...] | None:
    if chosen is not None:
        return _strings_or_one(claims.get(chosen))
    for name in names:
        if name in claims:
            return _strings_or_one(claims[name])
    namespaced = _namespaced(claims, *names) if provider.kind == "auth0" else None
    return _strings_or_one(claims[namespaced]) if namespaced else None


Organization = tuple[str | None, tuple[str, ...] | None, tuple[str, ...] | None]


def _organization(claims: Claims) -> Organization:
    """Return the organization's id (`org_id`; names can change, ids cannot); roles and permissions are elsewhere."""
    identifier = claims.get("org_id")
    return (identifier if isinstance(identifier, str) and identifier else None), None, None


def _clerk_organization(claims: Claims) -> Organization:
    """Return organization id, roles and permissions of a Clerk session token, version 1 or 2.

    A role comes out as both `admin` and `org:admin`, a permission as `org:FEATURE:ACTION`, as Clerk's own SDKs
    name them. Source: Clerk, "Session tokens", version 2 claims.
    """
    compact = claims.get("o")
    if isinstance(compact, dict):
        identifier, role, permissions = compact.get("id"), compact.get("rol"), _clerk_permissions(claims, compact)
    else:
        identifier, role = claims.get("org_id"), claims.get("org_role")
        permissions = _strings(claims.get("org_permissions"))
    roles = None
    if isinstance(role, str) and role:
        bare = role.removeprefix("org:")
        roles = (bare, f"org:{bare}")
    return (identifier if isinstance(identifier, str) and identifier else None), roles, permissions


def _clerk_permissions(claims: Claims, compact: Claims) -> tuple[str, ...] | None:
    """Join features, permissions and the bit map: bit i of a feature's number in `fpm` grants the i-th of `per`.

    `fea: "o:posts,u:billing"`, `per: "read,manage"`, `fpm: "3"` means `org:posts:read` and `org:posts:manage`.
    """
    features, actions, grants = claims.get("fea"), compact.get("per"), compact.get("fpm")
    if not (isinstance(features, str) and isinstance(actions, str) and isinstance(grants, str)):
        return None
    # A scope may be joined (`uo:`): what is of the organization counts, and `fpm` has a number for each of these.
    scoped = [feature.strip().partition(":") for feature in features.split(",")]
    of_organization = [name for scope, _, name in scoped if "o" in scope and name]
    numbers = [number.strip() for number in grants.split(",")]
    names = [action.strip() for action in actions.split(",")]
    granted: list[str] = []
    for feature, number in zip(of_organization, numbers, strict=False):
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            continue
        bits = int(number)
        granted += [f"org:{feature}:{name}" for bit, name in enumerate(names) if name and bits >> bit & 1]
    return tuple(granted)


def _strings(value: object) -> tuple[str, ...] | None:
    """Return an array of strings; None where it is something else, even in one member."""
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return tuple(value)
    return None


def _strings_or_one(value: object) -> tuple[str, ...] | None:
    return (value,) if isinstance(value, str) and value else _strings(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8", "strict")
    except UnicodeEncodeError:
        return False
    return True

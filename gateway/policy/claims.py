"""Claims to principal: the names that issuers use, brought under one set of names that rules compare.

Clerk puts organizations into `o` (v2) or `org_*` (v1), Auth0 puts custom claims under URL names, scopes come
as a string or an array. After this module nobody needs to know.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.policy.claim_names import Claims, claim_at, has_claim, read_claim, steps_of
from gateway.policy.denied import Denied
from gateway.policy.model import Principal
from gateway.policy.providers import Preset, Provider
from gateway.policy.reasons import Reason

_LOCAL_PART_REFUSED: Final = re.compile(r"[\x00-\x20\x7f\"',;:<>()\[\]{}\\]")
# Canonical, or not compared: `evil.com.` and `.evil.com` are `evil.com` to some, and a `deny` must not miss them.
_DOMAIN: Final = re.compile(r"(?=.{1,253}\Z)(?:(?!-)[A-Za-z0-9-]{1,63}(?<!-)\.)*(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def principal_of(claims: Claims, provider: Provider) -> Principal:
    """Return whom verified claims speak for.

    Raises `Denied` (CLAIM_INVALID) for a subject that is not one clean string, and for an `exp` beyond all numbers.
    """
    email_name = email_claim(claims, provider)
    counts = _is_email_verified(claims, email_name, provider)
    email, domain = read_email(read_claim(claims, email_name)) if counts else (None, None)
    preset = provider.preset
    read_organization = _organization_and_role if preset.organization_role else _organization
    organization, roles, permissions = read_organization(claims, preset)
    issuer = claims.get("iss")
    return Principal(
        provider=provider.name,
        subject=subject_of(claims, provider),
        issuer=issuer if isinstance(issuer, str) else None,
        claims=claims,
        expires_at=_expiry(claims),
        email=email,
        email_domain=domain,
        email_name=email_name,
        organization=organization,
        client=_client(claims, provider),
        roles=_merged([*roles, *_readings(claims, provider.roles_claim, provider, "roles", "role")]),
        groups=_merged(_readings(claims, provider.groups_claim, provider, "groups", "group")),
        scopes=_scopes(claims),
        permissions=_strings(claims.get("permissions")) if permissions is None else permissions,
    )


def read_email(value: object) -> tuple[str, str] | tuple[None, None]:
    """Return an email and its domain in lower case, or two Nones for what no rule may compare.

    ASCII, exactly one `@` (CVE-2026-40574: `a@evil.com@example.com`), a local part without spaces, quotes,
    commas, brackets or control characters, a domain of whole labels without a closing dot (RFC 1034 section 3.5).
    """
    if not isinstance(value, str) or not value.isascii() or value.count("@") != 1:
        return None, None
    local, domain = value.split("@")
    if not local or _LOCAL_PART_REFUSED.search(local) or not _DOMAIN.fullmatch(domain):
        return None, None
    return value, domain.lower()


def subject_of(claims: Claims, provider: Provider) -> str:
    """Return the subject. Raises `Denied` (CLAIM_INVALID) for one that is not one clean string."""
    subject = read_claim(claims, provider.subject_claim)
    if not isinstance(subject, str) or not subject.strip():
        raise Denied(Reason.CLAIM_INVALID, f"{provider.subject_claim} is missing, empty or no string")
    if _CONTROL.search(subject) or not _is_unicode(subject):
        raise Denied(Reason.CLAIM_INVALID, f"{provider.subject_claim} holds a control character or half a character")
    return subject


def email_claim(claims: Claims, provider: Provider) -> str:
    """Return the name of the claim that holds the email."""
    if provider.email_claim is not None:
        return provider.email_claim
    if provider.preset.has_namespaced_claims and "email" not in claims:
        found = _namespaced(claims, "email")
        return found[0] if len(found) == 1 else "email"
    return "email"


def _namespaced(claims: Claims, *names: str) -> list[str]:
    """Return the claims `https://.../NAME`, as Auth0 Actions write them."""
    return [name for name in claims if name.startswith(("https://", "http://")) and name.rpartition("/")[2] in names]


def verified_flags(claims: Claims, email_name: str) -> dict[str, object]:
    """Return what the claims say of whether the email in the claim `email_name` was verified, by name."""
    names = dict.fromkeys(("email_verified", f"{email_name}_verified"))
    return {name: read_claim(claims, name) for name in names if has_claim(claims, name)}


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


def told_claim(principal: Principal, name: str) -> Any:
    """Return a claim as others may be told it: an email only as far as rules may read it; None for no value."""
    steps, email = steps_of(name), steps_of(principal.email_name)
    if steps == email:
        return principal.email
    if principal.email is None and steps == email[: len(steps)]:
        return None  # it is in there
    return claim_at(principal.claims, steps)[1]


def _client(claims: Claims, provider: Provider) -> str | None:
    """Return the client's id; None where two names of it disagree. Clerk's azp is the origin of a page, no client."""
    return _agreed(*(claims.get(name) for name in provider.preset.client_claims))


def _scopes(claims: Claims) -> tuple[str, ...] | None:
    """RFC 8693 section 4.2: one string, parted by spaces; Azure and Okta write `scp`, also as an array."""
    values = [claims[name] for name in ("scope", "scp") if claims.get(name) is not None]
    merged = _merged([tuple(value.split(" ")) if isinstance(value, str) else _strings(value) for value in values])
    return None if merged is None else tuple(part for part in merged if part)


Reading = tuple[str, ...] | None


def _readings(claims: Claims, chosen: str | None, provider: Provider, *names: str) -> list[Reading]:
    """Return what each name of a fact that is there says; None for one that cannot be read."""
    if chosen is not None:
        values = [read_claim(claims, chosen)]
    else:
        values = [claims.get(name) for name in names]
        namespaced = _namespaced(claims, *names) if provider.preset.has_namespaced_claims else []
        if len(namespaced) > 1:
            return [None]  # of which application they are, nobody knows
        values += [claims[name] for name in namespaced]
    return [_strings_or_one(value) for value in values if value is not None and value != ""]


def _merged(several: list[Reading]) -> Reading:
    """Return what several names of one fact say together; None if there is none, or one cannot be read.

    `role` beside `roles` was once not looked at, so that `deny: {role: banned}` could be passed by.
    """
    known = [one for one in several if one is not None]
    if not known or len(known) < len(several):
        return None
    return tuple(dict.fromkeys(member for one in known for member in one))


Organization = tuple[str | None, list[Reading], Reading]  # its id, roles and permissions


def _organization(claims: Claims, preset: Preset) -> Organization:
    """Return the organization's id (`org_id`; names can change, ids cannot); roles and permissions are elsewhere."""
    identifier = claims.get("org_id")
    return (identifier if isinstance(identifier, str) and identifier else None), [], None


def _organization_and_role(claims: Claims, preset: Preset) -> Organization:
    """Return organization id, roles and permissions of a Clerk session token, version 1 or 2.

    A role comes out as both `admin` and `org:admin`, a permission as `org:FEATURE:ACTION`, as Clerk's own SDKs
    name them. Source: Clerk, "Session tokens", version 2 claims.
    """
    compact = claims.get(preset.organization_object)
    if isinstance(compact, dict):
        permissions = _clerk_permissions(claims, compact)
    else:
        compact, permissions = {}, _strings(claims.get(preset.organization_permissions))
    said = (compact.get("rol"), claims.get(preset.organization_role))
    roles = [_clerk_role(role) for role in said if role is not None and role != ""]
    return _agreed(compact.get("id"), claims.get("org_id")), roles, permissions


def _clerk_role(role: object) -> Reading:
    if not isinstance(role, str):
        return None
    bare = role.removeprefix("org:")
    return bare, f"org:{bare}"


def _agreed(*values: object) -> str | None:
    """Return the one text that several names of a fact say; None where they disagree, or say none."""
    found = {value for value in values if isinstance(value, str) and value}
    return found.pop() if len(found) == 1 else None


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

"""The email of a token: which claim holds it, whether its issuer verified it, and whether rules may compare it."""

from __future__ import annotations

import re
from typing import Final

from gateway.policy.claim_names import Claims, has_claim, read_claim
from gateway.policy.providers import Provider

_LOCAL_PART_REFUSED: Final = re.compile(r"[\x00-\x20\x7f\"',;:<>()\[\]{}\\]")
# Canonical, or not compared: `evil.com.` and `.evil.com` are `evil.com` to some, and a `deny` must not miss them.
_DOMAIN: Final = re.compile(r"(?=.{1,253}\Z)(?:(?!-)[A-Za-z0-9-]{1,63}(?<!-)\.)*(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
# OpenID Connect Core 1.0 section 5.1; better-auth writes its record of the account as it is.
_VERIFIED_NAMES: Final = ("email_verified", "emailVerified")


def counted_email(claims: Claims, email_name: str, provider: Provider) -> tuple[str, str] | tuple[None, None]:
    """Return the email and its domain, or two Nones for one that rules may not compare, or that nobody verified."""
    is_said = False
    for name in verified_names(email_name, provider):
        if has_claim(claims, name):
            if read_claim(claims, name) is not True:
                return None, None
            is_said = True
    if provider.requires_verified_email and not is_said:
        return None, None
    return read_email(only_email(read_claim(claims, email_name)))


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


def only_email(value: object) -> object:
    """Return the one member of a list of one (`emails` of Azure AD B2C), or the value as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def email_claim(claims: Claims, provider: Provider) -> str:
    """Return the name of the claim that holds the email."""
    if provider.email_claim is not None:
        return provider.email_claim
    if provider.preset.has_namespaced_claims and "email" not in claims:
        found = namespaced(claims, "email")
        return found[0] if len(found) == 1 else "email"
    return "email"


def namespaced(claims: Claims, *names: str) -> list[str]:
    """Return the claims `https://.../NAME`, as Auth0 Actions write them."""
    return [name for name in claims if name.startswith(("https://", "http://")) and name.rpartition("/")[2] in names]


def verified_flags(claims: Claims, email_name: str, provider: Provider) -> dict[str, object]:
    """Return what the claims say of whether the email in the claim `email_name` was verified, by name.

    All that are there must be the boolean true: of two that differ, one is mistaken, and nobody knows which.
    """
    return {name: read_claim(claims, name) for name in verified_names(email_name, provider) if has_claim(claims, name)}


def verified_names(email_name: str, provider: Provider) -> tuple[str, ...]:
    """Return the names of the claims that say whether the email in the claim `email_name` was verified."""
    if provider.email_verified_claim is not None:
        return (provider.email_verified_claim,)
    if email_name == "email":
        return _VERIFIED_NAMES
    return (*_VERIFIED_NAMES, f"{email_name}_verified", f"{email_name}Verified")

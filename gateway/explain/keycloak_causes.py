"""Well-known causes of what is missing in tokens of Keycloak: it writes only what a mapper of the client says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.explain.step import shown
from gateway.policy.claim_names import has_claim
from gateway.policy.providers import Provider

_REALM_ROLES = "/realm_access/roles"
_LIGHTWEIGHT = (
    "a lightweight access token has only what mappers with `Add to lightweight access token` write: mark the mapper, "
    "or switch `Always use lightweight access token` off at the client (Advanced)"
)


def is_of_keycloak(claims: Mapping[str, Any]) -> bool:
    """True if a token looks like one of Keycloak."""
    issuer = claims.get("iss")
    return "realm_access" in claims or (isinstance(issuer, str) and "/realms/" in issuer)


def missing_audience(expected: str) -> str:
    """Return what to do where the audience is not the wanted one."""
    return f"add an audience mapper for {expected} to a client scope of the client"


def missing_subject() -> str:
    """Return what to do where there is no sub."""
    return f"Keycloak writes sub by the client scope `basic` (since version 25): give it to the client; {_LIGHTWEIGHT}."


def missing_email() -> str:
    """Return what to do where there is no email."""
    return f"Keycloak writes the email by the client scope `email`: give it to the client; {_LIGHTWEIGHT}."


def missing_roles(claims: Mapping[str, Any], provider: Provider) -> str:
    """Return what to do where no roles were found."""
    if provider.roles_claim is not None:
        return f"The token has no {provider.roles_claim}. In Keycloak {_LIGHTWEIGHT}."
    nested = _nested_roles(claims)
    if nested is not None:
        return f"Keycloak's roles stand deeper in the token: write `roles_claim: {nested}` on the provider."
    way = "Keycloak writes them by the client scope `roles`: give it to the client"
    return f"The token has no roles. {way}; {_LIGHTWEIGHT}."


def _nested_roles(claims: Mapping[str, Any]) -> str | None:
    if has_claim(claims, _REALM_ROLES):
        return _REALM_ROLES
    of_clients = claims.get("resource_access")
    if not isinstance(of_clients, dict):
        return None
    names = [name for name, access in of_clients.items() if isinstance(access, dict) and "roles" in access]
    own = [name for name in names if name != "account"] or names
    return f"/resource_access/{shown(own[0].replace('~', '~0').replace('/', '~1'))}/roles" if own else None

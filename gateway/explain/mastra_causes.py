"""Well-known causes of a rule in Mastra's words that does not hold: no role is found, or nobody knows the path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.explain.fact_causes import rules_of
from gateway.explain.findings import Findings
from gateway.explain.step import shown
from gateway.policy.decision import Deny
from gateway.policy.mastra_roles import ROLES, MastraPermission, MastraRole, greatest_role
from gateway.policy.mastra_routes import row_of
from gateway.policy.reasons import Reason
from gateway.policy.words import listed

_BY_RULE = (Reason.ACCESS_DENIED, Reason.DENIED_BY_RULE)
_MAX_DEEP = 3
_ROLES = listed(ROLES)


def _role_elsewhere(deny: Deny, found: Findings) -> str | None:
    """The token names one of Mastra's roles, and not where the provider's roles are; or none of them at all."""
    principal, provider = found.principal, found.provider
    if deny.reason not in _BY_RULE or principal is None or provider is None:
        return None
    if not any(isinstance(rule, MastraRole) for rule in rules_of(deny, found)):
        return None
    said = principal.mastra_roles
    if said is not None and greatest_role(said) is not None:
        return None
    place = next(_places(principal.claims, ""), None) if provider.kind != "keys" else None
    where = provider.mastra_role_claim or "the roles"
    if place is not None and place != provider.mastra_role_claim:
        return f"Mastra's role is not in {where}, but in {place}: write `mastra_role_claim: {place}` on the provider."
    near = next((name for name in said or () if name.strip().lower() in ROLES), None)
    if near is not None:
        return f"The token has {shown(near)}: Mastra's roles are written {_ROLES}, and capitals count."
    way = "" if provider.mastra_role_claim else ", or name the claim that says it with `mastra_role_claim`"
    return f"The token names none of Mastra's roles ({_ROLES}) in {where}: have the issuer write one there{way}."


def _places(claims: Any, way: str) -> Iterator[str]:
    """Yield where one of Mastra's roles stands, as `mastra_role_claim` names it."""
    for name, value in claims.items():
        members = value if isinstance(value, list) else [value]
        here = f"{way}/{name.replace('~', '~0').replace('/', '~1')}"
        if any(isinstance(member, str) and member in ROLES for member in members):
            yield here if way or name.startswith("/") else name
        elif isinstance(value, Mapping) and here.count("/") < _MAX_DEEP:
            yield from _places(value, here)


def _unknown_path(deny: Deny, found: Findings) -> str | None:
    """An owner of Mastra is refused as well where nobody knows what Mastra asks for."""
    if deny.reason not in _BY_RULE or found.path is None or row_of(found.head.method, found.path.segments) is not None:
        return None
    if not any(isinstance(rule, MastraRole | MastraPermission) for rule in rules_of(deny, found)):
        return None
    return (
        f"{found.head.method} {shown(found.path.text)} is none of the routes of Mastra that the gateway knows, so a "
        "rule with `mastra` lets nobody pass there: give it a route with a rule of another kind."
    )


CAUSES = (_unknown_path, _role_elsewhere)

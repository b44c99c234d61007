"""Well-known causes of a rule that finds no fact in the token: it stands there, but in another way."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.explain.findings import Findings
from gateway.explain.step import shown
from gateway.policy.claim_values import parts
from gateway.policy.decision import Deny
from gateway.policy.reasons import Reason
from gateway.policy.rules import Equals, HasAny, Rule, rules_within

# Where issuers write what rules call so: Entra and FusionAuth, Google, Kinde, Frontegg, Descope, Auth0 Actions.
_ONE_OF = {
    "organization": ("tid", "hd", "org_code", "tenantId", "tenant_id", "dct", "organization_id", "organization"),
    "client": ("applicationId", "clientId", "client"),
}
_BY_RULE = (Reason.ACCESS_DENIED, Reason.DENIED_BY_RULE)


def rules_of(deny: Deny, found: Findings) -> list[Rule]:
    """Return every rule within those that the refusal is about."""
    route = found.route
    if route is None:
        return []
    outer = route.deny if deny.reason is Reason.DENIED_BY_RULE else route.allow
    return [inner for rule in outer for inner in rules_within(rule)]


def named_alike(claims: Mapping[str, object], fact: str) -> str | None:
    """Return a claim of texts whose name ends as a fact is called: `cognito:groups`, `https://corp.example/roles`."""
    endings = tuple(mark + name for mark in ":/._-" for name in (fact, fact.removesuffix("s")))
    for name, value in claims.items():
        is_texts = isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))
        if name.endswith(endings) and not name.startswith("/") and is_texts and value:
            return name
    return None


def _in_one_text(deny: Deny, found: Findings) -> str | None:
    """`editor admin` is one role unless the provider says what parts them."""
    principal, provider = found.principal, found.provider
    if deny.reason not in _BY_RULE or principal is None or provider is None or provider.roles_separator is not None:
        return None
    for rule in [rule for rule in rules_of(deny, found) if isinstance(rule, HasAny)]:
        for name in getattr(principal, rule.fact) or ():
            mark = next((mark for mark in ",;| " if not rule.values.isdisjoint(parts(name, mark))), None)
            if mark is not None and name not in rule.values:
                said = f"The token's {rule.fact} hold one name, {shown(name)!r}"
                return f'{said}: if these are several, write `roles_separator: "{mark}"` on the provider.'
    return None


def _names_no_one(deny: Deny, found: Findings) -> str | None:
    """A rule asks for the organization, or the client, that the token does not say, or says under another name."""
    principal, provider = found.principal, found.provider
    if deny.reason not in _BY_RULE or principal is None or provider is None or provider.kind != "oidc":
        return None
    asked = [rule.fact for rule in rules_of(deny, found) if isinstance(rule, Equals) and rule.fact in _ONE_OF]
    fact = next((fact for fact in asked if getattr(principal, fact) is None), None)
    is_named = (
        provider.organization_claim
        if fact == "organization"
        else provider.client_claims != provider.preset.client_claims
    )
    if fact is None or is_named:
        return None
    there = [name for name in _ONE_OF[fact] if isinstance(principal.claims.get(name), str)]
    example = f", as `{fact}_claim: {there[0]}`" if there else ""
    return f"The token names no {fact} that is known by itself: name its claim by `{fact}_claim`{example}."


CAUSES = (_in_one_text, _names_no_one)

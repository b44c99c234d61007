"""Well-known causes of a refusal that is not the token's fault: rules, routes, pages of other origins."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from gateway.config.lint import asks_email
from gateway.explain.branches import MAX_BRANCHES, missed
from gateway.explain.fact_causes import named_alike, rules_of
from gateway.explain.findings import Findings
from gateway.explain.keycloak_causes import is_of_keycloak, missing_email, missing_roles
from gateway.explain.preset_causes import way_to_email, way_to_scopes, way_to_verified_email
from gateway.explain.rules import condition_step, unverified_flag
from gateway.explain.step import shown, type_of
from gateway.policy.claim_names import has_claim, read_claim
from gateway.policy.decision import Deny
from gateway.policy.emails import email_claim, verified_flags, verified_names
from gateway.policy.expressions import Facts
from gateway.policy.reasons import Reason
from gateway.policy.rules import EmailDomain, HasAll, HasAny
from gateway.policy.words import listed

_MAX_SCOPES = 12
_BY_RULE = (Reason.ACCESS_DENIED, Reason.DENIED_BY_RULE)


def _branches(deny: Deny, found: Findings) -> str | None:
    """Where several ways lead in, every one that the caller missed."""
    route, provider, principal = found.route, found.provider, found.principal
    if deny.reason not in (Reason.ACCESS_DENIED, Reason.INSUFFICIENT_SCOPE) or route is None or provider is None:
        return None
    if principal is None or found.path is None or found.match is None:
        return None
    facts = Facts(principal, found.head, found.path, found.match.captures, found.now)
    ways = missed(route.allow, facts, lambda rule: condition_step(rule, facts, provider))
    if len(ways) < 2:
        return None
    more = f"; and {len(ways) - MAX_BRANCHES} more" if len(ways) > MAX_BRANCHES else ""
    return f"Any one of these would do, the nearest first: {'; or '.join(ways[:MAX_BRANCHES])}{more}."


def _email_absent(deny: Deny, found: Findings) -> str | None:
    provider, principal = found.provider, found.principal
    if not _asks_email(deny, found) or provider is None or principal is None or principal.email is not None:
        return None
    if has_claim(principal.claims, email_claim(principal.claims, provider)):
        return None
    named = provider.email_claim
    match provider.kind:
        case "clerk":
            return (
                "Clerk's session tokens carry no email unless it is added: in Clerk's dashboard, Sessions, "
                f'Customize session token, add {{"{named or "email"}": "{{{{user.primary_email_address}}}}"}}; '
                "the next token has it."
            )
        case "auth0":
            way = "" if named else "; the gateway finds it by its last part, or name it with `email_claim`"
            name = named or "https://YOUR-DOMAIN/email"
            return (
                "Auth0's access tokens carry no email unless an Action adds one: in the Login flow, "
                f'api.accessToken.setCustomClaim("{name}", event.user.email){way}.'
            )
    if is_of_keycloak(principal.claims):
        return f"The token has no {named or 'email'}. {missing_email()}"
    own = way_to_email(principal.claims) if named is None else None
    if own is not None:
        return own
    way = "" if named else ", or name the claim with `email_claim` on the provider"
    return f"The token has no {named or 'email'}: have the issuer add it (for OpenID Connect: the scope email){way}."


def _email_not_verified(deny: Deny, found: Findings) -> str | None:
    principal, provider = found.principal, found.provider
    if not _asks_email(deny, found) or principal is None or provider is None or principal.email is not None:
        return None
    unverified = unverified_flag(principal, provider)
    if unverified is None:
        return None
    flag, said = unverified
    if said is False or said is None:
        return f"The token says that the email is not verified ({flag}): have the user confirm the address."
    another = "" if provider.email_verified_claim else ", or name another claim with `email_verified_claim`"
    return (
        f"The token's {flag} is the {type_of(said)} {shown(said)}, and only the boolean true counts: have the issuer "
        f"write `true` without quotes{another}."
    )


def _email_required_verified(deny: Deny, found: Findings) -> str | None:
    provider, principal = found.provider, found.principal
    if not _asks_email(deny, found) or provider is None or principal is None or principal.email is not None:
        return None
    name = email_claim(principal.claims, provider)
    if (
        not provider.requires_verified_email
        or not has_claim(principal.claims, name)
        or verified_flags(principal.claims, name, provider)
    ):
        return None
    own = way_to_verified_email(provider)
    if own is not None:
        return own
    names = listed(verified_names(name, provider))
    way = "" if provider.email_verified_claim else ", or name the claim that does with `email_verified_claim`"
    return (
        f"The token does not say that the email is verified ({names}), and `email_verified: required` on the provider "
        f"asks for it: have the issuer say so{way}."
    )


def _other_domain(deny: Deny, found: Findings) -> str | None:
    principal = found.principal
    if not _asks_email(deny, found) or principal is None or principal.email_domain is None:
        return None
    domain = principal.email_domain
    for rule in rules_of(deny, found):
        if isinstance(rule, EmailDomain) and not rule.include_subdomains:
            parent = next((name for name in rule.domains if domain.endswith("." + name)), None)
            if parent is not None:
                return f"{domain} is below {parent}: `include_subdomains: true` beside `email_domain` takes it in."
    return None


def _scopes(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.INSUFFICIENT_SCOPE or found.principal is None:
        return None
    own = way_to_scopes(found.principal.claims)
    if own is not None:
        return own
    has = found.principal.scopes or ()
    few = [shown(scope) for scope in has[:_MAX_SCOPES]] + (
        [f"{len(has) - _MAX_SCOPES} more"] * (len(has) > _MAX_SCOPES)
    )
    needs = listed(deny.missing_scopes, "and")
    return f"The rule needs the scopes {needs}, the token has {listed(few, 'and') or 'none'}: ask the issuer for them."


def _other_spelling(deny: Deny, found: Findings) -> str | None:
    """A role `Admin` is not `admin`."""
    principal = found.principal
    if deny.reason not in _BY_RULE or principal is None:
        return None
    for rule in rules_of(deny, found):
        if not isinstance(rule, HasAny | HasAll):
            continue
        has = getattr(principal, rule.fact) or ()
        folded = {name.lower(): name for name in rule.values}
        near = next((name for name in has if name.lower() in folded and name not in rule.values), None)
        if near is not None:
            return f"The token has {shown(near)}, the rule asks for {shown(folded[near.lower()])}: capitals count."
    return None


def _missing_fact(deny: Deny, found: Findings) -> str | None:
    principal, provider = found.principal, found.provider
    if deny.reason not in _BY_RULE or principal is None or provider is None:
        return None
    asked = dict.fromkeys(rule.fact for rule in rules_of(deny, found) if isinstance(rule, HasAny | HasAll))
    absent = [fact for fact in asked if getattr(principal, fact) is None]
    if not absent:
        return None
    left_out = principal.claims.get("_claim_names")
    is_named = isinstance(left_out, Mapping) and "groups" in left_out
    if "groups" in absent and (is_named or principal.claims.get("hasgroups")):
        return (
            "Entra left the groups out, since the user is in more than 200 (_claim_names or hasgroups stands in their "
            "place): assign app roles and ask for `role`, or let Entra write only groups that the application has."
        )
    if absent[0] in ("roles", "groups"):
        if provider.kind == "clerk":
            way = "in Clerk roles belong to organizations, so the session needs an active one"
            return f"The token has no {absent[0]}: {way}."
        if absent[0] == "roles" and is_of_keycloak(principal.claims):
            return missing_roles(principal.claims, provider)
    if provider.kind == "auth0" and absent[0] == "permissions":
        return (
            "The token has no permissions: in Auth0, on the API, switch on RBAC and Add Permissions in the "
            "Access Token."
        )
    named = getattr(provider, f"{absent[0]}_claim")
    other = None if named else named_alike(principal.claims, absent[0])
    if other is not None:
        return (
            f"The token has no {absent[0]}, but {shown(other)}: if these are meant, write `{absent[0]}_claim: "
            f"{shown(other)}` on the provider."
        )
    if has_claim(principal.claims, named or absent[0]):
        what = type_of(read_claim(principal.claims, named or absent[0]))
        return (
            f"The token's {named or absent[0]} is of type {what}, which names no {absent[0]}: "
            "have the issuer write a list of texts, or ask for what it holds by `claim` (a JSON Pointer) or `when`."
        )
    way = "" if named else f", or name the claim with `{absent[0]}_claim` on the provider"
    return f"The token has no {named or absent[0]}: have the issuer add them{way}."


def _undecided_deny(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.DENIED_BY_RULE or "cannot be decided" not in deny.detail:
        return None
    return (
        "A `deny` rule refuses also what it cannot decide: give every token the claim it is about, or write it as "
        "`when: has(claims.NAME) && claims.NAME == ...`."
    )


def _origin(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.ORIGIN_REFUSED:
        return None
    origin = found.head.headers.first("origin")
    if origin is None:
        return "The token is in a cookie and no Origin came along: send it in `Authorization: Bearer` from scripts."
    return f"The page {shown(origin)} is no origin that may send the cookie: add it to `origins` on the provider."


def _near_route(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.NO_ROUTE or found.path is None:
        return None
    prefixes = {"/" + "/".join(s for s in route.segments if isinstance(s, str)) for route in found.policy.routes}
    near = difflib.get_close_matches(found.path.text, prefixes, 1, 0.5)
    first = f"the nearest is {near[0]}" if near else f"they begin with {listed(sorted(prefixes)[:8])}"
    return f"No route covers {shown(found.path.text)}; {first}. There is no default: add a route, or correct the path."


def _websocket(deny: Deny, found: Findings) -> str | None:
    if deny.reason is not Reason.WEBSOCKET_REFUSED or found.route is None:
        return None
    return f"Write `websocket: true` on the route {found.route.key}, if WebSockets are meant to pass there."


def _asks_email(deny: Deny, found: Findings) -> bool:
    return deny.reason in _BY_RULE and asks_email(rules_of(deny, found))


CAUSES = (
    _branches,
    _other_spelling,
    _other_domain,
    _email_absent,
    _email_not_verified,
    _email_required_verified,
    _scopes,
    _missing_fact,
    _undecided_deny,
    _origin,
    _near_route,
    _websocket,
)

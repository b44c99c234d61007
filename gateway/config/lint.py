"""What a valid file probably does not mean. `gateway check` prints it, `serve` logs it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.config import provider_fields as fields
from gateway.config import server
from gateway.config.document import Fields, Node, Place
from gateway.config.login import LOGIN
from gateway.config.origins import shared_suffix
from gateway.config.overlaps import Overlaps
from gateway.config.reading import Reading
from gateway.config.records import Field, Values
from gateway.config.routes import ReadRoute
from gateway.config.sections import PROVIDERS, RULES, UPSTREAMS
from gateway.config.shared import SHARED
from gateway.policy.providers import Kind, Provider
from gateway.policy.routes import Capture, Route
from gateway.policy.rules import AllOf, EmailDomain, Equals, Named, Not, PathUnder, Rule, When, rules_within
from gateway.policy.upstreams import SIGNED_ISSUER

_ANYBODYS_DOMAINS = frozenset(
    {
        "gmail.com",
        "googlemail.com",
        "outlook.com",
        "hotmail.com",
        "live.com",
        "yahoo.com",
        "icloud.com",
        "proton.me",
        "protonmail.com",
        "gmx.com",
        "gmx.de",
    }
)
# Whose tokens carry no email unless their issuer is told to: what they are called, and the way out.
_WITHOUT_EMAIL: Mapping[Kind, tuple[str, str]] = {
    "clerk": (
        "session tokens of Clerk",
        "add it under Sessions > Customize session token, then name it: 'email_claim: email'",
    ),
    "auth0": (
        "access tokens of Auth0",
        "add it with an Action, then name it: 'email_claim: https://yourcompany.com/email'",
    ),
}
_LONG_LEEWAY_SECONDS = 60.0
_COMPARED_CLAIM = re.compile(r"\bclaims\b[^&|?]*[=!]=|[=!]=[^&|?]*\bclaims\b")


def lint(values: Values, routes: Sequence[ReadRoute], unused_rules: Sequence[str], reading: Reading) -> None:
    """Collect the warnings about a file without mistakes."""
    _lint_providers(values, routes, reading)
    _lint_server(values, reading)
    overlaps = Overlaps(read.route for read in routes)
    for read in routes:
        _lint_route(read, overlaps, reading)
    rules = _members(values, RULES)
    for name in unused_rules:
        _warn_at(rules, name, f"no route uses the rule '{name}'", reading)
    used = {read.route.upstream.name for read in routes}
    upstreams = _members(values, UPSTREAMS)
    for name in values.get(UPSTREAMS) or {}:
        if name not in used:
            _warn_at(upstreams, name, f"no route leads to the upstream '{name}'", reading)


def asks_email(rules: Iterable[Rule]) -> bool:
    """True if one of the rules looks at the email."""
    return any(
        isinstance(rule, EmailDomain)
        or (isinstance(rule, Equals) and rule.fact == "email")
        or (isinstance(rule, When) and "user.email" in rule.expression.text)
        for outer in rules
        for rule in rules_within(outer)
    )


def _lint_providers(values: Values, routes: Sequence[ReadRoute], reading: Reading) -> None:
    members = _members(values, PROVIDERS)
    used = {provider.name: provider for read in routes for provider in read.route.providers}
    for name, provider in (values.get(PROVIDERS) or {}).items():
        if name not in used:
            _warn_at(members, name, f"no route uses the provider '{name}'", reading)
        if provider is not None:
            _lint_provider(provider, name, members, reading)
            _lint_emails(provider, name, members, routes, reading)
            _lint_shared_secret(provider, name, members, values, reading)


def _lint_shared_secret(
    provider: Provider, name: str, members: Mapping[str, Node], values: Values, reading: Reading
) -> None:
    """Warn where callers' tokens and ours are made with the same secret: who can check one can make both."""
    secrets = {key.material for key in provider.secrets}
    for upstream_name, read in (values.get(UPSTREAMS) or {}).items():
        if read is not None and read.upstream.identity.secret and read.upstream.identity.secret in secrets:
            words = (
                f"its secret is the one that tokens for the upstream '{upstream_name}' are signed with "
                "('authorization: sign'): that server can make callers' tokens, too; give each a secret of its own"
            )
            _warn_at(members, name, words, reading)


def _lint_emails(
    provider: Provider, name: str, members: Mapping[str, Node], routes: Sequence[ReadRoute], reading: Reading
) -> None:
    """Warn of emails that count although no claim says that they were verified: their owner may have made them up."""
    node = members.get(name)
    is_chosen = isinstance(node, Fields) and node.get(fields.EMAIL_VERIFIED.name) is not None
    is_known = any(one.provider == name and "email_verified" in dict(one.says) for one in reading.expansions)
    if provider.kind != "oidc" or provider.requires_verified_email or is_chosen or is_known:
        return
    for route in (read.route for read in routes):
        if any(one.name == name for one in route.providers) and asks_email((*route.allow, *route.deny)):
            words = (
                f"the rules of '{route.key}' go by an email, and one that nobody verified counts where the token does "
                "not say so: expected 'email_verified: required' (and 'email_verified_claim: NAME' where the issuer "
                "has a name of its own for it), or 'email_verified: if_present' written out"
            )
            _warn_at(members, name, words, reading)
            return


def _lint_provider(provider: Provider, name: str, members: Mapping[str, Node], reading: Reading) -> None:
    if not provider.requires_expiry:
        words = "tokens without exp count forever; a stolen one can only be stopped by changing the secret"
        _warn_at(members, name, words, reading, fields.EXPIRY.name)
    if provider.leeway_seconds > _LONG_LEEWAY_SECONDS:
        words = (
            f"tokens count {provider.leeway_seconds:g} s beyond their end; a session token of Clerk lives 60 s in all"
        )
        _warn_at(members, name, words, reading, fields.LEEWAY.name)
    has_cookie = any(source.place == "cookie" for source in provider.token_sources)
    if provider.preset.compares_azp and provider.authorized_parties is None and has_cookie:
        words = "cookies without 'authorized_parties' count from every application of the instance"
        _warn_at(members, name, words, reading)
    if provider.issuers is not None and SIGNED_ISSUER in provider.issuers:
        words = f"tokens of the issuer {SIGNED_ISSUER} are those that the gateway signs for upstreams: they never count"
        _warn_at(members, name, words, reading)
    for origin in sorted({*provider.origins, *(provider.authorized_parties or ())}):
        if (suffix := shared_suffix(origin)) is not None:
            key = fields.PAGES if origin not in (provider.authorized_parties or ()) else fields.AUTHORIZED_PARTIES
            _warn_at(members, name, _anybodys_page(origin, suffix), reading, key.name)
    source = provider.key_source
    if source is not None and source.jwks_uri is not None and source.jwks_uri.startswith("https://api.clerk."):
        words = "Clerk's Backend API gives keys only to a secret key; 'publishable_key' alone finds the public address"
        _warn_at(members, name, words, reading)


def _anybodys_page(origin: str, suffix: str) -> str:
    return f"names under {suffix} are anybody's to take, also such that {origin} stands for: list what you can"


def _lint_server(values: Values, reading: Reading) -> None:
    cors = values.get(server.CORS)
    for origin in sorted(cors.origins) if cors is not None else ():
        if (suffix := shared_suffix(origin)) is not None:
            reading.warn(values.node(server.CORS).place, _anybodys_page(origin, suffix))
    if LOGIN in values and SHARED not in values and values.get(server.WORKERS, 1) != 1:
        hint = "a logout ends a session in the worker that hears of it alone ('shared:' tells the others)"
        reading.warn(
            values.node(server.WORKERS).place, f"found several workers with 'login' and without 'shared': {hint}"
        )
    for network in values.get(server.TRUSTED_PROXIES, ()):
        if network.prefixlen == 0:
            place = values.node(server.TRUSTED_PROXIES).place
            reading.warn(place, f"{network} is everybody: any client can choose its own address and scheme")


def _lint_route(read: ReadRoute, overlaps: Overlaps, reading: Reading) -> None:
    route, place = read.route, read.entry.key.place
    if read.is_ours:
        return
    if route.resource is not None and route.upstream.identity.authorization == "forward":
        hint = "expected 'authorization: strip' or 'sign' on the upstream (MCP, \"Token Passthrough\")"
        reading.warn(place, f"an MCP server gets the token of its caller, meant for nobody but it, {hint}")
    if not route.enforce:
        reading.warn(place, "'enforce: false': refusals are only logged, everybody passes")
    elif route.has_unenforced_rules:
        reading.warn(place, "a rule says 'enforce: false': what it would refuse is only logged, and passes")
    rules = (*route.allow, *route.deny)
    for provider in route.providers:
        if provider.kind in _WITHOUT_EMAIL and provider.email_claim is None and asks_email(rules):
            reading.warn(place, _without_email(provider))
    open_domains = {
        d for r in route.allow for one in rules_within(r) if isinstance(one, EmailDomain) for d in one.domains
    }
    for domain in sorted(open_domains & _ANYBODYS_DOMAINS):
        reading.warn(place, f"anybody can have an email of {domain}")
    if route.websocket and route.methods is not None and "GET" not in route.methods:
        reading.warn(place, "no WebSocket can come in: each begins with a GET, which the route does not take")
    if overlaps.is_hidden(route):
        reading.warn(place, "no request can reach this route: others cover the path itself and everything below it")
    for rule in route.allow:
        if _is_elsewhere(rule, route):
            reading.warn(place, "a rule of 'allow' asks for a path that is not below this route: it never holds")
    guarded = overlaps.guarded_around(route)
    if guarded is not None:
        reading.warn(place, f"public, below the guarded route '{guarded.key}'")
    _lint_spellings(route, place, reading)
    around = overlaps.public_around(route)
    if around is not None:
        reading.warn(place, f"only this very path is guarded ('exact'): what lies below it is public by '{around.key}'")
    behind = overlaps.public_behind(route)
    if behind is not None:
        reading.warn(place, f"only these methods are guarded: others reach '{behind.key}', which is public")


def _lint_spellings(route: Route, place: Place, reading: Reading) -> None:
    """Warn of expressions that refuse by a spelling: what is spelt in another way is clearly something else to CEL."""
    for rule in (
        *route.deny,
        *(inner.rule for one in route.allow for inner in rules_within(one) if isinstance(inner, Not)),
    ):
        for inner in rules_within(rule):
            if not isinstance(inner, When):
                continue
            if "request.path" in inner.expression.names:
                hint = "'path:' refuses what only comes near, such as /Admin and /admin;x"
                reading.warn(place, f"an expression refuses by request.path, which another spelling passes: {hint}")
            elif _COMPARED_CLAIM.search(inner.expression.text):
                hint = "'claim:' refuses what differs only in type or spelling, such as \"true\" for true"
                reading.warn(place, f"an expression refuses by comparing a claim, which another type passes: {hint}")


def _without_email(provider: Provider) -> str:
    tokens, way_out = _WITHOUT_EMAIL[provider.kind]
    if provider.kind == "auth0" and any(source.place == "session" for source in provider.token_sources):
        # Named, it would be asked of the ID tokens as well, and everybody who logs in would be refused.
        way_out = (
            "a login has it; for other tokens add https://yourcompany.com/email with an Action, and no 'email_claim'"
        )
    return f"the rule asks for an email, and {tokens} ('{provider.name}') carry none by default ({way_out})"


def _is_elsewhere(rule: Rule, route: Route) -> bool:
    """True if a rule asks for a path that no request of the route has."""
    match rule:
        case Named(_, inner):
            return _is_elsewhere(inner, route)
        case AllOf(rules):
            return any(_is_elsewhere(member, route) for member in rules)
        case PathUnder(prefixes):
            return not any(_can_meet(prefix, route) for prefix in prefixes)
        case _:
            return False


def _can_meet(prefix: tuple[str, ...], route: Route) -> bool:
    if route.exact and len(prefix) > len(route.segments):
        return False
    return all(isinstance(own, Capture) or own == wanted for own, wanted in zip(route.segments, prefix, strict=False))


def _members(values: Values, section: Field[Any]) -> Mapping[str, Node]:
    node = values.nodes.get(section.name)
    return {entry.key.text: entry.value for entry in node.entries} if isinstance(node, Fields) else {}


def _warn_at(members: Mapping[str, Node], name: str, words: str, reading: Reading, key: str = "") -> None:
    node = members.get(name)
    if node is None:
        return
    own = node.get(key) if isinstance(node, Fields) and key else None
    reading.warn(own.place if own is not None else node.key_place, words)

"""What a valid file probably does not mean. `gateway check` prints it, `serve` logs it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gateway.config import provider_fields as keys
from gateway.config import server
from gateway.config.document import Fields, Node, Place
from gateway.config.reading import Reading
from gateway.config.records import Values
from gateway.config.routes import ReadRoute
from gateway.config.sections import PROVIDERS, RULES, UPSTREAMS
from gateway.policy.providers import Provider
from gateway.policy.routes import Capture, Route, with_head
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
_LONG_LEEWAY_SECONDS = 60.0
_COMPARED_CLAIM = re.compile(r"\bclaims\b[^&|?]*[=!]=|[=!]=[^&|?]*\bclaims\b")


def lint(values: Values, routes: Sequence[ReadRoute], unused_rules: Sequence[str], reading: Reading) -> None:
    """Collect the warnings about a file without mistakes."""
    _lint_providers(values, routes, reading)
    _lint_server(values, reading)
    for read in routes:
        _lint_route(read, routes, reading)
    rules = values.nodes.get(RULES.name)
    for name in unused_rules:
        _warn_at(rules, name, f"no route uses the rule '{name}'", reading)
    used = {read.route.upstream.name for read in routes}
    for name in values.get(UPSTREAMS) or {}:
        if name not in used:
            _warn_at(values.nodes.get(UPSTREAMS.name), name, f"no route leads to the upstream '{name}'", reading)


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
    node = values.nodes.get(PROVIDERS.name)
    used = {provider.name: provider for read in routes for provider in read.route.providers}
    for name, provider in (values.get(PROVIDERS) or {}).items():
        if name not in used:
            _warn_at(node, name, f"no route uses the provider '{name}'", reading)
        if provider is not None:
            _lint_provider(provider, name, node, reading)
            _lint_shared_secret(provider, name, values, reading)


def _lint_shared_secret(provider: Provider, name: str, values: Values, reading: Reading) -> None:
    """Warn where callers' tokens and ours are made with the same secret: who can check one can make both."""
    secrets = {key.material for key in provider.secrets}
    for upstream_name, upstream in (values.get(UPSTREAMS) or {}).items():
        if upstream is not None and upstream.identity.secret and upstream.identity.secret in secrets:
            words = (
                f"its secret is the one that tokens for the upstream '{upstream_name}' are signed with "
                "('authorization: sign'): that server can make callers' tokens, too; give each a secret of its own"
            )
            _warn_at(values.nodes.get(PROVIDERS.name), name, words, reading)


def _lint_provider(provider: Provider, name: str, node: Node | None, reading: Reading) -> None:
    if not provider.requires_expiry:
        words = "tokens without exp count forever; a stolen one can only be stopped by changing the secret"
        _warn_at(node, name, words, reading, keys.EXPIRY.name)
    if provider.leeway_seconds > _LONG_LEEWAY_SECONDS:
        words = (
            f"tokens count {provider.leeway_seconds:g} s beyond their end; a session token of Clerk lives 60 s in all"
        )
        _warn_at(node, name, words, reading, keys.LEEWAY.name)
    has_cookie = any(source.place == "cookie" for source in provider.token_sources)
    if provider.kind == "clerk" and provider.authorized_parties is None and has_cookie:
        words = "cookies without 'authorized_parties' count from every application of the instance"
        _warn_at(node, name, words, reading)
    if provider.issuers is not None and SIGNED_ISSUER in provider.issuers:
        words = f"tokens of the issuer {SIGNED_ISSUER} are those that the gateway signs for upstreams: they never count"
        _warn_at(node, name, words, reading)
    source = provider.key_source
    if source is not None and source.jwks_uri is not None and source.jwks_uri.startswith("https://api.clerk."):
        words = "Clerk's Backend API gives keys only to a secret key; 'publishable_key' alone finds the public address"
        _warn_at(node, name, words, reading)


def _lint_server(values: Values, reading: Reading) -> None:
    for network in values.get(server.TRUSTED_PROXIES, ()):
        if network.prefixlen == 0:
            place = values.node(server.TRUSTED_PROXIES).place
            reading.warn(place, f"{network} is everybody: any client can choose its own address and scheme")


def _lint_route(read: ReadRoute, routes: Sequence[ReadRoute], reading: Reading) -> None:
    route, place = read.route, read.entry.key.place
    if not route.enforce:
        reading.warn(place, "'enforce: false': refusals are only logged, everybody passes")
    elif route.has_unenforced_rules:
        reading.warn(place, "a rule says 'enforce: false': what it would refuse is only logged, and passes")
    rules = (*route.allow, *route.deny)
    for provider in route.providers:
        if provider.kind in ("clerk", "auth0") and provider.email_claim is None and asks_email(rules):
            reading.warn(place, _without_email(provider))
    open_domains = {
        d for r in route.allow for one in rules_within(r) if isinstance(one, EmailDomain) for d in one.domains
    }
    for domain in sorted(open_domains & _ANYBODYS_DOMAINS):
        reading.warn(place, f"anybody can have an email of {domain}")
    if route.websocket and route.methods is not None and "GET" not in route.methods:
        reading.warn(place, "no WebSocket can come in: each begins with a GET, which the route does not take")
    if _is_hidden(route, [other.route for other in routes]):
        reading.warn(place, "no request can reach this route: others cover the path itself and everything below it")
    for rule in route.allow:
        if _is_elsewhere(rule, route):
            reading.warn(place, "a rule of 'allow' asks for a path that is not below this route: it never holds")
    guarded = next((other.route for other in routes if _is_hole(route, other.route)), None)
    if guarded is not None:
        reading.warn(place, f"public, below the guarded route '{guarded.key}'")
    _lint_spellings(route, place, reading)
    around = _public_around(route, [other.route for other in routes])
    if around is not None:
        reading.warn(place, f"only this very path is guarded ('exact'): what lies below it is public by '{around.key}'")
    behind = _public_behind(route, [other.route for other in routes])
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


def _public_around(route: Route, others: Sequence[Route]) -> Route | None:
    """Return the public route that takes what lies below a guarded exact one."""
    if route.public or not route.exact:
        return None
    covering = [
        other for other in others
        if not other.exact and len(other.segments) <= len(route.segments) and _covers(other, route)
        and (route.methods is None or other.methods is None or not route.methods.isdisjoint(other.methods))
    ]  # fmt: skip
    nearest = max(covering, key=lambda other: len(other.segments), default=None)
    return nearest if nearest is not None and nearest.public else None


def _without_email(provider: Provider) -> str:
    way_out = {
        "clerk": "add it under Sessions > Customize session token, then name it: 'email_claim: email'",
        "auth0": "add it with an Action, then name it: 'email_claim: https://yourcompany.com/email'",
    }[provider.kind]
    tokens = "session tokens of Clerk" if provider.kind == "clerk" else "access tokens of Auth0"
    return f"the rule asks for an email, and {tokens} ('{provider.name}') carry none by default ({way_out})"


def _is_hidden(route: Route, others: Sequence[Route]) -> bool:
    """True if an exact route takes the path itself, and one with a capture all that lies below."""
    if route.exact:
        return False
    same = [o for o in others if o is not route and o.exact and o.segments == route.segments]
    below = [o for o in others if not o.exact and _ends_in_capture(o) and o.segments[:-1] == route.segments]
    return _cover_methods(route, same) and _cover_methods(route, below)


def _ends_in_capture(route: Route) -> bool:
    return bool(route.segments) and isinstance(route.segments[-1], Capture)


def _cover_methods(route: Route, others: Sequence[Route]) -> bool:
    if any(other.methods is None for other in others):
        return True
    named = with_head(frozenset(method for other in others for method in other.methods or ()))
    return route.methods is not None and route.methods <= named


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


def _is_hole(route: Route, guarded: Route) -> bool:
    """True if a public route opens a part of what a guarded one covers."""
    if not route.public or guarded.public or guarded.exact or len(guarded.segments) > len(route.segments):
        return False
    mine, theirs = route.methods, guarded.methods
    if mine is not None and theirs is not None and with_head(mine).isdisjoint(with_head(theirs)):
        return False
    return _covers(guarded, route)


def _public_behind(route: Route, others: Sequence[Route]) -> Route | None:
    """Return the public route that methods reach which a guarded route does not name, if there is one."""
    if route.public or route.methods is None:
        return None
    taken = with_head(frozenset(method for o in others if o.segments == route.segments for method in o.methods or ()))
    if any(o.segments == route.segments and o.methods is None for o in others):
        return None
    covering = [o for o in others if not o.exact and len(o.segments) < len(route.segments) and _covers(o, route)]
    for outer in sorted(covering, key=lambda o: len(o.segments), reverse=True):
        if outer.public and (outer.methods is None or outer.methods - taken):
            return outer
        if outer.methods is None:
            return None
    return None


def _covers(outer: Route, route: Route) -> bool:
    pairs = zip(outer.segments, route.segments, strict=False)
    return all(isinstance(mine, Capture) or mine == theirs for mine, theirs in pairs)


def _warn_at(section: Node | None, name: str, words: str, reading: Reading, key: str = "") -> None:
    node = section.get(name) if isinstance(section, Fields) else None
    if node is None:
        return
    own = node.get(key) if isinstance(node, Fields) and key else None
    reading.warn(own.place if own is not None else node.key_place, words)

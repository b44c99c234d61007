"""A configuration in plain English: one row for each route, words for every rule."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.config.model import Config
from gateway.config.reading import listed
from gateway.policy.routes import Capture, Route
from gateway.policy.rules import (
    AddressIn,
    AllOf,
    AnyOf,
    Authenticated,
    Claim,
    EmailDomain,
    Equals,
    HasAll,
    HasAny,
    MethodIs,
    Named,
    Not,
    PathUnder,
    Rule,
    Value,
    When,
)

_SINGULAR = {"roles": "role", "groups": "group", "scopes": "scope", "permissions": "permission"}


@dataclass(frozen=True, slots=True)
class Row:
    """One route in words: what it covers, whose tokens count, who may pass, where it leads."""

    key: str
    providers: str
    who: str
    upstream: str


def describe(config: Config) -> list[Row]:
    """Return a row for each route, the most specific first, as they are tried."""
    return [_row(route) for route in sorted(config.policy.routes, key=_specificity)]


def words_of(rule: Rule) -> str:
    """Return a rule in words that follow 'whoever has' or stand alone: `email at yourcompany.com`."""
    match rule:
        case Authenticated():
            return "any token that counts"
        case EmailDomain(domains, include_subdomains):
            below = " or below" if include_subdomains else ""
            return f"email at {_any_of(domains)}{below}"
        case Equals(fact, values):
            return f"{fact} is {_any_of(values)}"
        case HasAny(fact, values):
            return f"{_SINGULAR[fact]} {_any_of(values)}"
        case HasAll(fact, texts):
            return f"{_SINGULAR[fact] if len(texts) == 1 else fact} {listed(texts, 'and')}"
        case Claim(name, _, wanted):
            return f"claim {name} is {listed(map(_json, wanted))}"
        case MethodIs(methods):
            return f"method {_any_of(methods)}"
        case PathUnder(prefixes):
            return f"path under {listed('/' + '/'.join(prefix) for prefix in prefixes)}"
        case AddressIn(networks):
            return f"address in {listed(map(str, networks))}"
        case When(expression):
            return f"when {' '.join(expression.text.split())}"
        case AllOf(rules):
            return " and ".join(map(_inner, rules))
        case AnyOf(rules):
            return " or ".join(map(_inner, rules))
        case Not(inner):
            return f"not ({words_of(inner)})"
        case Named(name, inner):
            return f"{name} ({words_of(inner)})"


def _row(route: Route) -> Row:
    kind = " exactly" if route.exact else ""
    socket = ", WebSocket" if route.websocket else ""
    providers = "" if route.public else ", ".join(provider.name for provider in route.providers)
    return Row(route.key + kind, providers, _who(route) + socket, route.upstream.name)


def _who(route: Route) -> str:
    if route.public:
        return "everybody, without a token"
    allow = "; or ".join(map(words_of, route.allow))
    deny = f"; never {'; nor '.join(map(words_of, route.deny))}" if route.deny else ""
    observed = "" if route.enforce else " (only logged, not enforced)"
    return f"{allow}{deny}{observed}"


def _inner(rule: Rule) -> str:
    words = words_of(rule)
    return f"({words})" if isinstance(rule, AllOf | AnyOf) and len(rule.rules) > 1 else words


def _any_of(values: Iterable[str]) -> str:
    return listed(sorted(values))


def _json(value: Value) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def _specificity(route: Route) -> tuple[int, tuple[bool, ...], bool, bool]:
    captured = tuple(isinstance(segment, Capture) for segment in route.segments)
    return -len(route.segments), captured, not route.exact, route.methods is None

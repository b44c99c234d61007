"""Rules in words: what `gateway check` prints, what a refusal's detail says, what `explain` shows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from gateway.policy.freshness import Fresh
from gateway.policy.likeness import Value
from gateway.policy.mastra_roles import MastraPermission, MastraRole
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
    Unenforced,
    When,
)

_SINGULAR: Final = {"roles": "role", "groups": "group", "scopes": "scope", "permissions": "permission"}


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
        case Fresh():
            return _fresh(rule)
        case MastraRole(least):
            return f"Mastra's role {least} or greater, which covers the route"
        case MastraPermission(patterns):
            return f"a route that asks for Mastra's permission {listed(patterns)}"
        case AllOf(rules):
            return " and ".join(map(_inner, rules))
        case AnyOf(rules):
            return " or ".join(map(_inner, rules))
        case Not(inner):
            return f"not ({words_of(inner)})"
        case Named(name, inner):
            return f"{name} ({words_of(inner)})"
        case Unenforced(inner):
            return f"{_inner(inner)} (only logged, not enforced)"


def _fresh(rule: Fresh) -> str:
    within = f"at most {duration_of(rule.within_seconds)} ago" if rule.within_seconds is not None else ""
    kinds = [f"{name} {listed(texts)}" for name, texts in (("acr", rule.acr), ("amr", rule.amr)) if texts]
    return f"login {listed([part for part in (within, *kinds) if part], 'and')}"


def duration_of(seconds: float) -> str:
    """Return a length of time as the file writes it: `10m`, `90s`."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _inner(rule: Rule) -> str:
    words = words_of(rule)
    return f"({words})" if isinstance(rule, AllOf | AnyOf) and len(rule.rules) > 1 else words


def _any_of(values: Iterable[str]) -> str:
    return listed(sorted(values))


def _json(value: Value) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def listed(words: Iterable[str], last: str = "or") -> str:
    """Return `a, b or c`."""
    names = list(words)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}" if names else ""

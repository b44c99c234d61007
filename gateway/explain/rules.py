"""The rules of a route as a tree of steps: every condition with yes or no, and the value it saw."""

from __future__ import annotations

import re
from typing import Any

from gateway.explain.step import Step, Verdict, shown
from gateway.policy.expressions import Expression, Facts
from gateway.policy.guard import label_of
from gateway.policy.model import Principal
from gateway.policy.routes import Route
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
    claim_at,
    evaluate,
)
from gateway.policy.words import words_of

_CLAIM_NAMES = re.compile(r"""\bclaims(?:\.(\w+)|\[\s*["']([^"']+)["']\s*\])""")


def explain_rules(route: Route, facts: Facts) -> tuple[Step, ...]:
    """Return a step for each rule of `deny` and `allow`, in the order they are asked."""
    denying = [_step(rule, label_of(rule, f"deny[{i}]"), facts, "deny") for i, rule in enumerate(route.deny)]
    allowing = [_step(rule, label_of(rule, f"allow[{i}]"), facts, "allow") for i, rule in enumerate(route.allow)]
    return (*denying, *allowing)


def verdict_of(rule: Rule, facts: Facts) -> Verdict:
    """Return whether a rule holds, in the words of steps."""
    holds = evaluate(rule, facts)
    return "unknown" if holds is None else "yes" if holds else "no"


def _step(rule: Rule, label: str, facts: Facts, role: str) -> Step:
    inner = _step_of(rule, facts)  # its name is the label's, its words are expected: no need to say them twice
    return Step(f"{role} {label}", inner.verdict, inner.found, words_of(rule), inner.parts)


def _step_of(rule: Rule, facts: Facts) -> Step:
    verdict = verdict_of(rule, facts)
    match rule:
        case AllOf(rules):
            return Step("all of", verdict, parts=tuple(_step_of(member, facts) for member in rules))
        case AnyOf(rules):
            return Step("any of", verdict, parts=tuple(_step_of(member, facts) for member in rules))
        case Not(inner):
            return Step("not", verdict, parts=(_step_of(inner, facts),))
        case Named(name, inner):
            step = _step_of(inner, facts)
            return Step(name, verdict, step.found, parts=step.parts)
        case Unenforced(inner):
            return Step("only logged", verdict, parts=(_step_of(inner, facts),))
        case _:
            return Step(words_of(rule), verdict, _seen(rule, facts))


def _seen(condition: Rule, facts: Facts) -> str:
    principal = facts.principal
    match condition:
        case Authenticated():
            return "a verified token"
        case EmailDomain() | Equals("email"):
            return _seen_email(principal)
        case Equals(fact) | HasAny(fact) | HasAll(fact):
            value = getattr(principal, fact)
            return f"the token has no {fact}" if value is None else _listed(value)
        case Claim(name, steps):
            is_there, value = claim_at(principal.claims, steps)
            return shown(value) if is_there else f"the token has no claim {name}"
        case MethodIs():
            return facts.head.method
        case PathUnder():
            return facts.path.text
        case AddressIn():
            return facts.head.client_ip
        case When(expression):
            return _seen_by(expression, facts)
    raise AssertionError(type(condition).__name__)


def _seen_email(principal: Principal) -> str:
    if principal.email is not None:
        return shown(principal.email)
    unverified = [name for name in principal.claims if name == "email_verified" or name.endswith("email_verified")]
    if unverified and any(principal.claims[name] is not True for name in unverified):
        return f"the email does not count: {unverified[0]} is {shown(principal.claims[unverified[0]])}"
    if principal.email_claim is not None:
        return f"the email does not count: {shown(principal.email_claim)} is not one plain ASCII address"
    return "the token has no email"


def _seen_by(expression: Expression, facts: Facts) -> str:
    """Return the values that a CEL expression saw: of the claims only those that it mentions."""
    seen: list[str] = []
    for name, value in sorted(expression.values(facts).items()):
        if name != "claims":
            seen.append(f"{name} = {_listed(value)}")
            continue
        for match in _CLAIM_NAMES.finditer(expression.text):
            claim = match[1] or match[2]
            seen.append(f"claims.{claim} = {shown(value[claim])}" if claim in value else f"no claims.{claim}")
    absent = [f"no {name}" for name in sorted(expression.names - set(expression.values(facts)))]
    return ", ".join(dict.fromkeys([*seen, *absent]))


def _listed(value: Any) -> str:
    return shown(list(value)) if isinstance(value, tuple) else shown(value)

"""The rules of a route as a tree of steps: every condition with yes or no, and the value it saw."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.explain.hiding import HIDDEN
from gateway.explain.step import Step, Verdict, shown, type_of
from gateway.policy.claim_names import claim_at, has_claim, read_claim
from gateway.policy.emails import email_claim, only_email, read_email, verified_flags, verified_names
from gateway.policy.expressions import Expression, Facts
from gateway.policy.freshness import Fresh, ages_of
from gateway.policy.guard import label_of
from gateway.policy.mastra_roles import MastraPermission, MastraRole, shortfall
from gateway.policy.model import Principal
from gateway.policy.providers import Provider
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
    evaluate,
)
from gateway.policy.words import listed, words_of

# The members of a map that an expression mentions: `claims.plan`, `request.headers["x-team"]`.
_MEMBER = r"""(?:\.(\w+)|\[\s*["']([^"']+)["']\s*\])"""
_CLAIM_NAMES = re.compile(rf"\bclaims{_MEMBER}")
_HEADER_NAMES = re.compile(rf"\brequest\.headers{_MEMBER}")


def explain_rules(route: Route, facts: Facts) -> tuple[Step, ...]:
    """Return a step for each rule of `deny` and `allow`, in the order they are asked."""
    teller = _Teller(facts, next(p for p in route.providers if p.name == facts.principal.provider))
    denying = [teller.outer(rule, label_of(rule, f"deny[{i}]"), "deny") for i, rule in enumerate(route.deny)]
    allowing = [teller.outer(rule, label_of(rule, f"allow[{i}]"), "allow") for i, rule in enumerate(route.allow)]
    return (*denying, *allowing)


def condition_step(condition: Rule, facts: Facts, provider: Provider) -> Step:
    """Return one condition with yes or no, and the value it saw. `provider`: whose token it is."""
    return _Teller(facts, provider).step(condition)


def verdict_of(rule: Rule, facts: Facts) -> Verdict:
    """Return whether a rule holds, in the words of steps."""
    holds = evaluate(rule, facts)
    return "unknown" if holds is None else "yes" if holds else "no"


class _Teller:
    def __init__(self, facts: Facts, provider: Provider) -> None:
        self._facts = facts
        self._provider = provider

    def outer(self, rule: Rule, label: str, role: str) -> Step:
        """Return a rule of a route under its label."""
        inner = self.step(rule)  # its name is the label's, its words are expected: no need to say them twice
        return Step(f"{role} {label}", inner.verdict, inner.found, words_of(rule), inner.parts)

    def step(self, rule: Rule) -> Step:
        """Return a rule with what it is made of."""
        verdict = verdict_of(rule, self._facts)
        match rule:
            case AllOf(rules):
                return Step("all of", verdict, parts=tuple(map(self.step, rules)))
            case AnyOf(rules):
                return Step("any of", verdict, parts=tuple(map(self.step, rules)))
            case Not(inner):
                return Step("not", verdict, parts=(self.step(inner),))
            case Named(name, inner):
                step = self.step(inner)
                return Step(name, verdict, step.found, parts=step.parts)
            case Unenforced(inner):
                return Step("only logged", verdict, parts=(self.step(inner),))
            case _:
                return Step(words_of(rule), verdict, self._seen(rule))

    def _seen(self, condition: Rule) -> str:
        facts, principal = self._facts, self._facts.principal
        match condition:
            case Authenticated():
                return "a verified token"
            case EmailDomain() | Equals("email"):
                return _seen_email(principal, self._provider)
            case Equals("actor") if principal.actor is None:
                return "nobody acts for the caller"
            case Equals(fact) | HasAny(fact) | HasAll(fact):
                value = getattr(principal, fact)
                return f"the token has no {fact}" if value is None else _listed(value)
            case Claim(name, steps):
                is_there, value = claim_at(principal.claims, steps)
                return shown(value) if is_there else f"the token has no claim {name}"
            case Fresh():
                return _seen_login(facts)
            case MastraRole() | MastraPermission():
                return shortfall(condition, facts)
            case MethodIs():
                return facts.head.method
            case PathUnder():
                return shown(facts.path.text)
            case AddressIn():
                return facts.head.client_ip
            case When(expression):
                return _seen_by(expression, facts)
        raise AssertionError(type(condition).__name__)


def _seen_email(principal: Principal, provider: Provider) -> str:
    if principal.email is not None:
        return shown(principal.email)
    name = email_claim(principal.claims, provider)
    unverified = unverified_flag(principal, provider)
    if not has_claim(principal.claims, name):
        return f"the token has no {name}"
    value = read_claim(principal.claims, name)
    if unverified is not None:
        flag, said = unverified
        return f"the email does not count: {flag} is {shown(said)} ({type_of(said)})"
    value = only_email(value)
    if not isinstance(value, str):
        return f"the email does not count: {shown(value)} is no text"
    if read_email(value)[0] is None:
        return f"the email does not count: {shown(value)} is not one plain ASCII address"
    names = listed(verified_names(name, provider))
    return f"the email does not count: the token does not say that it is verified (by {names})"


def _seen_login(facts: Facts) -> str:
    """Return what the token says of the login, as `fresh` reads it."""
    claims = facts.principal.claims
    said = [f"{name} {shown(claims[name])}" for name in ("auth_time", "fva", "acr", "amr") if name in claims]
    try:
        ages = [age for age in ages_of(claims, facts.now) if age is not None and math.isfinite(age)]
    except ValueError as problem:
        return f"{', '.join(said)}: {problem} cannot be read"
    since = [f"logged in {ages[0]:.0f} s ago"] if ages else ["the token does not say when"]
    return ", ".join([*since, *said])


def unverified_flag(principal: Principal, provider: Provider) -> tuple[str, object] | None:
    """Return the claim that says that the email is not verified, and its value; None if there is none."""
    flags = verified_flags(principal.claims, email_claim(principal.claims, provider), provider)
    return next(((name, value) for name, value in flags.items() if value is not True), None)


def _seen_by(expression: Expression, facts: Facts) -> str:
    """Return the values that a CEL expression saw: of claims and headers only those that it mentions."""
    values = expression.values(facts)
    seen: list[str] = []
    for name, value in sorted(values.items()):
        match name:
            case "claims":
                seen += _members("claims.", _CLAIM_NAMES.finditer(expression.text), value)
            case "request.headers":
                told = {header: HIDDEN if facts.rules.is_secret(header) else text for header, text in value.items()}
                seen += _members("header ", _HEADER_NAMES.finditer(expression.text), told)
            case _:
                seen.append(f"{name} = {_listed(value)}")
    absent = [f"no {name}" for name in sorted(expression.names - set(values))]
    return ", ".join(dict.fromkeys([*seen, *absent]))


def _members(prefix: str, mentions: Iterator[re.Match[str]], values: Mapping[str, Any]) -> Iterator[str]:
    for mention in mentions:
        name = mention[1] or mention[2]
        yield f"{prefix}{name} = {shown(values[name])}" if name in values else f"no {prefix}{name}"


def _listed(value: Any) -> str:
    return shown(list(value)) if isinstance(value, tuple) else shown(value)

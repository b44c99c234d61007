"""The rules of a route, asked about a verified caller: what refuses, what only would, and in which words."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.policy.asked import scopes_of, step_up_of
from gateway.policy.denied import DeniedByRules
from gateway.policy.expressions import Facts
from gateway.policy.mastra_roles import MastraPermission, MastraRole, shortfall
from gateway.policy.reasons import Reason
from gateway.policy.routes import Route
from gateway.policy.rules import (
    CONDITIONS,
    EmailDomain,
    Equals,
    HasAll,
    HasAny,
    Named,
    Rule,
    evaluate,
    rules_within,
)
from gateway.policy.words import listed, words_of


def check_rules(route: Route, facts: Facts) -> DeniedByRules | None:
    """Return None if the route's rules let the caller pass; what they would refuse, if only unenforced ones do.

    Raises `DeniedByRules` (DENIED_BY_RULE, INSUFFICIENT_SCOPE, LOGIN_TOO_OLD, ACCESS_DENIED).
    """
    if not route.deny:  # the common case, in few steps; a refusal has more to say
        for rule in route.allow:
            if CONDITIONS.get(type(rule), evaluate)(rule, facts) is True:
                return None
    refusal = _refusal(route, facts, is_strict=True)
    if refusal is None:
        return None
    enforced = _refusal(route, facts, is_strict=False) if route.has_unenforced_rules else refusal
    if enforced is not None:
        raise enforced
    return refusal


def may_pass(route: Route, facts: Facts) -> bool:
    """Return whether the route's rules let the caller pass, now or after another login."""
    if any(evaluate(rule, facts, unenforced=False) is not False for rule in route.deny):
        return False
    return any(evaluate(rule, facts, granted="login", unenforced=True) is True for rule in route.allow)


def label_of(rule: Rule, place: str) -> str:
    """Return what the log calls a rule: its name in `rules:`, else its place in the route (`allow[0]`)."""
    return rule.name if isinstance(rule, Named) else place


def _refusal(route: Route, facts: Facts, *, is_strict: bool) -> DeniedByRules | None:
    for number, rule in enumerate(route.deny):
        verdict = evaluate(rule, facts, unenforced=None if is_strict else False)
        if verdict is not False:
            return _denied(rule, label_of(rule, f"deny[{number}]"), facts, is_undecided=verdict is None)
    lenient = None if is_strict else True
    if any(evaluate(rule, facts, unenforced=lenient) is True for rule in route.allow):
        return None
    labels = [label_of(rule, f"allow[{number}]") for number, rule in enumerate(route.allow)]
    for label, rule in zip(labels, route.allow, strict=True):
        if evaluate(rule, facts, granted="login", unenforced=lenient) is True:
            return DeniedByRules(
                Reason.LOGIN_TOO_OLD, f"needs a login anew: {words_of(rule)}", label, (), step_up_of(rule)
            )
        if evaluate(rule, facts, granted="scopes", unenforced=lenient) is True:
            scopes = tuple(dict.fromkeys(scopes_of(rule)))
            return DeniedByRules(Reason.INSUFFICIENT_SCOPE, f"needs the scopes {' '.join(scopes)}", label, scopes)
    asked = "; ".join(words_of(rule) for rule in route.allow)
    detail = f"no `allow` rule holds: {asked}{_silence(route.allow, facts)}"
    return DeniedByRules(Reason.ACCESS_DENIED, detail, ", ".join(labels))


def _denied(rule: Rule, label: str, facts: Facts, *, is_undecided: bool) -> DeniedByRules:
    said = "cannot be decided" if is_undecided else "holds"
    detail = f"a `deny` rule {said}: {words_of(rule)}{_silence((rule,), facts)}"
    return DeniedByRules(Reason.DENIED_BY_RULE, detail, label)


def _silence(rules: Sequence[Rule], facts: Facts) -> str:
    """Return what the rules ask for and the token does not state: `; the token has no email`. Of Mastra more."""
    asked = dict.fromkeys(fact for rule in rules for one in rules_within(rule) if (fact := _fact_of(one)) is not None)
    absent = [fact for fact in asked if getattr(facts.principal, fact) is None]
    said = f"; the token has no {listed(absent)}" if absent else ""
    of_mastra = [one for rule in rules for one in rules_within(rule) if isinstance(one, MastraRole | MastraPermission)]
    return said + "".join(dict.fromkeys(f"; {shortfall(one, facts)}" for one in of_mastra))


def _fact_of(rule: Rule) -> str | None:
    match rule:
        case EmailDomain():
            return "email"
        case Equals("actor"):
            return None  # that there is none is an answer
        case Equals(fact) | HasAny(fact) | HasAll(fact):
            return fact
        case _:
            return None

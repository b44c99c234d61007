"""The rules of a route: who is refused, by which rule, in which words, and what `enforce: false` makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.decision import Allow, Deny, decide
from gateway.policy.reasons import Reason
from tests.configuring import SECRET, file_with, mistakes, read
from tests.minting import NOW, claims_of, mint
from tests.policy.test_decision import FakeKeys, bearer

RULES = """
rules:
  company: {email_domain: yourcompany.com}
  observed: {role: admin, enforce: false}
"""


def decided(route: str, **claims: Any) -> Allow | Deny:
    config = read(file_with(rules=RULES, routes=f"routes: {{/api: {{provider: jobs, {route}}}}}"))
    decision = decide(config.policy, FakeKeys(), bearer(mint(claims_of(**claims), SECRET.encode())), NOW)
    assert isinstance(decision, Allow | Deny)
    return decision


@pytest.mark.parametrize(
    ("route", "claims", "rule", "detail"),
    [
        (
            "allow: company",
            {"email": ...},
            "company",
            "no `allow` rule holds: company (email at yourcompany.com); the token has no email",
        ),
        (
            "allow: [company, {role: admin}]",
            {},
            "company, allow[1]",
            "no `allow` rule holds: company (email at yourcompany.com); role admin; the token has no roles",
        ),
        (
            "allow: authenticated, deny: [{role: x}, {claim: {suspended: true}}]",
            {"roles": ["a"], "suspended": True},
            "deny[1]",
            "a `deny` rule holds: claim suspended is true",
        ),
        (
            "allow: authenticated, deny: {role: x}",
            {},
            "deny[0]",
            "a `deny` rule cannot be decided: role x; the token has no roles",
        ),
        ("allow: {scope: run}", {"scope": ""}, "allow[0]", "needs the scopes run"),
    ],
)
def test_refusal_names_the_rule_and_what_the_token_does_not_say(
    route: str, claims: dict[str, Any], rule: str, detail: str
) -> None:
    decision = decided(route, **claims)
    assert isinstance(decision, Deny)
    assert (decision.rule, decision.detail) == (rule, detail)


@pytest.mark.parametrize(
    ("route", "claims", "would", "rule"),
    [
        pytest.param("allow: observed", {"roles": ["dev"]}, Reason.ACCESS_DENIED, "observed", id="named"),
        pytest.param("allow: observed", {"roles": ["admin"]}, None, None, id="holds"),
        pytest.param("allow: {role: a, enforce: false}", {}, Reason.ACCESS_DENIED, "allow[0]", id="undecided"),
        pytest.param(
            "allow: authenticated, deny: {role: x, enforce: false}",
            {"roles": ["x"]},
            Reason.DENIED_BY_RULE,
            "deny[0]",
            id="deny",
        ),
        pytest.param("allow: {not: observed}", {"roles": ["admin"]}, Reason.ACCESS_DENIED, "allow[0]", id="below-not"),
        pytest.param(
            "allow: {all: [authenticated, {role: a, enforce: false}]}",
            {"roles": ["b"]},
            Reason.ACCESS_DENIED,
            "allow[0]",
            id="in-a-tree",
        ),
        pytest.param(
            "allow: {scope: run, enforce: false}", {"scope": ""}, Reason.INSUFFICIENT_SCOPE, "allow[0]", id="scope"
        ),
    ],
)
def test_unenforced_rule_lets_pass_and_says_what_it_would_have_done(
    route: str, claims: dict[str, Any], would: Reason | None, rule: str | None
) -> None:
    decision = decided(route, **claims)
    assert isinstance(decision, Allow)
    assert decision.principal is not None and not decision.withheld.authorization
    found = decision.would_deny
    assert (found.reason if found else None, found.rule if found else None) == (would, rule)


@pytest.mark.parametrize(
    ("route", "claims", "reason", "rule"),
    [
        pytest.param(
            "allow: {role: admin}, deny: {role: x, enforce: false}",
            {"roles": ["x"]},
            Reason.ACCESS_DENIED,
            "allow[0]",
            id="what-is-enforced-is-the-reason",
        ),
        pytest.param(
            "allow: observed, deny: {role: x}", {"roles": ["x"]}, Reason.DENIED_BY_RULE, "deny[0]", id="deny-stays"
        ),
        pytest.param(
            "allow: {all: [company, {role: a, enforce: false}]}", {}, Reason.ACCESS_DENIED, "allow[0]", id="the-rest"
        ),
    ],
)
def test_what_is_enforced_beside_it_still_refuses(
    route: str, claims: dict[str, Any], reason: Reason, rule: str
) -> None:
    decision = decided(route, **claims)
    assert isinstance(decision, Deny)
    assert (decision.reason, decision.rule) == (reason, rule)


def test_unenforced_rule_is_no_door_for_a_bad_token() -> None:
    # A missing or bad token passes only where `enforce: false` stands on the route.
    config = read(file_with(rules=RULES, routes="routes: {/api: {provider: jobs, allow: observed}}"))
    for token in (mint(claims_of(), b"x" * 40), mint(claims_of(exp=1), SECRET.encode()), "a.b.c"):
        decision = decide(config.policy, FakeKeys(), bearer(token), NOW)
        assert isinstance(decision, Deny) and decision.reason.status == 401


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{enforce: false}", "found enforce alone, expected conditions beside it"),
        ("{role: x, enforce: maybe}", "expected true or false"),
    ],
)
def test_mistakes_about_enforce_have_a_place(rule: str, expected: str) -> None:
    found = mistakes(file_with(routes=f"routes: {{/api: {{provider: jobs, allow: {rule}}}}}"))
    assert len(found) == 1 and expected in found[0] and found[0].split(":")[0].isdigit()


def test_check_warns_of_a_rule_that_stops_nobody() -> None:
    warnings = read(file_with(rules=RULES, routes="routes: {/api: {provider: jobs, allow: observed}}")).warnings
    assert any("a rule says 'enforce: false'" in warning for warning in warnings)

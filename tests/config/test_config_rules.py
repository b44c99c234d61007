"""`allow`, `deny` and `rules:` as they are written, and as they decide."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.policy.freshness import Fresh
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
    When,
)
from tests.configuring import file_with, mistakes, only_route, read

ADMIN = HasAny("roles", frozenset({"admin"}))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("authenticated", Authenticated()),
        ("{email_domain: yourcompany.com}", EmailDomain(frozenset({"yourcompany.com"}))),
        ("{email_domain: [YourCompany.COM, b.co.uk]}", EmailDomain(frozenset({"yourcompany.com", "b.co.uk"}))),
        ("{email_domain: a.com, include_subdomains: true}", EmailDomain(frozenset({"a.com"}), True)),
        ("{email_domain: a.com, include_subdomains: false}", EmailDomain(frozenset({"a.com"}))),
        ("{email_domain: bücher.example}", EmailDomain(frozenset({"xn--bcher-kva.example"}))),
        ("{email_domain: BÜCHER.example}", EmailDomain(frozenset({"xn--bcher-kva.example"}))),
        ("{email_domain: xn--bcher-kva.example}", EmailDomain(frozenset({"xn--bcher-kva.example"}))),
        ("{email: Alice@a.com}", Equals("email", frozenset({"Alice@a.com"}))),
        ("{subject: [12, auth0|x]}", Equals("subject", frozenset({"12", "auth0|x"}))),
        ("{organization: org_1}", Equals("organization", frozenset({"org_1"}))),
        ("{client: c}", Equals("client", frozenset({"c"}))),
        ("{kind: human}", Equals("kind", frozenset({"human"}))),
        ("{kind: [service, agent]}", Equals("kind", frozenset({"service", "agent"}))),
        ("{actor: agent-7}", Equals("actor", frozenset({"agent-7"}))),
        ("{fresh: {within: 10m}}", Fresh(600.0)),
        ("{fresh: {within: 1h, acr: mfa, amr: [otp, hwk]}}", Fresh(3600.0, ("mfa",), ("otp", "hwk"))),
        ("{role: admin}", ADMIN),
        ("{role: true}", HasAny("roles", frozenset({"true"}))),
        ("{group: [a, b]}", HasAny("groups", frozenset({"a", "b"}))),
        ("{scope: [a, b]}", HasAll("scopes", ("a", "b"))),
        ("{permission: agents:run}", HasAll("permissions", ("agents:run",))),
        ("{claim: {plan: pro}}", Claim("plan", ("plan",), ("pro",))),
        ("{claim: {https://a.com/p: [x, y]}}", Claim("https://a.com/p", ("https://a.com/p",), ("x", "y"))),
        ("{claim: {a.b: x}}", Claim("a.b", ("a.b",), ("x",))),
        ("{claim: {/a/b~1c/0: x}}", Claim("/a/b~1c/0", ("a", "b/c", "0"), ("x",))),
        (
            "{claim: {v: [true, 2, 2.5, null, '2', 010, on]}}",
            Claim("v", ("v",), (True, 2, 2.5, None, "2", "010", "on")),
        ),
        ("{claim: {v: ''}}", Claim("v", ("v",), ("",))),
        ("{claim: {a: x, b: y}}", AllOf((Claim("a", ("a",), ("x",)), Claim("b", ("b",), ("y",))))),
        ("{method: [GET, HEAD]}", MethodIs(frozenset({"GET", "HEAD"}))),
        ("{path: [/api/a, /]}", PathUnder((("api", "a"), ()))),
        ("{ip: [10.0.0.0/8, '::1']}", AddressIn((ip_network("10.0.0.0/8"), ip_network("::1/128")))),
        ("{role: admin, email_domain: a.com}", AllOf((ADMIN, EmailDomain(frozenset({"a.com"}))))),
        ("{any: [{role: admin}, authenticated]}", AnyOf((ADMIN, Authenticated()))),
        ("{all: [{role: admin}]}", AllOf((ADMIN,))),
        ("{not: {role: admin}}", Not(ADMIN)),
    ],
)
def test_rule_is_read(written: str, expected: Rule) -> None:
    assert only_route(written).allow == (expected,)


def test_list_means_that_one_must_hold() -> None:
    assert only_route("[{role: admin}, authenticated]").allow == (ADMIN, Authenticated())


def test_variable_in_a_claim_is_text() -> None:
    text = file_with(routes='routes: {/api: {provider: jobs, allow: {claim: {v: "${V}"}}}}')
    assert read(text, {"V": "true"}).policy.routes[0].allow == (Claim("v", ("v",), ("true",)),)


def test_expressions_come_last() -> None:
    rule = only_route("{when: 'true', role: admin}").allow[0]
    assert isinstance(rule, AllOf)
    assert isinstance(rule.rules[-1], When)


def test_named_rule_keeps_its_name() -> None:
    assert only_route("admins", rules="rules: {admins: {role: admin}}").allow == (Named("admins", ADMIN),)
    several = only_route("some", rules="rules: {some: [{role: admin}, authenticated]}").allow
    assert several == (Named("some", AnyOf((ADMIN, Authenticated()))),)


def test_named_rules_name_others() -> None:
    rules = "rules: {a: {not: b}, b: {any: [c]}, c: {role: admin}}"
    assert only_route("a", rules=rules).allow == (Named("a", Not(Named("b", AnyOf((Named("c", ADMIN),))))),)


def test_named_rule_is_compiled_for_the_captures_of_each_route() -> None:
    text = file_with(
        rules="rules: {own: {when: agent in claims.agents}}",
        routes="""
        routes:
          /a/{agent}: {provider: jobs, allow: own}
          /b/{agent}/x: {provider: jobs, allow: own}
        """,
    )
    assert len(read(text).policy.routes) == 2


def test_unused_named_rule_may_use_the_capture_of_any_route() -> None:
    rules = "rules: {own: {when: agent in claims.agents}, other: {role: x}}"
    routes = "routes: {'/a/{agent}': {provider: jobs, allow: other}}"
    assert not mistakes(file_with(rules=rules, routes=routes))


def test_named_rule_without_the_capture_is_refused_once() -> None:
    text = file_with(
        rules="rules: {own: {when: agent in claims.agents}}",
        routes="routes: {/a: {provider: jobs, allow: own}, /b: {provider: jobs, allow: own}}",
    )
    assert len(mistakes(text)) == 1


MISTAKES = [
    ("[]", "found an empty list, which is no rule"),
    ("{}", "found an empty rule, which everybody would meet"),
    ("[{}]", "found an empty rule"),
    ("", "found nothing"),
    ("[[{role: a}]]", "found a list in a list"),
    ("authenticate", "unknown rule 'authenticate'"),
    ("authenticate", "(did you mean 'authenticated'?)"),
    ("{roles: admin}", "unknown condition (did you mean 'role'?)"),
    ("{rule: admin}", "unknown condition (did you mean 'role'?)"),
    ("{admins: true}", "unknown condition"),
    ("{fresh: 10m}", "found '10m', expected a mapping"),
    ("{fresh: {}}", "found an empty mapping, expected 'within', 'acr' or 'amr': {within: 10m}"),
    ("{fresh: {within: 10}}", "found '10' without a unit, expected a duration such as 500ms, 5s, 10m or 1h"),
    ("{fresh: {within: 0s}}", "found '0s' which is no time at all, expected a duration"),
    ("{fresh: {max_age: 10m}}", "unknown key"),
    ("{fresh: {acr: []}}", "found an empty list, expected classes"),
    ("{kind: robot}", "found 'robot', expected human, service or agent"),
    ("{role: []}", "found an empty list"),
    ("{role: {a: b}}", "found a mapping"),
    ("{role: ''}", "found an empty value"),
    ("{role: }", "found nothing"),
    ("{role: [a, a]}", "twice in one list"),
    ("{any: []}", "found an empty list, expected a list of rules"),
    ("{any: {role: a}}", "expected a list of rules"),
    ("{all: [{}]}", "found an empty rule"),
    ("{not: [{role: a}]}", "found a list, expected one rule"),
    ("{not: {}}", "found an empty rule"),
    ("{scope: a b}", "(did you mean [a, b]?)"),
    ("{method: get}", "(did you mean 'GET'?)"),
    ("{method: CONNECT}", "which the gateway refuses on every route"),
    ("{path: api}", "(did you mean '/api'?)"),
    ("{path: /api/*}", "(did you mean '/api'? A prefix covers what lies below)"),
    ("{path: '/a/{x}'}", "with a capture, which only the key of a route can have"),
    ("{path: /a/../b}", "that no request can have"),
    ("{ip: 10.0.0.1/8}", "(did you mean '10.0.0.0/8'?)"),
    ("{ip: localhost}", "expected a network"),
    ("{claim: plan}", "expected a claim's name and its value"),
    ("{claim: {}}", "found an empty mapping, expected a claim's name"),
    ("{claim: {plan: []}}", "found an empty list"),
    ("{claim: {plan: {a: b}}}", "found a mapping"),
    ("{claim: {plan: }}", "found nothing, expected the value"),
    ("{claim: {'/a~2': x}}", "no JSON Pointer"),
    ("{claim: {'': x}}", "found an empty name"),
    ("{include_subdomains: true}", "found include_subdomains alone"),
    ("{email_domain: a.com, include_subdomains: yes}", "(did you mean true?)"),
    # Four ways to let strangers in by their email: refused while the file is read.
    ("{email_domain: '@a.com'}", "found '@a.com' with an '@', expected a whole domain such as yourcompany.com"),
    ("{email_domain: '@a.com'}", "(did you mean 'a.com'?)"),
    ("{email_domain: alice@a.com}", "(did you mean 'a.com'?)"),
    ("{email_domain: '*.a.com'}", "with a wildcard"),
    ("{email_domain: '*'}", "with a wildcard"),
    ("{email_domain: .a.com}", "(did you mean 'a.com' with 'include_subdomains: true'?)"),
    ("{email_domain: com}", "of one label"),
    ("{email_domain: a.com.}", "(did you mean 'a.com'?)"),
    ("{email_domain: a..com}", "which no domain can be"),
    ("{email_domain: 'a .com'}", "which no domain can be"),
    ("{email_domain: 127.0.0.1}", "which no domain can be"),
    ("{email_domain: '::1.2'}", "which no domain can be"),
    ("{email_domain: -a.com}", "which no domain can be"),
    ("{email_domain: xn--zzzzz-.com}", "which no domain can be"),
    ("{email_domain: a_b.com}", "which no domain can be"),
    ("{email_domain: []}", "found an empty list"),
    ("{email: alice}", "which no verified email is"),
    ("{email: 'a@b@c.com'}", "which no verified email is"),
    ("{email: 'ä@b.com'}", "which no verified email is"),
    ("{when: ''}", "found an empty value, expected a CEL expression"),
    ("{when: [a]}", "expected a CEL expression"),
    ("{when: claims.plan}", ""),
    ("{when: '1 + 1'}", "the expression gives INT, expected bool"),
    ("{when: '1 +'}", "the expression ends too early"),
    ("{when: agent in claims.agents}", "unknown name 'agent' in the expression (known are claims, request, user)"),
    ("{when: user.emial == 'a'}", "unknown name 'user.emial' in the expression (did you mean 'user.email'?)"),
    ("{when: user.email == 1}", "the expression is no valid CEL: found no matching overload"),
]


@pytest.mark.parametrize(("written", "expected"), MISTAKES)
@pytest.mark.parametrize("key", ["allow", "deny", "rules"])
def test_mistake_in_a_rule_is_told_once(written: str, expected: str, key: str) -> None:
    allow = written if key == "allow" else "named" if key == "rules" else "authenticated"
    deny = f", deny: {written}" if key == "deny" else ""
    rules = f"rules: {{named: {written}}}" if key == "rules" else ""
    found = mistakes(file_with(routes=f"routes: {{/api: {{provider: jobs, allow: {allow}{deny}}}}}", rules=rules))
    assert len(found) == (1 if expected else 0), found
    assert not found or expected in found[0]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("{a: a}", "found a rule that leads back to itself: a -> a"),
        ("{a: {not: b}, b: {all: [{any: [a]}]}}", "leads back to itself: a -> b -> a"),
        ("{a: b}", "unknown rule 'b'"),
        ("{authenticated: {role: a}}", "found the name 'authenticated'"),
        ("{'a b': {role: a}}", "found a name that is not made of letters"),
        ("[]", "found something else, expected names, each with a rule"),
        ("{" + ", ".join(f"r{n}: r{n + 1}" for n in range(40)) + ", r40: {role: a}}", "more than 16 deep"),
    ],
)
def test_mistake_among_named_rules_is_told_though_no_route_uses_them(rules: str, expected: str) -> None:
    found = mistakes(file_with(rules=f"rules: {rules}"))
    assert found
    assert all(expected in line for line in found), found
    assert len(found) <= 2


@pytest.mark.parametrize(
    ("written", "place"),
    [
        pytest.param("when: claims.a == 1 && foo", "5:30", id="plain"),
        pytest.param("when: 'claims.a == 1 && foo'", "5:31", id="quoted"),
        pytest.param("when: user.emial == 'x'", "5:13", id="points-at-the-name"),
        pytest.param("when: |\n          claims.a == 1 &&\n            foo", "7:13", id="block"),
        pytest.param("when: >\n          claims.a == 1 &&\n          foo", "5:13", id="folded-its-beginning"),
        pytest.param("when: claims.a == 1 &&\n          foo", "5:13", id="two-lines-its-beginning"),
        pytest.param('when: "claims.a == \\"x\\" && foo"', "5:13", id="escaped-its-beginning"),
        pytest.param("when: foo == ${X}", "5:13", id="replaced-its-beginning"),
    ],
)
def test_mistake_in_an_expression_is_placed_in_the_file(written: str, place: str) -> None:
    text = f"""\
upstream: http://x
providers: {{p: {{type: oidc, issuer: https://i, audience: x}}}}
rules:
  r:  # in line 5, from column 7
      {written}
routes: {{/api: {{provider: p, allow: r}}}}
"""
    found = mistakes(text, {"X": "1"})
    assert len(found) == 1
    assert found[0].startswith(f"{place}: rules.r.when:"), found


def test_network_of_mapped_addresses_is_that_of_the_addresses_themselves() -> None:
    # Addresses are read unmapped: a `deny` of the mapped form would refuse nobody.
    [rule] = only_route("{ip: ['::ffff:10.0.0.0/104', '::ffff:192.0.2.9', '::/0', 2001:db8::/32]}").allow
    assert rule == AddressIn(tuple(ip_network(n) for n in ("10.0.0.0/8", "192.0.2.9", "::/0", "2001:db8::/32")))

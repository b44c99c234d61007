"""Conditions and trees: holds, does not hold, cannot be decided."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, get_args

import pytest

from gateway.policy.asked import scopes_of
from gateway.policy.expressions import Facts, compile_expression
from gateway.policy.model import Headers, Principal, RequestHead
from gateway.policy.paths import split_target
from gateway.policy.rules import (
    CONDITIONS,
    AddressIn,
    AllOf,
    AnyOf,
    Authenticated,
    Claim,
    Condition,
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

YES, NO = MethodIs(frozenset({"GET"})), MethodIs(frozenset({"PUT"}))
UNCLEAR = HasAny("roles", frozenset({"admin"}))


def test_every_condition_can_be_decided() -> None:
    assert set(CONDITIONS) == set(get_args(Condition))


def facts(claims: dict[str, Any] | None = None, ip: str = "192.0.2.7", **principal: Any) -> Facts:
    head = RequestHead("GET", "/api/agents/x", Headers([]), ip, "https")
    return Facts(Principal("p", "u1", None, claims or {}, **principal), head, split_target(head.target)[0], {}, 0.0)


@pytest.mark.parametrize(
    ("rule", "principal", "expected"),
    [
        pytest.param(Authenticated(), {}, True, id="authenticated"),
        pytest.param(EmailDomain(frozenset({"example.com"})), {"email_domain": "example.com"}, True, id="domain"),
        pytest.param(EmailDomain(frozenset({"example.com"})), {"email_domain": "evil.com"}, False, id="other-domain"),
        pytest.param(
            EmailDomain(frozenset({"example.com"})), {"email_domain": "notexample.com"}, False, id="lookalike-suffix"
        ),
        pytest.param(
            EmailDomain(frozenset({"example.com"})),
            {"email_domain": "example.com.evil.com"},
            False,
            id="lookalike-prefix",
        ),
        pytest.param(EmailDomain(frozenset({"example.com"})), {"email_domain": "a.example.com"}, False, id="subdomain"),
        pytest.param(
            EmailDomain(frozenset({"example.com"}), True),
            {"email_domain": "a.b.example.com"},
            True,
            id="subdomain-asked",
        ),
        pytest.param(
            EmailDomain(frozenset({"example.com"}), True), {"email_domain": "notexample.com"}, False, id="no-border"
        ),
        pytest.param(EmailDomain(frozenset({"example.com"}), True), {"email_domain": ".example.com"}, False, id="dot"),
        pytest.param(EmailDomain(frozenset({"example.com"})), {}, None, id="no-email"),
        pytest.param(Equals("email", frozenset({"a@example.com"})), {"email": "a@EXAMPLE.com"}, True, id="email"),
        pytest.param(Equals("email", frozenset({"a@example.com"})), {"email": "A@example.com"}, None, id="local-part"),
        pytest.param(Equals("email", frozenset({"a@example.com"})), {}, None, id="email-missing"),
        pytest.param(Equals("subject", frozenset({"u1", "u2"})), {}, True, id="subject"),
        pytest.param(Equals("subject", frozenset({"U1"})), {}, None, id="subject-case"),
        pytest.param(Equals("organization", frozenset({"o"})), {"organization": "o"}, True, id="organization"),
        pytest.param(Equals("organization", frozenset({"o"})), {}, None, id="no-organization"),
        pytest.param(Equals("client", frozenset({"c"})), {"client": "d"}, False, id="client"),
        pytest.param(HasAny("roles", frozenset({"a", "b"})), {"roles": ("b", "c")}, True, id="any-role"),
        pytest.param(HasAny("roles", frozenset({"a"})), {"roles": ("admin",)}, False, id="role-by-prefix"),
        pytest.param(HasAny("groups", frozenset({"a"})), {"groups": ()}, False, id="no-group"),
        pytest.param(HasAny("roles", frozenset({"a"})), {}, None, id="roles-missing"),
        pytest.param(HasAny("roles", frozenset({"a"})), {"roles": ("A", "b")}, None, id="role-case"),
        pytest.param(HasAny("roles", frozenset({"a"})), {"roles": ("b,a",)}, None, id="role-in-a-list-as-text"),
        pytest.param(HasAny("roles", frozenset({"a"})), {"roles": ("b a",)}, None, id="role-parted-by-space"),
        pytest.param(HasAny("groups", frozenset({"a"})), {"groups": ("b-a", "ba")}, False, id="group-as-a-part"),
        pytest.param(HasAll("scopes", ("a", "b")), {"scopes": ("a", "B")}, None, id="scope-case"),
        pytest.param(HasAll("scopes", ("a", "b")), {"scopes": ("A", "c")}, False, id="scope-case-and-one-short"),
        pytest.param(HasAll("scopes", ("a", "b")), {"scopes": ("b", "a", "c")}, True, id="all-scopes"),
        pytest.param(HasAll("scopes", ("a", "b")), {"scopes": ("a",)}, False, id="a-scope-short"),
        pytest.param(HasAll("permissions", ("a",)), {}, None, id="permissions-missing"),
    ],
)
def test_condition_about_the_principal(rule: Rule, principal: dict[str, Any], expected: bool | None) -> None:
    assert evaluate(rule, facts(**principal)) is expected


def claim(name: str, *values: Any) -> Claim:
    steps = tuple(name[1:].split("/")) if name.startswith("/") else (name,)
    return Claim(name, steps, values)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(claim("plan", "pro"), True, id="equal"),
        pytest.param(claim("plan", "free", "pro"), True, id="one-of-several"),
        pytest.param(claim("plan", "free"), False, id="different"),
        pytest.param(claim("tags", "b"), True, id="array-contains"),
        pytest.param(claim("tags", "c"), False, id="array-lacks"),
        pytest.param(claim("https://example.com/plan", "gold"), True, id="url-name"),
        pytest.param(claim("/o/id", "org_1"), True, id="pointer"),
        pytest.param(claim("/tags/1", "b"), True, id="pointer-into-array"),
        pytest.param(claim("/tags/9", "b"), None, id="pointer-past-the-end"),
        pytest.param(claim("/tags/x", "b"), None, id="pointer-no-index"),
        pytest.param(claim("/tags/-1", "b"), None, id="pointer-negative"),
        pytest.param(claim("/o/id/x", "b"), None, id="pointer-into-a-string"),
        pytest.param(claim("o", "org_1"), None, id="object"),
        pytest.param(claim("missing", "x"), None, id="missing"),
        pytest.param(claim("yes", True), True, id="true"),
        pytest.param(claim("yes", 1), None, id="true-is-not-one"),
        pytest.param(claim("one", True), None, id="one-is-not-true"),
        pytest.param(claim("one", 1), True, id="number"),
        pytest.param(claim("one", 1.0), True, id="same-number"),
        pytest.param(claim("one", "1"), None, id="number-is-no-string"),
        pytest.param(claim("nothing", None), True, id="null"),
        pytest.param(claim("nothing", True), None, id="null-is-not-false"),
        pytest.param(claim("yes", None), None, id="true-is-not-null"),
        pytest.param(claim("yes", False), False, id="true-is-clearly-not-false"),
        pytest.param(claim("yes", "true"), None, id="text-of-true"),
        pytest.param(claim("plan", "Pro"), None, id="case"),
        pytest.param(claim("plan", " pro "), None, id="white-space"),
        pytest.param(claim("plan", "\uff50ro"), None, id="full-width"),
        pytest.param(claim("plan", "pro\0"), None, id="nul"),
        pytest.param(claim("plan", "p\u200bro"), None, id="no-width"),
        pytest.param(claim("plan", "\ufeffpr\u00ado"), None, id="unseen"),
        pytest.param(claim("plan", "pr"), False, id="beginning"),
        pytest.param(claim("several", "b"), None, id="in-a-list-as-text"),
        pytest.param(claim("words", "b"), None, id="in-a-list-parted-by-space"),
        pytest.param(claim("several", "bc"), False, id="not-in-a-list-as-text"),
        pytest.param(claim("plan", True), None, id="text-is-no-boolean"),
        pytest.param(claim("tags", "B"), None, id="case-in-array"),
        pytest.param(claim("tags", 1), None, id="number-in-array-of-texts"),
        pytest.param(claim("empty", "x"), False, id="empty-array"),
        pytest.param(claim("nested", "x"), None, id="array-in-array"),
        pytest.param(claim("one", 2), False, id="other-number"),
        pytest.param(claim("one", 2, "x"), None, id="one-of-another-type"),
    ],
)
def test_condition_about_a_claim(rule: Claim, expected: bool | None) -> None:
    claims = {
        "plan": "pro",
        "tags": ["a", "b"],
        "https://example.com/plan": "gold",
        "o": {"id": "org_1"},
        "yes": True,
        "one": 1,
        "nothing": None,
        "empty": [],
        "several": ["x", "a, B"],
        "words": "a b",
        "nested": [["x"]],
    }
    assert evaluate(rule, facts(claims)) is expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (PathUnder((("api", "agents"),)), True),
        (PathUnder((("other",), ("api",))), True),
        (PathUnder((("api", "agent"),)), False),
        (AddressIn((ip_network("192.0.2.0/24"),)), True),
        (AddressIn((ip_network("198.51.100.0/24"), ip_network("2001:db8::/32"))), False),
        (When(compile_expression("request.method == 'GET'")), True),
        (When(compile_expression("claims.x")), None),
    ],
)
def test_condition_about_the_request(rule: Rule, expected: bool | None) -> None:
    assert evaluate(rule, facts()) is expected


def test_address_of_an_ipv4_client_on_an_ipv6_socket() -> None:
    network = AddressIn((ip_network("192.0.2.0/24"),))
    assert evaluate(network, facts(ip="::ffff:192.0.2.9")) is True
    assert evaluate(network, facts(ip="2001:db8::1")) is False
    assert evaluate(network, facts(ip="unix")) is None


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (AllOf((YES, YES)), True),
        (AllOf((YES, UNCLEAR)), None),
        (AllOf((UNCLEAR, NO)), False),
        (AnyOf((NO, YES)), True),
        (AnyOf((NO, UNCLEAR)), None),
        (AnyOf((UNCLEAR, YES)), True),
        (AnyOf((NO, NO)), False),
        (Not(YES), False),
        (Not(NO), True),
        (Not(UNCLEAR), None),
        (Named("company", YES), True),
    ],
)
def test_trees_combine_three_values(rule: Rule, expected: bool | None) -> None:
    assert evaluate(rule, facts()) is expected


def test_only_scopes_are_missing() -> None:
    scope = HasAll("scopes", ("a", "b"))
    rule = Named("r", AllOf((YES, AnyOf((scope, NO)))))
    assert evaluate(rule, facts(scopes=())) is False
    assert evaluate(rule, facts(scopes=()), granted="scopes") is True
    assert evaluate(AllOf((scope, NO)), facts(), granted="scopes") is False
    assert evaluate(Not(scope), facts(scopes=("a", "b")), granted="scopes") is False
    assert list(scopes_of(rule)) == ["a", "b"]
    assert list(scopes_of(Not(scope))) == []
    assert list(scopes_of(HasAll("permissions", ("x",)))) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/list/1", True),
        ("/list/2", None),  # one behind the last
        ("/list/000001", True),
        ("/list/0000001", None),
    ],
)
def test_pointer_into_an_array_ends_with_it(name: str, expected: bool | None) -> None:
    assert evaluate(claim(name, "b"), facts({"list": ["a", "b"]})) is expected


def test_true_is_not_clearly_another_than_one_nor_is_an_object_in_an_array() -> None:
    assert evaluate(claim("x", 1), facts({"x": True})) is None
    assert evaluate(claim("x", "a"), facts({"x": [{"a": "a"}, ["a"]]})) is None


@pytest.mark.parametrize(
    ("rule", "unenforced", "expected"),
    [
        (Unenforced(NO), None, False),
        (Unenforced(NO), True, True),
        (Unenforced(YES), False, False),
        (AnyOf((NO, Unenforced(NO))), None, False),
        (AnyOf((NO, Unenforced(NO))), True, True),
        (AllOf((YES, Unenforced(NO))), True, True),
        (AllOf((YES, Unenforced(YES))), False, False),
        # Below `not` what keeps a rule from refusing is its opposite.
        (Not(Unenforced(NO)), None, True),
        (Not(Unenforced(YES)), None, False),
        (Not(Unenforced(YES)), True, True),
        (Not(Unenforced(NO)), False, False),
        (Named("x", Unenforced(NO)), True, True),
    ],
)
def test_unenforced_rule_counts_as_what_keeps_it_from_refusing(
    rule: Rule, unenforced: bool | None, expected: bool
) -> None:
    assert evaluate(rule, facts(), unenforced=unenforced) is expected


@pytest.mark.parametrize(
    ("methods", "method", "expected"),
    [
        ({"GET"}, "GET", True),
        ({"GET"}, "HEAD", True),  # the same handler, without the body: `deny: {method: GET}` must not miss it
        ({"HEAD"}, "GET", False),
        ({"GET"}, "POST", False),
        ({"DELETE"}, "delete", None),
        ({"GET"}, "Get", None),
    ],
)
def test_condition_about_the_method(methods: set[str], method: str, expected: bool | None) -> None:
    asked = facts()
    asked.head.method = method
    assert evaluate(MethodIs(frozenset(methods)), asked) is expected

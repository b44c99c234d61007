"""`when:` in CEL: wrong expressions are refused when read, right ones never raise."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.expressions import ExpressionError, Facts, compile_expression
from gateway.policy.fields import HeaderRules
from gateway.policy.model import Headers, Principal, RequestHead
from gateway.policy.onward import NOTHING, Withheld
from gateway.policy.paths import split_target

NOW = 1_000_000_000.0  # 2001-09-09T01:46:40Z


def facts(claims: dict[str, Any] | None = None, captures: dict[str, str] | None = None, **principal: Any) -> Facts:
    head = RequestHead(
        "POST", "/api/x", Headers([("Host", "gw.test"), ("X-A", "1"), ("x-a", "2")]), "192.0.2.7", "https"
    )
    return Facts(
        Principal("p", "u1", None, claims or {}, **principal), head, split_target(head.target)[0], captures or {}, NOW
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("claims.plan == 'pro'", True),
        ("claims['https://example.com/plan'] == 'gold'", True),
        ("claims.n > 3 && claims.n < 5", True),
        ("'admin' in user.roles", True),
        ("'x' in user.groups", None),
        ("user.subject == 'u1' && user.provider == 'p'", True),
        ("user.email == 'a@example.com'", True),
        ("user.organization == 'o'", None),
        ("request.method == 'POST' && request.path == '/api/x' && request.host == 'gw.test'", True),
        ("request.headers['x-a'] == '1, 2'", True),
        ("request.headers['x-b'] == '1'", None),
        ("request.ip.startsWith('192.0.2.')", True),
        ("request.time.getFullYear() == 2001", True),
        ("agent in claims.agents", True),
        ("agent == 'other'", False),
        ("claims.missing == 1", None),
        ("has(claims.missing) && claims.missing == 1", False),
        ("claims.missing == 1 || true", True),
        ("claims.n == 'four'", False),
        ("claims.n + 'four' == ''", None),
        ("claims.flag", True),
        ("claims.n", None),
        ("claims.plan.matches('^p[a-z]+$')", True),
    ],
)
def test_value_of_an_expression(text: str, expected: bool | None) -> None:
    asked = facts(
        {"plan": "pro", "https://example.com/plan": "gold", "n": 4, "agents": ["a1"], "flag": True},
        {"agent": "a1"},
        roles=("admin",),
        email="a@example.com",
    )
    assert compile_expression(text, ["agent"]).holds(asked) is expected


@pytest.mark.parametrize("claims", [{"x": "\ud800"}, {"x": 2**70}, {"x": {"deep": "\udfff"}}])
def test_claims_that_the_engine_cannot_hold_give_no_value(claims: dict[str, Any]) -> None:
    assert compile_expression("claims.x == 'a' || claims.x != 'a'").holds(facts(claims)) is None


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        pytest.param("user.emial == 'x'", 1, 5, "user.emial", id="misspelt-fact"),
        pytest.param("nobody == 1", 1, 1, "nobody", id="unknown-variable"),
        pytest.param("user.email == 1", 1, 12, "no matching overload", id="wrong-type"),
        pytest.param("claims.a == 1 &&\n  nope", 2, 3, "nope", id="second-line"),
        pytest.param("claims.a ==", 1, 12, "Syntax error", id="unfinished"),
        pytest.param("", 1, 1, "Syntax error", id="empty"),
        pytest.param("1 + 1", 1, 1, "expected bool", id="no-boolean"),
        pytest.param("user.email", 1, 1, "expected bool", id="a-string"),
        pytest.param("other == 'x'", 1, 1, "other", id="capture-of-another-route"),
    ],
)
def test_wrong_expression_is_refused_with_its_place(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(ExpressionError, match=words) as problem:
        compile_expression(text, ["agent"])
    assert (problem.value.line, problem.value.column) == (line, column)


@pytest.mark.parametrize("name", ["claims", "user", "request"])
def test_capture_must_not_hide_a_variable(name: str) -> None:
    with pytest.raises(ExpressionError, match="hides"):
        compile_expression("true", [name])


def test_text_that_the_engine_cannot_take_is_refused_too() -> None:
    with pytest.raises(ExpressionError):
        compile_expression("'\ud800' == 'x'")


PATTERNS = [
    ("claims.a.matches('x')", None),
    ('claims.a.matches( "x" )', None),
    ("claims.a.matches(r'x\\d')", None),
    ("claims.a.matches('''x''')", None),
    ("claims.a.matches('it\\'s) && (')", None),
    ("matches(claims.a, 'a,b')", None),
    ("claims.a == 'matches(claims.p)'", None),
    ("claims.a.matches('x') // matches(claims.p)", None),
    ("claims.a.matches(claims.p)", (1, 10)),
    ("true ||\n claims.a\n .matches\n (claims.p)", (3, 3)),
    ("claims.a.matches// 'x'\n(claims.p)", (1, 10)),
    ("claims.a.matches(claims.p + 'x')", (1, 10)),
    ("claims.a.matches('x' + claims.p)", (1, 10)),
    ("claims.a.matches(true ? claims.p : 'x')", (1, 10)),
    ("matches('x', claims.p)", (1, 1)),
    ("claims.a.matches('x') && claims.a.matches(request.headers['x'])", (1, 35)),
    ("['.*'].exists(p, claims.a.matches(p))", (1, 27)),
    ("user.subject.matches(agent)", (1, 14)),
]


@pytest.mark.parametrize(("text", "place"), PATTERNS)
def test_pattern_is_a_literal(text: str, place: tuple[int, int] | None) -> None:
    # A caller who chooses the pattern chooses what fits it, and what it costs.
    if place is None:
        assert compile_expression(text, ["agent"])
        return
    with pytest.raises(ExpressionError, match="no literal") as refusal:
        compile_expression(text, ["agent"])
    assert (refusal.value.line, refusal.value.column) == place


RULES = HeaderRules(("x-gone",), ("X-Auth-Subject",))


def asked_with(*lines: tuple[str, str], withheld: Withheld = NOTHING) -> Facts:
    head = RequestHead("GET", "/api/x", Headers(lines), "192.0.2.7", "https")
    return Facts(Principal("p", "u1", None, {}), head, split_target(head.target)[0], {}, NOW, RULES, withheld)


@pytest.mark.parametrize(
    "line",
    [
        ("Connection", "close, X-Tenant"),
        ("connection", "x_tenant"),
        ("Connection", "X.Tenant"),
    ],
)
def test_what_connection_takes_away_is_not_judged(line: tuple[str, str]) -> None:
    rule = compile_expression("request.headers['x-tenant'] == 'a'")
    assert rule.holds(asked_with(("X-Tenant", "a"))) is True
    assert rule.holds(asked_with(("X-Tenant", "a"), line)) is None


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "X-Auth-Subject", "x_auth.subject", "X-Gone", "Upgrade", "X-Real-IP"]
)
def test_what_goes_no_further_is_not_judged(name: str) -> None:
    asked = compile_expression("request.headers.exists(n, request.headers[n] == 'a')")
    assert asked.holds(asked_with((name, "a"))) is False
    assert asked.holds(asked_with(("X-Stays", "a"), (name, "b"))) is True


def test_credential_is_judged_as_it_goes_on() -> None:
    asked = asked_with(("Authorization", "x"), ("Cookie", "a=1; s=2"), withheld=Withheld(True, frozenset({"s"})))
    assert compile_expression("'authorization' in request.headers").holds(asked) is False
    assert compile_expression("request.headers['cookie'] == 'a=1'").holds(asked) is True


@pytest.mark.parametrize(
    "lines",
    [
        [("User-Agent", "bad"), ("User-Agent", "x")],
        [("content-type", "a"), ("Content-Type", "b")],
        [("X-Tenant", "a"), ("X_Tenant", "b")],
        [("X-Tenant", "a"), ("X.Tenant", "b")],
    ],
    ids=["node-takes-the-first", "content-type", "underscore", "dot"],
)
def test_headers_that_servers_read_in_two_ways_are_undecided(lines: list[tuple[str, str]]) -> None:
    assert compile_expression("request.headers.size() > 0").holds(asked_with(*lines)) is None
    assert compile_expression("request.headers.size() > 0").holds(asked_with(*lines[:1])) is True


def test_cookies_of_several_lines_are_joined_as_node_does() -> None:
    asked = asked_with(("Cookie", "a=1"), ("Cookie", "b=2"))
    assert compile_expression("request.headers.cookie == 'a=1; b=2'").holds(asked) is True


def test_an_address_that_nobody_knows_is_undecided() -> None:
    asked = asked_with()
    assert compile_expression("request.ip != '10.0.0.1'").holds(asked) is True
    asked.head.client_ip = "unknown"
    assert compile_expression("request.ip != '10.0.0.1'").holds(asked) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [("INTERNAL.example", True), ("internal.example.", True), ("internal.example:80", False), ("[::1]:80", False)],
)
def test_host_has_one_spelling(host: str, expected: bool) -> None:
    assert compile_expression("request.host == 'internal.example'").holds(asked_with(("Host", host))) is expected


def test_without_a_host_there_is_none() -> None:
    assert compile_expression("request.host != 'internal.example'").holds(asked_with()) is None


def test_domain_of_an_email_is_in_lower_case() -> None:
    found = facts(email="Ann@EVIL.com")
    assert compile_expression("user.email == 'Ann@evil.com'").holds(found) is True

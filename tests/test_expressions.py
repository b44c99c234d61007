"""`when:` in CEL: wrong expressions are refused when read, right ones never raise."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.expressions import ExpressionError, Facts, compile_expression
from gateway.policy.model import Headers, Principal, RequestHead
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

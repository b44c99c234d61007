"""What `explain`, `test` and a log asked again say of rules in Mastra's words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.explain.explain import explain
from gateway.explain.issuer import StandInIssuer
from gateway.explain.judge import Judge
from gateway.explain.replay import read_log, replay
from gateway.policy.model import Headers, RequestHead
from tests.configuring import SECRET, file_with, read
from tests.minting import NOW, mint

ROLE = "routes: {/api: {provider: jobs, allow: {mastra: member}}}"
PERMISSION = "routes: {/api: {provider: jobs, allow: {mastra: ['*:read']}}}"
NAMED = f"providers: {{jobs: {{type: jwt, secret: {SECRET}, mastra_role_claim: /app/role}}}}"
RUN = "POST /api/agents/weatherAgent/generate"


def told(asked: str, routes: str = ROLE, providers: str | None = None, **claims: Any) -> Any:
    """Return the explanation of a request with a good token."""
    token = mint({"sub": "ann", "exp": NOW + 60, "iat": NOW, **claims}, SECRET.encode())
    method, _, target = asked.partition(" ")
    head = RequestHead(method, target, Headers([("Authorization", f"Bearer {token}")]), "127.0.0.1", "http")
    text = file_with(routes=routes, **({} if providers is None else {"providers": providers}))
    return explain(read(text).policy, StandInIssuer(), head, NOW, lambda source: None)


@pytest.mark.parametrize(
    ("routes", "asked", "claims", "said"),
    [
        (ROLE, RUN, {"role": "viewer"}, "Mastra's role viewer; POST /agents/:agentId/generate asks for agents:execute"),
        (ROLE, "GET /api/agents", {}, "the token has no roles; GET /agents asks for agents:read"),
        (PERMISSION, RUN, {}, "POST /agents/:agentId/generate asks for agents:execute"),
    ],
)
def test_rule_is_told_with_what_it_found(routes: str, asked: str, claims: dict[str, Any], said: str) -> None:
    found = told(asked, routes, **claims)
    (rules,) = (step for step in found.steps if step.name == "rules")
    assert (rules.parts[0].found, found.code) == (said, "access_denied")


@pytest.mark.parametrize(
    ("providers", "claims", "advice"),
    [
        pytest.param(
            None, {}, "The token names none of Mastra's roles (viewer, member, admin or owner) in the roles", id="none"
        ),
        pytest.param(
            None, {"roles": ["support"]}, "or name the claim that says it with `mastra_role_claim`", id="others"
        ),
        pytest.param(None, {"roles": ["Member"]}, "The token has Member: Mastra's roles are written", id="case"),
        pytest.param(None, {"mastra": "member"}, "write `mastra_role_claim: mastra` on the provider", id="elsewhere"),
        pytest.param(
            None, {"roles": ["x"], "app": {"a/b": ["member"]}}, "write `mastra_role_claim: /app/a~1b`", id="deep"
        ),
        pytest.param(
            NAMED, {"roles": ["member"]}, "not in /app/role, but in roles: write `mastra_role_claim: roles`", id="named"
        ),
        pytest.param(NAMED, {}, "in /app/role: have the issuer write one there.", id="named-and-none"),
    ],
)
def test_advice_says_where_the_role_is(providers: str | None, claims: dict[str, Any], advice: str) -> None:
    found = told("GET /api/agents", providers=providers, **claims)
    assert any(advice in one for one in found.advice), found.advice


def test_advice_says_that_nobody_knows_the_path() -> None:
    found = told("GET /api/custom", role="owner")
    assert any("GET /api/custom is none of the routes of Mastra" in one for one in found.advice), found.advice
    assert not any("none of the routes" in one for one in told(RUN, role="viewer").advice)


def test_cases_say_who_may_what() -> None:
    config = read(
        file_with(routes=ROLE)
        + """
tests:
  - {request: GET /api/agents, claims: {roles: [member]}, expect: allow}
  - {request: GET /api/agents, claims: {roles: [viewer]}, expect: access_denied}
  - {request: DELETE /api/memory/threads/t, claims: {roles: [member]}, expect: access_denied}
"""
    )
    judge = Judge(config, StandInIssuer(), NOW)
    assert [judge.judge(case).is_as_expected for case in config.tests] == [True, True, True]


def test_log_asked_again_knows_what_a_permission_lets_pass() -> None:
    lines = [
        '{"path": "/api/agents", "method": "GET", "decision": "allow", "provider": "jobs"}',
        '{"path": "/api/agents/a/generate", "method": "POST", "decision": "allow", "provider": "jobs"}',
    ]
    logged, _ = read_log(lines)
    changes, _ = replay(logged, read(file_with()), read(file_with(routes=PERMISSION)))
    assert [(one.old, one.new) for one in changes] == [("allow (/api)", "access_denied (/api)")]

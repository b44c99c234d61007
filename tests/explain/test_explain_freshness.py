"""What `explain` and `test` say of a login that is too old."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.explain.coverage import Coverage
from gateway.explain.explain import explain
from gateway.explain.issuer import StandInIssuer
from gateway.explain.judge import Judge
from gateway.explain.replay import read_log, replay
from gateway.policy.model import Headers, RequestHead
from tests.configuring import SECRET, file_with, read
from tests.minting import NOW, mint

FILE = file_with(routes="routes: {/api: {provider: jobs, allow: {fresh: {within: 10m, acr: mfa}}}}")


def rules_of(**claims: Any) -> tuple[str, str | None, str | None]:
    token = mint({"sub": "ann", "exp": NOW + 60, "iat": NOW, **claims}, SECRET.encode())
    head = RequestHead("GET", "/api/x", Headers([("Authorization", f"Bearer {token}")]), "127.0.0.1", "http")
    found = explain(read(FILE).policy, StandInIssuer(), head, NOW, lambda source: None)
    (rules,) = (step for step in found.steps if step.name == "rules")
    return rules.parts[0].found, found.code, found.challenge


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({}, "the token does not say when"),
        ({"auth_time": NOW - 700, "acr": "mfa"}, 'logged in 700 s ago, auth_time 1799999300.0, acr mfa'),
        ({"fva": [3, -1]}, "logged in 180 s ago, fva [3, -1]"),
        ({"fva": [-1, -1]}, "the token does not say when, fva [-1, -1]"),
        ({"auth_time": "x", "acr": "mfa"}, "auth_time x, acr mfa: auth_time cannot be read"),
    ],
)  # fmt: skip
def test_login_is_told_as_it_was_read(claims: dict[str, Any], said: str) -> None:
    assert rules_of(**claims)[0] == said


def test_answer_and_advice_say_what_to_ask_the_issuer_for() -> None:
    _, code, challenge = rules_of(auth_time=NOW - 700, acr="mfa")
    assert code == "login_too_old"
    assert challenge is not None and challenge.endswith('max_age="600", acr_values="mfa"')
    assert rules_of(auth_time=NOW, acr="mfa")[1] is None


def test_cases_ask_for_a_fresh_login_and_are_counted() -> None:
    config = read(
        FILE
        + f"""
tests:
  - {{request: GET /api/x, at: {NOW:.0f}, claims: {{auth_time: {NOW - 60:.0f}, acr: mfa}}, expect: allow}}
  - {{request: GET /api/x, at: {NOW:.0f}, claims: {{auth_time: {NOW - 660:.0f}, acr: mfa}}, expect: login_too_old}}
"""
    )
    judge, coverage = Judge(config, StandInIssuer(), NOW), Coverage(config.policy)
    assert [judge.judge(case).is_as_expected for case in config.tests] == [True, True]
    coverage.note(judge.walk(config.tests[0]))
    assert any("login at most 10m ago and acr mfa" in gap for gap in coverage.gaps)
    coverage.note(judge.walk(config.tests[1]))
    assert not coverage.gaps


def test_replay_asks_the_rules_again_and_not_the_token() -> None:
    line = '{"path": "/api/x", "method": "GET", "decision": "deny", "code": "login_too_old", "provider": "jobs"}'
    logged, _ = read_log([line])
    new = read(file_with())
    (change,), _ = replay(logged, read(FILE), new)
    assert (change.old, change.new) == ("login_too_old (/api)", "allow (/api)")

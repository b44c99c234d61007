"""How a caller would be kept to what is their own, told and tried without an upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.config.document import ConfigError
from gateway.config.model import Case, Config
from gateway.explain.explain import explain
from gateway.explain.issuer import StandInIssuer
from gateway.explain.judge import Judge, Judged
from gateway.explain.step import Explanation, Step
from gateway.policy.model import Headers, RequestHead
from tests.configuring import read
from tests.minting import NOW, SECRET, claims_of, mint

FILE = f"""
upstreams: {{mastra: {{url: "http://mastra:4111", own: {{by: subject}}}}}}
providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}}}}}
routes:
  /: {{provider: jobs, allow: authenticated}}
  /api/logs: {{provider: jobs, allow: authenticated, own: false}}
"""
CLAIMS = "claims: {sub: ann}"


def told(method: str, target: str, body: bytes = b"") -> tuple[Explanation, Step]:
    token = mint(claims_of(sub="ann"))
    head = RequestHead(method, target, Headers([("authorization", f"Bearer {token}")]), "127.0.0.1", "http")
    explanation = explain(read(FILE).policy, StandInIssuer(), head, NOW, StandInIssuer().status_of, body)
    return explanation, next(step for step in explanation.steps if step.name == "own")


def judged(*lines: str) -> list[Judged]:
    config: Config = read(FILE + "tests:\n" + "\n".join(f"  - {{{line}}}" for line in lines) + "\n")
    judge = Judge(config, StandInIssuer(), NOW)
    return [judge.judge(case) for case in config.tests]


def test_pin_is_told_with_what_goes_up() -> None:
    explanation, step = told("PATCH", "/api/memory/threads/t1", b'{"title": "x", "resourceId": "bob"}')
    assert (explanation.decision, step.verdict, step.found.partition(":")[0]) == ("allow", "yes", "pin")
    (body,) = step.parts
    assert json.loads(body.found) == {"title": "x", "resourceId": "ann"}
    explanation, step = told("GET", "/api/memory/threads/t1?resourceId=bob")
    assert explanation.outcome.endswith("as GET /api/memory/threads/t1?resourceId=ann")
    assert [(part.name, part.found) for part in step.parts] == [("target", "/api/memory/threads/t1?resourceId=ann")]


def test_look_up_is_told_with_what_would_be_asked() -> None:
    explanation, step = told("GET", "/api/workflows/w/runs/r1")
    assert explanation.decision == "allow" and step.found.startswith("look_up: the upstream is asked first")
    (part,) = step.parts
    assert part.found.startswith("GET /api/workflows/w/runs/r1?")


@pytest.mark.parametrize(
    ("method", "target", "body", "code"),
    [
        ("POST", "/api/memory/threads/t1/transfer", b"{}", "not_owner"),
        ("GET", "/api/what-mastra-may-have-next", b"", "not_owner"),
        ("PATCH", "/api/memory/threads/t1", b'{"a": 1, "a": 2}', "body_malformed"),
    ],
)
def test_refusal_is_told_with_what_to_do(method: str, target: str, body: bytes, code: str) -> None:
    explanation, step = told(method, target, body)
    assert (explanation.decision, explanation.code, step.verdict) == ("deny", code, "no")
    assert step.found and explanation.advice
    assert explanation.steps[-1].verdict == "skipped", "nobody is told about the caller"


def test_where_nothing_is_asked_it_says_so() -> None:
    assert told("GET", "/api/logs")[1].verdict == "note"
    assert told("GET", "/my-own-route")[1].verdict == "note"
    assert told("GET", "/api/agents")[1].found == "none: nothing there has an owner"


@pytest.mark.parametrize(
    ("line", "is_expected"),
    [
        (f"request: PATCH /api/memory/threads/t, {CLAIMS}, body: {{title: x}}, expect: allow", True),
        (
            f"request: PATCH /api/memory/threads/t, {CLAIMS}, body: {{title: x}}, expect: allow,"
            " sent: {resourceId: ann, title: x}",
            True,
        ),
        (
            f"request: PATCH /api/memory/threads/t, {CLAIMS}, body: {{title: x}}, expect: allow,"
            " sent: {resourceId: bob, title: x}",
            False,
        ),
        (f"request: GET /api/workflows/w/runs/r, {CLAIMS}, expect: allow", True),
        (f"request: GET /api/workflows/w/runs/r, {CLAIMS}, owner: bob, expect: not_owner", True),
        (f"request: GET /api/workflows/w/runs/r, {CLAIMS}, owner: bob, expect: allow", False),
        (f"request: GET /api/agents, {CLAIMS}, expect: allow, sent: {{}}", False),
        (f"request: POST /api/workflows/w/create-run, {CLAIMS}, expect: allow, sent: {{resourceId: ann}}", True),
        (f"request: POST /api/memory/threads/t/transfer, {CLAIMS}, expect: not_owner", True),
        (f"request: POST /api/logs, {CLAIMS}, body: {{a: 1}}, expect: allow, sent: {{a: 1}}", True),
    ],
)
def test_case_says_what_comes_and_what_goes_up(line: str, is_expected: bool) -> None:
    (result,) = judged(line)
    assert result.is_as_expected is is_expected, result.words


def test_case_says_what_went_up_in_place_of_what_was_expected() -> None:
    (result,) = judged(f"request: PATCH /api/memory/threads/t, {CLAIMS}, body: {{a: 1}}, expect: allow, sent: {{a: 1}}")
    assert result.words == 'allow, and {"resourceId": "ann", "a": 1} goes up'
    assert isinstance(result.case, Case)


def test_body_of_a_case_is_an_object() -> None:
    with pytest.raises(ConfigError, match="expected names and values"):
        judged(f"request: GET /api/agents, {CLAIMS}, body: text, expect: allow")


def test_json_of_an_explanation_has_the_step() -> None:
    said: dict[str, Any] = told("GET", "/api/workflows/w/runs/r1")[0].as_json()
    assert [step["name"] for step in said["steps"]].index("own") == len(said["steps"]) - 2

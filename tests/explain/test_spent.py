"""Which budgets a request would use up, told and tried."""

from __future__ import annotations

import pytest

from gateway.explain.explain import explain
from gateway.explain.issuer import StandInIssuer
from gateway.explain.judge import Judge
from gateway.explain.spent import Counted
from gateway.explain.step import Explanation
from gateway.policy.budgets import Left
from gateway.policy.model import Headers, RequestHead
from tests.configuring import read
from tests.minting import NOW, SECRET, claims_of, mint

FILE = f"""
upstream: http://mastra:4111
providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}}}}}
budgets:
  people: {{per: subject, streams: 3, requests: 60/1m}}
  company: {{per: organization, streams: 50}}
routes:
  /api: {{provider: jobs, allow: authenticated, budget: [people, company]}}
  /tried: {{provider: jobs, allow: authenticated, budget: company, enforce: false}}
  /free: {{provider: jobs, allow: authenticated}}
tests:
  - {{request: POST /api/x, claims: {{sub: ann, org_id: o}}, expect: allow}}
  - {{request: POST /api/x, claims: {{sub: ann}}, expect: budget_uncounted}}
"""


def _told(method: str, target: str, counted: Counted | None = None, **claims: str) -> Explanation:
    token = mint(claims_of(sub="ann", **claims))
    head = RequestHead(method, target, Headers([("authorization", f"Bearer {token}")]), "127.0.0.1", "http")
    return explain(read(FILE).policy, StandInIssuer(), head, NOW, StandInIssuer().status_of, counted=counted)


def test_each_budget_is_named_with_who_is_counted() -> None:
    told = _told("POST", "/api/x", org_id="org-1")
    [step] = [step for step in told.steps if step.name == "budget"]
    assert told.decision == "allow"
    assert [(part.name, part.verdict, part.found) for part in step.parts] == [
        ("people", "yes", "subject ann: one of 60 requests within 1m and one of 3 streams"),
        ("company", "yes", "organization org-1: one of 50 streams"),
    ]
    [step] = [step for step in _told("GET", "/api/x", org_id="org-1").steps if step.name == "budget"]
    assert step.parts[1].found == "organization org-1: no stream, unless the answer is one"


def test_who_has_no_organization_is_told_so() -> None:
    told = _told("GET", "/api/x")
    assert (told.decision, told.status, told.code) == ("deny", 403, "budget_uncounted")
    assert "organization_claim" in told.advice[0]
    assert _told("GET", "/tried").decision == "allow"
    assert not [step for step in _told("GET", "/free").steps if step.name == "budget"]


def test_cases_expect_it() -> None:
    config = read(FILE)
    judge = Judge(config, StandInIssuer(), NOW)
    assert all(judge.judge(case).is_as_expected for case in config.tests)


@pytest.mark.parametrize(
    "people, company, code, said",
    [
        (Left(14, 3.0, 2), Left(0, 0.0, 1), None, "; left: 14 requests and 2 streams"),
        (Left(0, 3.4, 2), Left(0, 0.0, 1), "budget_exceeded", "; left: 0 requests (one more in 3 s) and 2 streams"),
        (Left(-1, 3.4, 2), Left(0, 0.0, 1), "budget_exceeded", "; left: 0 requests (one more in 3 s) and 2 streams"),
        (Left(14, 3.0, 0), Left(0, 0.0, 1), "budget_exceeded", "; left: 14 requests and 0 streams"),
        (Left(14, 3.0, 2), Left(0, 0.0, 0), "budget_exceeded", "; left: 14 requests and 2 streams"),
    ],
)
def test_what_is_left_is_told_and_decides(people: Left, company: Left, code: str | None, said: str) -> None:
    counted = Counted({"people": people, "company": company}, "as the tests count")
    told = _told("POST", "/api/x", counted, org_id="org-1")
    [step] = [step for step in told.steps if step.name == "budget"]
    assert (told.code, step.found) == (code, "as the tests count")
    assert step.parts[0].found.startswith("subject ann: ") and step.parts[0].found.endswith(said)
    assert (step.verdict == "no") == (code is not None) == any(part.verdict == "no" for part in step.parts)
    by_get = _told("GET", "/api/x", counted, org_id="org-1")  # asks for no stream
    assert by_get.code == (code if people.requests <= 0 else None)


def test_what_is_only_tried_refuses_nobody() -> None:
    told = _told("POST", "/tried", Counted({"company": Left(0, 0.0, 0)}, "x"), org_id="o")
    [step] = [step for step in told.steps if step.name == "budget"]
    assert (told.decision, step.verdict, step.parts[0].verdict) == ("allow", "yes", "no")

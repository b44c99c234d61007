"""Which budgets a request would use up, told and tried."""

from __future__ import annotations

from gateway.explain.explain import explain
from gateway.explain.issuer import StandInIssuer
from gateway.explain.judge import Judge
from gateway.explain.step import Explanation
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


def _told(method: str, target: str, **claims: str) -> Explanation:
    token = mint(claims_of(sub="ann", **claims))
    head = RequestHead(method, target, Headers([("authorization", f"Bearer {token}")]), "127.0.0.1", "http")
    return explain(read(FILE).policy, StandInIssuer(), head, NOW, StandInIssuer().status_of)


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

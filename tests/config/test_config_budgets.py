"""`budgets:` and `budget:`, each mistake at its place; what a good one becomes, and what is warned of."""

from __future__ import annotations

import pytest

from gateway.policy.budgets import Budget, Rate
from tests.configuring import SECRET, mistakes, read

FILE = f"""
upstream: http://localhost:4111
providers:
  jobs: {{type: jwt, secret: {SECRET}}}
  staff: {{type: oidc, issuer: "https://idp.example.com", audience: api}}
budgets:
  people: {{per: subject, streams: 3, requests: 60/1m}}
  guesses: {{per: ip, failures: 30/1m}}
routes:
  /api: {{provider: [staff, jobs], allow: authenticated, budget: people}}
"""


def _file(budget: str = "{per: subject, streams: 3}", route: str = "people", more: str = "") -> str:
    return f"""
upstream: http://localhost:4111
providers: {{jobs: {{type: jwt, secret: {SECRET}}}}}
budgets:
  people: {budget}
  guesses: {{per: ip, failures: 30/1m}}
routes:
  /api: {{provider: jobs, allow: authenticated, budget: {route}}}
{more}"""


def test_what_budgets_become() -> None:
    config = read(FILE)
    people = Budget("people", "subject", 3, Rate(60, 60.0), pinned=frozenset({"staff"}))
    assert config.policy.routes[0].budgets == (people,)
    assert config.budgets == (people, Budget("guesses", "ip", None, None, Rate(30, 60.0), frozenset({"staff"})))
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("per", "said", "named_by"),
    [
        ("subject", "subject_claim: nickname", {"jobs": "nickname"}),
        ("subject", "subject_claim: sub", {}),
        ("organization", "organization_claim: team", {"jobs": "team"}),
        ("organization", "organization_claim: org_id", {}),
        ("client", "client_claim: app", {"jobs": "app"}),
        ("client", "client_claim: azp", {}),
        ("'claim:team'", "subject_claim: nickname", {}),
    ],
)
def test_who_is_counted_is_of_the_claim_that_names_him(per: str, said: str, named_by: dict[str, str]) -> None:
    text = _file(f"{{per: {per}, streams: 3}}").replace(f"secret: {SECRET}", f"secret: {SECRET}, issuer: i, {said}")
    assert read(text).policy.routes[0].budgets[0].named_by == named_by


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("{streams: 3}", "5:3: budgets.people: 'per' is missing"),
        ("{per: subject}", "5:3: budgets.people: found nothing that is counted, expected 'streams: 3' or 'requests:"),
        ("{per: user, streams: 3}", "found 'user', expected subject, organization, client, provider, ip or claim:NAME"),
        ("{per: organisation, streams: 3}", "(did you mean 'organization'?)"),
        ("{per: 'claim:', streams: 3}", "expected subject, organization"),
        ("{per: subject, streams: 0}", "found '0', expected a whole number from 1 to 100000"),
        (
            "{per: subject, requests: 60}",
            "found '60', expected a number and a time such as 60/1m (did you mean '60/1m'?)",
        ),
        ("{per: subject, requests: 60/m}", "found '60/m' with a time"),
        ("{per: subject, requests: 60/10}", "found '60/10' with a time without a unit"),
        ("{per: subject, requests: 60/100ms}", "found '60/100ms' with a time of less than a second"),
        ("{per: subject, requests: 0/1m}", "found '0/1m' with a number that is not between 1 and 1000000"),
        ("{per: subject, failures: 30/1m}", "found 'failures' per subject, expected 'per: ip'"),
        ("{per: ip, failures: 30/1m, streams: 2}", "found 'failures' beside 'streams', expected a budget of its own"),
        ("{per: subject, stream: 3}", "unknown key (did you mean 'streams'?)"),
        ("3", "found '3', expected a mapping"),
    ],
)
def test_mistakes_in_a_budget(budget: str, said: str) -> None:
    [found] = mistakes(_file(budget))
    assert said in found


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("peple", "8:56: routes./api.budget: unknown budget 'peple' (did you mean 'people'?)"),
        ("guesses", "found 'guesses', which counts failures on every route by itself: leave it out"),
        ("[people, people]", "found the budget 'people' twice in one list"),
        ("[]", "found an empty list, expected the name of a budget"),
        ("{people: 3}", "expected the name of a budget"),
        ("[people, nobody, none]", "unknown budget 'nobody'"),
    ],
)
def test_mistakes_in_a_route(route: str, said: str) -> None:
    assert said in mistakes(_file(route=route))[0]


@pytest.mark.parametrize("open_route", ["public: true", "optional: jobs"])
def test_where_nobody_has_to_say_who_he_is_only_addresses_are_counted(open_route: str) -> None:
    [found] = mistakes(_file(more=f"  GET /open: {{{open_route}, budget: people}}"))
    assert (
        "found 'people' per subject on a route where nobody has to say who he is, expected a budget with 'per: ip'"
        in found
    )
    budget = "{per: ip, requests: 60/1m}"
    assert not mistakes(_file(budget, more=f"  GET /open: {{{open_route}, budget: people}}"))


def test_a_budget_with_a_mistake_gets_no_second_message_where_it_is_named() -> None:
    assert len(mistakes(_file("{per: nobody}"))) == 1
    assert len(mistakes(FILE.replace("budgets:", "budget:"))) == 1


def test_warnings() -> None:
    assert any("each of the 4 workers counts for itself" in line for line in read(_file(more="workers: 4")).warnings)
    shared = "workers: 4\nshared: {url: 'redis://redis'}"
    assert not read(_file(more=shared)).warnings
    unused = read(_file(more="").replace(", budget: people", "")).warnings
    assert unused == ("gateway.yaml:5:3: budgets.people: no route uses the budget 'people'",)
    [engines] = read(_file(more="decisions: {listen: 'unix:/run/x.sock'}")).warnings
    assert "the streams of 'people' are not counted for engines" in engines

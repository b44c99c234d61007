"""The cases of one request and one answer, against the gateway as its users run it."""

from __future__ import annotations

import pytest

from tests.security.bench import Bench
from tests.security.casebook import Case, cases
from tests.security.judge import judge
from tests.security.tally import Tally

FAMILIES = ("jwt", "header", "path")
CASES = [case for family in FAMILIES for case in cases(family)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(bench: Bench, tally: Tally, case: Case) -> None:
    with tally.of(case):
        judge(bench.try_case(case.spec))


def test_no_address_of_a_token_was_ever_contacted(bench: Bench) -> None:
    # jku, x5u and their kind: server-side request forgery (RFC 8725 section 3.10).
    assert any("{bait}" in str(case.spec) for case in CASES)
    assert bench.bait.connections == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_controls_that_pass(family: str) -> None:
    assert sum(not case.is_attack for case in CASES if case.family == family) >= 5


def test_the_logs_hold_no_token_and_no_traceback(bench: Bench) -> None:
    for log in bench.logs:
        text = log.read_text()
        assert "eyJ" not in text, "a token begins so"
        assert "Traceback" not in text
        assert "never retrieved" not in text

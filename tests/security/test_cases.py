"""The cases of one request and one answer, against the gateway as its users run it."""

from __future__ import annotations

import pytest

from tests.security.bench import Bench
from tests.security.casebook import Case, cases, parameters
from tests.security.judge import judge
from tests.security.tally import Tally

READINGS = (
    "credentials",
    "cookies",
    "forwarded",
    "emails",
    "names",
    "closing",
    "connection",
    "ours",
    "places",
    "origins",
    "key",
)
LOGIN = ("session", "login", "optional", "mcp")
CLAIMS = ("claims", "roles")
PROFILES = {**dict.fromkeys(READINGS, "readings"), **dict.fromkeys(CLAIMS, "claims"), **dict.fromkeys(LOGIN, "login")}
FAMILIES = ("jwt", "header", "path", *PROFILES)
CASES = [case for family in FAMILIES for case in cases(family)]


@pytest.mark.parametrize("case", parameters(CASES))
def test_case(bench: Bench, tally: Tally, case: Case) -> None:
    with tally.of(case):
        judge(bench.try_case({"profile": PROFILES.get(case.family, "main"), **case.spec}))


@pytest.mark.parametrize(
    "place",
    ["Authorization: Bearer {}", "Authorization: {}", "Cookie: session={}", "Sec-WebSocket-Protocol: {}", "query"],
)
def test_what_the_gateway_signed_for_an_upstream_is_no_callers_token(bench: Bench, tally: Tally, place: str) -> None:
    # /jobs takes tokens of the very secret with which those for the upstream are signed.
    with tally.of(Case(f"ours.replay[{place}]", "ours", True, {})):
        honest = bench.try_case({"profile": "readings", "target": "/signed/any/x", "token": {}, "expect": "pass"})
        signed = honest.seen[0].all("Authorization")[0].removeprefix("Bearer ")
        target, lines = ("/jobs/x", [place.format(signed)]) if "{}" in place else (f"/jobs/x?token={signed}", [])
        is_socket = place.startswith("Sec-")
        spec = {"profile": "readings", "target": target, "headers": lines, "websocket": is_socket, "expect": 401}
        judge(bench.try_case(spec))


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

"""What `explain` says of keys: which one it is, by its name, and never what it is; and cases that ask for one."""

from __future__ import annotations

import json

import pytest

from gateway.explain.coverage import Coverage
from gateway.explain.explain import explain
from gateway.explain.issuer import StandInIssuer
from gateway.explain.judge import IMPOSSIBLE, Judge
from gateway.policy.decision import Deny, decide
from gateway.policy.machine_keys import digest_of
from gateway.policy.model import Headers, RequestHead
from tests.configuring import SECRET, file_with, mistakes, read
from tests.machines import key_named, line_of
from tests.minting import NOW, mint

MOUNTED = {
    "keys.yaml": (
        line_of("nightly", "subject: batch", "roles: [operator]", "expires: 2099-01-01") + line_of("worker")
    ).encode()
}
FILE = file_with(
    providers=f"""
    providers:
      people: {{type: jwt, secret: {SECRET}}}
      machines: {{type: keys, keys_file: keys.yaml, token_from: [bearer, {{header: X-Api-Key}}, {{cookie: key}}]}}
    """,
    routes="""
    routes:
      /api: {provider: [people, machines], allow: {role: operator}}
      /own: {provider: machines, allow: authenticated}
    """,
)
CONFIG = read(FILE, mounted=MOUNTED)
LINES = [
    ("Authorization", f"Bearer {key_named('nightly')}"),
    ("Authorization", f"Bearer {key_named('worker')}"),
    ("X-Api-Key", key_named("nightly")),
    ("Cookie", f"key={key_named('nightly')}"),
    ("Authorization", f"Bearer {key_named('stranger')}"),
    ("Authorization", f"Bearer {key_named('nightly')}x"),
    ("Authorization", f"Bearer {mint({'sub': 'a'}, SECRET.encode())}"),
    ("Authorization", "Bearer sk-live-x"),
    ("X-Other", "x"),
]


def head_of(*lines: tuple[str, str], target: str = "/api/x", method: str = "GET") -> RequestHead:
    return RequestHead(method, target, Headers(lines), "127.0.0.1", "http")


@pytest.mark.parametrize("target", ["/api/x", "/own/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("now", [NOW, 4_200_000_000.0])
def test_explanation_is_that_of_the_decision_and_shows_no_key(
    target: str, method: str, line: tuple[str, str], now: float
) -> None:
    head = head_of(line, target=target, method=method)
    decision = decide(CONFIG.policy, StandInIssuer(), head, now, may_fetch=False)
    found = explain(CONFIG.policy, StandInIssuer(), head, now, lambda source: None)
    assert found.code == (decision.reason.code if isinstance(decision, Deny) else None)
    text = json.dumps(found.as_json())
    for name in ("nightly", "worker", "stranger"):
        assert key_named(name)[4:] not in text and digest_of(key_named(name)).hex() not in text


def test_key_is_called_by_its_name() -> None:
    found = explain(CONFIG.policy, StandInIssuer(), head_of(LINES[0]), NOW, lambda source: None)
    steps = {step.name: (step.verdict, step.found) for step in found.steps}
    assert steps["key"] == ("yes", "nightly")
    said = 'a key has none; its line says subject batch, roles ["operator"], until 2099-01-01T00:00:00Z'
    assert steps["claims"] == ("note", said)
    assert steps["identity"] == ("yes", "no Authorization: the key of a machine goes up nowhere")


def test_case_asks_for_a_key_by_its_name() -> None:
    text = (
        FILE
        + """
tests:
  - {request: GET /api/x, key: nightly, expect: allow}
  - {request: GET /api/x, key: worker, expect: access_denied}
  - {request: GET /api/x, key: nightly, provider: machines, at: 2099-01-01, expect: token_expired}
  - {request: GET /own/x, key: worker, expect: allow}
  - {request: GET /api/x, claims: {roles: [operator]}, expect: allow}
"""
    )
    config = read(text, mounted=MOUNTED)
    judge = Judge(config, StandInIssuer(), NOW)
    assert [judge.judge(case).is_as_expected for case in config.tests] == [True] * 5
    coverage = Coverage(config.policy)
    for case in config.tests:
        coverage.note(judge.walk(case))
    assert not [gap for gap in coverage.gaps if "no case" in gap]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("request: GET /api/x, key: nobody", "the route's providers have no key nobody; they have nightly, worker"),
        ("request: GET /none, key: worker", "the route's providers have no key worker; they have none"),
        ("request: GET /own/x, claims: {}", "claims were given, and machines takes keys (in a case: `key: NAME`)"),
        (
            "request: GET /api/x, provider: machines, claims: {}",
            "claims were given, and machines takes keys (in a case: `key: NAME`)",
        ),
    ],
)
def test_case_that_cannot_be_asked_says_why(case: str, said: str) -> None:
    config = read(f"{FILE}\ntests: [{{{case}, expect: allow}}]\n", mounted=MOUNTED)
    judged = Judge(config, StandInIssuer(), NOW).judge(config.tests[0])
    assert (judged.verdict, judged.detail) == (IMPOSSIBLE, said)


def test_case_has_a_key_or_claims() -> None:
    found = mistakes(f"{FILE}\ntests: [{{request: GET /x, key: a, claims: {{}}, expect: allow}}]\n", mounted=MOUNTED)
    assert [one.partition("found")[2] for one in found] == [" 'key' beside 'claims', expected one of them"]

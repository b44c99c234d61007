"""A login as a condition: how fresh, of which kind, and the challenge for who lacks nothing else (RFC 9470)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.asked import step_up_of
from gateway.policy.claims import principal_of
from gateway.policy.decision import Deny, decide
from gateway.policy.denied import StepUp
from gateway.policy.expressions import Facts
from gateway.policy.freshness import Fresh
from gateway.policy.model import Headers, RequestHead
from gateway.policy.paths import split_target
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.resources import Resource
from gateway.policy.rules import AllOf, AnyOf, Authenticated, Equals, HasAll, Named, Not, Rule, Unenforced, evaluate
from gateway.policy.words import words_of
from gateway.proxy.refusal import refusal_lines
from tests.machines import key_named
from tests.minting import NOW
from tests.policy.test_decision import KEY, OIDC, FakeKeys, allowed, bearer, denied, policy, signed
from tests.policy.test_machines import WORKERS

PROVIDER = Provider("o", "oidc", frozenset({"RS256"}))
TEN = Fresh(600.0)
MFA = Fresh(600.0, ("mfa",), ("otp",))
STALE = {"auth_time": NOW - 601}
BOB = Equals("subject", frozenset({"bob"}))
SCOPED = HasAll("scopes", ("run",))


def facts(claims: dict[str, Any]) -> Facts:
    head = RequestHead("GET", "/api", Headers([]), "192.0.2.7", "https")
    return Facts(
        principal_of({"sub": "ann", "iat": NOW - 60, **claims}, PROVIDER), head, split_target("/api")[0], {}, NOW
    )


@pytest.mark.parametrize(
    ("rule", "claims", "expected"),
    [
        pytest.param(TEN, {"auth_time": NOW}, True, id="now"),
        pytest.param(TEN, {"auth_time": NOW - 600}, True, id="just"),
        pytest.param(TEN, STALE, False, id="stale"),
        pytest.param(TEN, {"auth_time": NOW + 60}, True, id="issuer-is-ahead"),
        pytest.param(TEN, {"auth_time": NOW + 61}, None, id="login-of-tomorrow"),
        pytest.param(TEN, {}, None, id="no-time"),
        pytest.param(TEN, {"auth_time": str(NOW)}, None, id="text"),
        pytest.param(TEN, {"auth_time": True}, None, id="boolean"),
        pytest.param(TEN, {"auth_time": None}, None, id="null"),
        pytest.param(TEN, {"auth_time": [NOW]}, None, id="list"),
        pytest.param(TEN, {"auth_time": 10**400}, None, id="no-number"),
        pytest.param(TEN, {"auth_time": -(10**400)}, None, id="no-number-of-the-past"),
        pytest.param(Fresh(acr=("a", "b")), {"acr": "b"}, True, id="acr"),
        pytest.param(Fresh(acr=("a",)), {"acr": "c"}, False, id="acr-other"),
        pytest.param(Fresh(acr=("a",)), {"acr": "A"}, None, id="acr-alike"),
        pytest.param(Fresh(acr=("a",)), {"acr": ["a"]}, None, id="acr-list"),
        pytest.param(Fresh(acr=("1",)), {"acr": 1}, None, id="acr-number"),
        pytest.param(Fresh(acr=("a",)), {"acr": None}, None, id="acr-null"),
        pytest.param(Fresh(acr=("a",)), {}, None, id="acr-absent"),
        pytest.param(Fresh(amr=("otp", "hwk")), {"amr": ["pwd", "hwk"]}, True, id="amr"),
        pytest.param(Fresh(amr=("otp",)), {"amr": ["pwd"]}, False, id="amr-other"),
        pytest.param(Fresh(amr=("otp",)), {"amr": []}, False, id="amr-empty"),
        pytest.param(Fresh(amr=("otp",)), {"amr": ["OTP"]}, None, id="amr-alike"),
        pytest.param(Fresh(amr=("otp",)), {"amr": "otp"}, None, id="amr-text"),
        pytest.param(Fresh(amr=("otp",)), {"amr": ["otp", 1]}, None, id="amr-member"),
        pytest.param(Fresh(amr=("otp",)), {}, None, id="amr-absent"),
        pytest.param(MFA, {"auth_time": NOW, "acr": "mfa", "amr": ["otp"]}, True, id="all"),
        pytest.param(MFA, {**STALE, "acr": "mfa", "amr": ["otp"]}, False, id="all-but-time"),
        pytest.param(MFA, {"auth_time": NOW, "acr": "pwd", "amr": ["otp"]}, False, id="all-but-class"),
        pytest.param(MFA, {"auth_time": NOW, "acr": "mfa", "amr": ["pwd"]}, False, id="all-but-method"),
        pytest.param(MFA, {"auth_time": NOW, "acr": "pwd"}, False, id="one-no-decides"),
        pytest.param(MFA, {"auth_time": NOW, "acr": "pwd", "amr": "otp"}, None, id="what-cannot-be-read-does-not"),
        # Clerk: minutes when the token was made, a minute ago.
        pytest.param(TEN, {"fva": [9, -1]}, True, id="clerk"),
        pytest.param(TEN, {"fva": [10, -1]}, False, id="clerk-stale-since-then"),
        pytest.param(TEN, {"fva": [-1, 0]}, False, id="clerk-first-never"),
        pytest.param(TEN, {"fva": [0, 99]}, True, id="clerk-second-is-not-asked"),
        pytest.param(TEN, {"fva": [0, -1], **STALE}, False, id="clerk-older-counts"),
        pytest.param(Fresh(acr=("mfa",)), {"fva": [0, 5000]}, True, id="clerk-second"),
        pytest.param(Fresh(amr=("mfa",)), {"fva": [0, -1]}, False, id="clerk-second-never"),
        pytest.param(Fresh(amr=("otp",)), {"fva": [0, 0]}, False, id="clerk-does-not-say-which"),
        pytest.param(Fresh(600.0, amr=("mfa",)), {"fva": [0, 9]}, True, id="clerk-both-fresh"),
        pytest.param(Fresh(600.0, amr=("mfa",)), {"fva": [0, 10]}, False, id="clerk-second-stale"),
        pytest.param(TEN, {"fva": [0]}, None, id="clerk-short"),
        pytest.param(TEN, {"fva": [0, 0, 0]}, None, id="clerk-long"),
        pytest.param(TEN, {"fva": "0,0"}, None, id="clerk-text"),
        pytest.param(TEN, {"fva": ["0", 0]}, None, id="clerk-texts"),
        pytest.param(TEN, {"fva": [-2, 0]}, None, id="clerk-below"),
        pytest.param(TEN, {"fva": [0, 0], "iat": "x"}, None, id="clerk-no-iat"),
    ],
)  # fmt: skip
def test_login_is_as_fresh_and_of_the_kind_that_is_asked_for(
    rule: Fresh, claims: dict[str, Any], expected: bool | None
) -> None:
    assert evaluate(rule, facts(claims)) is expected
    assert evaluate(Not(rule), facts(claims)) is (None if expected is None else not expected)


@pytest.mark.parametrize(
    ("claims", "would"),
    [
        (STALE, True),
        ({}, True),
        ({"auth_time": "x"}, None),
        ({"auth_time": NOW, "acr": 1}, None),
        ({"amr": "x"}, None),
        ({"fva": 1}, None),
        ({**STALE, "client_id": "ann"}, None),
    ],
)
def test_login_is_asked_for_where_one_would_do(claims: dict[str, Any], would: bool | None) -> None:
    assert evaluate(MFA, facts(claims), granted="login") is would
    assert evaluate(MFA, facts({**STALE}), granted="scopes") is not True


def ask(*allow: Rule, claims: dict[str, Any] | None = None, **route: Any) -> Any:
    token = signed(**(STALE if claims is None else claims))
    return decide(policy(OIDC, allow=allow, **route), FakeKeys(KEY), bearer(token), NOW)


def challenge_of(deny: Deny, resource: Resource | None = None) -> str:
    lines = refusal_lines(deny.reason, had_token=deny.had_token, step_up=deny.step_up, resource=resource)
    return dict(lines)["WWW-Authenticate"]


def test_caller_who_lacks_a_login_alone_is_told_so() -> None:
    deny = denied(ask(AllOf((Equals("subject", frozenset({"user-1"})), MFA))))
    assert (deny.reason, deny.rule, deny.provider) == (Reason.LOGIN_TOO_OLD, "allow[0]", "partners")
    assert deny.step_up == StepUp(600, ("mfa",))
    assert challenge_of(deny) == (
        'Bearer realm="mastra-gateway", error="insufficient_user_authentication", '
        'error_description="a more recent login, or one of another kind, is asked for here", '
        'max_age="600", acr_values="mfa"'
    )


def test_fresh_login_passes() -> None:
    assert allowed(ask(TEN, claims={"auth_time": NOW - 599}))


def test_challenge_says_what_is_asked_and_no_more() -> None:
    assert "acr_values" not in challenge_of(denied(ask(TEN)))
    no_age = challenge_of(denied(ask(Fresh(acr=("a b", 'x"y', "z")))))
    assert "max_age" not in no_age and no_age.endswith('acr_values="ab xy z"')
    resource = Resource("https://a.example/api", (), challenge=("run",))
    assert (
        'resource_metadata="https://a.example/.well-known/oauth-protected-resource/api", scope="run", error="insuff'
        in (challenge_of(denied(ask(TEN)), resource))
    )


@pytest.mark.parametrize(
    ("allow", "route", "reason"),
    [
        pytest.param((AllOf((TEN, BOB)),), {}, Reason.ACCESS_DENIED, id="other-caller"),
        pytest.param((AllOf((TEN, SCOPED)),), {}, Reason.ACCESS_DENIED, id="scopes-too"),
        pytest.param((AnyOf((TEN, SCOPED)),), {}, Reason.LOGIN_TOO_OLD, id="either"),
        pytest.param((SCOPED, TEN), {}, Reason.INSUFFICIENT_SCOPE, id="the-first-rule-that-is-near"),
        pytest.param((Named("recent", TEN),), {}, Reason.LOGIN_TOO_OLD, id="named"),
        pytest.param((Not(Not(TEN)),), {}, Reason.ACCESS_DENIED, id="below-not"),
        pytest.param((Authenticated(),), {"deny": (Not(TEN),)}, Reason.DENIED_BY_RULE, id="in-deny"),
        pytest.param((TEN,), {"deny": (Equals("subject", frozenset({"user-1"})),)}, Reason.DENIED_BY_RULE, id="denied"),
    ],
)  # fmt: skip
def test_a_login_is_only_asked_for_where_all_else_holds(allow: tuple[Rule, ...], route: Any, reason: Reason) -> None:
    deny = denied(ask(*allow, **route))
    assert deny.reason is reason and (deny.step_up is not None) is (reason is Reason.LOGIN_TOO_OLD)


def test_machine_is_not_asked_to_log_in() -> None:
    found = decide(policy(WORKERS, allow=(TEN,)), FakeKeys(), bearer(key_named("worker")), NOW)
    assert denied(found).reason is Reason.ACCESS_DENIED


def test_login_is_judged_anew_with_each_request_though_its_token_is_remembered() -> None:
    own, token = policy(OIDC, allow=(TEN,)), signed(auth_time=NOW - 590)
    for _ in range(3):
        assert allowed(decide(own, FakeKeys(KEY), bearer(token), NOW))
    assert len(own.verified) == 1
    assert denied(decide(own, FakeKeys(KEY), bearer(token), NOW + 11)).reason is Reason.LOGIN_TOO_OLD


def test_rule_that_is_not_enforced_lets_an_old_login_pass_and_says_so() -> None:
    found = allowed(ask(Unenforced(TEN)))
    assert found.would_deny is not None and found.would_deny.reason is Reason.LOGIN_TOO_OLD


def test_strictest_condition_is_asked_for() -> None:
    rule = AllOf((Fresh(900.0, ("a",)), Named("x", Fresh(60.5, ("b", "a"))), Not(Fresh(1.0, ("c",)))))
    assert step_up_of(rule) == StepUp(60, ("a", "b"))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (TEN, "login at most 10m ago"),
        (replace(MFA, within_seconds=5400.0), "login at most 90m ago, acr mfa and amr otp"),
        (Fresh(7200.0), "login at most 2h ago"),
        (Fresh(0.5), "login at most 0.5s ago"),
        (Fresh(acr=("a", "b")), "login acr a or b"),
    ],
)
def test_words(rule: Fresh, words: str) -> None:
    assert words_of(rule) == words

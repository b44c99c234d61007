"""The kind of a caller, and who acts for it: by the claims of real issuers, and by what nobody should send."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.callers import actor_of
from gateway.policy.claims import principal_of
from gateway.policy.denied import Denied
from gateway.policy.expressions import Facts, compile_expression
from gateway.policy.model import Headers, RequestHead
from gateway.policy.paths import split_target
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.rules import Equals, Not, evaluate
from gateway.policy.token import Token
from gateway.policy.verify import check_claims
from tests.minting import NOW

RS = frozenset({"RS256"})
AUTH0, OIDC = Provider("a", "auth0", RS), Provider("o", "oidc", RS)
CLERK, JWT = Provider("c", "clerk", RS), Provider("j", "jwt", frozenset({"HS256"}))
NESTED: dict[str, Any] = {"sub": "agent-8"}
for number in range(7, 0, -1):
    NESTED = {"sub": f"agent-{number}", "act": NESTED}


def facts_of(claims: dict[str, Any]) -> Facts:
    head = RequestHead("GET", "/api", Headers([]), "192.0.2.7", "https")
    return Facts(principal_of(claims, OIDC), head, split_target("/api")[0], {}, NOW)


@pytest.mark.parametrize(
    ("provider", "claims", "kind"),
    [
        pytest.param(AUTH0, {"sub": "auth0|1", "azp": "web"}, "human", id="auth0-person"),
        pytest.param(AUTH0, {"sub": "abc@clients", "azp": "abc", "gty": "client-credentials"}, "service", id="auth0"),
        pytest.param(AUTH0, {"sub": "abc@clients"}, "service", id="auth0-subject"),
        pytest.param(AUTH0, {"sub": "x", "gty": "client-credentials"}, "service", id="auth0-grant"),
        pytest.param(AUTH0, {"sub": "auth0|1", "gty": "password"}, "human", id="auth0-password"),
        pytest.param(OIDC, {"sub": "abc@clients"}, "service", id="auth0-as-oidc"),
        pytest.param(OIDC, {"sub": "0oa1", "cid": "0oa1"}, "service", id="okta"),
        pytest.param(OIDC, {"sub": "ann@corp.example", "cid": "0oa1"}, "human", id="okta-person"),
        pytest.param(OIDC, {"sub": "job", "client_id": "job"}, "service", id="rfc9068"),
        pytest.param(OIDC, {"sub": "job", "client_id": "job", "azp": "other"}, "service", id="clients-disagree"),
        pytest.param(OIDC, {"sub": "1234", "azp": "1234"}, "service", id="google-service-account"),
        pytest.param(OIDC, {"sub": "oid-1", "appid": "app-1", "idtyp": "app"}, "service", id="entra"),
        pytest.param(OIDC, {"sub": "oid-1", "appid": "app-1", "idtyp": "user"}, "human", id="entra-person"),
        pytest.param(CLERK, {"sub": "mch_1"}, "service", id="clerk-machine"),
        pytest.param(CLERK, {"sub": "user_1", "client_id": "app"}, "human", id="clerk-oauth"),
        pytest.param(CLERK, {"sub": "user_1", "azp": "user_1"}, "human", id="clerk-azp-is-a-page"),
        pytest.param(JWT, {"sub": "worker", "client_id": "worker"}, "service", id="jwt"),
        pytest.param(JWT, {"sub": "ann@clients"}, "human", id="jwt-name-that-somebody-chose"),
        pytest.param(JWT, {"sub": "ann", "gty": "client-credentials"}, "human", id="jwt-mark-of-others"),
        pytest.param(OIDC, {"sub": "ann", "act": {"sub": "bot"}}, "agent", id="act"),
        pytest.param(OIDC, {"sub": "job", "client_id": "job", "act": {"sub": "bot"}}, "agent", id="act-of-a-service"),
        pytest.param(CLERK, {"sub": "user_1", "act": {"sub": "user_2", "iss": "x"}}, "agent", id="clerk-impersonation"),
    ],
)
def test_kind_is_what_issuers_say(provider: Provider, claims: dict[str, Any], kind: str) -> None:
    assert principal_of(claims, provider).kind == kind


def test_kind_goes_by_sub_whatever_the_subject_claim_is() -> None:
    renamed = Provider("c", "clerk", RS, subject_claim="email")
    assert principal_of({"sub": "mch_1", "email": "a@b.c"}, renamed).kind == "service"


@pytest.mark.parametrize(
    ("claims", "actor"),
    [
        ({}, None),
        ({"act": {"sub": "bot"}}, "bot"),
        ({"act": {"sub": "now", "act": {"sub": "first", "iss": "x"}}}, "first"),
        ({"act": NESTED}, "agent-8"),
    ],
)
def test_actor_is_the_innermost(claims: dict[str, Any], actor: str | None) -> None:
    assert actor_of(claims) == actor
    assert principal_of({"sub": "a", **claims}, OIDC).actor == actor


@pytest.mark.parametrize(
    ("act", "detail"),
    [
        (None, "act is missing, expected an object (RFC 8693 section 4.1)"),
        ("bot", "act is 'bot', expected an object (RFC 8693 section 4.1)"),
        ([{"sub": "bot"}], "act is [{'sub': 'bot'}], expected an object (RFC 8693 section 4.1)"),
        (True, "act is True, expected an object (RFC 8693 section 4.1)"),
        ({}, "act.sub is missing, expected a text"),
        ({"sub": ""}, "act.sub is '', expected a text"),
        ({"sub": " "}, "act.sub is ' ', expected a text"),
        ({"sub": 7}, "act.sub is 7, expected a text"),
        ({"sub": ["bot"]}, "act.sub is ['bot'], expected a text"),
        ({"sub": "a\nb"}, "act.sub holds a control character or half a character"),
        ({"sub": "a\ud800"}, "act.sub holds a control character or half a character"),
        ({"sub": "a", "act": "b"}, "act.act is 'b', expected an object (RFC 8693 section 4.1)"),
        ({"sub": "a", "act": {}}, "act.act.sub is missing, expected a text"),
        ({"sub": "a", "act": NESTED}, "act is nested more than 8 deep"),
    ],
)
def test_malformed_act_is_refused(act: Any, detail: str) -> None:
    claims = {"sub": "a", "exp": NOW + 60, "act": act}
    for check in (
        lambda: actor_of(claims),
        lambda: principal_of(claims, OIDC),
        lambda: check_claims(Token({}, claims, b"", b"", "RS256", None), OIDC, NOW),
    ):
        with pytest.raises(Denied) as refusal:
            check()
        assert (refusal.value.reason, refusal.value.detail) == (Reason.CLAIM_INVALID, detail)


def test_nobody_who_acts_is_an_answer_and_no_gap() -> None:
    bot = Equals("actor", frozenset({"bot"}))
    for claims, expected in (({}, False), ({"act": {"sub": "bot"}}, True), ({"act": {"sub": "BOT"}}, None)):
        facts = facts_of({"sub": "a", **claims})
        assert evaluate(bot, facts) is expected
        assert evaluate(Not(bot), facts) is (None if expected is None else not expected)


def test_expressions_know_both() -> None:
    asks = compile_expression("user.kind == 'agent' && user.actor in ['bot']")
    assert asks.holds(facts_of({"sub": "a", "act": {"sub": "bot"}})) is True
    assert asks.holds(facts_of({"sub": "a"})) is False
    assert compile_expression("user.actor == 'bot'").holds(facts_of({"sub": "a"})) is None

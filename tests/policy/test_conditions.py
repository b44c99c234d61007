"""What a provider asks of its tokens besides what every token must say: a client, a lifetime, claims."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.claims import principal_of
from gateway.policy.denied import Denied
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.token import parse_token
from gateway.policy.verify import check_claims
from tests.minting import NOW, claims_of, mint

PLAIN = Provider("p", "oidc", frozenset({"RS256"}))
OF_CLIENTS = replace(PLAIN, clients=frozenset({"web", "job"}))
SHORT = replace(PLAIN, max_lifetime_seconds=3600.0)


def refusal(provider: Provider, **changes: Any) -> Denied | None:
    token = parse_token(mint(claims_of(**changes)))
    try:
        check_claims(token, provider, NOW)
        principal_of(token.claims, provider)
    except Denied as no:
        return no
    return None


def reason(provider: Provider, **changes: Any) -> Reason | None:
    no = refusal(provider, **changes)
    return no.reason if no is not None else None


def test_provider_that_asks_for_nothing_has_no_conditions() -> None:
    assert not PLAIN.has_conditions
    for asking in (
        OF_CLIENTS,
        SHORT,
        replace(PLAIN, required_claims=("x",)),
        replace(PLAIN, expected_claims=(("x", frozenset({"y"})),)),
    ):
        assert asking.has_conditions


@pytest.mark.parametrize(
    ("claims", "passes"),
    [
        pytest.param({"azp": "web"}, True, id="azp"),
        pytest.param({"client_id": "job"}, True, id="client_id"),
        pytest.param({"cid": "web"}, True, id="cid"),
        pytest.param({"appid": "web"}, True, id="appid"),
        pytest.param({"azp": "web", "client_id": "web"}, True, id="they-agree"),
        pytest.param({}, False, id="none"),
        pytest.param({"azp": "evil"}, False, id="another"),
        pytest.param({"azp": "WEB"}, False, id="capitals"),
        pytest.param({"azp": "web "}, False, id="space"),
        pytest.param({"azp": ""}, False, id="empty"),
        pytest.param({"azp": "web", "client_id": "evil"}, False, id="two-disagree"),
        pytest.param({"azp": "web", "client_id": "job"}, False, id="two-of-ours-disagree"),
        pytest.param({"client_id": "evil", "cid": "web"}, False, id="cid-disagrees"),
        pytest.param({"azp": "web", "appid": ["web"]}, False, id="one-is-a-list"),
        pytest.param({"cid": {"web": 1}}, False, id="an-object"),
        pytest.param({"aud": "web"}, False, id="the-audience-is-no-client"),
    ],
)
def test_client_of_the_token_is_one_of_the_providers(claims: dict[str, Any], passes: bool) -> None:
    expected = None if passes else Reason.AUTHORIZED_PARTY_MISMATCH
    assert reason(OF_CLIENTS, **claims) is expected


def test_client_comes_from_the_claim_that_the_file_names() -> None:
    named = replace(OF_CLIENTS, client_claims=("/app/id",))
    assert reason(named, app={"id": "web"}, azp="evil") is None
    assert reason(named, azp="web") is Reason.AUTHORIZED_PARTY_MISMATCH
    by_audience = replace(OF_CLIENTS, client_claims=("aud", "cid"))
    assert reason(by_audience, aud="web") is reason(by_audience, aud=["web"], cid="web") is None
    others: list[dict[str, Any]] = [{"aud": ["web", "evil"]}, {"aud": "web", "cid": "job"}, {"aud": []}, {"aud": ...}]
    for claims in others:
        assert reason(by_audience, **claims) is Reason.AUTHORIZED_PARTY_MISMATCH


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({}, "the client is missing (azp, client_id, cid, appid), expected job or web"),
        ({"azp": "evil"}, "the client is azp 'evil', expected job or web"),
        ({"azp": "web", "cid": 7}, "the client is azp 'web', cid 7, expected job or web"),
    ],
)
def test_refusal_says_what_named_the_client(claims: dict[str, Any], said: str) -> None:
    no = refusal(OF_CLIENTS, **claims)
    assert no is not None and no.detail == said


@pytest.mark.parametrize(
    ("claims", "passes"),
    [
        pytest.param({"iat": NOW - 3000, "exp": NOW + 600}, True, id="just-so"),
        pytest.param({"iat": NOW - 3000, "exp": NOW + 601}, False, id="a-second-too-long"),
        pytest.param({"iat": NOW + 5, "exp": NOW + 3605}, True, id="issued-within-leeway"),
        pytest.param({"iat": ..., "exp": NOW + 3605}, True, id="no-iat-and-an-hour-left"),
        pytest.param({"iat": ..., "exp": NOW + 3606}, False, id="no-iat-and-more-left"),
        pytest.param({"iat": 0, "exp": NOW + 60}, False, id="issued-long-ago"),
        pytest.param({"iat": -1e300, "exp": NOW + 60}, False, id="issued-before-all-time"),
        pytest.param({"iat": NOW - 10, "exp": 1e300}, False, id="never-ends"),
        pytest.param({"iat": NOW + 4, "exp": NOW + 2}, True, id="ends-before-it-begins"),
        pytest.param({"iat": NOW - 0.5, "exp": NOW + 3599.5}, True, id="fractions"),
    ],
)
def test_lifetime_is_from_iat_to_exp(claims: dict[str, Any], passes: bool) -> None:
    assert reason(SHORT, **claims) is (None if passes else Reason.CLAIM_INVALID)


def test_token_without_an_end_lives_too_long() -> None:
    eternal = replace(SHORT, requires_expiry=False)
    no = refusal(eternal, exp=..., iat=NOW)
    assert no is not None and no.detail == "exp is missing, and `max_lifetime` on the provider asks for an end"
    too_long = refusal(SHORT, iat=NOW, exp=NOW + 7200)
    assert too_long is not None and too_long.detail == "exp is 7200 s after iat, `max_lifetime` allows 3600 s"
    unsaid = refusal(SHORT, iat=..., exp=NOW + 7205)
    assert unsaid is not None
    assert unsaid.detail == "exp is 7200 s after now (iat is missing), `max_lifetime` allows 3600 s"


@pytest.mark.parametrize("iat", ["0", True, None, [0], {}])
def test_iat_that_is_no_date_is_refused_before_lifetimes_count(iat: object) -> None:
    assert reason(SHORT, iat=iat, exp=NOW + 60) is Reason.CLAIM_INVALID


@pytest.mark.parametrize("value", ["x", False, 0, 0.0, ["x"], {"a": None}, [None], "false"])
@pytest.mark.parametrize("name", ["plan", "/deep/plan", "https://example.com/plan"])
def test_claim_that_is_there_meets_what_is_required(name: str, value: object) -> None:
    asking = replace(PLAIN, required_claims=(name,))
    claims: dict[str, Any] = {"deep": {"plan": value}, "plan": value, "https://example.com/plan": value}
    assert reason(asking, **claims) is None


@pytest.mark.parametrize("value", [..., None, "", " ", "\t", [], {}])
@pytest.mark.parametrize("name", ["plan", "/plan"])
def test_claim_that_says_nothing_is_missing(name: str, value: object) -> None:
    asking = replace(PLAIN, required_claims=("sub", name))
    assert reason(asking, plan=value) is Reason.CLAIM_INVALID
    no = refusal(asking, plan=value)
    word = "missing" if value in (..., None) else "empty"
    assert no is not None and no.detail == f"{name} is {word}, and `required_claims` on the provider asks for it"


def test_pointer_that_leads_nowhere_meets_nothing() -> None:
    asking = replace(PLAIN, required_claims=("/plan",))
    assert reason(asking, **{"/plan": "x"}) is Reason.CLAIM_INVALID


@pytest.mark.parametrize(
    ("value", "passes"),
    [
        ("access", True), ("id", False), ("Access", False), ("", False), (..., False), (None, False), (True, False),
        (["access"], False), ({"access": 1}, False), (7, False),
    ],
)  # fmt: skip
def test_expected_claim_is_one_of_the_texts(value: object, passes: bool) -> None:
    asking = replace(PLAIN, expected_claims=(("token_use", frozenset({"access", "refresh"})),))
    assert reason(asking, token_use=value) is (None if passes else Reason.CLAIM_INVALID)
    alike = replace(PLAIN, expected_claims=(("token_use", frozenset({"True", "7", "None", "['access']"})),))
    assert isinstance(value, str) or reason(alike, token_use=value) is Reason.CLAIM_INVALID, "a text alone"
    if not passes and value is not ...:
        no = refusal(asking, token_use="id")
        assert no is not None and no.detail == "token_use is 'id', expected access or refresh"


@pytest.mark.parametrize("subject", [0, 1, 42, 2**53 - 1])
def test_integer_is_a_subject_as_its_decimal_text(subject: int) -> None:
    for provider in (PLAIN, replace(PLAIN, kind="clerk"), replace(PLAIN, subject_claim="/ids/0")):
        token = parse_token(mint(claims_of(sub=subject, ids=[subject])))
        check_claims(token, provider, NOW)
        found = principal_of(token.claims, provider)
        assert (found.subject, type(found.subject)) == (str(subject), str)
        text = principal_of({**token.claims, "sub": str(subject), "ids": [str(subject)]}, provider)
        assert text.subject == found.subject, "the same principal"


@pytest.mark.parametrize(
    "written",
    ["-0", "-1", "0.0", "-0.0", "42.0", "42.5", "4.2e1", "42E0", "9007199254740992", "1" + "0" * 30, "true", "false",
     "null", "[42]", "{}", '""'],
)  # fmt: skip
def test_what_is_no_plain_integer_is_no_subject(written: str) -> None:
    # Two programs read some of these as two subjects, or two of these as one: RFC 7493 section 2.2.
    payload = f'{{"sub": {written}, "exp": {NOW + 60}}}'.encode()
    with pytest.raises(Denied) as no:
        check_claims(parse_token(mint(payload)), PLAIN, NOW)
    assert no.value.reason is Reason.CLAIM_INVALID

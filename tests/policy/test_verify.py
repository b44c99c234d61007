"""The checks of a token against its provider, each refused by one changed claim or header."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.claims import principal_of
from gateway.policy.denied import Denied
from gateway.policy.jwk import Key, secret_key
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.token import parse_token
from gateway.policy.verify import check_claims, check_signature, pick_provider
from tests.minting import NOW, OTHER_SECRET, SECRET, claims_of, ec_key, ed_key, mint, rsa_key

OIDC = Provider(
    "partners",
    "oidc",
    frozenset({"RS256"}),
    issuers=frozenset({"https://idp.example.test"}),
    audiences=frozenset({"https://api.example.test"}),
)
SHARED = Provider("jobs", "jwt", frozenset({"HS256"}), requires_expiry=False)
CLERK = Provider(
    "people",
    "clerk",
    frozenset({"RS256"}),
    issuers=frozenset({"https://clerk.example.test"}),
    types=frozenset({"jwt"}),
    authorized_parties=frozenset({"https://app.example.com"}),
)
AUTH0 = replace(OIDC, name="staff", kind="auth0")


def checked(provider: Provider, header: dict[str, Any] | None = None, **changes: Any) -> Any:
    token = parse_token(mint(claims_of(**changes), header=header))
    check_claims(token, provider, NOW)
    return principal_of(token.claims, provider)


def refused(provider: Provider, header: dict[str, Any] | None = None, **changes: Any) -> Reason:
    with pytest.raises(Denied) as refusal:
        checked(provider, header, **changes)
    return refusal.value.reason


def test_good_token_gives_its_principal() -> None:
    principal = checked(OIDC)
    assert (principal.subject, principal.provider, principal.issuer) == (
        "user-1",
        "partners",
        "https://idp.example.test",
    )
    assert principal.expires_at == NOW + 300


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"exp": ...}, Reason.CLAIM_INVALID, id="exp-missing"),
        pytest.param({"exp": None}, Reason.CLAIM_INVALID, id="exp-null"),
        pytest.param({"exp": str(NOW + 300)}, Reason.CLAIM_INVALID, id="exp-string"),
        pytest.param({"exp": True}, Reason.CLAIM_INVALID, id="exp-boolean"),
        pytest.param({"exp": [NOW + 300]}, Reason.CLAIM_INVALID, id="exp-list"),
        pytest.param({"exp": 10**399}, Reason.CLAIM_INVALID, id="exp-beyond-float"),
        pytest.param({"exp": NOW - 5}, Reason.TOKEN_EXPIRED, id="exp-at-the-leeway"),
        pytest.param({"exp": -1}, Reason.TOKEN_EXPIRED, id="exp-negative"),
        pytest.param({"nbf": NOW + 6}, Reason.TOKEN_NOT_YET_VALID, id="nbf-ahead"),
        pytest.param({"nbf": "0"}, Reason.CLAIM_INVALID, id="nbf-string"),
        pytest.param({"nbf": True}, Reason.CLAIM_INVALID, id="nbf-boolean"),
        pytest.param({"iat": NOW + 6}, Reason.TOKEN_NOT_YET_VALID, id="iat-ahead"),
        pytest.param({"iat": "x"}, Reason.CLAIM_INVALID, id="iat-string"),
        pytest.param({"aud": ...}, Reason.AUDIENCE_MISMATCH, id="aud-missing"),
        pytest.param({"aud": "https://other.test"}, Reason.AUDIENCE_MISMATCH, id="aud-wrong"),
        pytest.param({"aud": "https://api.example.test/"}, Reason.AUDIENCE_MISMATCH, id="aud-with-slash"),
        pytest.param({"aud": "HTTPS://api.example.test"}, Reason.AUDIENCE_MISMATCH, id="aud-other-case"),
        pytest.param({"aud": []}, Reason.AUDIENCE_MISMATCH, id="aud-empty"),
        pytest.param({"aud": ["https://api.example.test", 1]}, Reason.AUDIENCE_MISMATCH, id="aud-with-a-number"),
        pytest.param({"aud": {"https://api.example.test": 1}}, Reason.AUDIENCE_MISMATCH, id="aud-object"),
        pytest.param({"sub": ...}, Reason.CLAIM_INVALID, id="sub-missing"),
        pytest.param({"sub": ""}, Reason.CLAIM_INVALID, id="sub-empty"),
        pytest.param({"sub": " "}, Reason.CLAIM_INVALID, id="sub-blank"),
        pytest.param({"sub": "a\r\nX-Auth-Email: evil"}, Reason.CLAIM_INVALID, id="sub-with-crlf"),
        pytest.param({"sub": "\ud800"}, Reason.CLAIM_INVALID, id="sub-lone-surrogate"),
    ],
)
def test_claim_that_does_not_hold(changes: dict[str, Any], reason: Reason) -> None:
    assert refused(OIDC, **changes) is reason


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": NOW - 4}, id="exp-within-leeway"),
        pytest.param({"nbf": NOW + 5, "iat": NOW + 5}, id="nbf-and-iat-within-leeway"),
        pytest.param({"iat": ...}, id="no-iat"),
        pytest.param({"exp": NOW + 300.5}, id="exp-with-a-fraction"),
        pytest.param({"aud": ["https://x.test", "https://api.example.test"]}, id="aud-array"),
    ],
)
def test_claim_that_holds(changes: dict[str, Any]) -> None:
    assert checked(OIDC, **changes).subject == "user-1"


def test_optional_expiry_and_no_audience_are_the_providers_choice() -> None:
    assert checked(SHARED, exp=..., aud=...).expires_at is None
    assert refused(SHARED, exp=NOW - 60) is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_type_of_an_access_token(typ: str | None) -> None:
    assert checked(OIDC, {"typ": typ}).subject == "user-1"


@pytest.mark.parametrize("typ", ["logout+jwt", "secevent+jwt", "dpop+jwt", "", "JWT ", 1, ["JWT"]])
def test_type_of_something_else(typ: Any) -> None:
    # RFC 8725 section 3.11: cross-JWT confusion.
    assert refused(OIDC, {"typ": typ}) is Reason.TOKEN_KIND_REFUSED


def test_type_null_is_not_absent() -> None:
    token = mint(claims_of(), header=b'{"alg":"RS256","typ":null}')
    with pytest.raises(Denied):
        check_claims(parse_token(token), OIDC, NOW)


@pytest.mark.parametrize(
    ("header", "changes", "reason"),
    [
        pytest.param({}, {"azp": "https://evil.test"}, Reason.AUTHORIZED_PARTY_MISMATCH, id="azp-of-another"),
        pytest.param({}, {}, Reason.AUTHORIZED_PARTY_MISMATCH, id="azp-missing"),
        pytest.param({}, {"azp": None}, Reason.CLAIM_INVALID, id="azp-null"),
        pytest.param({}, {"azp": "https://app.example.com", "sts": "pending"}, Reason.SESSION_PENDING, id="pending"),
        pytest.param({"typ": "at+jwt"}, {"azp": "https://app.example.com"}, Reason.TOKEN_KIND_REFUSED, id="typ"),
        pytest.param({"cat": "cl_B7d4PD222AAA"}, {}, Reason.TOKEN_KIND_REFUSED, id="template"),
        pytest.param({"cat": "cl_new"}, {}, Reason.TOKEN_KIND_REFUSED, id="unknown-kind"),
        pytest.param({"cat": ["x"]}, {}, Reason.TOKEN_KIND_REFUSED, id="kind-no-string"),
        pytest.param({}, {"sub": "mch_1"}, Reason.TOKEN_KIND_REFUSED, id="machine"),
    ],
)
def test_clerk_token_that_is_no_session_of_ours(header: Any, changes: Any, reason: Reason) -> None:
    assert refused(CLERK, header, **changes) is reason


def test_clerk_session_of_ours() -> None:
    session = {"azp": "https://app.example.com"}
    assert checked(CLERK, {"cat": "cl_B7d4PD111AAA"}, **session).client is None
    assert checked(CLERK, {"cat": "cl_I7d4PD111III"}, **session)
    with_templates = replace(CLERK, clerk_kinds=frozenset({"session", "template"}), authorized_parties=None)
    assert checked(with_templates, {"cat": "cl_B7d4PD222AAA"})
    if_present = replace(CLERK, requires_authorized_party=False)
    assert checked(if_present)
    assert refused(if_present, azp="https://evil.test") is Reason.AUTHORIZED_PARTY_MISMATCH
    assert refused(if_present, azp=None) is Reason.CLAIM_INVALID


@pytest.mark.parametrize("provider", [AUTH0, OIDC], ids=["auth0", "oidc"])
@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        ({"jkt": "x"}, Reason.TOKEN_KIND_REFUSED),
        ({"x5t#S256": "x"}, Reason.TOKEN_KIND_REFUSED),
        ({"jwk": {}}, Reason.TOKEN_KIND_REFUSED),
        ({"kid": None}, Reason.TOKEN_KIND_REFUSED),
        ({"anything": 1}, Reason.TOKEN_KIND_REFUSED),
        ("jkt", Reason.CLAIM_INVALID),
        (["jkt"], Reason.CLAIM_INVALID),
        (None, Reason.CLAIM_INVALID),
        (True, Reason.CLAIM_INVALID),
    ],
)
def test_token_bound_to_a_key_is_no_bearer_token(provider: Provider, binding: object, reason: Reason) -> None:
    # RFC 9449 section 7.2, RFC 8705 section 3: without the proof anybody could have stolen it.
    assert refused(provider, cnf=binding) is reason


def test_empty_binding_binds_to_nothing() -> None:
    assert checked(OIDC, cnf={}).subject == "user-1"


@pytest.mark.parametrize("name", ["jti", "client_id", "azp", "sid"])
@pytest.mark.parametrize("value", [1, None, True, ["x"], {"x": "y"}, 0.5])
def test_registered_claim_is_a_text(name: str, value: object) -> None:
    # Auth0's own library refuses such tokens.
    odd: dict[str, Any] = {name: value}
    text: dict[str, Any] = {name: "x"}
    assert refused(OIDC, **odd) is Reason.CLAIM_INVALID
    assert checked(OIDC, **text).subject == "user-1"


def test_token_that_we_signed_is_no_callers() -> None:
    anybody = replace(OIDC, issuers=None)
    assert refused(anybody, iss="mastra-gateway") is Reason.TOKEN_KIND_REFUSED
    assert checked(anybody, iss="mastra-gateway2").subject == "user-1"


def picked(providers: tuple[Provider, ...], algorithm: str, **changes: Any) -> Provider:
    return pick_provider(
        parse_token(
            mint(
                claims_of(**changes),
                algorithm=algorithm,
                header={"alg": algorithm},
                key=rsa_key() if algorithm != "HS256" else SECRET,
            )
        ),
        providers,
    )


def test_provider_is_picked_by_issuer_then_algorithm() -> None:
    providers = (SHARED, OIDC, CLERK)
    assert picked(providers, "RS256") is OIDC
    assert picked(providers, "RS256", iss="https://clerk.example.test") is CLERK
    assert picked(providers, "HS256") is SHARED
    assert picked(providers, "HS256", iss=...) is SHARED


@pytest.mark.parametrize(
    ("algorithm", "changes", "reason"),
    [
        pytest.param("RS256", {"iss": "https://evil.test"}, Reason.ISSUER_MISMATCH, id="iss-wrong"),
        pytest.param("RS256", {"iss": ...}, Reason.ISSUER_MISMATCH, id="iss-missing"),
        pytest.param("RS256", {"iss": "https://idp.example.test/"}, Reason.ISSUER_MISMATCH, id="iss-with-slash"),
        pytest.param(
            "RS256", {"iss": "https://idp.example"}, Reason.ISSUER_MISMATCH, id="iss-prefix"
        ),  # CVE-2024-53861
        pytest.param(
            "RS256", {"iss": ["https://idp.example.test"]}, Reason.ISSUER_MISMATCH, id="iss-list"
        ),  # CVE-2025-30144
        pytest.param("RS512", {}, Reason.ALGORITHM_NOT_ALLOWED, id="alg-not-listed"),
        pytest.param("HS256", {}, Reason.ALGORITHM_NOT_ALLOWED, id="hs256-for-a-key-server"),  # CVE-2022-29217
    ],
)
def test_no_provider_for_the_token(algorithm: str, changes: Any, reason: Reason) -> None:
    with pytest.raises(Denied) as refusal:
        picked((OIDC,), algorithm, **changes)
    assert refusal.value.reason is reason


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", "hs256", "HS1", "RS256 "])
def test_algorithm_is_one_of_the_list_in_its_exact_spelling(algorithm: str) -> None:
    # RFC 8725 sections 2.1 and 3.1; CVE-2015-9235.
    for provider in (SHARED, OIDC):
        with pytest.raises(Denied) as refusal:
            pick_provider(parse_token(mint(claims_of(), header={"alg": algorithm})), (provider,))
        assert refusal.value.reason is Reason.ALGORITHM_NOT_ALLOWED


def public(key: Any, algorithm: str) -> Key:
    return Key("k", frozenset({algorithm}), key.public_key(), "thumbprint")


@pytest.mark.parametrize(
    ("algorithm", "private", "key"),
    [
        ("HS256", SECRET, secret_key(SECRET, frozenset({"HS256"}))),
        ("HS512", SECRET, secret_key(SECRET, frozenset({"HS512"}))),
        ("RS256", rsa_key(), public(rsa_key(), "RS256")),
        ("PS256", rsa_key(), public(rsa_key(), "PS256")),
        ("ES256", ec_key(), public(ec_key(), "ES256")),
        ("EdDSA", ed_key(), public(ed_key(), "EdDSA")),
    ],
)
def test_signature_of_every_family_verifies_and_fails(algorithm: str, private: Any, key: Key) -> None:
    token = parse_token(mint(claims_of(), private, algorithm))
    check_signature(token, key)
    for bad in (
        replace(token, signature=token.signature[:-1] + bytes([token.signature[-1] ^ 1])),
        replace(token, signing_input=token.signing_input + b"x"),
        replace(token, signature=b"\0" * len(token.signature)),  # CVE-2022-21449
        replace(token, signature=b""),
    ):
        with pytest.raises(Denied) as refusal:
            check_signature(bad, key)
        assert refusal.value.reason is Reason.SIGNATURE_INVALID


def test_signature_by_another_key_fails() -> None:
    token = parse_token(mint(claims_of(), OTHER_SECRET))
    with pytest.raises(Denied):
        check_signature(token, secret_key(SECRET, frozenset({"HS256"})))


def test_key_is_used_for_its_own_algorithms_only() -> None:
    token = parse_token(mint(claims_of(), rsa_key(), "RS512"))
    with pytest.raises(Denied) as refusal:
        check_signature(token, public(rsa_key(), "RS256"))
    assert refusal.value.reason is Reason.ALGORITHM_NOT_ALLOWED


def test_wrong_pairing_of_key_and_algorithm_is_a_no_not_an_exception() -> None:
    # PyJWT raises TypeError or AttributeError there.
    token = parse_token(mint(claims_of(), ec_key(), "ES256"))
    with pytest.raises(Denied) as refusal:
        check_signature(token, Key("k", frozenset({"ES256"}), rsa_key().public_key(), "t"))
    assert refusal.value.reason is Reason.SIGNATURE_INVALID


def test_der_signature_is_refused() -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    token = parse_token(mint(claims_of(), ec_key(), "ES256"))
    der = ec_key().sign(token.signing_input, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(Denied):
        check_signature(replace(token, signature=der), public(ec_key(), "ES256"))


def test_ed25519_and_eddsa_are_one_algorithm_and_ed448_is_none() -> None:
    # RFC 9864 section 2.2. A token that says Ed448 is not verified with an Ed25519 key, whatever the file calls it.
    provider, key = replace(OIDC, algorithms=frozenset({"EdDSA"})), public(ed_key(), "EdDSA")
    for spelling in ("EdDSA", "Ed25519"):
        token = parse_token(mint(claims_of(), ed_key(), "EdDSA", header={"alg": spelling}))
        assert pick_provider(token, (provider,)) is provider
        check_signature(token, key)
        with pytest.raises(Denied):
            pick_provider(token, (OIDC,))
    for other in ("Ed448", "ed25519", "EDDSA", "eddsa", "Ed25519 ", "Ed25519ph"):
        token = parse_token(mint(claims_of(), ed_key(), "EdDSA", header={"alg": other}))
        with pytest.raises(Denied) as refusal:
            pick_provider(token, (provider,))
        assert refusal.value.reason is Reason.ALGORITHM_NOT_ALLOWED

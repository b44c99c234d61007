"""Google: its ID tokens, service accounts, Identity-Aware Proxy, Firebase, Cloud Run."""

from __future__ import annotations

import pytest

from tests.field.gateways import Field
from tests.field.issuer import Signer

KEY = Signer("goog")
STRANGER = Signer("goog", name="stranger")
CLIENT = "123-abc.apps.googleusercontent.com"


async def test_google_two_issuers(field: Field) -> None:
    """coreos/go-oidc#125, better-auth/better-auth#1351: Google writes its issuer with and without https://."""
    keys = (KEY, Signer("next", name="field-2"))
    field.issuer.publish("/oauth2/v3/certs", *[key.jwk(use="sig", alg="RS256") for key in keys])
    text = f"""
providers:
  google:
    type: oidc
    issuer: [https://accounts.google.com, accounts.google.com]
    audience: {CLIENT}
    jwks_uri: ${{ISSUER}}/oauth2/v3/certs
routes:
  /api: {{provider: google, allow: {{email_domain: corp.example, claim: {{hd: corp.example}}}}}}
"""
    claims = {
        "iss": "accounts.google.com",
        "aud": CLIENT,
        "azp": "123-web.apps.googleusercontent.com",
        "sub": "10769150350006150715113082367",
        "hd": "corp.example",
        "email": "ann@corp.example",
        "email_verified": True,
    }
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(claims))
        await gateway.passes("/api/x", KEY.token({**claims, "iss": "https://accounts.google.com"}))
        # A private account may have any address as its own: `hd` alone says that the domain's owner manages it.
        await gateway.refuses("/api/x", KEY.token({**claims, "hd": None}), "access_denied")
        await gateway.refuses("/api/x", KEY.token({**claims, "hd": "corp.example.evil.example"}), "access_denied")
        await gateway.refuses("/api/x", KEY.token({**claims, "email_verified": False}), "access_denied")
        for issuer in ("http://accounts.google.com", "https://accounts.google.com/", "ACCOUNTS.google.com"):
            await gateway.refuses("/api/x", KEY.token({**claims, "iss": issuer}), "issuer_mismatch")
        await gateway.refuses("/api/x", STRANGER.token(claims), "signature_invalid")


async def test_google_issuer_without_scheme(paper: Field) -> None:
    """coreos/go-oidc#125, manfredsteyer/angular-oauth2-oidc#523: one spelling in the file, the other in the token."""
    paper.issuer.publish("/keys", KEY.jwk(use="sig", alg="RS256"))
    text = """
providers:
  google: {type: oidc, issuer: "https://accounts.google.com", audience: c, jwks_uri: "${ISSUER}/keys"}
routes:
  /api: {provider: google, allow: authenticated}
"""
    token = KEY.token({"iss": "accounts.google.com", "aud": "c", "sub": "1"})
    advice = await paper.advice(text, "/api/x", token, "issuer_mismatch")
    assert "https://accounts.google.com" in advice and "both" in advice, advice


async def test_iap_assertion_header(field: Field) -> None:
    """IvanJosipovic/OIDC-Guard#27, oauth2-proxy/oauth2-proxy#2168: x-goog-iap-jwt-assertion."""
    key, header = Signer("iap", "ES256"), "X-Goog-IAP-JWT-Assertion"
    field.issuer.publish("/iap/verify/public_key-jwk", key.jwk(use="sig", alg="ES256"))
    text = f"""
providers:
  iap:
    type: oidc
    issuer: https://cloud.google.com/iap
    audience: /projects/1/global/backendServices/2
    algorithms: [ES256]
    jwks_uri: ${{ISSUER}}/iap/verify/public_key-jwk
    token_from: [{{header: {header}}}]
routes:
  /api: {{provider: iap, allow: {{email_domain: corp.example}}}}
"""
    claims = {
        "iss": "https://cloud.google.com/iap",
        "aud": "/projects/1/global/backendServices/2",
        "sub": "accounts.google.com:1",
        "email": "ann@corp.example",
        "hd": "corp.example",
        "google": {"access_levels": []},
    }
    token = key.token(claims)
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", headers=[(header, token)])
        assert arrived.all(header) == [token], "the one credential that was verified goes on"
        arrived = await gateway.passes("/api/x", headers=[(header.lower(), f"Bearer {token}")])
        # An Authorization beside it was not judged: the upstream must not hear of it.
        for scheme in ("Bearer x.y.z", "Basic dTpw", f"Bearer {token}"):
            arrived = await gateway.passes("/api/x", headers=[(header, token), ("Authorization", scheme)])
            assert arrived.all("Authorization") == []
        await gateway.refuses("/api/x", None, "token_missing")
        await gateway.refuses("/api/x", token, "token_missing")
        await gateway.refuses("/api/x", None, "several_credentials", headers=[(header, token), (header, token)])
        other = {**claims, "aud": "/projects/1/global/backendServices/3"}
        await gateway.refuses("/api/x", None, "audience_mismatch", headers=[(header, key.token(other))])
        await gateway.refuses("/api/x", None, "token_malformed", headers=[(header, "ann@corp.example")])
        await gateway.refuses("/api/x", None, "several_credentials", headers=[(header, f"{token}, {token}")])


async def test_firebase_id_token(field: Field) -> None:
    """krakend/krakend-jose#73: keys on another host than the issuer, the way of signing in nested."""
    keys = field.issuer.publish("/jwk/securetoken@system.gserviceaccount.com", KEY.jwk(use="sig", alg="RS256"))
    issuer = field.issuer.announce("/my-project", keys.replace("127.0.0.1", "localhost"))
    text = f"""
providers:
  firebase: {{type: oidc, issuer: "{issuer}", audience: my-project}}
routes:
  /api:
    provider: firebase
    allow:
      email_domain: corp.example
      claim:
        /firebase/sign_in_provider: [password, google.com]
"""
    claims = {
        "iss": issuer,
        "aud": "my-project",
        "auth_time": 1,
        "user_id": "u1",
        "sub": "u1",
        "email": "ann@corp.example",
        "email_verified": True,
        "firebase": {"identities": {"email": ["ann@corp.example"]}, "sign_in_provider": "password"},
    }
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(claims))
        anonymous = {**claims, "firebase": {"sign_in_provider": "anonymous"}}
        await gateway.refuses("/api/x", KEY.token(anonymous), "access_denied")
        await gateway.refuses("/api/x", KEY.token({**claims, "email_verified": False}), "access_denied")
        await gateway.refuses("/api/x", KEY.token({**claims, "aud": "another-project"}), "audience_mismatch")
        flat = {**claims, "firebase": None, "/firebase/sign_in_provider": "password"}
        await gateway.refuses("/api/x", KEY.token(flat), "access_denied")


@pytest.mark.parametrize("key", [KEY, Signer("goog", "ES256")], ids=["RSA", "EC"])
async def test_firebase_x509_map(field: Field, key: Signer) -> None:
    """krakend/krakend-jose#73: Google's x509 addresses answer certificates by kid."""
    target = "/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
    field.issuer.answer(target, {key.kid: key.certificate()})
    text = f"""
providers:
  firebase:
    type: oidc
    issuer: https://session.firebase.google.com/my-project
    audience: my-project
    algorithms: [{key.algorithm}]
    jwks_uri: ${{ISSUER}}{target}
routes:
  /api: {{provider: firebase, allow: authenticated}}
"""
    claims = {"iss": "https://session.firebase.google.com/my-project", "aud": "my-project", "sub": "u1"}
    async with field.serving(text) as gateway:
        await gateway.refuses("/api/x", key.token(claims), "keys_unavailable")
        assert "certificate" in (await gateway.troubles()).replace(target, "")
    advice = await field.advice(text, "/api/x", key.token(claims), "keys_unavailable")
    assert "certificate" in advice and "JWKS" in advice, advice


async def test_google_service_account_self_signed(field: Field) -> None:
    """Google's service accounts sign for themselves: issuer and subject are an address, its keys elsewhere."""
    account = "runner@p.iam.gserviceaccount.com"
    field.issuer.publish(f"/service_accounts/v1/jwk/{account}", KEY.jwk(use="sig", alg="RS256"))
    text = f"""
providers:
  account:
    type: oidc
    issuer: {account}
    audience: https://agents.corp.example
    jwks_uri: ${{ISSUER}}/service_accounts/v1/jwk/{account}
routes:
  /api: {{provider: account, allow: {{subject: {account}}}}}
"""
    claims = {"iss": account, "sub": account, "aud": "https://agents.corp.example"}
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(claims))
        await gateway.refuses("/api/x", KEY.token({**claims, "iss": f"x{account}"}), "issuer_mismatch")
        await gateway.refuses("/api/x", KEY.token({**claims, "sub": "root@p.iam.gserviceaccount.com"}), "access_denied")
        await gateway.refuses("/api/x", STRANGER.token(claims), "signature_invalid")


async def test_signature_removed_by_cloud_run(field: Field) -> None:
    """pomerium/pomerium#6677, owainlewis/machinist#277: Cloud Run with IAM hands tokens on without their signature."""
    field.issuer.publish("/keys", KEY.jwk(use="sig", alg="RS256"))
    text = """
providers:
  google:
    type: oidc
    issuer: https://accounts.google.com
    audience: https://gateway.run.app
    jwks_uri: ${ISSUER}/keys
routes:
  /api: {provider: google, allow: authenticated}
"""
    whole = KEY.token({"iss": "https://accounts.google.com", "aud": "https://gateway.run.app", "sub": "1"})
    removed = whole.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", whole)
        answer = await gateway.ask("/api/x", removed)
        assert answer.status == 401
        assert [arrived.target for arrived in field.upstream.take()] == []
    explained = await field.why(text, "/api/x", removed)
    advice = "\n".join(explained["advice"])
    assert "Cloud Run" in advice and "X-Serverless-Authorization" in advice, advice

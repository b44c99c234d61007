"""Cognito, and the assertions of Amazon's load balancers; Apple, who writes its booleans as Cognito does."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from tests.field.gateways import Field
from tests.field.issuer import Signer
from tests.minting import sign
from tests.secrecy import keep_secret

POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E"
KEY = Signer("cog")


def access_of(**changes: Any) -> dict[str, Any]:
    """Return the claims of an access token, which has no `aud` (Cognito's guide, Understanding the access token)."""
    return {
        "iss": POOL,
        "sub": "b1b1",
        "token_use": "access",
        "client_id": "4h57kq9example",
        "scope": "agents/run openid",
        "username": "ann",
        "cognito:groups": ["ops"],
        "version": 2,
        "jti": "j",
        "event_id": "e",
        "origin_jti": "o",
        "auth_time": 1,
        **changes,
    }


def id_of(**changes: Any) -> dict[str, Any]:
    """Return the claims of an ID token of the same user."""
    return access_of(token_use="id", aud="4h57kq9example", client_id=None, scope=None, **changes)


def publish_keys(field: Field) -> None:
    """Publish the pool's two keys."""
    keys = (KEY, Signer("cog2", name="field-2"))
    field.issuer.publish("/keys", *[key.jwk(alg="RS256", use="sig") for key in keys])


async def test_cognito_access_token_client(field: Field) -> None:
    """oauth2-proxy/oauth2-proxy#891, PrefectHQ/fastmcp#3739, camunda/camunda#44650."""
    publish_keys(field)
    text = f"""
providers:
  cognito: {{type: oidc, issuer: "{POOL}", jwks_uri: "${{ISSUER}}/keys", audience: none, client: CLIENT}}
routes:
  /api: {{provider: cognito, allow: authenticated}}
"""
    async with field.serving(text.replace("CLIENT", "4h57kq9example")) as gateway:
        await gateway.passes("/api/x", KEY.token(access_of()))
        for client in ("other", "4h57kq9exampl", "4H57KQ9EXAMPLE", "", None):
            await gateway.refuses("/api/x", KEY.token(access_of(client_id=client)), "authorized_party_mismatch")
        await gateway.refuses("/api/x", KEY.token(access_of(client_id=["4h57kq9example"])), "claim_invalid")
    async with field.serving(text.replace("CLIENT", "[4h57kq9example, second]")) as gateway:
        await gateway.passes("/api/x", KEY.token(access_of(client_id="second")))
        await gateway.refuses("/api/x", KEY.token(access_of(client_id="third")), "authorized_party_mismatch")


async def test_cognito_access_token_by_rule(field: Field) -> None:
    """oauth2-proxy/oauth2-proxy#891: by `audience: none` and a rule."""
    publish_keys(field)
    text = f"""
providers:
  cognito:
    type: oidc
    issuer: {POOL}
    jwks_uri: ${{ISSUER}}/keys
    audience: none
    groups_claim: cognito:groups
rules:
  ours: {{client: 4h57kq9example, claim: {{token_use: access}}}}
routes:
  /api: {{provider: cognito, allow: {{all: [ours, {{group: ops}}, {{scope: agents/run}}]}}}}
"""
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(access_of()))
        await gateway.refuses("/api/x", KEY.token(access_of(client_id="other")), "access_denied")
        await gateway.refuses("/api/x", KEY.token(id_of()), "access_denied")
        await gateway.refuses("/api/x", KEY.token(access_of(**{"cognito:groups": ["ops-readers"]})), "access_denied")
        await gateway.refuses("/api/x", KEY.token(access_of(scope="agents/run.x openid")), "insufficient_scope")


@pytest.mark.parametrize("verified", ["true", 1], ids=["text", "number"])
async def test_email_verified_as_text(field: Field, verified: object) -> None:
    """amazon-archives/amazon-cognito-identity-js#436, zitadel/oidc#139, nicokaiser/passport-apple#86,
    pocketbase/pocketbase#6657: Apple and Cognito write "true".
    """
    field.issuer.publish("/keys", KEY.jwk(alg="RS256", use="sig"))
    text = """
providers:
  apple:
    type: oidc
    issuer: https://appleid.apple.com
    audience: com.corp.app
    jwks_uri: ${ISSUER}/keys
    email_verified: required
routes:
  /api: {provider: apple, allow: {email_domain: corp.example}}
"""
    claims = {
        "iss": "https://appleid.apple.com",
        "aud": "com.corp.app",
        "sub": "001",
        "email": "ann@corp.example",
        "is_private_email": "false",
    }
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token({**claims, "email_verified": True}))
        for wrong in ("false", "True", "yes", 0, [True], False):
            await gateway.refuses("/api/x", KEY.token({**claims, "email_verified": wrong}), "access_denied")
        await gateway.refuses("/api/x", KEY.token({**claims, "email_verified": verified}), "access_denied")
        await gateway.refuses("/api/x", KEY.token(claims), "access_denied")
    advice = await field.advice(text, "/api/x", KEY.token({**claims, "email_verified": verified}), "access_denied")
    # Nothing that the user did: confirming the address changes nothing.
    assert "email_verified" in advice and "boolean" in advice and "confirm" not in advice, advice


async def test_alb_assertion(field: Field) -> None:
    """awslabs/aws-jwt-verify#109, #71, potatosalad/erlang-jose#141, PostHog/duckgres#1157: x-amzn-oidc-data.

    Padded base64url, facts in the header, a PEM key at an address of each kid.
    """
    key = Signer("alb", "ES256")
    field.issuer.publish("/keys", key.jwk(alg="ES256", use="sig"))
    text = f"""
providers:
  alb:
    type: oidc
    issuer: {POOL}
    audience: none
    algorithms: [ES256]
    jwks_uri: ${{ISSUER}}/keys
    token_from: [bearer, {{header: X-Amzn-Oidc-Data}}]
routes:
  /api: {{provider: alb, allow: authenticated}}
"""
    expiry = int(time.time()) + 120
    head = {"typ": "JWT", "kid": "alb", "alg": "ES256", "iss": POOL, "client": "c", "exp": expiry}
    head |= {"signer": "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/x/1"}
    body = {"sub": "u", "email": "ann@corp.example", "email_verified": "true", "exp": expiry, "iss": POOL}
    parts = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in (head, body))
    signature = base64.urlsafe_b64encode(sign(parts.encode(), key.private, "ES256")).decode()
    token = keep_secret(f"{parts}.{signature}")
    assert "=" in token
    async with field.serving(text) as gateway:
        await gateway.refuses("/api/x", token, "token_malformed")
        await gateway.refuses("/api/x", None, "token_malformed", headers=[("X-Amzn-Oidc-Data", token)])
        assert field.issuer.asked_for("/keys") <= 1
    assert "padding" in json.dumps(await field.why(text, "/api/x", token))


async def test_alb_access_token(field: Field) -> None:
    """As alb-assertion: what the load balancer got from Cognito stands beside it, untouched, as an access token."""
    publish_keys(field)
    text = f"""
providers:
  cognito:
    type: oidc
    issuer: {POOL}
    audience: none
    client: 4h57kq9example
    jwks_uri: ${{ISSUER}}/keys
    token_from: [{{header: X-Amzn-Oidc-Accesstoken}}]
routes:
  /api: {{provider: cognito, allow: {{claim: {{token_use: access}}}}}}
"""
    header = "X-Amzn-Oidc-Accesstoken"
    beside = [("X-Amzn-Oidc-Identity", "b1b1"), ("X-Amzn-Oidc-Data", "e30=.e30=.e30=")]
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", headers=[(header, KEY.token(access_of())), *beside])
        await gateway.refuses("/api/x", None, "token_missing", headers=beside)
        other = [(header, KEY.token(access_of(client_id="other"))), *beside]
        await gateway.refuses("/api/x", None, "authorized_party_mismatch", headers=other)
        await gateway.refuses(
            "/api/x", None, "authorized_party_mismatch", headers=[(header, KEY.token(id_of())), *beside]
        )

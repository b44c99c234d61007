"""Supabase, with its old secret and its new keys; WorkOS, with two issuers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.field.gateways import Field
from tests.field.issuer import SHARED, Signer
from tests.minting import mint

KEY = Signer("f00d-uuid", "ES256")
PROJECT = "https://abcd.supabase.co/auth/v1"


def claims_of(**changes: Any) -> dict[str, Any]:
    """Return the claims of a session of a user."""
    return {
        "iss": PROJECT,
        "aud": "authenticated",
        "sub": "0a0a0a0a-1111-4222-8333-444444444444",
        "email": "ann@corp.example",
        "phone": "",
        "app_metadata": {"provider": "email", "role": "staff"},
        "user_metadata": {"email_verified": True},
        "role": "authenticated",
        "aal": "aal1",
        "session_id": "s",
        "is_anonymous": False,
        **changes,
    }


BOTH = f"""
providers:
  old: {{type: jwt, issuer: "{PROJECT}", audience: authenticated, secret: "${{SECRET}}"}}
  new:
    type: oidc
    issuer: {PROJECT}
    audience: authenticated
    algorithms: [ES256]
    jwks_uri: ${{ISSUER}}/auth/v1/.well-known/jwks.json
routes:
  /api: {{provider: [new, old], allow: {{role: authenticated}}}}
"""


async def test_supabase_both_algorithms(field: Field) -> None:
    """supabase/cli#4726, etherfunlab/eros-engine#3: HS256 of the old secret beside ES256 of the new keys."""
    public = KEY.jwk(alg="ES256", use="sig", key_ops=["verify"], ext=True)
    field.issuer.publish("/auth/v1/.well-known/jwks.json", public)
    async with field.serving(BOTH) as gateway:
        await gateway.passes("/api/x", KEY.token(claims_of()))
        await gateway.passes("/api/x", SHARED.token(claims_of()))
        for token in (KEY.token, SHARED.token):
            await gateway.refuses("/api/x", token(claims_of(role="anon")), "access_denied")
            await gateway.refuses("/api/x", token(claims_of(aud="anon")), "audience_mismatch")
            await gateway.refuses("/api/x", token(claims_of(iss=f"{PROJECT}/")), "issuer_mismatch")
        # Key confusion, CVE-2015-9235: what is public is no secret.
        for secret in (str(public), public["x"], public["x"] + public["y"]):
            forged = mint(claims_of(exp=2**31), secret.encode(), "HS256", kid=KEY.kid)
            await gateway.refuses("/api/x", forged, "signature_invalid")
        await gateway.refuses("/api/x", Signer(KEY.kid, "ES256", "stranger").token(claims_of()), "signature_invalid")


async def test_supabase_empty_jwks(field: Field) -> None:
    """etherfunlab/eros-engine#3: projects with a secret alone publish {"keys": []}."""
    field.issuer.publish("/auth/v1/.well-known/jwks.json")
    async with field.serving(BOTH) as gateway:
        await gateway.passes("/api/x", SHARED.token(claims_of()))
        answer = await gateway.refuses("/api/x", KEY.token(claims_of()), "keys_unavailable")
        assert answer.header("Retry-After")
        assert (await gateway.ready())[0] == 200, "the old tokens can be judged"
        assert "provider new has no usable keys" in await gateway.troubles()


@pytest.mark.parametrize(
    "secret",
    [
        "super-secret-jwt-token-with-at-least-32-characters-long",  # of the CLI's local stack
        "your-super-secret-jwt-token-with-at-least-32-characters-long",  # of self-hosting
    ],
)
def test_supabase_local_secret(paper: Field, secret: str) -> None:
    """supabase/cli: the secret of every local stack is published."""
    text = f"""
providers:
  sb: {{type: jwt, secret: {secret}}}
routes:
  /api: {{provider: sb, allow: authenticated}}
"""
    status, said = paper.check(text)
    assert status == 1 and "placeholder" in said, said
    assert paper.check(text.replace(secret, secret.replace("jwt", "JWT-of-our-own")))[0] == 0


async def test_workos_user_management(field: Field) -> None:
    """adcontextprotocol/adcp#1138, workos/authkit-nextjs#266, #476, MCPJam/inspector#2669.

    No `aud`; two issuers with a key set each on one route; role as text, permissions, org_id.
    """
    sso, mcp = Signer("sso_oidc_key_pair_1"), Signer("sso_oidc_key_pair_2", name="field-2")
    field.issuer.publish("/sso/jwks/client_1", sso.jwk(alg="RS256", use="sig", **sso.x5c()))
    field.issuer.publish("/oauth2/jwks", mcp.jwk(alg="RS256", use="sig"))
    text = """
upstreams:
  mastra: {url: "${UPSTREAM}", identity: {headers: {X-Org: organization}}}
providers:
  sso:
    type: oidc
    issuer: https://api.workos.com/user_management/client_1
    audience: none
    jwks_uri: ${ISSUER}/sso/jwks/client_1
  mcp:
    type: oidc
    issuer: https://corp.authkit.app
    audience: https://mcp.corp.example/api/mcp
    jwks_uri: ${ISSUER}/oauth2/jwks
routes:
  /api: {provider: [sso, mcp], allow: {role: admin, permission: agents:run, organization: org_1}}
"""
    claims = {
        "iss": "https://api.workos.com/user_management/client_1",
        "sub": "user_1",
        "sid": "session_1",
        "jti": "1",
        "org_id": "org_1",
        "role": "admin",
        "roles": ["admin"],
        "permissions": ["agents:run", "x"],
        "feature_flags": ["f"],
    }
    of_mcp = {**claims, "iss": "https://corp.authkit.app", "aud": "https://mcp.corp.example/api/mcp"}
    bare = {"typ": None}
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", sso.token(claims, bare))
        assert arrived.all("X-Org") == ["org_1"]
        await gateway.passes("/api/x", mcp.token(of_mcp, bare))
        await gateway.refuses("/api/x", mcp.token(claims, bare), "key_unknown")
        await gateway.refuses("/api/x", sso.token(of_mcp, bare), "key_unknown")
        borrowed = Signer(sso.kid, name="field-2")
        await gateway.refuses("/api/x", borrowed.token(claims, bare), "signature_invalid")
        await gateway.refuses("/api/x", mcp.token({**of_mcp, "aud": None}, bare), "audience_mismatch")
        other_client = {**claims, "iss": "https://api.workos.com/user_management/client_2"}
        await gateway.refuses("/api/x", sso.token(other_client, bare), "issuer_mismatch")
        member = {**claims, "role": "member", "roles": ["member"]}
        await gateway.refuses("/api/x", sso.token(member, bare), "access_denied")
        await gateway.refuses("/api/x", sso.token({**claims, "org_id": "org_2"}, bare), "access_denied")

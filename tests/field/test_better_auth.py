"""better-auth and Auth.js: EdDSA, flags in another spelling, and sessions that are no tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.field.gateways import Field
from tests.field.issuer import Signer
from tests.minting import b64, mint

KEY, STRANGER = Signer("ba", "EdDSA"), Signer("ba", "EdDSA", "stranger")
FILE = """
providers:
  ba:
    type: oidc
    issuer: http://localhost:3000
    audience: http://localhost:3000
    jwks_uri: ${ISSUER}/api/auth/jwks
    algorithms: ALGORITHMS
routes:
  /api: {provider: ba, allow: {email_domain: corp.example}}
  /any: {provider: ba, allow: authenticated}
"""
EDDSA = FILE.replace("ALGORITHMS", "[EdDSA]")


def claims_of(**changes: Any) -> dict[str, Any]:
    """Return the claims of the JWT plugin: the record of the user."""
    return {
        "iss": "http://localhost:3000",
        "aud": "http://localhost:3000",
        "sub": "k3k3",
        "id": "k3k3",
        "name": "Ann",
        "email": "ann@corp.example",
        "emailVerified": True,
        "createdAt": "2026-01-01T00:00:00.000Z",
        **changes,
    }


def publish_key(field: Field, **members: Any) -> None:
    """Publish the key of the JWT plugin, which has no `use`."""
    field.issuer.publish("/api/auth/jwks", KEY.jwk(**{"alg": "EdDSA", **members}))


async def test_better_auth_eddsa(field: Field) -> None:
    """ory/oathkeeper#1191, nearform/fastify-jwt-jwks#42."""
    publish_key(field)
    token = KEY.token(claims_of(), {"typ": None})
    async with field.serving(EDDSA) as gateway:
        await gateway.passes("/api/x", token)
        await gateway.refuses("/api/x", STRANGER.token(claims_of(), {"typ": None}), "signature_invalid")
        await gateway.refuses("/api/x", KEY.token(claims_of(aud="http://localhost:3001")), "audience_mismatch")
    by_default = FILE.replace("    algorithms: ALGORITHMS\n", "")
    async with field.serving(by_default) as gateway:
        await gateway.refuses("/api/x", token, "algorithm_not_allowed")
    advice = await field.advice(by_default, "/api/x", token, "algorithm_not_allowed")
    assert "algorithms: [EdDSA]" in advice or "algorithms: [RS256, EdDSA]" in advice, advice


@pytest.mark.parametrize("algorithms", ["[Ed25519]", "[EdDSA]", "[Ed25519, EdDSA]"])
@pytest.mark.parametrize("of_key", ["Ed25519", "EdDSA", None])
async def test_ed25519_fully_specified(field: Field, algorithms: str, of_key: str | None) -> None:
    """better-auth/better-auth#11348, PrefectHQ/fastmcp#4752: RFC 9864, which names the curve."""
    publish_key(field, alg=of_key)
    async with field.serving(FILE.replace("ALGORITHMS", algorithms)) as gateway:
        for written in ("Ed25519", "EdDSA"):
            await gateway.passes("/any/x", KEY.token(claims_of(), {"alg": written}))
            await gateway.refuses("/any/x", STRANGER.token(claims_of(), {"alg": written}), "signature_invalid")
        # The other curve of the old name, and spellings that are no name at all.
        for written in ("Ed448", "ed25519", "EDDSA", "ED25519"):
            await gateway.refuses("/any/x", KEY.token(claims_of(), {"alg": written}), "algorithm_not_allowed")


async def test_better_auth_email_not_verified(field: Field) -> None:
    """hexclave/hexclave#1905: the JWT's payload is the user's record, in camelCase."""
    publish_key(field)
    mallory = claims_of(email="mallory@corp.example")
    async with field.serving(EDDSA) as gateway:
        await gateway.passes("/api/x", KEY.token({**mallory, "emailVerified": True}))
        flags: tuple[object, ...] = (False, "true", 1, "", [True], {})
        for flag in flags:
            await gateway.refuses("/api/x", KEY.token({**mallory, "emailVerified": flag}), "access_denied")
        # Of two flags both count: one that says no is enough.
        both = {**mallory, "emailVerified": False, "email_verified": True}
        await gateway.refuses("/api/x", KEY.token(both), "access_denied")
        await gateway.refuses(
            "/api/x", KEY.token({**both, "emailVerified": True, "email_verified": False}), "access_denied"
        )
    token = KEY.token({**mallory, "emailVerified": False})
    advice = await field.advice(EDDSA, "/api/x", token, "access_denied")
    assert "emailVerified" in advice, advice
    required = EDDSA.replace("algorithms: [EdDSA]", "algorithms: [EdDSA]\n    email_verified: required")
    async with field.serving(required) as gateway:
        await gateway.passes("/api/x", KEY.token(mallory))
        await gateway.refuses("/api/x", KEY.token({**mallory, "emailVerified": None}), "access_denied")


async def test_better_auth_session_token(field: Field) -> None:
    """mastra-ai/mastra#19110, #13639: the short token of the session is no JWT."""
    publish_key(field)
    opaque = "kY3bq0W9ZrT8sU2xV5nM7pL4jH6gF1dA"
    async with field.serving(EDDSA) as gateway:
        await gateway.refuses("/any/x", opaque, "token_malformed")
        # As a cookie it is signed: two parts.
        await gateway.refuses("/any/x", f"{opaque}.c2lnbmF0dXJlIG9mIHRoZSBjb29raWU", "token_malformed")
    assert "opaque" in await field.advice(EDDSA, "/any/x", opaque, "token_malformed")


async def test_authjs_encrypted_session(field: Field) -> None:
    """Auth.js and NextAuth: the session's cookie is a JWE (dir, A256CBC-HS512)."""
    text = """
providers:
  own: {type: jwt, secret: "${SECRET}", token_from: [bearer, {cookie: authjs.session-token}]}
routes:
  /api: {provider: own, allow: authenticated}
"""
    header = b64(json.dumps({"alg": "dir", "enc": "A256CBC-HS512", "kid": "x"}))
    encrypted = ".".join([header, "", b64(b"i" * 16), b64(b"c" * 64), b64(b"t" * 32)])
    signed = mint({"sub": "u", "exp": 2**31})
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", headers=[("Cookie", f"authjs.session-token={signed}")])
        cookie = [("Cookie", f"authjs.session-token={encrypted}")]
        await gateway.refuses("/api/x", None, "token_unsupported", headers=cookie)
        await gateway.refuses("/api/x", encrypted, "token_unsupported")
    advice = await field.advice(text, "/api/x", encrypted, "token_unsupported")
    assert "encrypted" in advice, advice

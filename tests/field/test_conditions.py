"""What counts is said on the provider: which clients, how long tokens live, which claims they must have."""

from __future__ import annotations

from typing import Any

import pytest

from tests.field.gateways import Field
from tests.field.issuer import LIFETIME_SECONDS, SHARED, Signer

KEY = Signer("k")
PROVIDERS = {
    "oidc": (
        'type: oidc, issuer: "https://i.example", audience: none, jwks_uri: "${ISSUER}/keys"',
        "https://i.example",
    ),
    "auth0": (
        'type: auth0, domain: corp.eu.auth0.com, audience: c, jwks_uri: "${ISSUER}/keys"',
        "https://corp.eu.auth0.com/",
    ),
    "clerk": (
        'type: clerk, issuer: "https://clerk.corp.example", jwks_uri: "${ISSUER}/keys", accept: [oauth]',
        "https://clerk.corp.example",
    ),
    "jwt": ('type: jwt, secret: "${SECRET}"', "anybody"),
}


def file_with(kind: str, settings: str) -> str:
    """Return a file with a provider of a type, with further settings."""
    return f"""
providers:
  p: {{{PROVIDERS[kind][0]}, {settings}}}
routes:
  /api: {{provider: p, allow: authenticated}}
"""


def token(kind: str, **changes: Any) -> str:
    """Return a token of the provider's."""
    claims = {"iss": PROVIDERS[kind][1], "aud": "c", "sub": "user_1", **changes}
    header = {"typ": "at+jwt"} if kind == "clerk" else {}
    return (SHARED if kind == "jwt" else KEY).token(claims, header)


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_clients_of_every_type(field: Field, kind: str) -> None:
    """oauth2-proxy/oauth2-proxy#891's kind: the application is named by client_id, whatever the type."""
    field.issuer.publish("/keys", KEY.jwk(use="sig"))
    async with field.serving(file_with(kind, "client: [c1, c2]")) as gateway:
        for client in ("c1", "c2"):
            await gateway.passes("/api/x", token(kind, client_id=client))
        for other in ("c3", "C1", "c1 c2", "", None):
            await gateway.refuses("/api/x", token(kind, client_id=other), "authorized_party_mismatch")
        wrong: tuple[object, ...] = (["c1"], 1, {"c1": True})
        for value in wrong:
            await gateway.refuses("/api/x", token(kind, client_id=value), "claim_invalid")
        await gateway.refuses("/api/x", token(kind, client="c1"), "authorized_party_mismatch")


async def test_names_of_a_client_that_disagree(field: Field) -> None:
    """A token for one client by azp and another by client_id is of none; `client_claim` says which one counts."""
    field.issuer.publish("/keys", KEY.jwk(use="sig"))
    both = token("oidc", azp="c1", client_id="c2")
    async with field.serving(file_with("oidc", "client: [c1, c2]")) as gateway:
        await gateway.passes("/api/x", token("oidc", azp="c1", client_id="c1"))
        await gateway.refuses("/api/x", both, "authorized_party_mismatch")
    async with field.serving(file_with("oidc", "client: [c1], client_claim: azp")) as gateway:
        await gateway.passes("/api/x", both)
        await gateway.refuses("/api/x", token("oidc", client_id="c1"), "authorized_party_mismatch")
    async with field.serving(file_with("oidc", "client: [c1], client_claim: aud")) as gateway:
        await gateway.passes("/api/x", token("oidc", aud="c1"))
        for audience in (["c1", "c2"], "c2", None):
            await gateway.refuses("/api/x", token("oidc", aud=audience), "authorized_party_mismatch")


@pytest.mark.parametrize("kind", ["oidc", "jwt"])
async def test_tokens_that_live_too_long(field: Field, kind: str) -> None:
    """Tokens made by hand for ten years, and those of issuers that nobody told how long: `max_lifetime`."""
    field.issuer.publish("/keys", KEY.jwk(use="sig"))
    async with field.serving(file_with(kind, "max_lifetime: 1h")) as gateway:
        await gateway.passes("/api/x", token(kind))
        await gateway.refuses("/api/x", token(kind, exp=2**31), "claim_invalid")
        await gateway.refuses("/api/x", token(kind, exp=2**31, iat=None), "claim_invalid")
        # What began long ago ends late: it is the whole life that counts.
        await gateway.refuses("/api/x", token(kind, iat=1), "claim_invalid")
        await gateway.passes("/api/x", token(kind, iat=None))
        await gateway.refuses("/api/x", token(kind, exp=None), "claim_invalid")
    async with field.serving(file_with(kind, f"max_lifetime: {LIFETIME_SECONDS // 2}s")) as gateway:
        await gateway.refuses("/api/x", token(kind), "claim_invalid")


async def test_claims_that_every_token_must_have(field: Field) -> None:
    """Kong/kong's claims_to_verify, envoy's required claims: a token without its tenant is none of ours."""
    field.issuer.publish("/keys", KEY.jwk(use="sig"))
    text = file_with("oidc", 'required_claims: [jti, /app_metadata/tenant, "https://corp.example/plan"]')
    whole: dict[str, Any] = {"jti": "j", "app_metadata": {"tenant": "t"}, "https://corp.example/plan": False}
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", token("oidc", **whole))
        less: tuple[dict[str, Any], ...] = (
            {"jti": None},
            {"jti": ""},
            {"app_metadata": {}},
            {"app_metadata": {"tenant": None}},
            {"app_metadata": {"tenant": []}},
            {"app_metadata": None, "/app_metadata/tenant": "t"},
            {"https://corp.example/plan": None},
        )
        for changes in less:
            await gateway.refuses("/api/x", token("oidc", **whole | changes), "claim_invalid")

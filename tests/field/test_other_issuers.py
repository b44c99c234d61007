"""Issuers that have no type of their own, each by what its access tokens look like: what passes, and its neighbours."""

from __future__ import annotations

import json

import pytest

from tests.field.gateways import Field
from tests.field.issuer import Signer
from tests.field.other_issuers import PROJECT_ROLES, SITUATIONS
from tests.field.situations import BARE, Situation, try_situation
from tests.minting import b64


@pytest.mark.parametrize("situation", [pytest.param(one, id=one.name) for one in SITUATIONS])
async def test_issuer(field: Field, situation: Situation) -> None:
    """The shapes are those of the issuers' own pages on access tokens; each neighbour differs in one thing."""
    await try_situation(field, situation)


async def test_pomerium_assertion(field: Field) -> None:
    """Pomerium in front of us: X-Pomerium-Jwt-Assertion, ES256, issuer and audience are the host's bare name."""
    key, header = Signer("pom", "ES256"), "X-Pomerium-Jwt-Assertion"
    field.issuer.publish("/.well-known/pomerium/jwks.json", key.jwk(use="sig", alg="ES256"))
    text = f"""
providers:
  pomerium:
    type: oidc
    issuer: agents.corp.example
    audience: agents.corp.example
    algorithms: [ES256]
    jwks_uri: ${{ISSUER}}/.well-known/pomerium/jwks.json
    token_from: [{{header: {header}}}]
routes:
  /api: {{provider: pomerium, allow: {{group: ops}}}}
"""
    claims = {"iss": "agents.corp.example", "aud": "agents.corp.example", "sub": "u", "groups": ["ops"], "sid": "s"}
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", headers=[(header, key.token(claims, BARE))])
        for changes, code in (
            ({"groups": ["dev"]}, "access_denied"),
            ({"aud": "other.corp.example"}, "audience_mismatch"),
            ({"iss": "other.corp.example"}, "issuer_mismatch"),
        ):
            token = key.token({**claims, **changes}, BARE)
            await gateway.refuses("/api/x", None, code, headers=[(header, token)])
        unsigned = b64(json.dumps(claims))
        await gateway.refuses("/api/x", None, "token_malformed", headers=[(header, unsigned)])


async def test_roles_as_names_of_an_object(field: Field) -> None:
    """Zitadel's roles named as `roles_claim`: an object holds no names of roles, and explain says what it found."""
    key = Signer("z")
    field.issuer.publish("/keys", key.jwk(use="sig"))
    text = f"""
providers:
  own:
    type: oidc
    issuer: https://corp-abc.zitadel.cloud
    audience: "2222"
    jwks_uri: ${{ISSUER}}/keys
    roles_claim: {PROJECT_ROLES}
routes:
  /api: {{provider: own, allow: {{role: admin}}}}
"""
    claims = {"iss": "https://corp-abc.zitadel.cloud", "aud": "2222", "sub": "1"}
    of_object = key.token({**claims, PROJECT_ROLES: {"admin": {"77": "corp.example"}}})
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", key.token({**claims, PROJECT_ROLES: ["admin"]}))
        await gateway.refuses("/api/x", of_object, "access_denied")
    explained = await field.why(text, "/api/x", of_object)
    assert "object" in json.dumps(explained), explained

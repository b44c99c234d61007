"""A situation as data: an issuer's tokens, what reads them, and what must be refused."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as member
from typing import Any

from tests.field.gateways import Field
from tests.field.issuer import Signer

BARE = {"typ": None}


@dataclass(frozen=True)
class Situation:
    """An issuer: its claims, the settings and the rule that read them, and what must be refused.

    `refused` are changes to the claims with the code; `facts` what the upstream is told of the honest one.
    """

    name: str
    settings: str
    rule: str
    claims: dict[str, Any]
    refused: tuple[tuple[dict[str, Any], str], ...]
    facts: dict[str, str] = member(default_factory=dict)
    algorithm: str = "RS256"
    header: dict[str, Any] = member(default_factory=dict)
    type: str = "oidc"


async def try_situation(field: Field, situation: Situation) -> None:
    """Hold that the honest token passes, and that each neighbour and a stranger's is refused."""
    key = Signer("k", situation.algorithm)
    field.issuer.publish("/keys", Signer("old", name="field-2").jwk(use="sig"), key.jwk(use="sig"))
    text = f"""
upstreams:
  mastra:
    url: ${{UPSTREAM}}
    identity:
      headers: {{X-Organization: organization, X-Client: client, X-Email: email, X-Subject: subject}}
providers:
  own: {{type: {situation.type}, jwks_uri: "${{ISSUER}}/keys", {situation.settings}}}
routes:
  /api: {{provider: own, allow: {situation.rule}}}
"""
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", key.token(situation.claims, situation.header))
        for name, value in ({"X-Subject": situation.claims["sub"]} | situation.facts).items():
            assert arrived.all(name) == [value]
        for changes, code in situation.refused:
            token = key.token({**situation.claims, **changes}, situation.header)
            await gateway.refuses("/api/x", token, code)
        stranger = Signer("k", situation.algorithm, "stranger")
        await gateway.refuses("/api/x", stranger.token(situation.claims, situation.header), "signature_invalid")

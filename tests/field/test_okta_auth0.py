"""Okta's servers, Auth0's tenants and domains."""

from __future__ import annotations

import pytest

from tests.field.gateways import Field
from tests.field.issuer import Signer

KEY, STRANGER = Signer("a0"), Signer("a0", name="stranger")


async def test_okta_custom_server(field: Field) -> None:
    """okta/okta-jwt-verifier-java#13 and Okta's access tokens: cid, scp as a list, the login as subject."""
    keys = field.issuer.publish("/oauth2/default/v1/keys", KEY.jwk(alg="RS256", use="sig"))
    issuer = field.issuer.announce("/oauth2/default", keys)
    text = f"""
upstreams:
  mastra: {{url: "${{UPSTREAM}}", identity: {{headers: {{X-Client: client}}}}}}
providers:
  okta: {{type: oidc, issuer: "{issuer}", audience: "api://default", email_claim: sub}}
routes:
  /api: {{provider: okta, allow: {{scope: agents.run, email_domain: corp.example}}}}
  /job: {{provider: okta, allow: {{client: 0oaexample1}}}}
"""
    claims = {
        "ver": 1,
        "jti": "AT.1",
        "iss": issuer,
        "aud": "api://default",
        "cid": "0oaexample1",
        "uid": "00u1",
        "scp": ["openid", "agents.run"],
        "sub": "ann@corp.example",
        "auth_time": 1,
    }
    bare = {"typ": None}
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", KEY.token(claims, bare))
        assert arrived.all("X-Client") == ["0oaexample1"]
        await gateway.passes("/job/x", KEY.token(claims, bare))
        await gateway.refuses("/job/x", KEY.token({**claims, "cid": "0oaexample2"}, bare), "access_denied")
        await gateway.refuses("/job/x", KEY.token({**claims, "cid": None}, bare), "access_denied")
        await gateway.refuses("/api/x", KEY.token({**claims, "sub": "ann@corp.example.net"}, bare), "access_denied")
        await gateway.refuses("/api/x", KEY.token({**claims, "scp": ["openid agents.run"]}, bare), "insufficient_scope")
        # Two names of the client that contradict each other name nobody.
        both = KEY.token({**claims, "client_id": "0oaexample2"}, bare)
        answer = await gateway.ask("/job/x", both)
        assert answer.status in (401, 403) and field.upstream.take() == []


async def test_auth0_custom_domain_and_organization(field: Field) -> None:
    """auth0/nextjs-auth0#320, hasura/graphql-engine#8993, auth0/omniauth-auth0#89."""
    keys = (KEY.jwk(alg="RS256", use="sig", **KEY.x5c()), Signer("a0next", name="field-2").jwk(alg="RS256", use="sig"))
    field.issuer.publish("/keys", *keys)
    text = """
providers:
  a0:
    type: auth0
    domain: login.corp.example
    issuer: ["https://login.corp.example/", "https://corp.eu.auth0.com/"]
    audience: https://api.corp.example
    jwks_uri: ${ISSUER}/keys
routes:
  /api: {provider: a0, allow: {organization: org_9, role: admin}}
"""
    claims = {
        "iss": "https://login.corp.example/",
        "aud": ["https://api.corp.example", "https://corp.eu.auth0.com/userinfo"],
        "sub": "auth0|1",
        "azp": "cl",
        "scope": "openid",
        "org_id": "org_9",
        "https://corp.example/roles": ["admin"],
    }
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(claims))
        await gateway.passes("/api/x", KEY.token({**claims, "iss": "https://corp.eu.auth0.com/"}))
        for issuer in ("https://login.corp.example", "https://corp.us.auth0.com/", "https://login.corp.example//"):
            await gateway.refuses("/api/x", KEY.token({**claims, "iss": issuer}), "issuer_mismatch")
        await gateway.refuses("/api/x", KEY.token({**claims, "org_id": "org_99"}), "access_denied")
        only_userinfo = {**claims, "aud": ["https://corp.eu.auth0.com/userinfo"]}
        await gateway.refuses("/api/x", KEY.token(only_userinfo), "audience_mismatch")
        await gateway.refuses("/api/x", STRANGER.token(claims), "signature_invalid")


@pytest.mark.parametrize("written", ["https://corp.eu.auth0.com/", "corp.eu.auth0.com/", "https://corp.eu.auth0.com"])
def test_auth0_domain_as_address(paper: Field, written: str) -> None:
    """auth0/agent-skills#158, DimiMikadze/fest#1: https:// or a closing slash in the domain."""
    status, said = paper.check(f"""
providers:
  a: {{type: auth0, domain: "{written}", audience: x}}
routes:
  /api: {{provider: a, allow: authenticated}}
""")
    assert status == 1
    assert "providers.a.domain" in said and "'corp.eu.auth0.com'" in said, said


async def test_auth0_groups_by_address(field: Field) -> None:
    """pomerium/pomerium#5324: Auth0 lets nobody have a claim called groups."""
    field.issuer.publish("/keys", KEY.jwk(alg="RS256", use="sig"))
    text = """
upstreams:
  mastra: {url: "${UPSTREAM}", identity: {headers: {X-Groups: groups}}}
providers:
  a0:
    type: auth0
    domain: corp.eu.auth0.com
    audience: api
    jwks_uri: ${ISSUER}/keys
    groups_claim: https://corp.example/groups
routes:
  /api: {provider: a0, allow: {group: ops}}
"""
    claims = {"iss": "https://corp.eu.auth0.com/", "aud": "api", "sub": "auth0|1"}
    own = {**claims, "https://corp.example/groups": ["ops", "dev"]}
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", KEY.token(own), headers=[("X-Groups", "root")])
        assert arrived.all("X-Groups") == ["ops,dev"]
        for changes in (
            {"https://corp.example/groups": ["dev"]},
            {"https://corp.example/groups": "ops,dev"},
            {"https://evil.example/groups": ["ops"]},
            {"groups": ["ops"]},
            {"https:": {"": {"corp.example": {"groups": ["ops"]}}}},
        ):
            await gateway.refuses("/api/x", KEY.token({**claims, **changes}), "access_denied")


async def test_client_named_in_explain_when_audience_slash(paper: Field) -> None:
    """auth0/node-jwks-rsa#104's kind, for audiences: https://api.example and https://api.example/."""
    paper.issuer.publish("/keys", KEY.jwk(use="sig", alg="RS256"))
    text = """
providers:
  a: {type: oidc, issuer: "https://i.example/", audience: "AUDIENCE", jwks_uri: "${ISSUER}/keys"}
routes:
  /api: {provider: a, allow: authenticated}
"""
    for configured, found in (
        ("https://api.example", "https://api.example/"),
        ("https://api.example/", "https://api.example"),
    ):
        token = KEY.token({"iss": "https://i.example/", "aud": found, "sub": "u"})
        advice = await paper.advice(text.replace("AUDIENCE", configured), "/api/x", token, "audience_mismatch")
        assert "slash" in advice and "audience: none" not in advice, advice

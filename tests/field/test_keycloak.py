"""Keycloak, and others whose roles lie deep: UMA's permissions, Zitadel's roles."""

from __future__ import annotations

from typing import Any

from tests.field.gateways import Field
from tests.field.issuer import SHARED, Signer

KEY, ENCRYPTION = Signer("kc"), Signer("enc-1", name="field-2")
REALM = "http://localhost:8080/realms/corp"
CERTS = "/realms/corp/protocol/openid-connect/certs"


def claims_of(**changes: Any) -> dict[str, Any]:
    """Return the claims of an access token of a stock realm."""
    return {
        "iss": REALM,
        "aud": ["mastra", "account"],
        "sub": "f1f1",
        "typ": "Bearer",
        "azp": "web",
        "sid": "s",
        "acr": "1",
        "allowed-origins": ["http://localhost:3000"],
        "realm_access": {"roles": ["operator", "offline_access", "default-roles-corp"]},
        "resource_access": {"mastra": {"roles": ["agent-runner"]}, "account": {"roles": ["view-profile"]}},
        "scope": "openid email profile",
        "email_verified": True,
        "email": "ann@corp.example",
        "preferred_username": "ann",
        **changes,
    }


def publish_keys(field: Field) -> None:
    """Publish a realm's keys: one to sign, one to encrypt, each with its certificate."""
    signing = KEY.jwk(alg="RS256", use="sig", **KEY.x5c())
    field.issuer.publish(CERTS, signing, ENCRYPTION.jwk(alg="RSA-OAEP", use="enc", **ENCRYPTION.x5c()))


async def test_keycloak_stock_realm(field: Field) -> None:
    """greenpau/caddy-security#170, jpadilla/pyjwt#722, krakend/krakend-ce#495, #997.

    An encryption key beside the signing key, the claim `typ`, nested roles; a public issuer, keys in the network.
    """
    publish_keys(field)
    text = f"""
providers:
  kc: {{type: oidc, issuer: "{REALM}", audience: mastra, jwks_uri: "${{ISSUER}}{CERTS}"}}
routes:
  /api: {{provider: kc, allow: {{claim: {{/realm_access/roles: operator}}}}}}
  /run: {{provider: kc, allow: {{claim: {{/resource_access/mastra/roles: agent-runner}}}}}}
  /cel: {{provider: kc, allow: {{when: "'operator' in claims.realm_access.roles"}}}}
"""
    stranger = {"realm_access": {"roles": ["operators", "OPERATOR"]}, "resource_access": {"mastra": {"roles": []}}}
    async with field.serving(text) as gateway:
        for path in ("/api/x", "/run/x", "/cel/x"):
            await gateway.passes(path, KEY.token(claims_of()))
            await gateway.refuses(path, KEY.token(claims_of(**stranger)), "access_denied")
            await gateway.refuses(path, KEY.token(claims_of(realm_access=None, resource_access=None)), "access_denied")
            await gateway.refuses(path, KEY.token(claims_of(realm_access=[], resource_access="x")), "access_denied")
        await gateway.refuses("/api/x", ENCRYPTION.token(claims_of()), "key_unknown")
        await gateway.refuses("/api/x", Signer("kc", name="field-2").token(claims_of()), "signature_invalid")
        await gateway.refuses("/api/x", KEY.token(claims_of(aud="account")), "audience_mismatch")
        other = REALM.replace("corp", "other")
        await gateway.refuses("/api/x", KEY.token(claims_of(iss=other)), "issuer_mismatch")


async def test_keycloak_roles_claim(field: Field) -> None:
    """krakend/krakend-ce#146, kjdev/nginx-auth-jwt#12, apache/solr#890: nested roles are named once."""
    publish_keys(field)
    text = f"""
upstreams:
  mastra: {{url: "${{UPSTREAM}}", identity: {{headers: {{X-Roles: roles}}}}}}
providers:
  kc:
    type: oidc
    issuer: {REALM}
    audience: mastra
    jwks_uri: ${{ISSUER}}{CERTS}
    roles_claim: /realm_access/roles
routes:
  /api: {{provider: kc, allow: {{role: operator}}}}
  /any: {{provider: kc, allow: authenticated}}
  /cel: {{provider: kc, allow: {{when: "'operator' in user.roles"}}}}
"""
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(claims_of()))
        await gateway.passes("/cel/x", KEY.token(claims_of()))
        arrived = await gateway.passes("/any/x", KEY.token(claims_of()))
        assert arrived.all("X-Roles") == ["operator,offline_access,default-roles-corp"]
        # The name that was given is the only one: neither the usual ones, nor one that is spelt like a pointer.
        for changes in (
            {"realm_access": None, "roles": ["operator"]},
            {"realm_access": None, "/realm_access/roles": ["operator"]},
            {"realm_access": {"roles": {"operator": True}}},
            {"realm_access": {"roles": [["operator"]]}},
        ):
            await gateway.refuses("/api/x", KEY.token(claims_of(**changes)), "access_denied")
            await gateway.refuses("/cel/x", KEY.token(claims_of(**changes)), "access_denied")


async def test_keycloak_audience_account(paper: Field) -> None:
    """apache/apisix#11018, panaversity/ksor#92: without an audience mapper `aud` is `account`."""
    publish_keys(paper)
    text = f"""
providers:
  kc: {{type: oidc, issuer: "{REALM}", audience: mastra, jwks_uri: "${{ISSUER}}{CERTS}"}}
routes:
  /api: {{provider: kc, allow: authenticated}}
"""
    advice = await paper.advice(text, "/api/x", KEY.token(claims_of(aud="account")), "audience_mismatch")
    assert "audience mapper" in advice.lower() and "audience: none" not in advice, advice


async def test_lists_of_objects(field: Field) -> None:
    """istio/istio#21340: Keycloak's UMA permissions; Zitadel's roles are the names of an object."""
    text = """
providers:
  own: {type: jwt, secret: "${SECRET}"}
routes:
  /uma:
    provider: own
    allow:
      when: claims.authorization.permissions.exists(p, p.rsname == "agents" && "run" in p.scopes)
  /zitadel:
    provider: own
    allow: {when: '"admin" in claims["urn:zitadel:iam:org:project:roles"]'}
"""

    def uma(*permissions: object) -> str:
        return SHARED.token({"sub": "u", "authorization": {"permissions": list(permissions)}})

    def zitadel(roles: object) -> str:
        return SHARED.token({"sub": "u", "urn:zitadel:iam:org:project:roles": roles})

    async with field.serving(text) as gateway:
        await gateway.passes("/uma/x", uma({"rsname": "x"}, {"rsname": "agents", "scopes": ["view", "run"]}))
        await gateway.refuses("/uma/x", uma({"rsname": "agents", "scopes": ["view"]}), "access_denied")
        # The right scope of another thing, and the two halves of the condition in two objects.
        apart = ({"rsname": "x", "scopes": ["run"]}, {"rsname": "agents", "scopes": []})
        await gateway.refuses("/uma/x", uma(*apart), "access_denied")
        await gateway.refuses("/uma/x", uma({"rsname": "agents", "scopes": "run"}), "access_denied")
        await gateway.refuses("/uma/x", SHARED.token({"sub": "u"}), "access_denied")
        await gateway.passes("/zitadel/x", zitadel({"admin": {"1": "corp.example"}}))
        await gateway.refuses("/zitadel/x", zitadel({"administrator": {"1": "corp.example"}}), "access_denied")
        await gateway.refuses("/zitadel/x", zitadel({"user": {"admin": "corp.example"}}), "access_denied")
        await gateway.refuses("/zitadel/x", zitadel("admin"), "access_denied")
        await gateway.refuses("/zitadel/x", SHARED.token({"sub": "u"}), "access_denied")

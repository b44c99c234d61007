"""Known causes of tokens that say too little, too much, or the same by another name, and what is advised then.

What is advised is not what the file says already, and closes no door by opening another.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from gateway.explain.explain import explain
from gateway.policy.providers import SYMMETRIC
from tests.configuring import read
from tests.explain.test_explain import HeldKeys, head
from tests.minting import NOW, claims_of, mint, rsa_key

ISSUER = "https://issuer.example.com"
REALM = "https://sso.example.com/realms/corp"
SECRET = base64.b64encode(bytes(range(40, 88))).decode()
SHORT = base64.b64encode(bytes(range(40, 64))).decode()
SUPABASE = b"super-secret-jwt-token-with-at-least-32-characters-long"


def advice(provider: str, allow: str, token: str) -> str:
    config = read(
        "upstream: http://localhost:4111\n"
        f"providers:\n  them: {{{provider}}}\nroutes:\n  /api: {{provider: them, allow: {allow}}}\n"
    )
    keys = HeldKeys()
    return "\n".join(explain(config.policy, keys, head(f"Bearer {token}"), NOW, keys.status_of).advice)


def oidc(allow: str, more: str = "audience: app", header: dict[str, Any] | None = None, **claims: Any) -> str:
    issuer = claims.setdefault("iss", ISSUER)
    token = mint(claims_of(**({"aud": "app"} | claims)), rsa_key(), "RS256", kid="k1", header=header)
    return advice(f'type: oidc, issuer: "{issuer}", jwks_uri: "{ISSUER}/keys", {more}', allow, token)


def clerk(accept: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
    token = mint(claims_of(**({"iss": ISSUER} | claims)), rsa_key(), "RS256", kid="k1", header=header)
    return advice(f'type: clerk, issuer: "{ISSUER}", jwks_uri: "{ISSUER}/keys"{accept}', "authenticated", token)


def shared(secret: str, key: bytes, more: str = "") -> str:
    return advice(f'type: jwt, secret: "{secret}"{more}', "authenticated", mint(claims_of(), key))


def test_token_without_audience_that_names_its_client() -> None:
    said = oidc("authenticated", aud=..., client_id="4h57", token_use="access")
    assert "as all access tokens of Cognito, and its client in client_id (4h57)" in said
    assert "`audience: none` and `client: 4h57` on the provider, both of them" in said
    assert "Cognito" not in oidc("authenticated", aud=..., azp="web")
    beside = oidc("authenticated", "audience: app, client: [web]", aud=..., azp="web")
    assert "which `client` on the provider asks for: `audience: none` beside it takes such tokens" in beside


@pytest.mark.parametrize("claims", [{}, {"azp": "a", "cid": "b"}, {"azp": ["a"]}])
def test_no_advice_opens_a_provider_to_every_client(claims: dict[str, Any]) -> None:
    said = oidc("authenticated", aud=..., **claims)
    assert "audience: none" not in said


def test_audience_of_keycloak_is_the_work_of_a_mapper() -> None:
    stock = oidc("authenticated", aud="account")
    assert "account, which Keycloak writes by itself: add an audience mapper for app" in stock
    assert "add an audience mapper for app" in oidc("authenticated", iss=REALM, aud="other")
    assert "in Keycloak add an audience mapper for app" in oidc("authenticated", iss=REALM, aud=..., azp="web")
    assert "add it to `audience`" in oidc("authenticated", aud="other")


@pytest.mark.parametrize(
    ("more", "claims", "said"),
    [
        ("", {"realm_access": {"roles": ["a"]}}, "write `roles_claim: /realm_access/roles`"),
        ("", {"resource_access": {"my/app": {"roles": ["a"]}, "account": {"roles": ["b"]}}},
         "write `roles_claim: /resource_access/my~1app/roles`"),
        ("", {"resource_access": {"account": {"roles": ["b"]}}}, "write `roles_claim: /resource_access/account/roles`"),
        ("", {}, "by the client scope `roles`"),
        ("", {}, "`Add to lightweight access token`"),
        ("", {"resource_access": ["x"], "realm_access": 7}, "by the client scope `roles`"),
        (", roles_claim: /realm_access/roles", {}, "The token has no /realm_access/roles. In Keycloak a lightweight"),
    ],
)  # fmt: skip
def test_roles_of_keycloak(more: str, claims: dict[str, Any], said: str) -> None:
    found = oidc("{role: admin}", f"audience: app{more}", iss=REALM, **claims)
    assert said in found
    assert not more or "write `roles_claim" not in found, "what the file says already"


def test_subject_and_email_of_keycloak() -> None:
    assert "the client scope `basic` (since version 25)" in oidc("authenticated", iss=REALM, sub=...)
    assert "by the client scope `email`" in oidc("{email_domain: a.test}", iss=REALM, email=...)
    assert "Keycloak" not in oidc("authenticated", sub=...)
    assert "Keycloak" not in oidc("{email_domain: a.test}", email=...)


@pytest.mark.parametrize(
    ("key", "fact", "allow"),
    [
        ("roles_claim", "roles", "{role: x}"),
        ("groups_claim", "groups", "{group: x}"),
        ("permissions_claim", "permissions", "{permission: x}"),
        ("email_claim", "email", "{email_domain: a.test}"),
    ],
)
def test_key_that_is_there_already_is_not_advised(key: str, fact: str, allow: str) -> None:
    plain = oidc(allow, email=...)
    assert f"The token has no {fact}" in plain and f"`{key}`" in plain
    named = oidc(allow, f"audience: app, {key}: /deep/it", email=...)
    assert "The token has no /deep/it" in named and f"`{key}`" not in named


def test_client_that_does_not_count() -> None:
    assert "made for the client evil: if that is an application of yours, add it to `client`" in oidc(
        "authenticated", "audience: app, client: web", azp="evil"
    )
    assert "names no client (azp, client_id, cid or appid): have the issuer write it, or name the claim" in oidc(
        "authenticated", "audience: app, client: web"
    )
    named = oidc("authenticated", "audience: app, client: web, client_claim: app", azp="web")
    assert "names no client (app): have the issuer write it." in named
    two = oidc("authenticated", "audience: app, client: web", azp="web", cid="b")
    assert "(azp web and cid b): say by `client_claim` which claim counts" in two


def test_condition_that_is_not_met() -> None:
    assert "have the issuer make shorter ones" in oidc("authenticated", "audience: app, max_lifetime: 1m")
    said = oidc("authenticated", "audience: app, required_claims: [/a/b]")
    assert "Every token of them must have /a/b (`required_claims`)" in said


@pytest.mark.parametrize(
    ("accept", "header", "claims", "said"),
    [
        ("", {"typ": "at+jwt"}, {}, "`accept: [session, oauth]`"),
        ("", {}, {"sub": "mch_1"}, "`accept: [session, machine]`"),
        ("", {"cat": "cl_B7d4PD222AAA"}, {}, "`accept: [session, template]`"),
        (", accept: [oauth, template]", {}, {}, "`accept: [oauth, template, session]`"),
        (", accept: [session, oauth]", {"typ": "at+jwt"}, {"cnf": {"jkt": "x"}}, "no callers' tokens"),
        ("", {"typ": "at+jwt", "cat": "cl_B7d4PD111AAA"}, {}, "no callers' tokens"),
        ("", {"typ": "logout+jwt"}, {}, "no callers' tokens"),
    ],
)
def test_kind_of_clerk_that_does_not_count(accept: str, header: dict[str, Any], claims: Any, said: str) -> None:
    assert said in clerk(accept, header, **claims)


def test_secret_is_tried_in_its_other_forms() -> None:
    decoded = base64.b64decode(SECRET)
    encoded = ", secret_encoding: base64"
    assert "write `secret_encoding: base64`" in shared(SECRET, decoded)
    assert "leave `secret_encoding: base64` out" in shared(SECRET, SECRET.encode(), encoded)
    assert "another secret" in shared(SECRET, b"x" * 32) and "another secret" in shared(SECRET, b"x" * 32, encoded)
    weak = shared(SHORT, base64.b64decode(SHORT))
    assert "these are too weak: found 24 bytes" in weak and "secret_encoding" not in weak
    assert shared(SECRET, decoded, encoded) == shared(SECRET, SECRET.encode()) == "", "that one counts"


def test_token_that_anybody_may_sign_is_known_as_one() -> None:
    said = shared(SECRET, SUPABASE)
    assert "a local Supabase (`supabase start`)" in said and "never counts" in said
    assert not re.search(r"super-secret", said)
    assert "jwt.io, as it comes" in shared(SECRET, b"your-256-bit-secret")


@pytest.mark.parametrize(
    ("flags", "more", "said"),
    [
        (
            {"email_verified": "true"},
            "",
            "email_verified is the text true, and only the boolean true counts",
        ),
        ({"emailVerified": 1}, "", "The token's emailVerified is the number 1"),
        ({"emailVerified": ["x"]}, "", "The token's emailVerified is the list"),
        ({"email_verified": True, "emailVerified": False}, "", "is not verified (emailVerified)"),
        ({"emailVerified": None}, "", "is not verified (emailVerified)"),
        ({"x": {"ok": "yes"}}, ", email_verified_claim: /x/ok", "The token's /x/ok is the text yes"),
        ({}, ", email_verified: required", "(email_verified or emailVerified), and `email_verified: required`"),
        ({}, ", email_verified: required, email_verified_claim: ok", "(ok), and `email_verified: required`"),
    ],
)
def test_email_that_nobody_verified_is_told_by_the_claim(flags: dict[str, Any], more: str, said: str) -> None:
    claims: dict[str, Any] = {"email_verified": ..., "email": "ann@a.test"} | flags
    found = oidc("{email_domain: a.test}", f"audience: app{more}", **claims)
    assert said in found
    assert ("`email_verified_claim`" in found) is ("email_verified_claim" not in more and "not verified (" not in said)


def test_other_name_of_an_algorithm_is_not_advised_twice() -> None:
    assert "Ed25519" not in SYMMETRIC
    said = oidc("authenticated", header={"alg": "Ed25519"})
    assert "algorithms: [EdDSA]" in said
    assert "algorithms" not in oidc("authenticated", "audience: app, algorithms: [Ed25519]", header={"alg": "EdDSA"})

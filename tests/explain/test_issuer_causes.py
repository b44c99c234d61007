"""Known causes by issuer: what is sent in place of the right token, each with what to do about it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.explain.explain import explain
from tests.configuring import read
from tests.explain.test_explain import HeldKeys, head
from tests.minting import NOW, SECRET, b64, mint, rsa_key

TENANT = "11111111-2222-4333-8444-555555555555"
OTHER = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
API = "5f6e7d8c-1b2a-4c3d-9e8f-0a1b2c3d4e5f"
V1, V2 = f"https://sts.windows.net/{TENANT}/", f"https://login.microsoftonline.com/{TENANT}/v2.0"
PRESETS = {
    "google": "type: google, audience: app, hosted_domain: yourcompany.com",
    "entra": f"type: entra, tenant: {TENANT}, audience: {API}",
    "entra v1": f'type: oidc, issuer: "{V1}", audience: {API}, jwks_uri: "https://keys"',
    "entra v2": f'type: oidc, issuer: "{V2}", audience: {API}, jwks_uri: "https://keys"',
    "entra of all": "type: oidc, issuer: 'https://login.microsoftonline.com/{tid}/v2.0', audience: x, "
    'jwks_uri: "https://keys"',
    "okta": "type: okta, domain: yourcompany.okta.com",
    "keycloak": "type: keycloak, url: https://sso.yourcompany.com, realm: corp, audience: mastra",
    "cognito": "type: cognito, user_pool: eu-west-1_Ab12Cd34E, client: app",
    "cognito id": "type: cognito, user_pool: eu-west-1_Ab12Cd34E, client: app, token_use: id",
    "supabase": "type: supabase, project: abcd",
    "firebase": "type: firebase, project: p-1",
    "workos": "type: workos, client_id: client_1",
    "better_auth": "type: better_auth, url: https://app.yourcompany.com",
    "adfs": 'type: oidc, issuer: "http://adfs.corp.example/adfs/services/trust", audience: x, jwks_uri: "https://keys"',
    "adfs by discovery": "type: oidc, issuer: https://adfs.corp.example/adfs, audience: x",
}
POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E"
REALM = "https://sso.yourcompany.com/realms/corp"


def advice(provider: str, token: str, allow: str = "authenticated") -> list[str]:
    config = read(
        "upstream: http://localhost:4111\n"
        f"providers:\n  them: {{{PRESETS[provider]}}}\nroutes:\n  /api: {{provider: them, allow: {allow}}}\n"
    )
    keys = HeldKeys()
    return list(explain(config.policy, keys, head(f"Bearer {token}"), NOW, keys.status_of).advice)


def rs256(_header: dict[str, Any] | None = None, **claims: Any) -> str:
    whole = {"sub": "somebody", "iat": NOW - 5, "exp": NOW + 300, **claims}
    return mint(whole, rsa_key(), "RS256", kid="k1", header=_header)


BALANCER = base64.urlsafe_b64encode(
    json.dumps(
        {"typ": "JWT", "alg": "ES256", "signer": "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app"}
    ).encode()
).decode()
JWE = ".".join(
    [b64(json.dumps({"alg": "dir", "enc": "A256CBC-HS512"})), "", b64("i" * 16), b64("c" * 64), b64("t" * 32)]
)

CAUSES = [
    ("google", "ya29.a0AfH6SMBx-example_of-google", "send the ID token"),
    ("google", rs256(iss="accounts.google.com", aud="app", hd="evil.example"), "is of evil.example: only those of"),
    ("google", rs256(iss="accounts.google.com", aud="app"), "belongs to no Google Workspace (it has no hd)"),
    ("supabase", "sb_publishable_abcdefgh", "publishable key of a Supabase project, which is nobody"),
    ("supabase", "sb_secret_abcdefgh", "belongs to no client: replace it"),
    ("supabase", mint({"iss": "supabase", "ref": "abcd", "role": "anon", "exp": NOW + 9}), "the project's anon key"),
    ("supabase", mint({"iss": "supabase", "ref": "abcd", "role": "service_role", "exp": NOW + 9}), "service_role key"),
    ("supabase", rs256(iss="https://abcd.supabase.co/auth/v1", aud="authenticated", role="anon"), "anon key"),
    ("supabase", mint({"iss": "https://abcd.supabase.co/auth/v1", "sub": "x", "role": "authenticated"}, SECRET),
     "still signs with its legacy secret"),
    ("firebase", rs256(iss="x@p-1.iam.gserviceaccount.com",
                       aud="https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"),
     "custom token of Firebase"),
    ("firebase", rs256(iss="https://session.firebase.google.com/p-1", aud="p-1"), "session cookie of Firebase"),
    ("entra v2", rs256(iss=V1, tid=TENANT, aud=API), "is of version 1 of Entra's tokens"),
    ("entra v1", rs256(iss=V2, tid=TENANT, aud=API), "is of version 2 of Entra's tokens"),
    ("entra of all", rs256(iss=V1, tid=TENANT, aud="x"), "set `requestedAccessTokenVersion` to 2"),
    ("entra", rs256(iss=V1, tid=TENANT, aud=f"api://{API}"), f"write both, `audience: [{API}, api://{API}]`"),
    ("entra", rs256(iss=V2, tid=TENANT, aud="00000003-0000-0000-c000-000000000000"), "is for Microsoft Graph"),
    ("okta", rs256({"typ": "application/okta-internal-at+jwt"}, iss="https://yourcompany.okta.com"),
     "is for Okta itself"),
    ("keycloak", rs256(iss=REALM, aud="mastra", typ="ID"), "Keycloak's ID token"),
    ("keycloak", mint({"iss": REALM, "aud": REALM, "typ": "Refresh", "sub": "x"}, SECRET, "HS512"), "refresh token"),
    ("cognito", rs256(iss=POOL, aud="app", token_use="id"), "send an access token, or write `token_use: id`"),
    ("cognito id", rs256(iss=POOL, client_id="app", token_use="access"), "or write `token_use: access`"),
    ("workos", "Fe26.2**0cdb607945dd1dffb7da0b0bf5f1a7daa6218cbae14cac51dcbd91fb077aeb5b", "sealed session cookie"),
    ("workos", rs256(iss="https://corp.authkit.app", aud="x"), "AuthKit's OAuth server"),
    ("better_auth", "5mRhbyPXMW2AlcU1huA2BSAGW2D5EFle", "session token of better-auth"),
    ("better_auth", "5mRhbyPXMW2AlcU1huA2BSAGW2D5EFle.pt0ytMad%2FwIpll195g31%2FVfaITumYIP9oVhBU1oyAbY%3D",
     "set-auth-jwt"),
    ("workos", JWE, "session cookies of Auth.js"),
    ("cognito", f"{BALANCER}.{BALANCER}.{BALANCER}", "X-Amzn-Oidc-Data of a load balancer"),
    ("google", "gho_16C7e42F292c6912E7710c838347Ae178B4a", "core.getIDToken(AUDIENCE)"),
    ("adfs", rs256(iss="https://adfs.corp.example/adfs", aud="x"), "ID token of AD FS"),
    ("adfs by discovery", rs256(iss="http://adfs.corp.example/adfs/services/trust", aud="x"), "write that as `issuer`"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "token", "said"), CAUSES, ids=[f"{p}: {s[:40]}" for p, _, s in CAUSES])
def test_cause_of_an_issuer_is_all_that_is_said(provider: str, token: str, said: str) -> None:
    (only,) = advice(provider, token)
    assert said in only
    assert "audience: none" not in only


OF_RULES = [
    ("workos", rs256(iss="https://api.workos.com"), "{email_domain: a.example}", "JWT template"),
    ("cognito", rs256(iss=POOL, client_id="app", token_use="access"), "{email_domain: a.example}", "`token_use: id`"),
    ("okta", rs256(iss="https://yourcompany.okta.com/oauth2/default", aud="api://default", cid="0oa", uid="00u"),
     "{email_domain: a.example}", "`email_claim: sub`"),
    ("entra", rs256(iss=V2, tid=TENANT, aud=API, email="a@a.example"), "{email_domain: a.example}", "claim xms_edov"),
    ("entra", rs256(iss=V2, tid=TENANT, aud=API, idtyp="app", roles=["x"]), "{scope: run}", "app roles and no scopes"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "token", "allow", "said"), OF_RULES)
def test_what_an_issuer_leaves_out_is_told_by_where_it_is_added(
    provider: str, token: str, allow: str, said: str
) -> None:
    assert any(said in one for one in advice(provider, token, allow))


def test_key_that_is_written_already_is_not_advised() -> None:
    # Entra's both versions are taken, and the tenant is another one.
    issuer = f"https://sts.windows.net/{OTHER}/"
    (only,) = advice("entra", rs256(iss=issuer, tid=OTHER, aud=API))
    assert "type: entra" not in only and issuer in only


@pytest.mark.parametrize("provider", PRESETS)
@pytest.mark.parametrize("odd", [5, None, [], {"a": 1}, True, "x" * 5000, "\u202e\x00"])
def test_odd_claims_are_explained_like_any_others(provider: str, odd: Any) -> None:
    names = ("aud", "typ", "token_use", "role", "hd", "idtyp", "tid", "email", "xms_edov", "cid", "uid")
    for issuer in (odd, V1, V2, POOL, REALM, "supabase", "https://corp.authkit.app", "https://api.workos.com"):
        token = rs256(iss=issuer, **dict.fromkeys(names, odd))
        assert advice(provider, token, "{email_domain: a.example, scope: x}")


@pytest.mark.parametrize("sent", ["sb_secret_abcdefghij", "ya29.secretpart", "Fe26.2*1*secretpart", JWE])
def test_what_was_sent_is_not_shown(sent: str) -> None:
    assert sent[-8:] not in "\n".join(advice("workos", sent))

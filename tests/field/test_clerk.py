"""Clerk: the parties of its tokens, its kinds of tokens, and the cookie that browsers add unasked."""

from __future__ import annotations

import pytest

from tests.field.gateways import Field
from tests.field.issuer import Signer

KEY, STRANGER = Signer("ins_1"), Signer("ins_1", name="stranger")
INSTANCE = "https://clerk.corp.example"
SESSION = {"cat": "cl_B7d4PD111AAA"}


def file_with(settings: str, allow: str = "authenticated") -> str:
    """Return a file whose provider has these settings."""
    return f"""
providers:
  clerk: {{type: clerk, issuer: "{INSTANCE}", jwks_uri: "${{ISSUER}}/keys", {settings}}}
routes:
  /api: {{provider: clerk, allow: {allow}}}
"""


async def test_clerk_origins_of_apps(field: Field) -> None:
    """koala73/worldmonitor#8178, clerk/clerk-sdk-python#90: a desktop app, an extension, none by the backend SDK."""
    field.issuer.publish("/keys", KEY.jwk(alg="RS256", use="sig"))
    origins = ("https://app.corp.example", "tauri://localhost", "chrome-extension://abcdefghijklmnop")
    listed = ", ".join(f'"{origin}"' for origin in origins)
    text = file_with(f"authorized_parties: [{listed}], azp: if_present", "{email_domain: corp.example}")
    claims = {
        "iss": INSTANCE,
        "sub": "user_1",
        "sid": "sess_1",
        "v": 2,
        "fva": [1, -1],
        "email": "ann@corp.example",
        "pla": "u:free",
        "sts": "active",
    }
    async with field.serving(text) as gateway:
        for origin in (*origins, None):
            await gateway.passes("/api/x", KEY.token({**claims, "azp": origin}, SESSION))
        for origin in (
            "https://evil.example",
            "tauri://localhost/",
            "http://app.corp.example",
            "https://app.corp.example:8443",
        ):
            await gateway.refuses("/api/x", KEY.token({**claims, "azp": origin}, SESSION), "authorized_party_mismatch")
        await gateway.refuses("/api/x", KEY.token({**claims, "azp": list(origins)}, SESSION), "claim_invalid")
        await gateway.refuses("/api/x", KEY.token({**claims, "sts": "pending"}, SESSION), "session_pending")
    async with field.serving(text.replace(", azp: if_present", "")) as gateway:
        await gateway.refuses("/api/x", KEY.token(claims, SESSION), "authorized_party_mismatch")


async def test_clerk_preview_deployments(field: Field) -> None:
    """koala73/worldmonitor#8178, better-auth/better-auth#2203: a new origin for every branch."""
    field.issuer.publish("/keys", KEY.jwk(alg="RS256", use="sig"))
    text = file_with('authorized_parties: ["https://app.corp.example", "https://app-*-corp.vercel.app"]')
    claims = {"iss": INSTANCE, "sub": "user_1", "sid": "sess_1"}
    async with field.serving(text) as gateway:
        for origin in (
            "https://app.corp.example",
            "https://app-git-fix-1-corp.vercel.app",
            "https://app-7-corp.vercel.app",
        ):
            await gateway.passes("/api/x", KEY.token({**claims, "azp": origin}))
        for origin in (
            "https://app-evil.vercel.app",  # another tenant of the host
            "https://app-x.evil.example-corp.vercel.app",
            "https://app-corp.vercel.app",
            "https://app--corp.vercel.app.evil.example",
            "http://app-x-corp.vercel.app",
            "https://app-x-corp.vercel.app:8443",
            "https://app-x-corp.vercel.app/",
            "https://app-x/evil-corp.vercel.app",
            "https://app-x@evil-corp.vercel.app",
            "https://app-*-corp.vercel.app",
            "https://app-x_y-corp.vercel.app",
            "https://app-\u0435-corp.vercel.app",
            "https://APP-X-corp.vercel.app",
            "xhttps://app-x-corp.vercel.app",
            "https://app-x-corp.vercel.app\n",
            "null",
        ):
            await gateway.refuses("/api/x", KEY.token({**claims, "azp": origin}), "authorized_party_mismatch")


@pytest.mark.parametrize(
    "origin", ["https://*.vercel.app", "https://*.corp.example/", "https://app-*-*.corp.example", "https://*", "*"]
)
def test_pattern_of_too_many_origins_is_refused(paper: Field, origin: str) -> None:
    """One `*` within one label that is not the registrable name, and none for all tenants of a host."""
    status, said = paper.check(file_with(f'authorized_parties: ["{origin}"]'))
    if origin == "https://*.vercel.app":
        # Every tenant of that host would be ours: at the least a word is said.
        assert status == 1 or "warning" in said, said
    else:
        assert status == 1 and "authorized_parties" in said, said


async def test_clerk_proxied_frontend_api(field: Field) -> None:
    """Clerk behind a proxyUrl and with satellites: the issuer is https://app.../__clerk."""
    proxied = "https://app.corp.example/__clerk"
    field.issuer.publish("/__clerk/.well-known/jwks.json", KEY.jwk(alg="RS256", use="sig"))
    text = f"""
providers:
  clerk:
    type: clerk
    issuer: ["{proxied}", "{INSTANCE}"]
    jwks_uri: ${{ISSUER}}/__clerk/.well-known/jwks.json
routes:
  /api: {{provider: clerk, allow: authenticated}}
"""
    claims = {"sub": "user_1", "azp": "https://sat.example"}
    async with field.serving(text) as gateway:
        for issuer in (proxied, INSTANCE):
            await gateway.passes("/api/x", KEY.token({**claims, "iss": issuer}))
        for issuer in ("https://app.corp.example", f"{proxied}/", "https://app.corp.example/__clerk2"):
            await gateway.refuses("/api/x", KEY.token({**claims, "iss": issuer}), "issuer_mismatch")
        await gateway.refuses("/api/x", STRANGER.token({**claims, "iss": proxied}), "signature_invalid")


async def test_clerk_oauth_access_token(field: Field) -> None:
    """Clawdi-AI/clawdi#604, and Clerk as authorization server of MCP: at+jwt of the same issuer and keys."""
    field.issuer.publish("/keys", KEY.jwk(alg="RS256", use="sig"))
    rule = "{any: [{scope: email}, {claim: {sid: sess_1}}, {client: cl_2}]}"
    claims = {"iss": INSTANCE, "sub": "user_1", "client_id": "cl_1", "scope": "email profile", "jti": "oat_1"}
    oauth = KEY.token(claims, {"typ": "at+jwt", "cat": "cl_B7d4PD333AAA"})
    session = KEY.token({"iss": INSTANCE, "sub": "user_1", "sid": "sess_1"}, SESSION)
    template = KEY.token({"iss": INSTANCE, "sub": "user_1", "sid": "sess_1"}, {"cat": "cl_B7d4PD222AAA"})
    machine = KEY.token(
        {"iss": INSTANCE, "sub": "mch_1", "client_id": "cl_2", "scope": "email"}, {"cat": "cl_B7d4PD444AAA"}
    )
    async with field.serving(file_with("accept: [session, oauth]", rule)) as gateway:
        await gateway.passes("/api/x", oauth)
        await gateway.passes("/api/x", session)
        await gateway.refuses("/api/x", template, "token_kind_refused")
        await gateway.refuses("/api/x", machine, "token_kind_refused")
        less = KEY.token({**claims, "scope": "profile"}, {"typ": "at+jwt", "cat": "cl_B7d4PD333AAA"})
        answer = await gateway.ask("/api/x", less)
        assert answer.status == 403 and field.upstream.take() == []
    async with field.serving(file_with("accept: [oauth]", rule)) as gateway:
        await gateway.passes("/api/x", oauth)
        await gateway.refuses("/api/x", session, "token_kind_refused")
    async with field.serving(file_with("accept: [session]", rule)) as gateway:
        await gateway.passes("/api/x", session)
        await gateway.refuses("/api/x", oauth, "token_kind_refused")


async def test_clerk_oauth_by_oidc(field: Field) -> None:
    """As clerk-oauth-access-token: another type on a route of its own takes them."""
    field.issuer.publish("/keys", KEY.jwk(alg="RS256", use="sig"))
    text = f"""
providers:
  clerk: {{type: clerk, issuer: "{INSTANCE}", jwks_uri: "${{ISSUER}}/keys"}}
  mcp: {{type: oidc, issuer: "{INSTANCE}", audience: none, jwks_uri: "${{ISSUER}}/keys"}}
routes:
  /api: {{provider: clerk, allow: authenticated}}
  /api/mcp: {{provider: mcp, allow: {{scope: email}}}}
"""
    claims = {"iss": INSTANCE, "sub": "user_1", "client_id": "cl_1", "scope": "email profile"}
    oauth = KEY.token(claims, {"typ": "at+jwt"})
    async with field.serving(text) as gateway:
        await gateway.passes("/api/mcp/x", oauth)
        await gateway.refuses("/api/x", oauth, "token_kind_refused")
        session = KEY.token({"iss": INSTANCE, "sub": "user_1", "sid": "sess_1"})
        await gateway.refuses("/api/mcp/x", session, "insufficient_scope")
    both = text.replace("provider: clerk,", "provider: [clerk, mcp],")
    status, said = field.check(both)
    assert status == 1 and "routes./api" in said, said


async def test_bearer_and_cookie_together(field: Field) -> None:
    """clerk/clerk-sdk-node#28, datawrapper/api#164, desci-labs/nodes#1303: the browser adds the cookie by itself."""
    field.issuer.publish("/keys", KEY.jwk(alg="RS256", use="sig"))
    page = "https://app.corp.example"
    text = file_with(f'authorized_parties: ["{page}"], token_from: [bearer, {{cookie: __session}}]')
    text += f'cors: {{origins: ["{page}"], credentials: true}}\n'
    claims = {"iss": INSTANCE, "sub": "user_1", "sid": "sess_1", "azp": page}
    fresh, older = KEY.token(claims), KEY.token({**claims, "iat": 1, "jti": "o"})
    expired, others = KEY.token({**claims, "exp": 2}), KEY.token({**claims, "sub": "user_2"})
    origin = ("Origin", page)
    async with field.serving(text) as gateway:
        for beside in (fresh, older, expired, others, "x.y.z"):
            headers = [("Cookie", f"theme=dark; __session={beside}"), origin]
            arrived = await gateway.passes("/api/x", fresh, headers=headers)
            # What was judged is sent, and nothing else that an upstream reads as a credential.
            assert arrived.all("Authorization") == [f"Bearer {fresh}"]
            assert "__session" not in "".join(arrived.all("Cookie"))
        arrived = await gateway.passes("/api/x", headers=[("Cookie", f"__session={fresh}"), origin])
        assert arrived.all("Authorization") == []
        # The header counts, also where the cookie alone would do.
        good = [("Cookie", f"__session={fresh}"), origin]
        await gateway.refuses("/api/x", expired, "token_expired", headers=good)
        await gateway.refuses("/api/x", "x.y.z", "token_malformed", headers=good)
        await gateway.refuses("/api/x", STRANGER.token(claims), "signature_invalid", headers=good)
        twice = [*good, ("Authorization", f"Bearer {fresh}")]
        await gateway.refuses("/api/x", fresh, "several_credentials", headers=twice)
        evil = [("Cookie", f"__session={fresh}"), ("Origin", "https://evil.example")]
        answer = await gateway.ask("/api/x", method="POST", headers=[*evil, ("Content-Length", "0")])
        assert answer.status in (401, 403) and field.upstream.take() == []

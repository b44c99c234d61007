"""Where credentials stand and where they go: cookies, queries, headers, and what the upstream is told."""

from __future__ import annotations

from tests.field.gateways import Field
from tests.field.issuer import SHARED, Signer
from tests.secrecy import keep_secret
from tests.security.rig import Script

KEY = Signer("cf")


async def test_cloudflare_access_cookie(field: Field) -> None:
    """Cloudflare Access: certificates beside the key set, `aud` as a list, no `typ`, the cookie CF_Authorization."""
    certificate = {"kid": "cf", "cert": "x"}
    key = KEY.jwk(use="sig", alg="RS256")
    field.issuer.publish("/cdn-cgi/access/certs", key, public_cert=certificate, public_certs=[certificate])
    text = """
providers:
  cf:
    type: oidc
    issuer: https://corp.cloudflareaccess.com
    audience: 0f0f0f
    jwks_uri: ${ISSUER}/cdn-cgi/access/certs
    token_from: [bearer, {cookie: CF_Authorization}]
routes:
  /api: {provider: cf, allow: authenticated}
  /assertion: {provider: assertion, allow: authenticated}
"""
    text = text.replace(
        "routes:",
        """\
  assertion:
    type: oidc
    issuer: https://corp.cloudflareaccess.com
    audience: 0f0f0f
    jwks_uri: ${ISSUER}/cdn-cgi/access/certs
    token_from: [{header: Cf-Access-Jwt-Assertion}]
routes:""",
    )
    claims = {
        "iss": "https://corp.cloudflareaccess.com",
        "aud": ["0f0f0f"],
        "sub": "u-1",
        "email": "ann@corp.example",
        "type": "app",
    }
    token = KEY.token(claims, {"typ": None})
    cookie = ("Cookie", f"CF_AppSession=1; CF_Authorization={token}")
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", headers=[cookie])
        assert arrived.all("Cookie") == [cookie[1]]
        # The edge sends both, always.
        both = [cookie, ("Cf-Access-Jwt-Assertion", token)]
        arrived = await gateway.passes("/assertion/x", headers=both)
        assert arrived.all("Cf-Access-Jwt-Assertion") == [token]
        # Where the cookie is what was judged, the other one is a credential that nobody looked at.
        unjudged = ("Cf-Access-Jwt-Assertion", KEY.token({**claims, "sub": "u-2"}, {"typ": None}))
        arrived = await gateway.passes("/api/x", headers=[cookie, unjudged])
        assert arrived.all("Cf-Access-Jwt-Assertion") == []
        await gateway.refuses("/assertion/x", None, "token_missing", headers=[cookie])
        other = KEY.token({**claims, "aud": ["0f0f0f0"]}, {"typ": None})
        await gateway.refuses("/api/x", None, "audience_mismatch", headers=[("Cookie", f"CF_Authorization={other}")])
        twice = [("Cookie", f"CF_Authorization={token}; CF_Authorization={token}")]
        await gateway.refuses("/api/x", None, "several_credentials", headers=twice)


async def test_token_in_a_header_beside_authorization(field: Field) -> None:
    """IvanJosipovic/OIDC-Guard#27's kind: an API key's header for machines, Authorization for people, one of both."""
    text = """
providers:
  own: {type: jwt, secret: "${SECRET}", token_from: [bearer, {header: X-Api-Key}]}
routes:
  /api: {provider: own, allow: authenticated}
"""
    token, other = SHARED.token({"sub": "u"}), SHARED.token({"sub": "other"})
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", token)
        assert (arrived.all("Authorization"), arrived.all("X-Api-Key")) == ([f"Bearer {token}"], [])
        arrived = await gateway.passes("/api/x", headers=[("X-Api-Key", token)])
        assert (arrived.all("Authorization"), arrived.all("X-Api-Key")) == ([], [token])
        for beside in (token, other, "not-a-token"):
            await gateway.refuses("/api/x", token, "several_credentials", headers=[("X-Api-Key", beside)])
        # Another scheme is no token of ours, nor is it anybody's beyond here.
        arrived = await gateway.passes("/api/x", headers=[("X-Api-Key", token), ("Authorization", "Basic dTpw")])
        assert (arrived.all("Authorization"), arrived.all("X-Api-Key")) == ([], [token])
        named = [("X-Api-Key", token), ("Connection", "X-Api-Key")]
        await gateway.refuses("/api/x", None, "token_missing", headers=named)


async def test_mastra_studio_handoff(field: Field) -> None:
    """mastra-ai/mastra#17493: Studio is opened as /?auth_header=Bearer%20TOKEN. No log may hold it: `tests.secrecy`."""
    text = """
providers:
  own: {type: jwt, secret: "${SECRET}"}
routes:
  /api: {provider: own, allow: authenticated}
  GET /: {public: true}
"""
    token = SHARED.token({"sub": "u"})
    async with field.serving(text) as gateway:
        arrived = await gateway.passes(f"/?auth_header=Bearer%20{token}")
        assert arrived.target == f"/?auth_header=Bearer%20{token}", "the page wants it"
        # In the query of a guarded route it is no credential.
        await gateway.refuses(f"/api/x?auth_header=Bearer%20{token}", None, "token_missing")


async def test_caller_token_to_the_model(field: Field) -> None:
    """mastra-ai/mastra#24544, CopilotKit/CopilotKit#6491, #5712: the user's token reaches the model's provider."""
    text = """
upstreams:
  mastra: {url: "${UPSTREAM}", identity: {authorization: strip, headers: {X-User: subject}}}
providers:
  own: {type: jwt, secret: "${SECRET}"}
routes:
  /api: {provider: own, allow: authenticated}
  /open: {public: true}
"""
    token = SHARED.token({"sub": "u"})
    forged = [("X-Forwarded-Authorization", "Bearer x"), ("X-User", "root"), ("x_user", "root"), ("X.User", "root")]
    async with field.serving(text) as gateway:
        arrived = await gateway.passes("/api/x", token, headers=forged)
        assert arrived.all("Authorization") == [] and arrived.all("X-Forwarded-Authorization") == []
        assert arrived.all("X-User") == ["u"] and token not in arrived.raw.decode()
        assert b"root" not in arrived.raw
        arrived = await gateway.passes("/open/x", headers=forged)
        assert b"root" not in arrived.raw


async def test_sse_with_query_token(field: Field) -> None:
    """mastra-ai/mastra#16291: EventSource sends no Authorization."""
    events = tuple(f"data: {number}\n\n".encode() for number in range(3))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    field.upstream.scripts["/api/sse"] = Script((head, *events), "close")
    text = """
providers:
  own: {type: jwt, secret: "${SECRET}", token_from: [bearer, {query: token}]}
routes:
  /api: {provider: own, allow: authenticated}
"""
    token = SHARED.token({"sub": "u"})
    stream = [("Accept", "text/event-stream")]
    async with field.serving(text) as gateway:
        answer = await gateway.ask(f"/api/sse?token={token}&x=1", headers=stream)
        assert answer.status == 200 and answer.raw.count(b"data:") == 3
        (arrived,) = field.upstream.take()
        assert arrived.target == "/api/sse?x=1" and token not in arrived.raw.decode()
        await gateway.refuses(f"/api/sse?token={token}&token={token}", None, "several_credentials", headers=stream)
        await gateway.refuses(f"/api/sse?token={token}", token, "several_credentials", headers=stream)
        await gateway.refuses(f"/api/sse?Token={token}", None, "token_missing", headers=stream)
        await gateway.refuses(f"/api/sse?token={token}x", None, "signature_invalid", headers=stream)


async def test_upstream_wants_a_credential(field: Field) -> None:
    """CopilotKit/CopilotKit#5712, pomerium/pomerium#6268: a private Cloud Run, an API key before the agents."""
    field.environment["UPSTREAM_KEY"] = keep_secret("constant-value-of-the-upstream")
    text = """
upstreams:
  mastra: {url: "${UPSTREAM}", headers: {X-Upstream-Key: "text:${UPSTREAM_KEY}"}}
providers:
  own: {type: jwt, secret: "${SECRET}"}
routes:
  /api: {provider: own, allow: authenticated}
  /open: {public: true}
"""
    constant = field.environment["UPSTREAM_KEY"]
    token = SHARED.token({"sub": "u"})
    async with field.serving(text) as gateway:
        for name in ("X-Upstream-Key", "x_upstream_key", "X.Upstream.Key"):
            for path, credential in (("/api/x", token), ("/open/x", None)):
                arrived = await gateway.passes(path, credential, headers=[(name, "forged")])
                assert arrived.all("X-Upstream-Key") == [constant] and b"forged" not in arrived.raw
        answer = await gateway.refuses("/api/x", None, "token_missing")
        assert constant not in answer.raw.decode() + await gateway.troubles()

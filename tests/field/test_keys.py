"""Where keys come from: files, private authorities, proxies, behind a credential or a redirect, by RFC 8414."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.authority import HOST, private_authority
from tests.field.gateways import Field
from tests.field.issuer import Issuer, Signer
from tests.keyproxy import ForwardProxy
from tests.processes import refusing_port
from tests.secrecy import keep_secret

KEY, STRANGER = Signer("kc"), Signer("kc", name="stranger")
CLAIMS = {"iss": "https://sso.corp.example", "aud": "mastra", "sub": "1"}


def file_with(settings: str) -> str:
    """Return a file whose provider has these settings."""
    return f"""
providers:
  sso: {{type: oidc, issuer: "https://sso.corp.example", audience: mastra, {settings}}}
routes:
  /api: {{provider: sso, allow: authenticated}}
"""


async def test_private_ca_of_the_key_server(field: Field) -> None:
    """envoyproxy/gateway#3536, maistra/istio#99, smallrye/smallrye-jwt#571,
    kirill-markin/expense-budget-tracker#354: an authority of one's own.
    """
    private_authority(field.folder, "another")
    server = Issuer(private_authority(field.folder))
    uri = server.publish("/certs", KEY.jwk(alg="RS256", use="sig"))
    settings = f'jwks_uri: "{uri}", ca_file: "${{FOLDER}}/NAME-ca.pem"'
    token = KEY.token(CLAIMS)
    try:
        async with field.serving(file_with(settings.replace("NAME", "root"))) as gateway:
            await gateway.passes("/api/x", token)
            await gateway.refuses("/api/x", STRANGER.token(CLAIMS), "signature_invalid")
        # Neither another authority nor those of the machine.
        async with field.serving(file_with(settings.replace("NAME", "another"))) as gateway:
            await gateway.refuses("/api/x", token, "keys_unavailable")
            assert "certificate" in await gateway.troubles()
        async with field.serving(file_with(f'jwks_uri: "{uri}"')) as gateway:
            await gateway.refuses("/api/x", token, "keys_unavailable")
        advice = await field.advice(file_with(f'jwks_uri: "{uri}"'), "/api/x", token, "keys_unavailable")
        assert "ca_file" in advice, advice
    finally:
        server.close()


async def test_keys_in_a_file(field: Field) -> None:
    """envoyproxy/gateway#7425, #5806, chrisns/index-cf-note-queue#11: a key set beside the file, no network."""
    key = Signer("own", "ES256")
    (field.folder / "jwks.json").write_text(json.dumps({"keys": [key.jwk(alg="ES256", use="sig")]}))
    text = file_with('algorithms: [ES256], jwks_file: "${FOLDER}/jwks.json"')
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", key.token(CLAIMS))
        assert (await gateway.ready())[0] == 200
        await gateway.refuses("/api/x", Signer("other", "ES256", "stranger").token(CLAIMS), "key_unknown")
        await gateway.refuses("/api/x", Signer("own", "ES256", "stranger").token(CLAIMS), "signature_invalid")
        await gateway.refuses("/api/x", key.token({**CLAIMS, "iss": "https://sso.corp.example/"}), "issuer_mismatch")
    assert field.issuer.asked == [], "nobody is asked for what is in a file"


async def test_keys_behind_a_redirect(field: Field) -> None:
    """nextauthjs/next-auth#7428: a redirect for the closing slash that was left out, within the origin."""
    field.issuer.publish("/application/o/app/jwks/", KEY.jwk(use="sig", alg="RS256"))
    field.issuer.answer("/application/o/app/jwks", {}, 301, Location="/application/o/app/jwks/")
    text = file_with('jwks_uri: "${ISSUER}/application/o/app/jwks"')
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(CLAIMS))
        await gateway.refuses("/api/x", STRANGER.token(CLAIMS), "signature_invalid")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_another_origin_is_not_followed(field: Field, status: int) -> None:
    """A redirect of the keys to another origin is a failure (RFC 8725 section 3.10, CWE-601)."""
    elsewhere = Issuer()
    try:
        elsewhere.publish("/keys", STRANGER.jwk(use="sig", alg="RS256"))
        port = f":{field.issuer.port}"
        for target in (
            elsewhere.url + "/keys",
            field.issuer.url.replace("127.0.0.1", "localhost") + "/moved",
            elsewhere.url.removeprefix("http:") + "/keys",
            field.issuer.url.replace("http://", "http://user@") + "/moved",
            field.issuer.url.replace(port, f"{port}@127.0.0.1:{elsewhere.port}") + "/keys",
        ):
            field.issuer.publish("/moved", STRANGER.jwk(use="sig", alg="RS256"))
            field.issuer.answer("/keys", {}, status, Location=target)
            async with field.serving(file_with('jwks_uri: "${ISSUER}/keys"')) as gateway:
                await gateway.refuses("/api/x", STRANGER.token(CLAIMS), "keys_unavailable")
                assert "redirect" in await gateway.troubles()
        assert elsewhere.asked == []
    finally:
        elsewhere.close()


async def test_keys_behind_redirects_without_end(field: Field) -> None:
    """A redirect to itself is a failure, not a loop."""
    field.issuer.answer("/keys", {}, 302, Location="/keys")
    async with field.serving(file_with('jwks_uri: "${ISSUER}/keys"')) as gateway:
        await gateway.refuses("/api/x", KEY.token(CLAIMS), "keys_unavailable")
    assert field.issuer.asked_for("/keys") < 20


async def test_keys_through_a_proxy(field: Field) -> None:
    """envoyproxy/gateway#7894, agentgateway/agentgateway#2546, TykTechnologies/tyk#4102, auth0/node-jwks-rsa#188,
    gravitee-io/issues#4254: the only way out is a proxy.
    """
    server = Issuer(private_authority(field.folder))
    server.publish("/keys", KEY.jwk(use="sig", alg="RS256"))
    uri = f"https://{HOST}:{server.port}/keys"
    text = file_with(f'jwks_uri: "{uri}", ca_file: "${{FOLDER}}/root-ca.pem", jwks: {{proxy: "PROXY"}}')
    try:
        async with ForwardProxy(server.port) as proxy:
            async with field.serving(text.replace("PROXY", proxy.url)) as gateway:
                await gateway.passes("/api/x", KEY.token(CLAIMS))
                await gateway.refuses("/api/x", STRANGER.token(CLAIMS), "signature_invalid")
            assert {head.partition(b" HTTP")[0] for head in proxy.heads} == {f"CONNECT {HOST}:{server.port}".encode()}
            # A proxy that sees what goes through it is no proxy: the certificate must be of the authority all the same.
            private_authority(field.folder, "another")
            async with field.serving(text.replace("PROXY", proxy.url).replace("root-ca", "another-ca")) as gateway:
                await gateway.refuses("/api/x", KEY.token(CLAIMS), "keys_unavailable")
        with refusing_port() as port:
            async with field.serving(text.replace("PROXY", f"http://127.0.0.1:{port}")) as gateway:
                answer = await gateway.refuses("/api/x", KEY.token(CLAIMS), "keys_unavailable")
                assert answer.header("Retry-After")
    finally:
        server.close()


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", "/.well-known/oauth-authorization-server"),
        ("/oauth", "/.well-known/oauth-authorization-server/oauth"),
        ("/tenants/one", "/.well-known/oauth-authorization-server/tenants/one"),
        ("/tenants/one", "/tenants/one/.well-known/oauth-authorization-server"),
    ],
)
async def test_metadata_of_rfc8414_only(field: Field, path: str, place: str) -> None:
    """RedFox-Soft/OAuth-server.ts#30, modelcontextprotocol/php-sdk#318: no openid-configuration.

    RFC 8414 section 3.1 puts the well-known part between host and path; others append it.
    """
    key, issuer = Signer("as", "ES256"), field.issuer.url + path
    keys = field.issuer.publish("/oauth/keys", key.jwk(use="sig", alg="ES256"))
    document = {"issuer": issuer, "jwks_uri": keys, "response_types_supported": ["code"]}
    field.issuer.answer(place, document)
    text = file_with("algorithms: [ES256]").replace("https://sso.corp.example", issuer)
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", key.token({**CLAIMS, "iss": issuer}))
        await gateway.refuses("/api/x", key.token(CLAIMS), "issuer_mismatch")
    # A document of another issuer brings no keys, whichever of the places it stands at: mix-up.
    field.issuer.answer(place, {**document, "issuer": f"{issuer}/other"})
    async with field.serving(text) as gateway:
        await gateway.refuses("/api/x", key.token({**CLAIMS, "iss": issuer}), "keys_unavailable")
        assert f"{issuer}/other" in await gateway.troubles()


async def test_keys_behind_basic_auth(field: Field) -> None:
    """traefik-plugins/traefik-jwt-plugin#56: Stytch's keys want the project's credentials."""
    credential = "Basic cHJvajpzZWNyZXQtb2YtYS1wcm9qZWN0"
    keep_secret(credential.removeprefix("Basic "))
    field.issuer.publish("/v1/sessions/jwks/p", KEY.jwk(use="sig", alg="RS256"))
    field.issuer.wants["/v1/sessions/jwks/p"] = credential
    text = f"""
providers:
  stytch:
    type: oidc
    issuer: stytch.com/project-live-1
    audience: project-live-1
    jwks_uri: ${{ISSUER}}/v1/sessions/jwks/p
    jwks: {{headers: {{Authorization: "{credential}"}}}}
routes:
  /api: {{provider: stytch, allow: {{claim: {{/https:~1~1stytch.com~1session/id: s}}}}}}
"""
    claims: dict[str, Any] = {
        "iss": "stytch.com/project-live-1",
        "aud": ["project-live-1"],
        "sub": "user-live-1",
        "https://stytch.com/session": {"id": "s"},
    }
    async with field.serving(text) as gateway:
        await gateway.passes("/api/x", KEY.token(claims))
        await gateway.refuses("/api/x", KEY.token({**claims, "iss": "stytch.com/project-live-2"}), "issuer_mismatch")
        assert credential not in await gateway.troubles()
    async with field.serving(text.replace(credential, "Basic eDp5")) as gateway:
        await gateway.refuses("/api/x", KEY.token(claims), "keys_unavailable")
        assert "401" in await gateway.troubles()


async def test_keys_of_kubernetes(field: Field) -> None:
    """envoyproxy/gateway#3536: a cluster's own authority, and its token before the keys (RBAC of /openid/v1/jwks)."""
    server = Issuer(private_authority(field.folder))
    server.publish("/openid/v1/jwks", KEY.jwk(use="sig", alg="RS256"))
    pass_word = keep_secret("token-of-the-pod-that-only-reads-keys")
    server.wants["/openid/v1/jwks"] = f"Bearer {pass_word}"
    (field.folder / "token").write_text(f"{pass_word}\n")
    text = f"""
providers:
  cluster:
    type: oidc
    issuer: https://kubernetes.default.svc.cluster.local
    audience: mastra
    jwks_uri: {server.url}/openid/v1/jwks
    ca_file: ${{FOLDER}}/root-ca.pem
    jwks: {{token_file: "${{FOLDER}}/token"}}
routes:
  /api: {{provider: cluster, allow: {{claim: {{/kubernetes.io/namespace: agents}}}}}}
"""
    claims = {
        "iss": "https://kubernetes.default.svc.cluster.local",
        "aud": ["mastra"],
        "sub": "system:serviceaccount:agents:runner",
        "kubernetes.io": {"namespace": "agents", "pod": {"name": "p"}, "serviceaccount": {"name": "runner"}},
    }
    other = {**claims, "kubernetes.io": {"namespace": "agents2"}}
    try:
        async with field.serving(text) as gateway:
            await gateway.passes("/api/x", KEY.token(claims))
            await gateway.refuses("/api/x", KEY.token(other), "access_denied")
            api_server = {**claims, "aud": ["https://kubernetes.default.svc.cluster.local"]}
            await gateway.refuses("/api/x", KEY.token(api_server), "audience_mismatch")
    finally:
        server.close()

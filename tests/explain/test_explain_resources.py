"""What `explain` says of MCP routes: of the document, and of a token that is meant for another server."""

from __future__ import annotations

import json

from gateway.explain.explain import explain
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.providers import KeySource
from tests.configuring import file_with, read
from tests.minting import NOW, b64

A, B = "https://agents.example.com/api/a", "https://agents.example.com/api/b"
FILE = file_with(
    providers=f"providers: {{people: {{type: oidc, issuer: https://a.example.com, audience: [{A}, {B}]}}}}",
    routes="routes: {/api/a: {provider: people, allow: {scope: mcp}, mcp: true}}",
)


class _NoKeys(Keys):
    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        return NoKey(fetch_may_help=False, is_outage=False)


def explained(target: str, token: str = "") -> dict[str, object]:
    lines = [("authorization", f"Bearer {token}")] if token else []
    head = RequestHead("GET", target, Headers(lines), "127.0.0.1", "http")
    return explain(read(FILE).policy, _NoKeys(), head, NOW, lambda source: None).as_json()


def test_document_is_said_to_be_the_gateways() -> None:
    found = explained("/.well-known/oauth-protected-resource/api/a")
    assert found["decision"] == "allow"
    assert "answered by the gateway itself" in str(found["outcome"])


def test_token_for_another_server_is_told_from_one_for_this() -> None:
    claims = b64(json.dumps({"iss": "https://a.example.com", "sub": "ann", "aud": B, "exp": NOW + 60}))
    header = b64(json.dumps({"alg": "RS256"}))
    found = explained("/api/a", f"{header}.{claims}.c2ln")
    assert (found["status"], found["code"]) == (401, "audience_mismatch")
    assert f"the route's own resource: {A}" in str(found["steps"])
    assert 'resource_metadata="https://agents.example.com/.well-known/' in str(found["challenge"])
    assert f"`resource={A}`" in str(found["advice"])

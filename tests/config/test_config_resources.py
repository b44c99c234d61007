"""`mcp: true`: which address a route is known by, and what cannot be one."""

from __future__ import annotations

import json

import pytest

from gateway.policy.routes import Route
from tests.configuring import file_with, mistakes, read

ADDRESS = "https://agents.example.com/api/mcp"
PROVIDERS = """
providers:
  people: {{type: oidc, issuer: https://login.example.com, audience: {audience}}}
  other: {{type: oidc, issuer: https://other.example.com, audience: [x, {other}]}}
  jobs: {{type: jwt, secret: wohYeequ8aish4ahQuoo4aiPh7aish2eeF0, audience: {other}}}
  named: {{type: jwt, secret: wohYeequ8aish4ahQuoo4aiPh7aish2eeF0, issuer: us, audience: {other}}}
  query: {{type: oidc, issuer: https://q.example.com, audience: {other}, token_from: [bearer, {{query: token}}]}}
"""


def text_of(
    key: str = "/api/mcp",
    provider: str = "people",
    allow: str = "authenticated",
    audience: str = ADDRESS,
    more: str = "",
) -> str:
    routes = f"routes:\n  {key}: {{provider: {provider}, allow: {allow}, mcp: true}}\n{more}"
    providers = PROVIDERS.format(audience=audience, other=ADDRESS)
    return file_with(providers=providers, routes=routes)


def routes_of(text: str) -> dict[str, Route]:
    return {route.key: route for route in read(text).policy.routes}


def test_document_names_resource_issuers_and_scopes() -> None:
    text = text_of(provider="[people, other]", allow="[{scope: [a, b]}, {scope: [b, c, d]}]")
    document = routes_of(text)["GET /.well-known/oauth-protected-resource/api/mcp"].document
    assert document is not None
    assert json.loads(document) == {
        "resource": ADDRESS,
        "authorization_servers": ["https://login.example.com", "https://other.example.com"],
        "scopes_supported": ["a", "b", "c", "d"],
        "bearer_methods_supported": ["header"],
    }


@pytest.mark.parametrize(
    ("allow", "challenge"),
    [
        ("authenticated", ()),
        ("{scope: [a, b]}", ("a", "b")),
        ("[{scope: [a, b]}, {scope: c}]", ("c",)),  # one of them is enough
        ("[{scope: a}, {email_domain: example.com}]", ()),  # none is needed
        ("{all: [{scope: a}, {any: [{scope: b}, {scope: a}]}]}", ("a", "b")),
    ],
)
def test_challenge_asks_for_what_is_enough(allow: str, challenge: tuple[str, ...]) -> None:
    resource = routes_of(text_of(allow=allow))["/api/mcp"].resource
    assert resource is not None and resource.challenge == challenge


@pytest.mark.parametrize(
    ("key", "audience", "path"),
    [
        ("/", "https://agents.example.com", ""),
        ("/", "https://agents.example.com/", ""),
        ("/api/mcp", "[one, https://agents.example.com/api/mcp/a/mcp]", "/api/mcp/a/mcp"),
        ("/api/mcp", "[https://agents.example.com/api, https://agents.example.com/api/mcp]", "/api/mcp"),
        ("/api/mcp", "http://127.0.0.1:8080/api/mcp", "/api/mcp"),
    ],
)
def test_document_lies_where_clients_look(key: str, audience: str, path: str) -> None:
    found = routes_of(text_of(key, audience=audience))
    assert found[f"GET /.well-known/oauth-protected-resource{path}"].exact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (text_of(audience="agents"), "no address at or below /api/mcp in the 'audience' of provider 'people'"),
        (text_of(audience="none"), "of provider 'people', which has none"),
        (text_of(audience="https://agents.example.com/api/mcpx"), "no address at or below /api/mcp"),
        (text_of(audience="https://agents.example.com/api/mcp/"), "no address at or below /api/mcp"),
        (text_of(audience="'https://agents.example.com/api/mcp?x=1'"), "no address at or below /api/mcp"),
        (text_of(audience="'https://agents.example.com/api/mcp#'"), "no address at or below /api/mcp"),
        (text_of(audience="https://agents.example.com/api/mcp/../mcp"), "no address at or below /api/mcp"),
        (text_of(audience="https://a@agents.example.com/api/mcp"), "no address at or below /api/mcp"),
        (text_of(audience="http://agents.example.com/api/mcp"), "found the http address"),
        (
            text_of(audience="[https://a.example.com/api/mcp, https://b.example.com/api/mcp]"),
            "expected a route for each",
        ),
        (text_of("/api/{server}/mcp"), "found a capture in the path of an MCP route"),
        (text_of(provider="jobs"), "found no authorization server among the route's providers"),
        (text_of(provider="named"), "found no authorization server among the route's providers"),
        (text_of(provider="query"), "takes tokens from the query on an MCP route"),
        (
            text_of(provider="[people, other]", audience="https://b.example.com/api/mcp"),
            "expected one address of this route in every provider's 'audience'",
        ),
        (
            text_of(more="  GET /.well-known/oauth-protected-resource/api/mcp: {public: true, exact: true}\n"),
            "the gateway itself answers there, for '/api/mcp' (mcp: true)",
        ),
        (
            text_of(more="  POST /api/mcp: {provider: other, allow: authenticated, mcp: true}\n"),
            f"tells another story of {ADDRESS} than '/api/mcp'",
        ),
        (file_with(routes="routes: {/api: {public: true, mcp: true}}"), "found 'mcp' on a public route"),
    ],
)
def test_what_is_no_resource(text: str, expected: str) -> None:
    found = mistakes(text)
    assert len(found) == 1 and expected in found[0], found


def test_two_routes_of_one_server_share_a_document() -> None:
    more = "  POST /api/mcp: {provider: people, allow: authenticated, mcp: true}\n"
    assert len(routes_of(text_of("GET /api/mcp", more=more))) == 3


def test_check_warns_of_tokens_that_are_passed_on() -> None:
    assert any("Token Passthrough" in warning for warning in read(text_of()).warnings)
    own = "upstreams: {a: {url: http://a, identity: {authorization: strip}}}"
    assert not any(
        "Token Passthrough" in one for one in read(text_of().replace("upstream: http://localhost:4111", own)).warnings
    )

"""Keys of routes, who guards them, and which two of them nobody could choose between."""

from __future__ import annotations

import pytest

from gateway.policy.routes import Capture, Route
from tests.configuring import SECRET, file_with, mistakes, read

TWO_UPSTREAMS = "upstreams: {a: {url: http://a}, b: {url: http://b}}"


def route(key: str, body: str = "{public: true}") -> Route:
    return read(file_with(routes=f"routes: {{{key!r}: {body}}}")).policy.routes[0]


@pytest.mark.parametrize(
    ("key", "methods", "segments"),
    [
        ("/", None, ()),
        ("/api", None, ("api",)),
        ("GET /api", {"GET"}, ("api",)),
        ("POST,DELETE /api/memory", {"POST", "DELETE"}, ("api", "memory")),
        ("GET   /api", {"GET"}, ("api",)),
        ("/a/{x}/b/{y_2}", None, ("a", Capture("x"), "b", Capture("y_2"))),
        ("/.well-known/a~b", None, (".well-known", "a~b")),
        ("/a%20b", None, ("a%20b",)),
        ("/API", None, ("API",)),
    ],
)
def test_key_of_a_route(key: str, methods: set[str] | None, segments: tuple[object, ...]) -> None:
    found = route(key)
    assert (found.key, found.methods, found.segments) == (key, methods, segments)


def test_route_with_every_key() -> None:
    text = file_with(
        upstream="",
        upstreams=TWO_UPSTREAMS,
        routes="""
        routes:
          /api:
            provider: [jobs]
            allow: authenticated
            deny: [{role: x}]
            upstream: b
            websocket: true
            exact: true
            enforce: false
            public: false
        """,
    )
    found = read(text).policy.routes[0]
    assert found.upstream.name == "b"
    assert (found.websocket, found.exact, found.enforce, found.public) == (True, True, False, False)
    assert [provider.name for provider in found.providers] == ["jobs"]
    assert len(found.deny) == 1


def test_defaults_of_a_route() -> None:
    found = route("/api", "{provider: jobs, allow: authenticated}")
    assert (found.websocket, found.exact, found.enforce, found.public, found.deny) == (False, False, True, False, ())
    assert found.upstream.name == "default"


KEY_MISTAKES = [
    ("api", "found a path without a '/' in front (did you mean '/api'?)"),
    ("", "found no path, expected [METHOD,... ]/prefix"),
    ("get /api", "found the method 'get' (did you mean 'GET'?)"),
    ("GTE /api", "found the method 'GTE', expected GET, POST and their kind"),
    ("TRACE /api", "found the method 'TRACE' which the gateway refuses on every route"),
    ("CONNECT /api", "which the gateway refuses on every route"),
    ("GET,GET /api", "found a method twice"),
    ("GET, POST /api", "found spaces between methods, expected 'GET,POST /api'"),
    ("/api/", "found a path with a '/' at its end (did you mean '/api'?)"),
    ("//api", "with an empty segment (did you mean '/api'?)"),
    ("/api//x", "with an empty segment"),
    ("/api/*", "(did you mean '/api'? A prefix covers what lies below)"),
    ("/api/**", "(did you mean '/api'?"),
    ("/*", "(did you mean '/'?"),
    ("/a*b", "with a '*', expected a capture"),
    ("/api?x=1", "with a query or fragment"),
    ("/api#x", "with a query or fragment"),
    ("/a/../b", "that no request can have"),
    ("/a/./b", "that no request can have"),
    ("/%2e%2e/b", "that no request can have"),
    ("/a%5cb", "that no request can have"),
    ("/a%00", "that no request can have"),
    ("/a%zz", "that no request can have"),
    ("/a%2Fb", "with an encoded slash"),
    ("/%61pi", "that is not in canonical form (did you mean 'api' for '%61pi'?)"),
    ("/a%c3%bc", "that is not in canonical form (did you mean 'a%C3%BC' for 'a%c3%bc'?)"),
    ("/ü", "a character that a request writes in another way: '%C3%BC'"),
    ("/a b", "a character that a request writes in another way: 'a%20b'"),
    ("/:agent", "with ':agent' (did you mean '{agent}'?)"),
    ("/x{agent}", "with a capture that is not a whole segment"),
    ("/{}", "with a capture that is not a whole segment"),
    ("/{a-b}", "with a capture that is not a whole segment"),
    ("/{1a}", "with a capture that is not a whole segment"),
    ("/{a}/{a}", "with the capture {a} twice"),
    ("/{user}", "with the capture {user}, a name that expressions use for something else"),
    ("/{in}", "with the capture {in}"),
]


@pytest.mark.parametrize(("key", "expected"), KEY_MISTAKES)
def test_mistake_in_the_key_of_a_route_is_told(key: str, expected: str) -> None:
    found = mistakes(file_with(routes=f'routes: {{"{key}": {{public: true}}}}'))
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("3:10:")


BODY_MISTAKES = [
    ("{}", "nobody is named, expected 'provider' and 'allow', or 'public: true'"),
    ("", "found nothing, expected a mapping"),
    ("[]", "expected a mapping"),
    ("{public: false}", "nobody is named"),
    ("{provider: jobs}", "'allow' is missing"),
    ("{allow: authenticated}", "'provider' is missing"),
    ("{deny: {role: x}}", "nobody is named"),
    ("{provider: jobs, allow: []}", "found an empty list, which is no rule"),
    ("{provider: jobs, allow: {}}", "found an empty rule"),
    ("{provider: jobs, allow: }", "found nothing"),
    ("{provider: [], allow: authenticated}", "found an empty list, expected the name of a provider"),
    ("{provider: {a: b}, allow: authenticated}", "found a mapping"),
    ("{provider: [jobs, jobs], allow: authenticated}", "found the provider 'jobs' twice"),
    ("{provider: job, allow: authenticated}", "unknown provider 'job' (did you mean 'jobs'?)"),
    ("{provider: Jobs, allow: authenticated}", "unknown provider 'Jobs' (did you mean 'jobs'?)"),
    ("{public: true, provider: jobs}", "found 'provider' on a public route"),
    ("{public: true, allow: authenticated}", "found 'allow' on a public route"),
    ("{public: true, deny: {role: x}}", "found 'deny' on a public route"),
    ("{public: true, enforce: false}", "found 'enforce' on a public route"),
    ("{public: yes}", "(did you mean true?)"),
    ("{public: true, upstream: mastra}", "unknown upstream 'mastra'"),
    ("{public: true, webscoket: true}", "unknown key (did you mean 'websocket'?)"),
    ("{provider: jobs, allw: authenticated}", "unknown key (did you mean 'allow'?)"),
]


@pytest.mark.parametrize(("body", "expected"), BODY_MISTAKES)
def test_mistake_in_a_route_is_told_once(body: str, expected: str) -> None:
    found = mistakes(file_with(routes=f"routes: {{/api: {body}}}"))
    assert len(found) == 1, found
    assert expected in found[0]


def test_upstream_is_named_where_there_are_several() -> None:
    found = mistakes(file_with(upstream="", upstreams=TWO_UPSTREAMS))
    assert found == ["2:10: routes./api: 'upstream' is missing, expected a or b"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a", "/a "),
        ("/a/{x}", "/a/{y}"),
        ("GET /a", "GET,POST /a"),
        ("GET,POST /a/{x}/b", "POST,PUT /a/{z}/b"),
    ],
)
def test_overlapping_routes_are_refused(first: str, second: str) -> None:
    routes = f'routes: {{"{first}": {{public: true}}, "{second.strip()}": {{public: true}}}}'
    found = mistakes(file_with(routes=routes))
    assert len(found) == 1
    assert "duplicate key" in found[0] or f"overlaps '{first}' (line 3)" in found[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a", "/b"),
        ("/a", "GET /a"),  # named methods go before any
        ("GET /a", "POST /a"),
        ("/a/{x}", "/a/b"),
        ("/a/{x}", "/a/{x}/b"),
        ("/a", "/A"),
    ],
)
def test_routes_with_an_order_are_taken(first: str, second: str) -> None:
    assert not mistakes(file_with(routes=f'routes: {{"{first}": {{public: true}}, "{second}": {{public: true}}}}'))


def test_exact_route_may_stand_beside_its_prefix() -> None:
    assert not mistakes(file_with(routes="routes: {/a: {public: true}, '/{x}': {public: true, exact: true}}"))
    text = "routes: {'/a/{x}': {public: true}, '/a/{y}': {public: true, exact: true}}"
    assert not mistakes(file_with(routes=text))


JWT = f"type: jwt, secret: {SECRET}"
LONG = "type: jwt, secret: kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hAkJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA"
OIDC = "type: oidc, audience: x, issuer:"


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        pytest.param(JWT, JWT, True, id="two-secrets-of-any-issuer"),
        pytest.param(f"{JWT}, issuer: a", f"{JWT}, issuer: b", False, id="two-secrets-of-two-issuers"),
        pytest.param(f"{JWT}, issuer: a", JWT, True, id="one-takes-any-issuer"),
        pytest.param(f"{JWT}, algorithms: HS256", f"{LONG}, algorithms: HS512", False, id="other-algorithms"),
        pytest.param(JWT, f"{OIDC} https://a", False, id="secret-and-public-keys"),
        pytest.param(f"{OIDC} https://a", f"{OIDC} https://b", False, id="two-issuers"),
        pytest.param(f"{OIDC} https://a", f"{OIDC} https://a", True, id="one-issuer-twice"),
        pytest.param(f"{OIDC} https://a", f"{OIDC} https://a/", False, id="issuers-are-compared-exactly"),
        pytest.param(
            f"{OIDC} [https://a, https://b], jwks_uri: https://k", f"{OIDC} https://b", True, id="one-issuer-in-common"
        ),
        pytest.param(
            f"{OIDC} https://a", f"{OIDC} https://a, algorithms: ES256", False, id="one-issuer-other-algorithms"
        ),
    ],
)
def test_providers_that_no_token_could_tell_apart_are_refused_on_one_route(
    first: str, second: str, is_refused: bool
) -> None:
    text = file_with(
        providers=f"providers: {{p: {{{first}}}, q: {{{second}}}}}",
        routes="routes: {/api: {provider: [p, q], allow: authenticated}}",
    )
    found = mistakes(text)
    assert bool(found) == is_refused
    assert not found or "no token can tell 'p' and 'q' apart" in found[0]


def test_such_providers_may_guard_different_routes() -> None:
    text = file_with(
        providers=f"providers: {{p: {{{JWT}}}, q: {{{JWT}}}}}",
        routes="routes: {/a: {provider: p, allow: authenticated}, /b: {provider: q, allow: authenticated}}",
    )
    assert not mistakes(text)

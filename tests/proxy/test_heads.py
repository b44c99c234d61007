"""Heads as they are written: from what was made before, and the same as if each were made anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.model import Cors
from gateway.http1.fields import written
from gateway.http1.request import RequestRead
from gateway.http1.response import Responses
from gateway.policy.decision import Allow
from gateway.policy.onward import NOTHING, Withheld
from gateway.policy.providers import BEARER, Provider, TokenSource
from gateway.policy.routes import Route
from gateway.policy.upstreams import Identity, Upstream
from gateway.proxy import heads
from gateway.proxy.cors import cors_lines, preflight_lines, vary_by_origin
from gateway.proxy.headers import is_response_line_forwarded, request_lines, response_lines
from gateway.proxy.heads import preflight_head, request_head, response_head
from gateway.proxy.runtime import Runtime
from tests.running import config_for, upstream_at

APP, OTHER = "https://app.example.com", "https://other.example.com"
CONFIG = config_for(upstream_at("http://127.0.0.1:9"))
COOKIE = TokenSource("cookie", "__session")
PROVIDER = Provider("p", "oidc", frozenset({"RS256"}), token_sources=(BEARER, COOKIE))
LINES = [
    "Authorization: Bearer a.b.c",
    "authorization:  Bearer a.b.c",
    "Authorization: Basic abc",
    "X-uthorization:  Bearer d.e.f",
    "Proxy-Authorization: Bearer d.e.f",
    "Cookie: a=b",
    'cookie: mastra-token=1; a=b; __session="x"',
    "COOKIE: wos_session=1",
    "Cookie:",
    "X-ookie: a=b; mastra-token=1",
    "X-Text: Cookie: mastra-token=1",
    "X-Playground-Access: 1",
    "Sec-WebSocket-Protocol: a, b",
    "Referer: https://app.example.com/",
    "Accept: */*",
]


def runtime_with(cors: Cors | None = None) -> Runtime:
    return Runtime(replace(CONFIG, cors=cors), {})


def read(runtime: Runtime, lines: list[str]) -> RequestRead:
    written = "".join(line + "\r\n" for line in ("Host: a", *lines))
    request = runtime.requests.read(f"GET /api HTTP/1.1\r\n{written}".encode(), "192.0.2.1")
    assert request is not None
    return request


def allowed(withheld: Withheld) -> Allow:
    upstream = Upstream("u", "http://u", identity=Identity("forward"))
    return Allow(Route("/api", ("api",), upstream, public=True), "/api", withheld=withheld)


def withheld_of_routes() -> list[Withheld]:
    """Return all that routes withhold: public or not, and wherever the token stood."""
    found = [NOTHING]
    for identity in (Identity("forward"), Identity("strip")):
        upstream = Upstream("u", "http://u", identity=identity)
        found.append(Route("/api", ("api",), upstream, public=True).withheld(None))
        route = Route("/api", ("api",), upstream, providers=(PROVIDER,))
        found += [route.withheld(source) for source in (None, *route.sources)]
    return found


@given(st.lists(st.sampled_from(LINES), max_size=5), st.sampled_from(withheld_of_routes()))
@settings(max_examples=400, deadline=None)
def test_what_goes_up_is_what_each_line_says_for_itself(lines: list[str], withheld: Withheld) -> None:
    runtime, allow = runtime_with(), allowed(withheld)
    if sum(line.lower().startswith("authorization") for line in lines) > 1:
        lines = [line for line in lines if not line.lower().startswith("authorization")]
    for _ in range(4):
        request = read(runtime, lines)
        expected = written(request_lines(request, allow, runtime.header_rules, ()))
        head = request_head(runtime, allow, request, "1" * 32, 0.0)
        assert head.removeprefix(b"GET /api HTTP/1.1\r\n").startswith(expected + b"X-Forwarded-For: ")


@pytest.mark.parametrize(
    "lines", [LINES[:1], [LINES[5]], [LINES[0], LINES[6], LINES[13]]], ids=["token", "cookie", "both"]
)
def test_a_browsers_credentials_are_looked_at_alone(lines: list[str]) -> None:
    runtime = runtime_with()
    for withheld in withheld_of_routes():
        request = read(runtime, lines)
        assert request.forwarded is not None
        assert withheld is NOTHING or heads._without_withheld(request.forwarded, request, withheld) is not None


RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
    b"HTTP/1.1 200 Fine\r\nvary: Accept, X\r\nAccess-Control-Allow-Origin: *\r\nX-A: 1\r\nVARY: b\r\n",
    b"HTTP/1.1 404 Not Found\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Request-Id: theirs\r\nVary: *\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nVary: origin\r\nContent-Length: 0\r\n",
]
ORIGINS = [
    [f"Origin: {APP}"],
    [f"origin: {OTHER}"],
    ["Origin: HTTPS://APP.example.com"],
    ["Origin: https://evil.test"],
    [],
]


@pytest.mark.parametrize("cors", [Cors(frozenset({APP, OTHER})), Cors(frozenset({"*"}), credentials=False, expose=())])
def test_what_a_page_gets_is_made_for_its_origin(cors: Cors) -> None:
    runtime, responses = runtime_with(cors), Responses(is_response_line_forwarded)
    for origin in (*ORIGINS, *ORIGINS, [*ORIGINS[0], *ORIGINS[1]]) * 2:
        request = read(runtime, origin)
        origins = request.headers.all("origin")
        for arrived in RESPONSES:
            response = responses.read(arrived)
            assert response is not None
            passed = response_lines([(one.name, one.value) for one in response.fields], owns_cors=True)
            ours = cors_lines(cors, origins[0] if len(origins) == 1 else None)
            lines = vary_by_origin([*passed, ("X-Request-Id", "ours"), *ours])
            start = b"HTTP/1.1 %d %b\r\n" % (response.status, response.reason)
            assert response_head(runtime, request, response, "ours") == start + written(lines)
    assert len(runtime._cors_bytes.known) == (0 if "*" in cors.origins else 3), "of strangers nothing is kept"


ASKINGS = [
    ["Access-Control-Request-Method: POST"],
    ["Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: authorization"],
    [
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: x-a",
        "access-control-request-headers: x-b",
    ],
    ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-" + "a" * 600],
]


@pytest.mark.parametrize("listed", [{}, {"methods": ("*",), "headers": ("*",)}], ids=["listed", "any"])
def test_preflight_is_answered_by_what_it_asks(listed: dict[str, Any]) -> None:
    cors = Cors(frozenset({APP, OTHER}), **listed)
    runtime = runtime_with(cors)
    for origin in ORIGINS * 2:
        for asked in ASKINGS:
            request = read(runtime, [*origin, *asked])
            lines = written([*preflight_lines(cors, request.headers), ("X-Request-Id", "ours")])
            assert preflight_head(cors, request, "ours") == b"HTTP/1.1 204 No Content\r\n" + lines


def test_long_preflights_are_not_remembered() -> None:
    runtime, cors = runtime_with(Cors(frozenset({APP}))), Cors(frozenset({APP}))
    before = heads._preflight.cache_info().misses
    for _ in range(3):
        preflight_head(cors, read(runtime, [*ORIGINS[0], *ASKINGS[3]]), "ours")
    assert heads._preflight.cache_info().misses == before

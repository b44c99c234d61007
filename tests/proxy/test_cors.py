"""Which pages of other origins may call, and read the answers."""

from __future__ import annotations

import pytest

from gateway.config.model import Cors
from gateway.policy.model import Headers, RequestHead
from gateway.policy.onward import Line
from gateway.proxy.cors import cors_lines, is_preflight, origin_of, preflight_lines, vary_by_origin

APP = "https://app.example.com"
CORS = Cors(frozenset({APP, "http://localhost:3000"}), credentials=True)
ANYBODY = Cors(frozenset({"*"}))
VARY = ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


def head(*lines: Line, method: str = "OPTIONS") -> RequestHead:
    return RequestHead(method, "/api", Headers(lines), "192.0.2.1", "https")


def asking(origin: str, *lines: Line) -> RequestHead:
    return head(("Origin", origin), ("Access-Control-Request-Method", "POST"), *lines)


def answer_lines(cors: Cors, request_head: RequestHead) -> list[Line]:
    return cors_lines(cors, origin_of(request_head.headers))


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        pytest.param(asking(APP), True, id="preflight"),
        pytest.param(head(("ORIGIN", APP), ("access-control-request-METHOD", "PUT")), True, id="any-case"),
        pytest.param(head(("Origin", APP)), False, id="no-method"),
        pytest.param(head(("Access-Control-Request-Method", "POST")), False, id="no-origin"),
        pytest.param(
            head(("Origin", APP), ("Access-Control-Request-Method", "POST"), method="POST"), False, id="not-options"
        ),
    ],
)
def test_is_preflight(request_head: RequestHead, expected: bool) -> None:
    assert is_preflight(request_head) is expected


def test_preflight_of_a_listed_origin_gets_everything_listed() -> None:
    request_head = asking(
        APP, ("Access-Control-Request-Headers", "x-evil"), ("Access-Control-Request-Private-Network", "true")
    )
    assert preflight_lines(CORS, request_head.headers) == [
        ("Access-Control-Allow-Origin", APP),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
        (
            "Access-Control-Allow-Headers",
            "Authorization, Content-Type, A2A-Version, x-mastra-client-type, mcp-session-id, mcp-protocol-version, "
            "mcp-method, mcp-name, last-event-id, x-mastra-dev-playground, user-agent, traceparent, tracestate, "
            "baggage, sentry-trace",
        ),
        ("Access-Control-Max-Age", "3600"),
        VARY,
    ]


def test_preflight_of_a_foreign_origin_learns_nothing() -> None:
    assert preflight_lines(CORS, asking("https://evil.test").headers) == [VARY]


def test_preflight_without_credentials_and_lists_says_nothing_of_them() -> None:
    cors = Cors(frozenset({APP}), credentials=False, methods=(), headers=(), max_age_seconds=0)
    assert preflight_lines(cors, asking(APP).headers) == [
        ("Access-Control-Allow-Origin", APP),
        ("Access-Control-Max-Age", "0"),
        VARY,
    ]


def test_star_in_a_list_says_what_was_asked_for() -> None:
    # With credentials a browser takes `*` for a name, and it never covers Authorization (Fetch standard).
    cors = Cors(frozenset({APP}), credentials=True, methods=("*",), headers=("*",))
    lines = dict(
        preflight_lines(cors, asking(APP, ("Access-Control-Request-Headers", "authorization, x-a,b c,\x0b")).headers)
    )
    assert lines["Access-Control-Allow-Methods"] == "POST"
    assert lines["Access-Control-Allow-Headers"] == "authorization, x-a"


ALLOWED = [("Access-Control-Allow-Origin", APP), ("Access-Control-Allow-Credentials", "true")]
EXPOSED = (
    "Access-Control-Expose-Headers",
    "WWW-Authenticate, X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, mcp-session-id",
)


def test_answer_to_a_listed_origin_can_be_read() -> None:
    assert answer_lines(CORS, head(("Origin", APP), method="GET")) == [*ALLOWED, EXPOSED]


def test_nothing_is_exposed_where_the_list_is_empty() -> None:
    assert answer_lines(Cors(frozenset({APP}), credentials=False, expose=()), head(("Origin", APP))) == [
        ("Access-Control-Allow-Origin", APP)
    ]


@pytest.mark.parametrize(
    "origin",
    [
        # Origins that a comparison by prefix, suffix, pattern or parsed host lets in.
        "https://app.example.com.evil.test",
        "https://evil.test/https://app.example.com",
        "https://evilapp.example.com",
        "https://app.example.com:8443",
        "https://app.example.com/",
        "https://app-example.com",
        "http://app.example.com",
        "https://a@app.example.com",
        "https://app.example.com, https://evil.test",
        "null",
        "",
        "*",
    ],
)
def test_origin_is_compared_whole(origin: str) -> None:
    assert answer_lines(CORS, head(("Origin", origin))) == []


@pytest.mark.parametrize("lines", [[], [("Origin", APP), ("Origin", APP)]], ids=["none", "two"])
def test_no_single_origin_is_no_origin(lines: list[Line]) -> None:
    assert answer_lines(CORS, head(*lines)) == []
    assert answer_lines(ANYBODY, head(*lines)) == []


def test_scheme_and_host_are_compared_in_any_case_and_echoed_as_they_came() -> None:
    # A browser compares the echo with what it sent.
    assert answer_lines(CORS, head(("Origin", "HTTPS://App.Example.com")))[0][1] == "HTTPS://App.Example.com"
    assert answer_lines(Cors(frozenset({"https://APP.example.com"})), head(("Origin", APP)))[0][1] == APP


def test_null_counts_only_where_it_is_listed() -> None:
    # Any page can be of the origin `null`: a sandboxed frame is.
    assert answer_lines(Cors(frozenset({"null"})), head(("Origin", "null")))[0] == (
        "Access-Control-Allow-Origin",
        "null",
    )


@pytest.mark.parametrize("credentials", [False, True])
def test_star_never_goes_with_credentials(credentials: bool) -> None:
    lines = answer_lines(Cors(frozenset({"*"}), credentials=credentials), head(("Origin", "https://any.test")))
    assert lines == [("Access-Control-Allow-Origin", "*"), EXPOSED]


@pytest.mark.parametrize(
    ("arrived", "vary"),
    [
        pytest.param([], "Origin", id="none"),
        pytest.param([("Vary", "Accept-Encoding")], "Accept-Encoding, Origin", id="another"),
        pytest.param([("vary", "accept , ORIGIN")], "accept, ORIGIN", id="already-there"),
        pytest.param([("Vary", "*")], "*", id="everything"),
        pytest.param([("Vary", "A"), ("VARY", "B,,")], "A, B, Origin", id="two-lines"),
        pytest.param([("Vary", "")], "Origin", id="empty"),
    ],
)
def test_vary_holds_origin_once(arrived: list[Line], vary: str) -> None:
    assert vary_by_origin([*arrived, ("Set-Cookie", "a"), ("Set-Cookie", "b")]) == [
        ("Set-Cookie", "a"),
        ("Set-Cookie", "b"),
        ("Vary", vary),
    ]


PREVIEWS = Cors(frozenset({APP, "https://app-*-corp.vercel.app"}))


def test_an_origin_that_a_pattern_stands_for_is_echoed_alone() -> None:
    origin = "https://app-git-fix-1-corp.vercel.app"
    assert answer_lines(PREVIEWS, head(("Origin", origin)))[:2] == [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
    ]
    assert preflight_lines(PREVIEWS, asking(origin).headers)[0] == ("Access-Control-Allow-Origin", origin)
    assert answer_lines(PREVIEWS, head(("Origin", APP)))[0] == ("Access-Control-Allow-Origin", APP)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app-x.evil.com-corp.vercel.app",
        "https://app-evil.vercel.app",
        "https://app-X-corp.vercel.app",
        "https://app-x-corp.vercel.app.",
        "https://app-x-corp.vercel.app:8443",
        "https://app-*-corp.vercel.app",
        "http://app-x-corp.vercel.app",
        "https://app-x-corp.vercel.app.evil.com",
    ],
)
def test_an_origin_that_is_almost_of_a_pattern_learns_nothing(origin: str) -> None:
    assert answer_lines(PREVIEWS, head(("Origin", origin))) == []
    assert preflight_lines(PREVIEWS, asking(origin).headers) == [VARY]

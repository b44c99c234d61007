"""Heads that are the same but for some values: what is remembered of them, and that it changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http1.fields import Field
from gateway.http1.forms import CHUNKED_LENGTH, Forms, form_of
from gateway.http1.request import RequestRead, Requests
from gateway.policy.fields import HeaderRules

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e473%d-00f067aa0ba902b7-01"
TOLD = ("host", "authorization", "cookie", "origin", "access-control-request-method", "access-control-request-headers")
# Lines as they may stand in a head; `%d` differs from one time to the next.
LINES = [
    "Cookie: a=b; c=%d",
    "cookie:  mastra-token=%d \t",
    "Referer: https://app.example.com/%d",
    "traceparent: " + TRACE,
    "User-Agent: Mozilla/5.0 (X11)",
    "User-Agent: eyJ%d",
    "Origin: https://app.example.com",
    "ORIGIN: https://%d.example.com",
    "Access-Control-Request-Method: POST",
    "access-control-request-headers: authorization",
    "Access-Control-Request-Headers: x-%d",
    "Authorization: Bearer a.b.%d",
    "authorization: Basic %d",
    "Authorization: Bearer",
    "X-Playground-Access: %d",
    "Content-Length: %d",
    "Transfer-Encoding: chunked",
    "Connection: keep-alive",
    "connection: CLOSE",
    "X-N: %d",
    "x-n:",
    "X-Forwarded-For: 192.0.2.%d",
    'If-None-Match: "%d"',
    "Sec-Fetch-Site: same-site",
    "X-Text: \N{SNOWMAN} %d",
]
RULES = HeaderRules()


def read(requests: Requests, lines: list[str], number: int) -> RequestRead | None:
    """Read a head of these lines, with a number where they have a place for one."""
    written = "".join(line.replace("%d", str(number % 10)) + "\r\n" for line in ("Host: gw.test", *lines))
    return requests.read(f"POST /api/{number} HTTP/1.1\r\n{written}".encode(), "192.0.2.1")


def named(lines: list[tuple[str, str]], lower_name: str) -> list[str]:
    return [value for name, value in lines if name.lower() == lower_name]


def expected_of(lines: list[tuple[str, str]]) -> dict[str, Any]:
    """Return what a head says by its lines: the long way, which remembers nothing."""
    passed = [(name, value) for name, value in lines if RULES.passing(name)[0]]
    cookies = named(lines, "cookie")
    lengths, agents, traces = (named(lines, name) for name in ("content-length", "user-agent", "traceparent"))
    tokens = named(lines, "authorization")
    bearer = "" if not tokens else None
    if len(tokens) == 1 and tokens[0].startswith("Bearer "):
        bearer = tokens[0].removeprefix("Bearer ")
    return {
        "forwarded": "".join(f"{name}: {value}\r\n" for name, value in passed).encode(),
        "has_cookie": len(cookies) == 1,
        "may_stop": len(cookies) > 1 or bool(named(lines, "x-playground-access")),
        "length_bytes": CHUNKED_LENGTH if named(lines, "transfer-encoding") else int((lengths or ["0"])[0]),
        "keeps_alive": "close" not in [value.lower() for value in named(lines, "connection")],
        "user_agent": (agents or [""])[-1] if "eyJ" not in (agents or [""])[-1] else "(token)",
        "trace_id": traces[-1].split("-")[1] if traces else None,
        "bearer": bearer,
    }


@given(st.lists(st.sampled_from(LINES), max_size=8), st.lists(st.integers(0, 99), min_size=6, max_size=6))
@settings(max_examples=300, deadline=None)
def test_head_of_a_known_form_says_what_its_lines_say(lines: list[str], numbers: list[int]) -> None:
    memory = Requests(RULES.passing)
    for number in numbers:
        found = read(memory, lines, number)
        if found is None:
            assert read(Requests(RULES.passing), lines, 7) is None
            return
        said = list(found.headers.lines)
        expected = expected_of(said)
        assert {name: getattr(found, name) for name in expected} == expected
        assert [list(found.headers.all(name)) for name in TOLD] == [named(said, name) for name in TOLD]


def test_values_are_those_of_this_head_wherever_they_stand() -> None:
    memory = Requests(RULES.passing)
    lines = ["Cookie: c=%d", "Content-Length: %d", "Authorization: Bearer a.b.%d", "Accept: */*", "Referer: /%d"]
    for number in (1, 2, 3, 4, 5):
        found = read(memory, lines, number)
        assert found is not None and found.bearer == f"a.b.{number}" and found.length_bytes == number
        assert found.forwarded == (
            b"Host: gw.test\r\nCookie: c=%d\r\nAuthorization: Bearer a.b.%d\r\nAccept: */*\r\nReferer: /%d\r\n"
            % (number, number, number)
        )
    assert len(memory._forms_with_token.known) == 2, "with `Accept` as a name, and as a line that came again"
    assert not memory._shapes_with_token.known


@pytest.mark.parametrize(
    "line",
    [
        "Cookie : a=b",
        "Cookie: a\x00b",
        "Cookie: a\rb",
        "Cookie: a\nb",
        "Cookie: a\x7fb",
        "Content-Length: 07",
        "Content-Length: +7",
        "Content-Length: 7\r\nContent-Length: 7",
        "Referer: \r\n folded",
        "Authorization: Bearer d.e.f",
        "Upgrade: websocket",
        "Host: b",
        "Transfer-Encoding: chunked",
    ],
)
def test_form_that_is_known_makes_nothing_valid(line: str) -> None:
    memory = Requests(RULES.passing)
    lines = ["Cookie: a=%d", "Referer: /%d", "Authorization: Bearer a.b.c", "Content-Length: %d"]
    for number in range(5):
        assert read(memory, lines, number) is not None
    name = line.partition(":")[0].strip().lower()
    for others in ([one for one in lines if one.partition(":")[0].lower() != name], lines):
        for _ in range(3):
            fresh, known = (read(requests, [*others, line], 1) for requests in (Requests(RULES.passing), memory))
            assert (known is None) == (fresh is None)
    assert read(memory, [*lines, line], 1) is None or name == "cookie"


def test_memory_of_forms_is_bounded_and_begins_with_the_second_time() -> None:
    forms = Forms(max_bytes=50_000)
    host = Field("Host", "a", b"Host: a\r\n", 1, True, False, True)
    for number in range(300):
        parts = [host, Field("X-N", str(number), b"X-N: %d\r\n" % number, 0, True, False, True)]
        form = form_of(parts, has_token=False)
        assert form is not None
        forms.add(tuple(parts), form)
        assert tuple(parts) not in forms.known
        forms.add(tuple(parts), form)
        assert forms.known[tuple(parts)] is form
    assert 0 < len(forms.known) < 50

"""A head is checked in as many steps as it has lines, whatever stands in them: counted as calls, not timed."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
from aiohttp.http import HttpVersion11

from gateway.http1.llhttp import check_head
from gateway.http1.request import Requests
from gateway.policy.denied import Denied
from gateway.policy.model import Headers, RequestHead

SIZE = 30 * 1024
SHAPES = [
    pytest.param([("X-A", "b" * SIZE)], id="plain"),
    pytest.param([("X-A", "é" * SIZE)], id="not-ascii"),
    pytest.param([("X-A", "\t" * SIZE)], id="tabs"),
    pytest.param([("X-A", "," * SIZE)], id="commas"),
    pytest.param([("Cookie", "a=b;" * (SIZE // 4))], id="cookies"),
    pytest.param([("Connection", "x," * (SIZE // 2))], id="connection"),
    pytest.param([(f"X-{number}", "b" * 100) for number in range(250)], id="names"),
    pytest.param([("X-A", "b" * 100)] * 250, id="one-name"),
]


def events_of(act: Any) -> int:
    """Return how many calls, resumptions of generators included, something makes."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()  # what others left behind is not ours: Hypothesis is called at each collection
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@pytest.mark.parametrize("lines", SHAPES)
def test_checking_a_head_takes_steps_by_its_lines_not_its_characters(lines: list[tuple[str, str]]) -> None:
    head = RequestHead("GET", "/a", Headers([("Host", "a"), *lines]), "192.0.2.1", "http")
    assert events_of(lambda: check_head(head, 1 << 20, HttpVersion11)) < 50 + 20 * len(lines)


@pytest.mark.parametrize("lines", SHAPES)
def test_reading_a_head_on_the_fast_wire_takes_steps_by_its_lines(lines: list[tuple[str, str]]) -> None:
    rows = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "a"), *lines])
    head = b"GET /a HTTP/1.1\r\n" + rows.encode()
    requests = Requests(lambda name: (True, False))
    assert events_of(lambda: requests.read(head, "192.0.2.1")) < 50 + 20 * (len(lines) + 1)


@pytest.mark.parametrize("value", ["é", "€ uro", "a\tb", "😀", "\x80"])
def test_text_passes(value: str) -> None:
    check_head(RequestHead("GET", "/a", Headers([("Host", "a"), ("X", value)]), "", "http"), 1000, HttpVersion11)


@pytest.mark.parametrize("value", ["a\x00", "\x1f", "é\x7f", "é\udc80", "\ud800", "\x0b", "a\rb", "a\nb"])
def test_what_is_no_text_is_refused(value: str) -> None:
    with pytest.raises(Denied, match="control character"):
        check_head(RequestHead("GET", "/a", Headers([("Host", "a"), ("X", value)]), "", "http"), 1000, HttpVersion11)


@pytest.mark.parametrize(("name", "value"), [("Host", "a:\uff11"), ("Host", "a:\u0661"), ("Content-Length", "\u0661")])
def test_digits_are_those_of_ascii(name: str, value: str) -> None:
    lines = [("Host", "a"), (name, value)] if name != "Host" else [(name, value)]
    with pytest.raises(Denied, match=name):
        check_head(RequestHead("GET", "/a", Headers(lines), "", "http"), 1000, HttpVersion11)

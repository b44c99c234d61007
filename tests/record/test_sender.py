"""What the log tells of whoever sent a request: bounded, and no token in it, on both wires alike."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, cast

import pytest

from gateway.record.sender import MAX_HOST_CHARACTERS, MAX_USER_AGENT_CHARACTERS, shown_user_agent, trace_id_of
from tests.machines import key_named
from tests.minting import mint
from tests.processes import refusing_port
from tests.rawpeer import RawUpstream, ask
from tests.running import BEARER, config_for, running, upstream_at

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("curl/8.5.0", "curl/8.5.0", id="plain"),
        pytest.param("x" * 500, "x" * MAX_USER_AGENT_CHARACTERS, id="long"),
        pytest.param("app/1 eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.c2ln (x)", "app/1 (token) (x)", id="token"),
        pytest.param("a" * 195 + "eyJhbGciOiJIUzI1NiJ9", "a" * 195 + "(toke", id="token-at-the-end-is-not-cut-open"),
        pytest.param(f"app/1 {key_named('a')}", "app/1 (token)", id="key-of-a-machine"),
        pytest.param("heyJude/1.0", "h(token)/1.0", id="what-looks-like-one"),
        pytest.param("", "", id="none"),
    ],
)
def test_user_agent_is_bounded_and_holds_no_token(value: str, shown: str) -> None:
    assert shown_user_agent(value) == shown
    assert len(shown_user_agent(mint({"sub": "x"}))) == len("(token)")


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        pytest.param(f"00-{TRACE}-{PARENT}-01", TRACE, id="version-00"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01-what-comes-later", TRACE, id="a-later-version"),
        pytest.param(f"ff-{TRACE}-{PARENT}-01", None, id="forbidden-version"),
        pytest.param(f"00-{'0' * 32}-{PARENT}-01", None, id="all-zero"),
        pytest.param(f"00-{TRACE.upper()}-{PARENT}-01", None, id="upper-case"),
        pytest.param(f"00-{TRACE}-{PARENT}", None, id="cut"),
        pytest.param(f"00-{TRACE}-{PARENT}-01x", None, id="longer"),
        pytest.param("", None, id="none"),
    ],
)
def test_trace_is_that_of_w3c_trace_context(value: str, trace: str | None) -> None:
    assert trace_id_of(value) == trace


SENT = (
    f"Host: agents.example.com:8080\r\nUser-Agent: Mozilla/5.0 (X11)\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n"
).encode()


@pytest.mark.parametrize("is_express", [True, False], ids=["fast", "aiohttp"])
async def test_both_wires_tell_the_same_of_a_sender(is_express: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    async with RawUpstream() as upstream:
        config = replace(config_for(upstream_at(upstream.url)), express=is_express)
        async with running(config) as gateway:
            for _ in range(3):  # the fast wire remembers a head from its second coming
                await ask(gateway.port, b"GET /api/x HTTP/1.1\r\n" + SENT + BEARER + b"\r\n")
            await ask(gateway.port, b"GET /api/x HTTP/1.1\r\n" + SENT + b"\r\n")
            await ask(gateway.port, b"GET /api/x HTTP/1.1\r\nHost: a\r\n" + BEARER + b"\r\n")
    lines = [cast(dict[str, Any], record.msg) for record in caplog.records if record.name == "gateway.access"]
    *good, refused, bare = lines
    for line in (*good, refused):
        assert (line["host"], line["user_agent"]) == ("agents.example.com:8080", "Mozilla/5.0 (X11)")
        assert line["trace_id"] == TRACE
    assert [(line["level"], line.get("upstream")) for line in lines] == [
        *[("info", "default")] * 3,
        ("warning", None),
        ("info", "default"),
    ]
    assert "user_agent" not in bare and "trace_id" not in bare
    assert len(bare["host"]) <= MAX_HOST_CHARACTERS


@pytest.mark.parametrize("is_express", [True, False], ids=["fast", "aiohttp"])
async def test_bad_gateway_names_the_upstream_and_what_to_check(
    is_express: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    with refusing_port() as port:
        async with running(replace(config_for(upstream_at(f"http://127.0.0.1:{port}")), express=is_express)) as gateway:
            status, _, body = await ask(gateway.port, b"GET /public HTTP/1.1\r\nHost: a\r\n\r\n")
    (line,) = [cast(dict[str, Any], record.msg) for record in caplog.records if record.name == "gateway.access"]
    assert status == 502 and b"127.0.0.1" not in body and b"default" not in body
    assert line["level"] == "error" and line["upstream"] == "default"
    assert line["detail"] == (
        f"upstream default at http://127.0.0.1:{port}: the connection is refused: check that it runs, and listens on "
        "that port and address"
    )

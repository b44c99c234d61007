"""What the express lane keeps of a request: nothing secret beyond its own life, whatever the secret is called."""

from __future__ import annotations

import gc
import types
from typing import Any

import pytest

from gateway.express.answers import Answers
from gateway.express.lines import Lines
from gateway.express.requests import Requests
from gateway.express.upstream import UpstreamConnection
from gateway.server import answering
from gateway.server.gateway import Gateway
from gateway.server.lane import Lane
from gateway.server.lane_connection import LaneConnection
from gateway.server.runtime import Runtime
from tests.desk import Desk
from tests.running import BEARER

SECRET_NAMES = [
    "Authorization",
    "X-Authorization",
    "Proxy-Authorization",
    "X-Auth-Token",
    "X-Api-Key",
    "Api-Key",
    "apikey",
    "X-Access-Token",
    "X-CSRF-Token",
    "X-XSRF-TOKEN",
    "X-Amz-Security-Token",
    "Cf-Access-Jwt-Assertion",
    "X-Session-Id",
    "X-Client-Secret",
    "X-Password",
    "X-Hub-Signature-256",
    "X-Goog-Credential",
    "Cookie",
    "Set-Cookie",
    "Sec-WebSocket-Protocol",
    "Referer",
    "Location",
    "Content-Location",
    "WWW-Authenticate",
]
HARMLESS_NAMES = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "User-Agent",
    "Host",
    "Connection",
    "Cache-Control",
    "Content-Type",
    "Content-Length",
    "Date",
    "Server",
    "Vary",
    "Origin",
    "Sec-Fetch-Mode",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Origin",
    "Strict-Transport-Security",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_no_line_is_remembered_that_may_hold_a_secret(name: str) -> None:
    lines = Lines(lambda name: (True, False))
    lines.fields([f"{name}: hidden\r".encode()])
    assert not lines._remembered.known


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_what_is_the_same_in_each_message_is_remembered(name: str) -> None:
    lines = Lines(lambda name: (True, False))
    lines.fields([f"{name}: 1\r".encode()])
    assert lines._remembered.known


def test_no_repr_of_a_head_shows_what_it_says() -> None:
    head = b"GET /x?token=hidden HTTP/1.1\r\nHost: a\r\nCookie: a=hidden\r\n" + BEARER.replace(
        b"Bearer ", b"Bearer hidden"
    )
    request = Requests(lambda name: (True, False)).read(head, "192.0.2.1")
    answer = Answers(lambda name: True).read(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=hidden\r\nX-A: hidden\r\n")
    assert request is not None and answer is not None
    assert "hidden" in str(request.headers.lines) and "hidden" not in repr(request)
    assert "hidden" in str(answer.kept) and "hidden" not in repr(answer)


async def test_stream_holds_nothing_of_its_request(desk: Desk) -> None:
    client, _ = desk.client()
    upstream, _ = desk.upstream()
    client.data_received(
        b"GET /api/x?q=hidden HTTP/1.1\r\nHost: a\r\nCookie: c=hidden\r\nX-Password: hidden\r\n" + BEARER + b"\r\n"
    )
    desk.gateway.cork.flush()
    token = BEARER.split()[-1]
    assert _holds(client._exchange, token), "as long as it may have to be sent again"
    upstream.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    assert client._exchange is not None
    for secret in (b"hidden", token):
        assert not _holds(client._exchange, secret)
    upstream.data_received(b"0\r\n\r\n")
    assert desk.ended == 1


def _holds(start: Any, secret: bytes) -> bool:
    """True if a text with the secret can be reached from an object, without the connections and the gateway."""
    elsewhere = (Gateway, Lane, Runtime, LaneConnection, UpstreamConnection, type, types.ModuleType, types.FunctionType)
    seen: set[int] = set()
    pending = [start]
    while pending:
        one = pending.pop()
        if id(one) in seen or isinstance(one, elsewhere):
            continue
        seen.add(id(one))
        text = one.encode("utf-8", "replace") if isinstance(one, str) else one
        if isinstance(text, bytes) and secret in text:
            return True
        pending += gc.get_referents(one)
    return False


async def test_mistake_in_passing_a_whole_answer_on_ends_its_request(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*arguments: object) -> bytes:
        raise RuntimeError("a mistake")

    client, wire = desk.client()
    upstream, _ = desk.upstream()
    client.data_received(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
    desk.gateway.cork.flush()
    monkeypatch.setattr(answering, "answer_head", fail)
    upstream.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert desk.ended == 1 and wire.is_closing() and not wire.written
    assert desk.gateway.open_requests == 0 and "RuntimeError" in caplog.text


async def test_end_to_a_client_that_is_gone_already_is_no_fault(desk: Desk) -> None:
    # asyncio's own loop says so by an error, where uvloop says nothing.
    def refuse() -> None:
        raise OSError(107, "Transport endpoint is not connected")

    client, wire = desk.client()
    upstream, _ = desk.upstream()
    client.data_received(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n" + b"x" * 200_000)
    desk.gateway.cork.flush()
    assert wire.is_paused
    wire.write_eof = refuse  # type: ignore[method-assign]
    upstream.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    upstream.data_received(b"no chunk\r\n")
    assert wire.is_aborted and desk.ended == 1

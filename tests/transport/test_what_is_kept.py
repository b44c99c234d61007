"""What the fast wire keeps of a request: nothing secret beyond its own life, whatever the secret is called."""

from __future__ import annotations

import gc
import types
from typing import Any, cast

import pytest

from gateway.http1.fields import Field, Lines
from gateway.http1.request import Requests
from gateway.http1.response import ResponseRead, Responses
from gateway.policy.fields import HeaderRules
from gateway.proxy.runtime import Runtime
from gateway.server.gateway import Gateway
from gateway.transport.client import ClientConnection
from gateway.transport.listener import Listener
from gateway.transport.upstream import UpstreamConnection
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
    row = f"{name}: hidden\r".encode()
    lines = Lines(lambda name: (True, False))
    for _ in range(4):
        lines.fields([row])
        lines.parts([row])
    assert not lines._remembered.known
    assert [(one.value, one.line) for one in lines._names.known.values()] == [("", f"{name}: ".encode())]


@pytest.mark.parametrize("name", ["X-Edge", "x-edge", "X_Edge", "X.Edge"])
def test_no_token_is_remembered_where_a_provider_reads_one_whatever_the_header_is_called(name: str) -> None:
    requests = Requests(HeaderRules((), (), ("x-edge",)).passing)
    for _ in range(8):
        request = requests.read(f"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n{name}: hidden\r\n".encode(), "192.0.2.1")
        assert request is not None and (name, "hidden") in request.headers.lines
    del request
    assert _holds(requests, b"*/*")
    assert not _holds(requests, b"hidden")


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_nothing_secret_can_be_reached_from_what_has_read_heads(name: str) -> None:
    # However often they came: what is remembered of a head is its form, without the values of such lines.
    requests, responses = Requests(lambda name: (True, False)), Responses(lambda name: True)
    for number in range(8):
        lines = f"Host: a\r\nAccept: */*\r\nX-N: {number // 3}\r\n{name}: hidden\r\nReferer: /{number}\r\n".encode()
        for bearer in (b"", BEARER if name != "Authorization" else b""):
            request = requests.read(b"GET /hidden HTTP/1.1\r\n" + lines + bearer, "192.0.2.1")
            assert request is not None and "hidden" in str(request.headers.lines)
        assert responses.read(b"HTTP/1.1 200 OK\r\n" + lines) is not None
    assert requests._forms.known and _holds(requests, b"*/*")
    for reader in (requests, responses):
        assert not _holds(reader, b"hidden") and not _holds(reader, BEARER.split()[-1])


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_what_is_the_same_in_each_message_is_remembered(name: str) -> None:
    lines = Lines(lambda name: (True, False), is_of_responses=True)
    for _ in range(3):
        lines.fields([f"{name}: 1\r".encode()])
    assert lines._remembered.known


def test_no_repr_of_a_head_shows_what_it_says() -> None:
    head = b"GET /x?token=hidden HTTP/1.1\r\nHost: a\r\nCookie: a=hidden\r\n" + BEARER.replace(
        b"Bearer ", b"Bearer hidden"
    )
    request = Requests(lambda name: (True, False)).read(head, "192.0.2.1")
    answer = Responses(lambda name: True).read(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=hidden\r\nX-A: hidden\r\n")
    assert request is not None and answer is not None
    assert "hidden" in str(request.headers.lines) and "hidden" not in repr(request)
    assert "hidden" in str(answer.forwarded) and "hidden" not in repr(answer)


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
    wires = (Gateway, Listener, Runtime, ClientConnection, UpstreamConnection)
    elsewhere = (*wires, type, types.ModuleType, types.FunctionType)
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
    caplog: pytest.LogCaptureFixture,
) -> None:
    client, wire = desk.client()
    upstream, _ = desk.upstream()
    client.data_received(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
    desk.gateway.cork.flush()
    fields = [cast(Field, None)]  # a mistake of our own
    desk.pool.read = lambda head: ResponseRead(200, b"OK", fields, 2, False, True, None)
    upstream.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    desk.gateway.cork.flush()
    assert desk.ended == 1 and wire.written.startswith(b"HTTP/1.1 500 ")
    assert desk.gateway.open_requests == 0 and "failed" in caplog.text


async def test_end_to_a_client_that_is_gone_already_is_no_fault(desk: Desk) -> None:
    # asyncio's own loop says so by an error, where uvloop says nothing.
    def refuse() -> None:
        raise OSError(107, "Transport endpoint is not connected")

    client, wire = desk.client()
    upstream, _ = desk.upstream()
    client.data_received(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n" + b"x" * 200_000)
    desk.gateway.cork.flush()
    assert wire.is_paused
    wire.write_eof = refuse  # type: ignore[method-assign]  # this wire only
    upstream.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    upstream.data_received(b"no chunk\r\n")
    assert wire.is_aborted and desk.ended == 1

"""Each engine with a real gateway deciding: streams, sockets, uploads, who leaves, who dies."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import jwt
import pytest

from tests.engines.conftest import BEARER, SIGNING, Stage, request_bytes, stage_of, streaming
from tests.engines.programs import Engine
from tests.security.bench import HANDSHAKE
from tests.security.rig import Script, connected, first_answer

pytestmark = pytest.mark.engines
WAIT_SECONDS = 20.0
_KIB = 1024


def _read_until(connection: socket.socket, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        piece = connection.recv(65536)
        assert piece, f"ended before {wanted!r}: {data!r}"
        data += piece
    return data


def test_what_is_allowed_passes_and_nothing_else(stage: Stage) -> None:
    stage.upstream.take()
    assert stage.ask("GET /public/x").status == 200
    assert stage.ask("GET /api/x?a=b%20c&d", BEARER).status == 200
    assert [request.target for request in stage.upstream.take()] == ["/public/x", "/api/x?a=b%20c&d"]
    refused = stage.ask("GET /api/x")
    assert refused.status == 401
    assert (refused.header("WWW-Authenticate") or "").startswith("Bearer ")
    assert refused.raw.lower().count(b"www-authenticate:") == 1
    assert b'"code":"token_missing"' in refused.body
    assert refused.header("X-Request-Id")
    assert refused.header("Cache-Control") == "no-store"
    assert stage.ask("GET /api/x", BEARER[:-3]).status == 401
    assert stage.upstream.take() == []


def test_every_status_of_a_refusal_reaches_the_client_with_its_body(stage: Stage) -> None:
    stage.upstream.take()
    none = stage.ask("GET /nowhere")
    assert (none.status, b'"code":"' in none.body) == (404, True)
    method = stage.ask("POST /read", BEARER, body="x")
    assert (method.status, method.header("Allow")) == (405, "GET, HEAD")
    near = stage.ask("GET /API/x", BEARER)
    assert (near.status, b'"code":"' in near.body) == (400, True)
    assert stage.upstream.take() == []


def test_the_upstream_is_told_who_asks_and_nothing_that_the_client_made_up(stage: Stage) -> None:
    stage.upstream.take()
    forged = [
        "X-Auth-Subject: evil", "Remote-User: evil", "X-Forwarded-For: 6.6.6.6", "X-Original-URL: /evil",
        # What engines and decisions tell each other.
        "X-Gateway-Peer: 6.6.6.6", "X-Gateway-Upstream: evil", "X-Gateway-Target: /evil", "X-Original-URI: /evil",
        "X-Original-Method: EVIL", "X-Forwarded-Uri: /evil", "X-Forwarded-Method: EVIL", "X-Forwarded-Host: evil",
    ]  # fmt: skip
    assert stage.ask("GET /api/x", BEARER, *forged).status == 200
    [seen] = stage.upstream.take()
    assert b"evil" not in seen.raw.lower()
    assert b"6.6.6.6" not in seen.raw
    assert seen.all("X-Auth-Subject") == ["user-1"]
    assert seen.all("X-Auth-Email") == ["alice@example.com"]
    assert seen.all("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.all("X-Forwarded-Proto") == ["http"]
    assert len(seen.all("X-Request-Id")) == 1
    assert not [name for name, _ in seen.fields if name.lower().startswith(("x-gateway-", "x-envoy-"))]
    [authorization] = seen.all("Authorization")
    claims = jwt.decode(authorization.removeprefix("Bearer "), SIGNING, ["HS256"])
    assert (claims["iss"], claims["sub"]) == ("mastra-gateway", "user-1")


def test_a_token_in_a_header_of_its_own_is_asked_about_and_taken_out(stage: Stage) -> None:
    stage.upstream.take()
    token = BEARER.rpartition(" ")[2]
    for line in (f"X-Edge-Assertion: {token}", f"x-edge-assertion: Bearer {token}"):
        assert stage.ask("GET /api/x", line, "Cookie: session=evil").status == 200
        [seen] = stage.upstream.take()
        assert token.encode() not in seen.raw and b"evil" not in seen.raw
        assert seen.all("X-Auth-Subject") == ["user-1"]
    for lines in ((line, line), (line, BEARER), (f"X-Edge-Assertion: {token}, {token}",)):
        assert stage.ask("GET /api/x", *lines).status == 400
    assert stage.ask("GET /api/x", "X-Edge-Assertion: evil").status == 401
    assert stage.upstream.take() == []
    # On a public route of an upstream that is told by us alone.
    assert stage.ask("GET /plain/x", "X-Edge-Assertion: evil").status == 200
    [seen] = stage.upstream.take()
    assert b"evil" not in seen.raw


def test_a_constant_goes_with_every_request_and_is_no_clients_to_say(stage: Stage) -> None:
    stage.upstream.take()
    for request, *lines in (("GET /api/x", BEARER), ("GET /plain/x",), ("POST /api/x", BEARER)):
        for forged in ("X-Upstream-Key: evil", "x-upstream-key: evil", "X-Other: 1"):
            assert stage.ask(request, *lines, forged).status == 200
            [seen] = stage.upstream.take()
            assert seen.all("X-Upstream-Key") == ["a {constant} $of %the; 'file'"]
    printed = "".join(path.read_text(encoding="utf-8") for path in stage.front.files.iterdir() if path.is_file())
    assert "constant}" not in printed


def test_the_cookie_that_was_the_credential_is_taken_out(stage: Stage) -> None:
    stage.upstream.take()
    token = BEARER.rpartition(" ")[2]
    assert stage.ask("GET /api/x", f"Cookie: a=1; session={token}; b=2").status == 200
    [seen] = stage.upstream.take()
    assert token.encode() not in seen.raw
    assert seen.all("Cookie") == ["a=1; b=2"]


def test_a_body_goes_on_as_it_came(stage: Stage) -> None:
    stage.upstream.take()
    assert stage.ask("POST /api/x", BEARER, body="hello" * 1000).status == 200
    chunked = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    data = request_bytes("POST /api/y", BEARER, "Transfer-Encoding: chunked") + chunked.encode()
    with connected(stage.port) as connection:
        connection.sendall(data)
        assert first_answer(connection).status == 200
    assert [request.body for request in stage.upstream.take()] == [b"hello" * 1000, b"hello world"]


def test_events_arrive_one_by_one(stage: Stage) -> None:
    gate = threading.Event()
    stage.upstream.scripts["/public/stream"] = Script(streaming(b"data: 1\n\n", b"data: 2\n\n"), gate=gate)
    with connected(stage.port) as connection:
        connection.sendall(request_bytes("GET /public/stream"))
        # The upstream says no more until the client has this.
        _read_until(connection, b"data: 1\n\n")
        gate.set()
        _read_until(connection, b"data: 2\n\n")
        gate.set()
        _read_until(connection, b"0\r\n\r\n")


def test_an_upload_streams(stage: Stage) -> None:
    began = len(stage.upstream.first_lines)
    with connected(stage.port) as connection:
        head = request_bytes("POST /api/upload", BEARER, f"Content-Length: {2 * _KIB}")
        connection.sendall(head + b"a" * _KIB)
        _poll(lambda: any(b"/api/upload" in line for line in stage.upstream.first_lines[began:]))
        connection.sendall(b"b" * _KIB)
        assert first_answer(connection).status == 200


def test_a_websocket_passes_where_the_route_has_it(stage: Stage) -> None:
    switched = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    stage.upstream.scripts["/api/socket"] = Script((switched,), then="echo")
    stage.upstream.take()
    assert stage.ask("GET /api/socket", *HANDSHAKE).status == 401
    assert stage.ask("GET /plain/socket", *HANDSHAKE).status == 403
    assert stage.upstream.take() == []
    with connected(stage.port) as connection:
        connection.sendall(request_bytes("GET /api/socket", BEARER, *HANDSHAKE))
        head = _read_until(connection, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        frame = b"\x81\x85\x00\x00\x00\x00hello"
        connection.sendall(frame)
        _read_until(connection, frame)


def test_a_client_that_leaves_is_noticed_while_the_upstream_thinks(stage: Stage) -> None:
    stage.upstream.scripts["/public/thinking"] = Script((), then="hang")
    with connected(stage.port) as connection:
        connection.sendall(request_bytes("GET /public/thinking"))
        _poll(lambda: any(b"/public/thinking" in line for line in stage.upstream.first_lines))
    _poll(lambda: stage.upstream.ends["/public/thinking"] > 0)


def test_a_client_that_leaves_a_stream_is_noticed(stage: Stage) -> None:
    stage.upstream.scripts["/public/endless"] = Script(streaming(b"data: 1\n\n")[:1], then="hang")
    with connected(stage.port) as connection:
        connection.sendall(request_bytes("GET /public/endless"))
        _read_until(connection, b"data: 1\n\n")
    _poll(lambda: stage.upstream.ends["/public/endless"] > 0)


def test_an_upload_that_is_refused_hears_so_while_it_is_still_sending(stage: Stage) -> None:
    stage.upstream.take()
    whole = 64 * 1024 * _KIB
    with connected(stage.port) as connection:
        connection.sendall(request_bytes("POST /api/upload", f"Content-Length: {whole}"))
        sent = 0
        # Caddy and Traefik read 256 KiB before they answer.
        connection.settimeout(0.2)
        answer = b""
        while not answer and sent < 1024 * _KIB:
            try:
                sent += connection.send(b"x" * 64 * _KIB)
            except TimeoutError:
                pass
            except OSError:
                break
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 401 "), (sent, answer)
    assert stage.upstream.take() == []


def test_nothing_passes_while_nobody_decides(engine: Engine, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stage = stage_of(stack, engine, tmp_path)
        assert stage.ask("GET /api/x", BEARER).status == 200
        stage.upstream.take()
        os.kill(stage.front.gateway.pid, signal.SIGKILL)
        for request in ("GET /public/x", "GET /api/x", "POST /api/x"):
            answer = stage.ask(request, BEARER)
            assert answer.status in (500, 502, 503), answer.raw
        assert stage.upstream.take() == []


def _poll(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "did not come"
        time.sleep(0.02)  # polls another process

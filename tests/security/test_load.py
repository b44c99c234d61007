"""What is large, endless or long-lived, one at a time; floods are in test_storms.py."""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.security.bench import HANDSHAKE, Bench
from tests.security.casebook import Case, cases
from tests.security.forge import token_for
from tests.security.judge import EVIL, Reached, judge_refusal
from tests.security.rig import Answer, Script, connected, exchange, first_answer
from tests.security.tally import Tally

SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: {accept}\r\n\r\n"
)
WEBSOCKETS = cases("websocket")


def bearer() -> str:
    """Return a good token's header line."""
    return f"Authorization: Bearer {token_for({}, time.time())}\r\n"


@pytest.mark.parametrize("case", WEBSOCKETS, ids=str)
def test_websocket(bench: Bench, tally: Tally, case: Case) -> None:
    with tally.of(case):
        target, now = case.spec["target"], time.time()
        if case.spec["expect"] == 101:
            bench.upstream.scripts[target] = Script((SWITCHING,), "echo")
        bench.upstream.take()
        token = token_for(case.spec["token"], now) if "token" in case.spec else None
        spec = {**case.spec, "headers": [*HANDSHAKE, *case.spec.get("headers", [])]}
        spec["target"] = bench.filled(target, now)
        try:
            with connected(bench.ports["main"]) as client:
                client.sendall(bench.request(spec, token, now))
                judge_handshake(bench, case, client)
        finally:
            bench.upstream.scripts.pop(target, None)


def judge_handshake(bench: Bench, case: Case, client: socket.socket) -> None:
    if case.spec["expect"] != 101:
        answer = first_answer(client)
        seen = bench.upstream.take()
        if answer.status == 101 or any(request.all("Upgrade") for request in seen):
            raise Reached(f"a tunnel was opened: {answer.raw!r}")
        judge_refusal(answer)
        assert seen == []
        assert answer.status in case.spec["expect"], answer.raw
        return
    assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    for frame in (b"\x81\x85\x01\x02\x03\x04" + b"iggko", b"\x82\x82\0\0\0\0\xff\0"):
        client.sendall(frame)
        assert client.recv(len(frame), socket.MSG_WAITALL) == frame, "text and binary frames come back as they were"
    (handshake,) = bench.upstream.take()
    if EVIL.search(handshake.raw):
        raise Reached(f"the client's own words went up: {handshake.raw!r}")


def read_until(client: socket.socket, end: bytes) -> bytes:
    """Return what comes up to and with `end`."""
    data = b""
    while not data.endswith(end):
        piece = client.recv(1)
        assert piece, data
        data += piece
    return data


@pytest.mark.parametrize("framing", ["Content-Length: 67108864", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("target", ["/api/x", "/nowhere", "/jwt/../x"])
def test_strangers_do_not_get_to_upload(bench: Bench, tally: Tally, framing: str, target: str) -> None:
    name = f"load.body.unauth[{framing}-{target}]"
    with tally.of(Case(name, "load", True, {})), connected(bench.ports["main"]) as client:
        bench.upstream.take()
        # What the client's own kernel keeps on the way is not what the gateway took.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        client.sendall(f"POST {target} HTTP/1.1\r\nHost: gw.test\r\n{framing}\r\n\r\n".encode())
        taken = 0
        with contextlib.suppress(OSError):
            while taken < 64 * 1024 * 1024:
                taken += client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert taken < 2 * 1024 * 1024, f"{taken} bytes of a stranger were taken"
        answer = first_answer(client)
        assert answer.status in (400, 401, 404), answer.raw
        if bench.upstream.take():
            raise Reached("the upload reached the upstream")


def test_compressed_body_goes_up_as_it_is(bench: Bench, tally: Tally) -> None:
    # A bomb that would inflate to 100 MB: CWE-409; CVE-2025-69223.
    with tally.of(Case("load.body.gzip-bomb", "load", True, {})):
        body = gzip.compress(bytes(100_000_000), 9)
        head = (
            f"POST /jwt/x HTTP/1.1\r\nHost: gw.test\r\n{bearer()}Content-Encoding: gzip\r\nContent-Length: {len(body)}"
        )
        bench.upstream.take()
        assert exchange(bench.ports["main"], head.encode() + b"\r\n\r\n" + body).status == 200
        (seen,) = bench.upstream.take()
        assert seen.body == body
        assert seen.all("Content-Encoding") == ["gzip"]


def test_events_arrive_one_by_one(bench: Bench, tally: Tally) -> None:
    with tally.of(Case("load.sse.incremental", "load", False, {})):
        events = [b"%x\r\ndata: %d\n\n\r\n" % (len(b"data: 1\n\n"), number) for number in range(4)]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        gate = threading.Event()
        bench.upstream.scripts["/jwt/events"] = Script((head + events[0], *events[1:], b"0\r\n\r\n"), "keep", gate)
        with connected(bench.ports["main"]) as client:
            client.sendall(f"GET /jwt/events HTTP/1.1\r\nHost: gw.test\r\n{bearer()}\r\n".encode())
            for number in range(4):
                # The upstream sends the next one only after this one was seen here.
                assert read_until(client, b"\n\n\r\n").endswith(b"data: %d\n\n\r\n" % number)
                gate.set()
            assert read_until(client, b"0\r\n\r\n")


def test_client_that_leaves_ends_the_upstreams_stream(bench: Bench, tally: Tally) -> None:
    with tally.of(Case("load.sse.disconnect", "load", True, {})):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
        bench.upstream.scripts["/jwt/abandoned"] = Script((head,), "hang")
        with connected(bench.ports["main"]) as client:
            client.sendall(f"GET /jwt/abandoned HTTP/1.1\r\nHost: gw.test\r\n{bearer()}\r\n".encode())
            read_until(client, b"x\r\n")
        deadline = time.monotonic() + 2
        while not bench.upstream.ends["/jwt/abandoned"]:
            if time.monotonic() > deadline:
                raise Reached("an abandoned run goes on, and costs")
            time.sleep(0.01)  # polls another thread


def test_upstream_that_is_not_there(bench: Bench, tally: Tally) -> None:
    with tally.of(Case("load.upstream.refused", "load", False, {})):
        answer = exchange(bench.ports["main"], f"GET /closed/x HTTP/1.1\r\nHost: gw.test\r\n{bearer()}\r\n".encode())
        assert answer.status == 502
        judge_refusal(answer)


@pytest.mark.parametrize("token", [None, "x.y.z", "expired"])
def test_each_401_has_a_challenge_and_repeats_nothing(bench: Bench, tally: Tally, token: str | None) -> None:
    script = "<script>alert(1)</script>"
    with tally.of(Case("jwt.answer.no-reflection", "jwt", True, {})):
        text = (
            token_for({"kid": script, "claims": {"exp": 1, "sub": script}}, time.time())
            if token == "expired"
            else token
        )
        line = f"Authorization: Bearer {text}\r\n" if text else ""
        request = f"GET /jwt/x?{script}=1 HTTP/1.1\r\nHost: gw.test\r\nX-{'s' * 20}: {script}\r\n{line}\r\n"
        answer = exchange(bench.ports["main"], request.encode())
        assert answer.status == 401
        assert b"<script" not in answer.raw and b"alert(" not in answer.raw
        assert re.match(r'Bearer realm="', answer.header("WWW-Authenticate") or "")
        judge_refusal(answer)


def test_many_callers_at_once_never_speak_for_each_other(bench: Bench, tally: Tally) -> None:
    # No cross-talk between concurrent requests (CWE-488).
    with tally.of(Case("header.mix.concurrent-users", "header", True, {})), ThreadPoolExecutor(40) as pool:
        bench.upstream.take()
        users = [f"caller-{number}" for number in range(20)]
        tokens = {user: token_for({"claims": {"sub": user, "email": f"{user}@a.test"}}, time.time()) for user in users}

        def call(user: str) -> Answer:
            lines = f"Host: gw.test\r\nAuthorization: Bearer {tokens[user]}\r\n\r\n"
            return exchange(bench.ports["main"], f"GET /jwt/{user} HTTP/1.1\r\n{lines}".encode())

        assert all(answer.status == 200 for answer in pool.map(call, users * 10))
        seen = bench.upstream.take()
        assert len(seen) == 200
        for request in seen:
            user = request.target.removeprefix("/jwt/")
            if request.all("X-Auth-User-Id") != [user] or request.all("X-Auth-Email") != [f"{user}@a.test"]:
                raise Reached(f"{user} was {request.all('X-Auth-User-Id')}, {request.all('X-Auth-Email')}")

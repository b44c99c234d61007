"""The two wires: nobody can tell them apart."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from dataclasses import replace
from typing import Any

import pytest

from gateway.config.model import Address, Config, Cors, Limits
from gateway.policy.upstreams import Identity
from tests.configuring import read as read_config
from tests.minting import SECRET, mint
from tests.rawpeer import RawClient, RawUpstream, Visit
from tests.running import BEARER, config_for, running, upstream_at

# The two wires are compared here: with the fast one switched off for the whole run there is but one.
needs_fast_wire = pytest.mark.skipif(os.environ.get("GATEWAY_EXPRESS") == "off", reason="the fast wire is switched off")
TOKEN = mint({"sub": "user-1", "email": "alice@example.com", "plan": "gold"})
BAD = mint({"sub": "user-1"}, b"another secret of thirty-two bytes")
REQUESTS = [
    b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /public/x?q=1&b=[2] HTTP/1.1\r\nHost: a:80\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=b; c=d\r\n\r\n",
    b"HEAD /public/x HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    b"DELETE /public/x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"PUT /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /api/x HTTP/1.1\r\nHost: a\r\n" + BEARER + b"\r\n",
    b"GET /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "
    + TOKEN.encode()
    + b"\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    b"GET /api/x HTTP/1.1\r\nHost: a\r\nX-Auth-Subject: root\r\nx_auth_email: root\r\n" + BEARER + b"\r\n",
    b"GET /api/x HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nVia: 1.1 b\r\nForwarded: for=x\r\n" + BEARER + b"\r\n",
    b"GET /api/x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\n" + BEARER + b"\r\n",
    b"GET /api/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + BEARER + b"\r\n",
    b"GET /api/x HTTP/1.1\r\nHost: a\r\nConnection: x-secret\r\nX-Secret: 1\r\n" + BEARER + b"\r\n",
    b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /api/x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + BAD.encode() + b"\r\n\r\n",
    b"GET /api/x HTTP/1.1\r\nHost: a\r\n" + BEARER + BEARER + b"\r\n",
    b"POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /api/../x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /%61pi/x HTTP/1.1\r\nHost: a\r\n" + BEARER + b"\r\n",
    b"OPTIONS /public/x HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n"
    b"Access-Control-Request-Method: GET\r\n\r\n",
    b"GET /public/x HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n\r\n",
    b"GET /public/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nUpgrade: h2c\r\nTE: trailers\r\n\r\n",
    b"GET /public/x HTTP/1.0\r\n\r\n",
    b"BREW /public/x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /public/x HTTP/1.1\r\nHost: a\r\n" + BEARER + b"Accept: */*\r\n\r\n",
    b"GET /public/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer  two  \r\nX-Request-ID: \r\nx-request-id: 7\r\n\r\n",
    b"POST /api/x HTTP/1.1\r\nHost: a\r\n" + BEARER + b"x-request-id: 7\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    *(
        b"POST /%b/x HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\nReferer: https://app.example.com/%d\r\n"
        b"Content-Length: 2\r\nCookie: a=%d; mastra-token=x; b=c\r\n%b\r\nok" % (place, number, number, BEARER)
        for number, place in enumerate((b"public", b"api", b"api"))
    ),
    *(
        b"GET /public/x HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\n" + b"X: y\r\n" * lines + b"\r\n"
        for lines in (252, 253, 254, 255)
    ),
]
TWICE_AND_AGAIN = REQUESTS * 3  # what has come twice is known, and must mean the same
ANSWERS: list[bytes] = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nok",
    b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n3\r\nyes\r\n0\r\nTrailer: 1\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nX-Request-Id: theirs\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Name: caf\xc3\xa9 \xff\r\nVary: Accept\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Content-Length: 2\r\n\r\nok",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"",
]
_OWN = re.compile(rb'(?<=X-Request-Id: )[0-9a-f]{32}|(?<="request_id":")[0-9a-f]{32}')

_SIGNED = re.compile(rb"(?<=Authorization: Bearer )eyJ[^\r]+")  # holds the moment at which it was signed


async def seen_by_all(config: Config, answer: bytes, upstream: RawUpstream) -> list[tuple[bytes, bytes]]:
    """Return what each client got and what the upstream got of it, without our ids."""
    found: list[tuple[bytes, bytes]] = []
    async with running(config) as gateway:
        for request in TWICE_AND_AGAIN:
            before = len(upstream.visits)
            async with RawClient.connect(gateway.port) as client:
                await client.send(request if b"Connection: close" in request else _closing(request))
                got = await client.rest()
            visits = upstream.visits[before:]
            told = b"".join(visit.head for visit in visits)
            if config.upstreams[0].identity.authorization == "sign":
                told = _SIGNED.sub(b"SIGNED NOW", told)
            found.append((_OWN.sub(b"ID", got), _OWN.sub(b"ID", told)))
    return found


def _closing(request: bytes) -> bytes:
    """Ask for the end of the connection, so that the whole answer can be read."""
    if b"Connection:" in request or b"HTTP/1.0" in request:
        return request + b"GET /public/end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


SETTINGS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("plain", {}, {}),
    ("cors", {"cors": Cors(frozenset({"https://app.example.com"}), credentials=True)}, {}),
    ("strip", {}, {"identity": Identity("strip", headers=upstream_at("http://x").identity.headers)}),
    ("sign", {}, {"identity": Identity("sign", secret=SECRET)}),
]


_TELLING = (0, 4)  # answers that the settings bear upon
CASES = [
    pytest.param(
        *settings,
        answer,
        id=f"{name}-{number}",
        marks=() if name == "plain" or number in _TELLING else pytest.mark.slow,
    )
    for name, *settings in SETTINGS
    for number, answer in enumerate(ANSWERS)
]


@pytest.mark.parametrize(("config", "upstream_settings", "answer"), CASES)
@needs_fast_wire
async def test_nobody_can_tell_the_wires_apart(
    config: dict[str, Any], upstream_settings: dict[str, Any], answer: bytes
) -> None:
    async def script(visit: Visit) -> None:
        await visit.read_body()
        end = answer.find(b"\r\n\r\n", answer.rfind(b"HTTP/1.")) + 4
        await visit.send(answer[:end] if visit.head.startswith(b"HEAD ") and answer else answer)
        visit.close()

    async with RawUpstream(script) as upstream:
        whole = config_for(upstream_at(upstream.url, **upstream_settings), **config)
        wires = [await seen_by_all(replace(whole, express=on), answer, upstream) for on in (True, False)]
    for request, express, reference in zip(TWICE_AND_AGAIN, *wires, strict=True):
        assert express == reference, request


@needs_fast_wire
async def test_aiohttp_wire_takes_one_request_and_gives_the_connection_back() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            for lines in (b"", b"TE: trailers\r\n", b"", b"Expect: 100-continue\r\n", b""):
                await client.send(b"GET /public/x HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
                assert (await client.answer())[0] == 200
    assert gateway.metrics.wires == {"fast": 3, "aiohttp": 2}


async def test_requests_in_one_packet_are_answered_in_turn_on_whichever_wire() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        many = [
            b"GET /public/%d HTTP/1.1\r\nHost: a\r\n%b\r\n" % (n, b"TE: x\r\n" if n == 2 else b"") for n in range(5)
        ]
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"".join(many))
            for _ in many:
                assert (await client.answer())[0] == 200
    assert [visit.target for visit in upstream.visits] == [f"/public/{n}" for n in range(5)]


async def test_head_in_many_pieces_is_served() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            for byte in b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n":
                await client.send(bytes([byte]))
            assert (await client.answer())[0] == 200


async def test_switch_turns_the_fast_wire_off() -> None:
    text = "upstream: http://127.0.0.1:9\nlisten: 127.0.0.1:0\nexpress: false\nroutes: {/api: {public: true}}"
    config = read_config(text)
    async with running(config) as gateway:
        assert gateway.listener is not None and not gateway.listener.is_fast


@needs_fast_wire
async def test_idle_connections_to_the_upstream_are_closed_in_time() -> None:
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.answer()
        pool = gateway.pools["default"]
        assert len(pool._idle) == 1
        pool._idle[0].idle_since -= 4.5  # Node closes after 5 s: ours close first
        pool.sweep()
        assert not pool._idle and pool.take().transport is None


async def test_client_that_is_still_sending_gets_an_early_answer_whole() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!")
        await visit.wait_for_client_to_leave()

    async with RawUpstream(script) as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 50_000)
            got = await client.rest()
            await client.send(b"x" * 50_000)  # not refused: it is read, and thrown away
    assert got.startswith(b"HTTP/1.1 413") and got.endswith(b"no!")


@needs_fast_wire
async def test_upload_that_the_upstream_does_not_take_is_not_the_clients_fault() -> None:
    goes_on = asyncio.Event()

    async def script(visit: Visit) -> None:
        await goes_on.wait()
        body = await visit.read_body()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d" % (len(str(len(body))), len(body)))

    limits = Limits(body_idle_timeout_seconds=20.0)
    size = 8_000_000
    async with RawUpstream(script) as upstream:
        patient = upstream_at(upstream.url, response_timeout_seconds=200.0)
        async with running(config_for(patient, limits=limits)) as gateway:
            async with RawClient.connect(gateway.port) as client:
                head = b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
                sending = asyncio.create_task(client.send(head + b"x" * size))
                assert gateway.listener is not None
                while not (held := [c for c in gateway.listener.connections if c.is_upload_held]):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # polls buffers that fill
                left_seconds = held[0].deadline - asyncio.get_running_loop().time()
                assert left_seconds > 100, "it is the upstream's time that runs, not the client's"
                goes_on.set()
                await sending
                status, _, body = await client.answer()
    assert (status, body) == (200, b"%d" % size)


@pytest.mark.parametrize("is_answering", [True, False])
async def test_end_of_the_drain_is_told_as_such(is_answering: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    asked = asyncio.Event()

    async def script(visit: Visit) -> None:
        if is_answering:
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        asked.set()
        await visit.wait_for_client_to_leave()

    async with RawUpstream(script) as upstream:
        config = config_for(upstream_at(upstream.url), drain_timeout_seconds=0.05)
        async with running(config) as gateway, RawClient.connect(gateway.port) as client:
            await client.send(REQUESTS[0])
            await asked.wait()
            if is_answering:
                await client.head()
            await gateway.drain()
            got = await client.rest()
    assert got == b"half" if is_answering else got.startswith(b"HTTP/1.1 503")
    (line,) = [record.msg for record in caplog.records if record.name == "gateway.access"]
    assert isinstance(line, dict) and (line["ended"], line["code"]) == ("shut_down", "shutting_down")


_EDGE = """
    upstreams:
      default: {{url: {url}, headers: {{X-Upstream-Key: "text:a constant"}}}}
    providers:
      edge: {{type: jwt, secret: {secret}, expiry: optional, token_from: [bearer, {{header: X-Edge-Assertion}}]}}
    routes:
      /public: {{public: true}}
      /api: {{provider: edge, allow: authenticated}}
"""
_EDGE_LINES = [
    [f"X-Edge-Assertion: {TOKEN}"],
    [f"x-edge-assertion: Bearer {TOKEN}", "Authorization: Basic eA=="],
    [f"X-Edge-Assertion: {TOKEN}", f"X-Edge-Assertion: {TOKEN}"],
    [f"X-Edge-Assertion: {TOKEN}", f"Authorization: Bearer {TOKEN}"],
    [f"Authorization: Bearer {TOKEN}", "X_Edge_Assertion: x", "X.Edge.Assertion: x"],
    [f"X-Edge-Assertion: {BAD}"],
    [f"X-Edge-Assertion: {TOKEN}", "X-Upstream-Key: mine", "x_upstream.key: mine"],
    ["X-Edge-Assertion: nothing of ours"],
]


@needs_fast_wire
async def test_nobody_can_tell_the_wires_apart_by_tokens_in_headers_and_constants() -> None:
    requests = [
        "\r\n".join([f"GET /{place}/{number} HTTP/1.1", "Host: a", *lines, "", ""]).encode()
        for place in ("api", "public")
        for number, lines in enumerate(_EDGE_LINES)
    ] * 3
    found = []
    async with RawUpstream() as upstream:
        for express in (True, False):
            config = read_config(_EDGE.format(url=upstream.url, secret=SECRET.decode()))
            listening = replace(config, express=express, listen=Address("127.0.0.1", 0), admin=None)
            async with running(listening) as gateway:
                answers = []
                for request in requests:
                    before = len(upstream.visits)
                    async with RawClient.connect(gateway.port) as client:
                        await client.send(request)
                        status, _, _ = await client.answer()
                    told = [_OWN.sub(b"ID", visit.head) for visit in upstream.visits[before:]]
                    answers.append((status, told))
                found.append(answers)
    assert found[0] == found[1]
    statuses = [status for status, _ in found[0][: len(_EDGE_LINES)]]
    assert statuses == [200, 200, 400, 400, 200, 401, 200, 401]
    for _, told in found[0]:
        assert all(head.count(b"X-Upstream-Key: a constant\r\n") == 1 and b"mine" not in head for head in told)

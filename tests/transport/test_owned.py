"""Things with owners through a running gateway: bodies held whole, look-ups, and what an upstream hears of both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from gateway.config.model import Limits
from gateway.policy.ownership import Ownership
from gateway.policy.routes import Policy
from gateway.proxy.holding import MAX_BODY_BYTES
from gateway.server.gateway import Gateway
from tests.rawpeer import DEADLINE_SECONDS, OK, RawClient, RawUpstream, Script, Visit, answer_ok, ask
from tests.running import BEARER, config_for, running, upstream_at

THREAD = "/api/memory/threads/t1"
RUN = "/api/workflows/w/runs/r"
H = b"Host: gw.test\r\n"
JSON = b"Content-Type: application/json\r\n"
BODY = b'{"title":"x"}'
OWNED = b'{"resourceId":"user-1","title":"x"}'


@asynccontextmanager
async def owned(script: Script = answer_ok, **settings: Any) -> AsyncIterator[tuple[Gateway, RawUpstream]]:
    """Run a gateway whose `/api` is kept to the caller's own, in front of an upstream."""
    async with RawUpstream(script) as upstream:
        config = config_for(upstream_at(upstream.url), **settings)
        routes = [
            replace(route, own_things=Ownership()) if route.key == "/api" else route for route in config.policy.routes
        ]
        async with running(replace(config, policy=Policy(routes))) as gateway:
            yield gateway, upstream


def patch(framing: bytes = b"", body: bytes = BODY, target: str = THREAD) -> bytes:
    framing = framing or b"Content-Length: %d\r\n" % len(body)
    return f"PATCH {target} HTTP/1.1\r\n".encode() + H + BEARER + JSON + framing + b"\r\n" + body


def of(owner: str | None, then: Script = answer_ok) -> Script:
    """Return an upstream whose runs are of one owner."""

    async def script(visit: Visit) -> None:
        if "?fields=" not in visit.target:
            await then(visit)
            return
        said = json.dumps({"runId": "r", "resourceId": owner}).encode()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))

    return script


def get(target: str = RUN) -> bytes:
    return f"GET {target} HTTP/1.1\r\n".encode() + H + BEARER + b"\r\n"


async def test_body_goes_on_as_the_owners_however_it_comes() -> None:
    async with owned() as (gateway, upstream), RawClient.connect(gateway.port) as client:
        await client.send(patch())
        assert (await client.answer())[0] == 200
        for piece in (patch()[:-5], patch()[-5:]):
            await client.send(piece)
            await asyncio.sleep(0.02)
        assert (await client.answer())[0] == 200
        await client.send(patch(b"Transfer-Encoding: chunked\r\n", b"3;x=y\r\n" + BODY[:3] + b"\r\n"))
        await asyncio.sleep(0.02)
        rest = b"%x\r\n%b\r\n0\r\nTrailer: no\r\n\r\n" % (len(BODY) - 3, BODY[3:])
        await client.send(rest + patch())  # and the next request behind it
        assert [(await client.answer())[0] for _ in range(2)] == [200, 200]
        await client.send(patch(b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(BODY), b""))
        assert (await client.head()).startswith(b"HTTP/1.1 100 ")
        await client.send(BODY)
        assert (await client.answer())[0] == 200
    assert [visit.body for visit in upstream.visits] == [OWNED] * 5
    for visit in upstream.visits:
        assert visit.header("Content-Length") == str(len(OWNED)) and visit.header("Transfer-Encoding") is None
        assert visit.header("Expect") is None and visit.header("Content-Type") == "application/json"
    assert upstream.connections == 1


async def test_nothing_goes_on_before_all_of_it_is_there() -> None:
    async with owned() as (gateway, upstream), RawClient.connect(gateway.port) as client:
        await client.send(patch()[:-1])
        await asyncio.sleep(0.1)
        assert upstream.connections == 0 and gateway.holding.count == 1
        client.close()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while gateway.holding.count:  # noqa: ASYNC110  # it ends in the gateway, not here
                await asyncio.sleep(0.01)
    assert upstream.connections == 0 and gateway.holding.count_bytes == 0


async def test_large_body_is_held_and_goes_on_byte_for_byte() -> None:
    picture = "y" * (MAX_BODY_BYTES - 200)
    body = json.dumps({"title": picture, "metadata": {"n": "\u00e9"}}).encode()
    async with owned() as (gateway, upstream):
        status, _, _ = await ask(gateway.port, patch(body=body))
        assert status == 200
    assert upstream.visits[0].body == b'{"resourceId":"user-1",' + body[1:]


@pytest.mark.parametrize("framing", [b"Content-Length: %d\r\n" % (MAX_BODY_BYTES + 1), b""])
async def test_too_large_a_body_is_refused_and_the_upstream_hears_nothing(framing: bytes) -> None:
    async with owned() as (gateway, upstream), RawClient.connect(gateway.port) as client:
        await client.send(patch(framing or b"Transfer-Encoding: chunked\r\n", b""))
        if not framing:
            for _ in range(80):
                client.writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        status, head, body = await client.answer()
        assert (status, json.loads(body)["code"]) == (413, "body_too_large")
        assert b"Connection: close" in head
    assert upstream.connections == 0


async def test_upload_that_stops_is_ended_by_its_clock() -> None:
    limits = Limits(body_idle_timeout_seconds=0.2)
    async with owned(limits=limits) as (gateway, upstream), RawClient.connect(gateway.port) as client:
        await client.send(patch()[:-1])
        status, _, body = await client.answer()
        assert (status, json.loads(body)["code"]) == (408, "request_timeout")
    assert upstream.connections == 0


async def test_others_are_refused_after_a_look_up_and_the_owner_streams_as_ever() -> None:
    async def stream(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await visit.send(b"3\r\none\r\n")
        await asyncio.sleep(0.05)
        await visit.send(b"3\r\ntwo\r\n0\r\n\r\n")

    async with owned(of("user-1", stream)) as (gateway, upstream), RawClient.connect(gateway.port) as client:
        await client.send(get())
        await client.head()
        assert [await client.chunk() for _ in range(3)] == [b"one", b"two", b""]
    assert [visit.target for visit in upstream.visits] == [f"{RUN}?fields=error&withNestedWorkflows=false", RUN]
    assert upstream.connections == 1, "asked over the connections of its requests"
    for owner in ("user-2", None, "", "User-1"):
        async with owned(of(owner)) as (gateway, upstream):
            status, _, body = await ask(gateway.port, get())
            assert (status, json.loads(body)["code"]) == (403, "not_owner")
        assert len(upstream.visits) == 1


async def test_client_that_leaves_ends_the_look_up() -> None:
    asked = asyncio.Event()

    async def hang(visit: Visit) -> None:
        asked.set()
        await visit.wait_for_client_to_leave()

    async with owned(hang) as (gateway, upstream), RawClient.connect(gateway.port) as client:
        await client.send(get())
        await asked.wait()
        client.reset()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await upstream.left.wait()
            await gateway.quiet.wait()
    assert len(upstream.visits) == 1


async def test_look_up_that_hangs_ends_with_the_upstreams_own_time_out() -> None:
    async def hang(visit: Visit) -> None:
        await visit.wait_for_client_to_leave()

    async with RawUpstream(hang) as upstream:
        config = config_for(upstream_at(upstream.url, response_timeout_seconds=0.2))
        routes = [replace(route, own_things=Ownership()) for route in config.policy.routes if route.key == "/api"]
        async with running(replace(config, policy=Policy(routes))) as gateway:
            status, _, body = await ask(gateway.port, get())
            assert (status, json.loads(body)["code"]) == (504, "upstream_timeout")
            async with asyncio.timeout(DEADLINE_SECONDS):
                await upstream.left.wait()


async def test_look_up_on_a_connection_that_was_closed_meanwhile_is_asked_once_more() -> None:
    async def close_behind(visit: Visit) -> None:
        await visit.send(OK)
        visit.writer.close()

    async with owned(close_behind) as (gateway, upstream), RawClient.connect(gateway.port) as client:
        await client.send(get("/public/x"))
        assert (await client.answer())[0] == 200
        upstream.script = of("user-1")
        await client.send(get())
        assert (await client.answer())[0] == 200
    assert [visit.target.partition("?")[0] for visit in upstream.visits] == ["/public/x", RUN, RUN]


async def test_no_upstream_is_no_look_up() -> None:
    async with owned() as (gateway, upstream):
        assert upstream._server is not None
        upstream._server.close()
        await asyncio.sleep(0.05)
        status, _, body = await ask(gateway.port, get())
        assert (status, json.loads(body)["code"]) == (502, "upstream_unreachable")


async def test_requests_without_owners_are_not_held() -> None:
    async with owned() as (gateway, upstream), RawClient.connect(gateway.port) as client:
        data = b"POST /public/x HTTP/1.1\r\n" + H + b"Content-Length: 9\r\n\r\n" + b"not"
        await client.send(data)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not upstream.visits:  # noqa: ASYNC110  # a script has no event for the first byte
                await asyncio.sleep(0.01)
        await client.send(b" json ")
        assert (await client.answer())[0] == 200
    assert upstream.visits[0].body == b"not json "


async def test_websocket_of_nobody_is_closed() -> None:
    handshake = (
        b"GET /browser/a/stream HTTP/1.1\r\n" + H + BEARER + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with RawUpstream() as upstream:
        config = config_for(upstream_at(upstream.url))
        api = next(route for route in config.policy.routes if route.key == "/api")
        browser = replace(api, key="/browser", segments=("browser",), own_things=Ownership())
        async with running(replace(config, policy=Policy([browser]))) as gateway:
            status, _, body = await ask(gateway.port, handshake)
            assert (status, json.loads(body)["code"]) == (403, "not_owner")
        async with running(replace(config, policy=Policy([replace(browser, own_things=None)]))) as gateway:
            assert (await ask(gateway.port, handshake))[0] == 200, "the upstream answers, which knows no WebSocket"
    assert len(upstream.visits) == 1

"""Key servers on bad days, seen from a client of the running gateway, with the number of fetches asserted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.config.file import load_text
from gateway.server.gateway import Gateway
from tests.keyserver import KeyServer, private_key
from tests.minting import SECRET, mint
from tests.rawpeer import RawUpstream, ask
from tests.running import WIRE

# Times that let a test see the whole life of a key; what is asserted is counts and answers, never durations.
JWKS = "{ttl: 1h, cooldown: 100ms, timeout: 2s}"


@asynccontextmanager
async def gateway_for(
    idp: KeyServer, jwks: str = JWKS, *, by_discovery: bool = False, has_secret: bool = True
) -> AsyncIterator[Gateway]:
    secret = f'  jobs: {{type: jwt, secret: "{SECRET.decode()}", expiry: optional}}'
    where = "" if by_discovery else f"    jwks_uri: {idp.jwks_uri}\n"
    async with RawUpstream() as upstream:
        text = f"""
listen: 127.0.0.1:0
upstream: {upstream.url}
providers:
  people:
    type: oidc
    issuer: {idp.issuer}
    audience: none
    jwks: {jwks}
{where}{secret if has_secret else ""}
routes:
  /api: {{provider: people, allow: authenticated}}
  {"/jobs: {provider: jobs, allow: authenticated}" if has_secret else ""}
"""
        gateway = Gateway(load_text(text, "gateway.yaml", WIRE))
        await gateway.start()
        try:
            yield gateway
        finally:
            await gateway.stop()


async def call(gateway: Gateway, token: str, path: str = "/api/x") -> tuple[int, bytes, dict[str, Any]]:
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    status, head, body = await ask(gateway.port, request.encode())
    return status, head, json.loads(body) if body.startswith(b"{") else {}


async def wait_for_keys(gateway: Gateway) -> None:
    await gateway.store.start(gateway.runtime.key_sources())
    assert gateway.is_ready()


@pytest.mark.parametrize("by_discovery", [False, True], ids=["jwks_uri", "discovery"])
async def test_keys_are_fetched_once_however_many_ask(by_discovery: bool) -> None:
    async with KeyServer() as idp, gateway_for(idp, by_discovery=by_discovery) as gateway:
        idp.gate.clear()
        token = idp.mint(idp.claims())
        herd = [asyncio.create_task(call(gateway, token)) for _ in range(100)]
        await idp.arrivals.wait()
        idp.gate.set()
        assert {status for status, _, _ in await asyncio.gather(*herd)} == {200}
        assert idp.fetches == 1
        for _ in range(20):
            assert (await call(gateway, token))[0] == 200
        assert idp.fetches == 1


async def test_secret_makes_ready_once_every_key_server_was_tried() -> None:
    idp = KeyServer()
    await idp.start()
    await idp.stop()
    async with gateway_for(idp) as gateway:
        assert not gateway.is_ready(), "nobody was asked yet"
        await gateway.store.start(gateway.runtime.key_sources())
        assert gateway.is_ready()
        assert (await call(gateway, mint({"sub": "ann"}), "/jobs/x"))[0] == 200


async def test_key_server_that_is_down_at_start_is_a_503_until_it_is_up() -> None:
    idp = KeyServer()
    await idp.start()
    token = idp.mint(idp.claims())
    await idp.stop()
    async with gateway_for(idp, has_secret=False) as gateway:
        status, head, body = await call(gateway, token)
        assert (status, body["error"], body["code"]) == (503, "Service unavailable", "keys_unavailable")
        assert b"Retry-After: " in head
        assert not gateway.is_ready()
        assert (await call(gateway, "bad.token.x"))[0] == 401, "a bad token is never a 5xx: clients retry those"
        await idp.start()
        for _ in range(500):
            if (await call(gateway, token))[0] == 200:
                break
            await asyncio.sleep(0.02)  # the pause after a failed fetch is real time here
        assert gateway.is_ready()
    await idp.stop()


async def test_key_server_that_dies_later_is_not_noticed_within_the_time_to_live() -> None:
    async with KeyServer() as idp, gateway_for(idp) as gateway:
        await wait_for_keys(gateway)
        token = idp.mint(idp.claims())
        await idp.stop()
        assert (await call(gateway, token))[0] == 200
        assert (await call(gateway, idp.mint(idp.claims(), kid="new", key=private_key("new"))))[0] == 401
        assert (await call(gateway, token))[0] == 200, "a failed refetch does not discard good keys"
        await idp.start()


async def test_new_key_counts_with_one_refetch_and_a_flood_of_unknown_ones_causes_one() -> None:
    async with KeyServer() as idp, gateway_for(idp, "{ttl: 1h, cooldown: 1h, timeout: 2s}") as gateway:
        await wait_for_keys(gateway)
        idp.rotate("rsa-2", remove="rsa-1")
        assert (await call(gateway, idp.mint(idp.claims(), kid="rsa-2")))[0] == 200
        assert idp.fetches == 2
        gone = idp.mint(idp.claims(), kid="rsa-1", key=private_key("rsa-1"))
        assert (await call(gateway, gone))[0] == 401, "a key that vanished from a good answer stops working"
        for number in range(200):
            forged = idp.mint(idp.claims(), kid=f"kid-{number}", key=private_key("evil"))
            assert (await call(gateway, forged))[0] == 401
        assert idp.fetches == 3


async def test_token_that_can_be_refused_without_a_key_causes_no_fetch() -> None:
    async with KeyServer() as idp, gateway_for(idp, "{ttl: 1h, cooldown: 100ms, timeout: 2s}") as gateway:
        await wait_for_keys(gateway)
        unknown: dict[str, Any] = {"kid": "unknown", "key": private_key("evil")}
        for claims in (idp.claims(exp=1), idp.claims(iss="https://evil.test"), idp.claims(sub=None)):
            assert (await call(gateway, idp.mint(claims, **unknown)))[0] == 401
        assert idp.fetches == 1


async def test_slow_key_server_delays_only_its_own_callers() -> None:
    async with KeyServer() as idp, gateway_for(idp) as gateway:
        idp.gate.clear()
        waiting = asyncio.create_task(call(gateway, idp.mint(idp.claims())))
        await idp.arrivals.wait()
        shared = idp.mint({"sub": "u"}, "HS256", kid=None, key=SECRET)
        assert (await call(gateway, shared, "/jobs"))[0] == 200
        assert not waiting.done()
        idp.gate.set()
        assert (await waiting)[0] == 200


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param({"status": 500}, id="500-with-good-keys"),
        pytest.param({"body": b"<html>"}, id="html"),
        pytest.param({"body": b""}, id="empty"),
        pytest.param({"body": b'{"keys":[]}'}, id="no-keys"),
        pytest.param({"body": b'{"keys":' + b"[" * 5000 + b"]" * 5000 + b"}"}, id="deep"),
        pytest.param({"body": b'{"keys":[]' + b" " * (10 << 20) + b"}"}, id="10-mib"),
        pytest.param({"cuts_short": True}, id="cut-short"),
        pytest.param({"body": b'{"keys":[{"kty":"oct","kid":"rsa-1","k":"AAAA"}]}'}, id="published-secret"),
    ],
)
async def test_key_server_that_lies_is_a_503_and_never_a_500(lie: dict[str, Any]) -> None:
    async with KeyServer() as idp:
        for name, value in lie.items():
            setattr(idp, name, value)
        async with gateway_for(idp) as gateway:
            status, _, body = await call(gateway, idp.mint(idp.claims()))
            assert (status, body["code"]) == (503, "keys_unavailable")


async def test_keys_of_another_origin_are_never_asked_for() -> None:
    async with KeyServer() as idp, KeyServer() as evil:
        evil.keys["rsa-1"] = private_key("evil")
        idp.redirect_to = evil.jwks_uri
        async with gateway_for(idp) as gateway:
            token = idp.mint(idp.claims(), key=private_key("evil"))
            assert (await call(gateway, token))[0] == 503
        assert evil.counts.total() == 0

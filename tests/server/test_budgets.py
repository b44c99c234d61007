"""Budgets of a gateway in service: who is refused, with what words, and what is given back however a request ends."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, cast

import pytest

from gateway.config.model import Config, Cors, Shared
from gateway.policy.budgets import Budget, Rate
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import Authenticated
from gateway.server.gateway import Gateway
from tests.minting import mint
from tests.processes import wait_until
from tests.programs import needs
from tests.rawpeer import OK, RawClient, RawUpstream, Visit, ask
from tests.redisserver import RedisServer, redis_server
from tests.running import SHARED, config_for, running, upstream_at

PEOPLE = Budget("people", "subject", streams=2)
RATE = Budget("rate", "subject", requests=Rate(3, 60.0))
COMPANY = Budget("company", "organization", streams=3)
GUESSES = Budget("guesses", "ip", failures=Rate(3, 60.0))
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b"9\r\ndata: x\n\n\r\n"


async def _script(visit: Visit) -> None:
    """Answer as the path says: a stream that ends when the client leaves, or something that is whole."""
    await visit.read_body()
    if "/stream" in visit.target:
        await visit.send(EVENTS + PIECE)
        await visit.wait_for_client_to_leave()
    elif "/cut" in visit.target:
        await visit.send(EVENTS + PIECE)
        visit.reset()
    elif "/slow" in visit.target:
        await visit.wait_for_client_to_leave()
    elif "/socket" in visit.target:
        await visit.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
        await visit.wait_for_client_to_leave()
    elif "/long" in visit.target:
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
        await visit.wait_for_client_to_leave()
    else:
        await visit.send(OK)


@pytest.fixture
async def upstream() -> AsyncIterator[RawUpstream]:
    async with RawUpstream(_script) as made:
        yield made


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs("redis-server", "redis-cli"))])
def store(request: pytest.FixtureRequest) -> Iterator[RedisServer | None]:
    if request.param == "memory":
        yield None
        return
    with redis_server() as server:
        yield server


def _config(upstream: RawUpstream, *budgets: Budget, store: RedisServer | None = None, **route: Any) -> Config:
    server = upstream_at(upstream.url)
    one = Route(
        "/api", ("api",), server, **{"providers": (SHARED,), "allow": (Authenticated(),), "websocket": True, **route}
    )
    asked = tuple(budget for budget in budgets if budget.failures is None)
    config = config_for(server, budgets=budgets)
    shared = None if store is None else Shared("127.0.0.1", store.port, timeout_seconds=2.0)
    free = Route("/free", ("free",), server, public=True)
    return replace(config, policy=Policy([replace(one, budgets=asked), free]), shared=shared)


def _head(target: str, subject: str = "user-1", method: str = "POST", more: str = "", **claims: Any) -> bytes:
    token = mint({"sub": subject, **claims})
    length = "Content-Length: 0\r\n" if method == "POST" else ""
    return f"{method} {target} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n{length}{more}\r\n".encode()


@asynccontextmanager
async def _stream(gateway: Gateway, target: str = "/api/stream", **asked: Any) -> AsyncIterator[RawClient]:
    async with RawClient.connect(gateway.port) as client:
        await client.send(_head(target, **asked))
        head = await client.head()
        assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 101 ")), head
        yield client


def _lines(head: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)


async def _until_free(gateway: Gateway) -> None:
    async with asyncio.timeout(20):
        while any(gateway.ledger.open_streams.values()) or gateway.open_requests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # another connection's end is seen by the loop


async def test_one_stream_more_than_the_budget_is_429(upstream: RawUpstream, store: RedisServer | None) -> None:
    async with running(_config(upstream, PEOPLE, store=store)) as gateway:
        async with _stream(gateway), _stream(gateway):
            status, head, body = await ask(gateway.port, _head("/api/stream"))
            said = json.loads(body)
            assert (status, said["error"], said["code"]) == (429, "Too many requests", "budget_exceeded")
            lines = _lines(head)
            assert lines["RateLimit-Policy"] == '"people-streams";q=2;qu="concurrent-requests"'
            assert lines["RateLimit"] == '"people-streams";r=0'
            assert lines["Retry-After"] == "1"
            async with _stream(gateway, subject="user-2"):
                pass
        await _until_free(gateway)
        async with _stream(gateway), _stream(gateway):
            pass


async def test_requests_are_counted_in_a_window_and_told(upstream: RawUpstream, store: RedisServer | None) -> None:
    async with running(_config(upstream, RATE, store=store)) as gateway:
        for left in (2, 1, 0):
            status, head, _ = await ask(gateway.port, _head("/api/x"))
            assert status == 200
            assert _lines(head)["RateLimit-Policy"] == '"rate";q=3;w=60'
            assert _lines(head)["RateLimit"] == f'"rate";r={left};t=60'
        status, head, _ = await ask(gateway.port, _head("/api/x", method="GET"))
        assert status == 429
        assert _lines(head)["RateLimit"].startswith('"rate";r=0;t=')
        assert 1 <= int(_lines(head)["Retry-After"]) <= 60
        assert len(upstream.visits) == 3
        assert (await ask(gateway.port, _head("/api/x", subject="user-2")))[0] == 200


async def test_what_is_refused_uses_up_nothing(upstream: RawUpstream, store: RedisServer | None) -> None:
    people, all_of_them = Budget("people", "subject", streams=1), Budget("all", "provider", requests=Rate(3, 60.0))
    async with running(_config(upstream, people, all_of_them, store=store)) as gateway:
        async with _stream(gateway):
            for _ in range(5):
                assert (await ask(gateway.port, _head("/api/stream")))[0] == 429
            assert (await ask(gateway.port, _head("/api/x", subject="user-2")))[0] == 200
            assert (await ask(gateway.port, _head("/api/x", subject="user-3")))[0] == 200
            assert (await ask(gateway.port, _head("/api/x", subject="user-4")))[0] == 429
        await _until_free(gateway)
        assert gateway.ledger.memory.open_streams == 0  # the refusal of the second budget took no place in the first


@pytest.mark.parametrize("how", ["left", "cut", "ended", "slow", "socket", "not routed up"])
async def test_a_place_is_given_back_however_a_stream_ends(
    how: str, upstream: RawUpstream, store: RedisServer | None
) -> None:
    targets = {
        "left": "/api/stream",
        "cut": "/api/cut",
        "ended": "/api/x",
        "slow": "/api/slow",
        "socket": "/api/socket",
    }
    handshake = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    async with running(_config(upstream, PEOPLE, COMPANY, store=store)) as gateway:
        for _ in range(100 if how == "left" else 10):
            async with RawClient.connect(gateway.port) as client:
                if how == "socket":
                    await client.send(_head(targets[how], method="GET", more=handshake, org_id="org-1"))
                elif how == "not routed up":
                    await client.send(_head("/api/x", more="Expect: 100-continue\r\n", org_id="org-1"))
                else:
                    await client.send(_head(targets[how], org_id="org-1"))
                if how != "slow":
                    assert not (await client.head()).startswith(b"HTTP/1.1 429 ")
            await _until_free(gateway)
        assert gateway.ledger.memory.open_streams == 0
        assert set(gateway.ledger.open_streams.values()) == {0}
        if store is not None:
            wait_until(lambda: not store.command("--scan", "--pattern", "gateway:{b}:s:*"))


async def test_100_streams_begun_at_once_are_as_many_as_there_are(
    upstream: RawUpstream, store: RedisServer | None
) -> None:
    async with running(_config(upstream, PEOPLE, store=store)) as gateway:

        async def one() -> int:
            async with RawClient.connect(gateway.port) as client:
                await client.send(_head("/api/stream"))
                head = await client.head()
                answered.append(head[9:12])
                if len(answered) == 100:
                    everybody.set()
                await everybody.wait()
                return int(head[9:12])

        answered: list[bytes] = []
        everybody = asyncio.Event()
        got = await asyncio.gather(*(one() for _ in range(100)))
        assert (got.count(200), got.count(429)) == (2, 98)
        await _until_free(gateway)


async def test_what_pages_fetch_at_once_needs_no_place(upstream: RawUpstream) -> None:
    async with running(_config(upstream, PEOPLE)) as gateway:
        async with _stream(gateway), _stream(gateway):
            got = await asyncio.gather(*(ask(gateway.port, _head("/api/x", method="GET")) for _ in range(8)))
            assert {status for status, _, _ in got} == {200}
            assert (await ask(gateway.port, _head("/api/x", method="GET", more="Accept: text/event-stream\r\n")))[
                0
            ] == 429


async def test_a_stream_that_was_not_asked_for_takes_a_place_all_the_same(
    upstream: RawUpstream, store: RedisServer | None
) -> None:
    async with running(_config(upstream, PEOPLE, store=store)) as gateway:
        async with _stream(gateway, method="GET"), _stream(gateway, method="GET"):
            async with asyncio.timeout(20):
                while gateway.ledger.open_streams.get("people") != 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            async with RawClient.connect(gateway.port) as client:
                await client.send(_head("/api/stream", method="GET", more="Connection: close\r\n"))
                rest = await client.rest()  # refused, or cut: the store is asked meanwhile
                assert b"0\r\n\r\n" not in rest
            assert (await ask(gateway.port, _head("/api/stream")))[0] == 429
        await _until_free(gateway)
        assert gateway.ledger.memory.open_streams == 0


async def test_a_response_with_a_length_is_no_stream(upstream: RawUpstream) -> None:
    async with running(_config(upstream, PEOPLE)) as gateway:
        async with _stream(gateway, "/api/long"), _stream(gateway, "/api/long"), _stream(gateway, "/api/long"):
            assert gateway.ledger.memory.open_streams == 0


async def test_who_has_no_organization_is_refused_and_told_so_in_the_log(upstream: RawUpstream) -> None:
    async with running(_config(upstream, COMPANY)) as gateway:
        status, _, body = await ask(gateway.port, _head("/api/x"))
        assert (status, json.loads(body)["code"]) == (403, "budget_uncounted")
        assert (await ask(gateway.port, _head("/api/x", org_id="org-1")))[0] == 200


async def test_log_names_the_budget_as_a_rule(upstream: RawUpstream, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    async with running(
        _config(upstream, PEOPLE, COMPANY, Budget("one", "organization", requests=Rate(1, 60.0)))
    ) as gateway:
        for claims in ({}, {"org_id": "org-1"}, {"org_id": "org-1"}):
            await ask(gateway.port, _head("/api/x", **claims))
    async with running(_config(upstream, Budget("one", "subject", requests=Rate(1, 60.0)), enforce=False)) as gateway:
        for _ in range(2):
            await ask(gateway.port, _head("/api/x"))
    async with running(_config(upstream, GUESSES)) as gateway:
        for _ in range(4):
            await ask(gateway.port, TestFailures.BAD)
    lines = [dict(cast(dict[str, Any], record.msg)) for record in caplog.records if record.name == "gateway.access"]
    named = [(line.get("code") or line.get("would_deny"), line["rule"]) for line in lines if "rule" in line]
    assert named == [
        ("budget_uncounted", "budgets.company"),
        ("budget_exceeded", "budgets.one"),
        ("budget_exceeded", "budgets.one"),
        ("budget_exceeded", "budgets.guesses"),
    ]


async def test_where_rules_are_not_enforced_neither_are_budgets(upstream: RawUpstream) -> None:
    async with running(_config(upstream, RATE, COMPANY, enforce=False)) as gateway:
        for _ in range(5):
            assert (await ask(gateway.port, _head("/api/x")))[0] == 200
        assert gateway.metrics.would_deny == {("/api", "budget_uncounted"): 5}
    async with running(_config(upstream, RATE, enforce=False)) as gateway:
        for _ in range(5):
            assert (await ask(gateway.port, _head("/api/x")))[0] == 200
        assert gateway.metrics.would_deny == {("/api", "budget_exceeded"): 2}


async def test_a_reload_neither_forgets_nor_doubles(upstream: RawUpstream, store: RedisServer | None) -> None:
    config = _config(upstream, PEOPLE, RATE, store=store)
    async with running(config) as gateway:
        async with _stream(gateway), _stream(gateway):
            await gateway.use(replace(config))
            assert (await ask(gateway.port, _head("/api/stream")))[0] == 429
            assert (await ask(gateway.port, _head("/api/x", method="GET")))[0] == 200
            assert (await ask(gateway.port, _head("/api/x", method="GET")))[0] == 429  # three a minute, of all files
            await gateway.use(replace(config, shared=None))
            await gateway.use(config)
        await _until_free(gateway)
        assert gateway.ledger.memory.open_streams == 0


async def test_pages_may_read_what_is_left(upstream: RawUpstream) -> None:
    config = replace(_config(upstream, RATE), cors=Cors(frozenset({"https://app.example.com"})))
    async with running(config) as gateway:
        for status in (200, 200, 200, 429):
            got, head, _ = await ask(gateway.port, _head("/api/x", more="Origin: https://app.example.com\r\n"))
            exposed = _lines(head)["Access-Control-Expose-Headers"].split(", ")
            assert got == status and {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)


async def test_routes_without_a_budget_are_told_nothing(upstream: RawUpstream, store: RedisServer | None) -> None:
    async with running(_config(upstream, PEOPLE, store=store)) as gateway:
        async with asyncio.timeout(20):
            while gateway.ledger.store is not None and not gateway.ledger.store.is_up:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        if store is not None:
            store.command("config", "resetstat")
        for _ in range(20):
            status, head, _ = await ask(gateway.port, b"GET /free HTTP/1.1\r\nHost: gw\r\n\r\n")
            assert status == 200 and b"RateLimit" not in head
        if store is not None:
            said = store.command("info", "commandstats")
            ours = ("cmdstat_info:", "cmdstat_config", "cmdstat_command")  # those of redis-cli
            assert not [line for line in said.splitlines() if line.startswith("cmdstat_") and not line.startswith(ours)]


class TestFailures:
    """An address that is answered 401 too often is answered 429 before anything is parsed."""

    BAD = b"GET /api/x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer x.y.z\r\n\r\n"

    async def test_then_nothing_of_it_is_looked_at(self, upstream: RawUpstream) -> None:
        async with running(_config(upstream, GUESSES)) as gateway:
            for _ in range(3):
                assert (await ask(gateway.port, self.BAD))[0] == 401
            for data in (self.BAD, _head("/api/x"), b"GET /free HTTP/1.1\r\nHost: gw\r\n\r\n", b"GET / HTTP/9\r\n\r\n"):
                status, head, body = await ask(gateway.port, data)
                assert (status, json.loads(body)["code"]) == (429, "budget_exceeded")
                assert 1 <= int(_lines(head)["Retry-After"]) <= 60
            assert not upstream.visits

    async def test_refusals_other_than_401_do_not_count(self, upstream: RawUpstream) -> None:
        async with running(_config(upstream, GUESSES, allow=())) as gateway:
            for _ in range(6):
                assert (await ask(gateway.port, _head("/api/x")))[0] == 403
                assert (await ask(gateway.port, b"GET /none HTTP/1.1\r\nHost: gw\r\n\r\n"))[0] == 404

    async def test_nobody_is_locked_out_by_who_shares_his_proxy_only(self, upstream: RawUpstream) -> None:
        config = replace(_config(upstream, GUESSES), trusted_proxies=(ip_network("127.0.0.0/8"),))
        async with running(config) as gateway:
            for _ in range(5):
                await ask(gateway.port, self.BAD.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"))
                await ask(gateway.port, self.BAD.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: garbage\r\n\r\n"))
            for client, status in (("6.6.6.6", 429), ("7.7.7.7", 200), ("garbage", 200), ("6.6.6.6, 7.7.7.7", 200)):
                assert (await ask(gateway.port, _head("/api/x", more=f"X-Forwarded-For: {client}\r\n")))[0] == status

    async def test_an_ipv6_subscriber_is_one(self, upstream: RawUpstream) -> None:
        config = replace(_config(upstream, GUESSES), trusted_proxies=(ip_network("127.0.0.0/8"),))
        async with running(config) as gateway:
            for number in range(4):
                await ask(
                    gateway.port, self.BAD.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 2001:db8::%d\r\n\r\n" % number)
                )
            for client, status in (("2001:db8::ffff", 429), ("2001:db8:0:1::1", 200)):
                assert (await ask(gateway.port, _head("/api/x", more=f"X-Forwarded-For: {client}\r\n")))[0] == status

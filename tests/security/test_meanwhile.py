"""What becomes of a request while it is held, waited for or answered: whoever is over by then, and who is told of."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.file import load
from gateway.config.model import Config, Shared
from gateway.policy.budgets import Budget, Rate
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import Authenticated
from gateway.server.gateway import Gateway
from tests.minting import SECRET, mint
from tests.programs import needs
from tests.rawpeer import OK, RawClient, RawUpstream, Visit
from tests.redisserver import redis_server
from tests.running import SHARED, WIRE, config_for, running, upstream_at

FILE = f"""
listen: 127.0.0.1:0
admin: none
upstreams:
  default:
    url: UPSTREAM
    own: {{by: subject}}
    response_timeout: 1s
    identity: {{authorization: sign, secret: "{SECRET.decode()[::-1]}"}}
limits: {{body_idle_timeout: 1s}}
providers: {{people: {{type: jwt, secret: {SECRET.decode()}, leeway: 0s}}}}
revoked_file: revoked.yaml
audit: {{file: audit.jsonl, claims: [sub]}}
routes:
  /api: {{provider: people, allow: authenticated}}
"""
BODY = b'{"messages": "hello"}'
HEAD = (
    f"POST /api/agents/a/generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\nAuthorization: Bearer "
)
BUDGET = Budget("b", "subject", streams=1, requests=Rate(100, 60.0))
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: x\n\n\r\n"


async def _script(visit: Visit) -> None:
    await visit.read_body()
    if "silent" in visit.target or "threads" in visit.target:
        await visit.wait_for_client_to_leave()
    elif "stream" in visit.target:
        await visit.send(EVENTS)
        await visit.wait_for_client_to_leave()
    else:
        await visit.send(OK)


@asynccontextmanager
async def _mastra(folder: Path, text: str = FILE) -> AsyncIterator[tuple[Gateway, RawUpstream]]:
    async with RawUpstream(_script) as upstream:
        (folder / "revoked.yaml").write_text("revoked: [{sub: somebody}]\n")
        (folder / "gateway.yaml").write_text(text.replace("UPSTREAM", upstream.url))
        gateway = Gateway(load(folder / "gateway.yaml", dict(WIRE)))
        await gateway.start()
        try:
            yield gateway, upstream
        finally:
            await gateway.stop()


@asynccontextmanager
async def _held(gateway: Gateway, **claims: Any) -> AsyncIterator[RawClient]:
    """A client whose body is held, and lacks one byte."""
    async with RawClient.connect(gateway.port) as client:
        await client.send(f"{HEAD}{mint({'sub': 'ann', **claims})}\r\n\r\n".encode() + BODY[:-1])
        yield client


# CWE-613: with `authorization: sign` the upstream is told of the caller anew when the body is whole, so one begun with
# a token and fed byte by byte was a token of ours for ever, and as many of them as can be held.
@pytest.mark.parametrize(("late", "status"), [(59.0, 200), (61.0, 401)])
async def test_whose_token_ends_long_before_the_body_is_whole_reaches_nobody(
    tmp_path: Path, late: float, status: int
) -> None:
    async with _mastra(tmp_path) as (gateway, upstream):
        end = time.time() + 30
        async with _held(gateway, exp=end) as client:
            await asyncio.sleep(0.2)
            assert gateway.holding.count == 1
            gateway.clock = lambda: end + late
            await client.send(BODY[-1:])
            answered, head, said = await client.answer()
            assert (answered, len(upstream.visits)) == (status, status == 200)
            if status == 401:
                assert b'"token_expired"' in said and b'error="invalid_token"' in head
            assert gateway.holding.count_bytes == 0


# CWE-778: what ended between its decision and its upstream was written down as nobody's.
@pytest.mark.parametrize(("how", "code"), [("slow", "request_timeout"), ("revoked", "token_revoked")])
async def test_who_is_refused_while_a_body_is_held_is_named(tmp_path: Path, how: str, code: str) -> None:
    async with _mastra(tmp_path) as (gateway, _), _held(gateway, exp=time.time() + 60) as client:
        if how == "revoked":
            await asyncio.sleep(0.1)
            (tmp_path / "revoked.yaml").write_text("revoked: [{sub: ann}]\n")
            await gateway.revoking.look()
        assert (await client.answer())[0] in (401, 408)
        (line,) = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
        assert (line["event"], line["code"], line["subject"], line["route"]) == ("deny", code, "ann", "/api")


def _counted(upstream: RawUpstream, shared: Shared, **settings: Any) -> Config:
    server = upstream_at(upstream.url)
    route = Route("/api", ("api",), server, providers=(SHARED,), allow=(Authenticated(),), budgets=(BUDGET,))
    return config_for(server, budgets=(BUDGET,), policy=Policy([route]), shared=shared, **settings)


async def _ask(client: RawClient, target: str = "/api/x", method: str = "POST") -> None:
    lines = "" if method == "GET" else "Content-Length: 0\r\n"
    token = mint({"sub": "ann"})
    await client.send(f"{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{lines}\r\n".encode())


@pytest.mark.parametrize("ends", ["answered", "stream"])
@needs("redis-server", "redis-cli")
async def test_who_waits_for_a_store_that_is_no_longer_in_the_file_is_answered(ends: str) -> None:
    with redis_server() as store:
        async with RawUpstream(_script) as upstream:
            config = _counted(upstream, Shared("127.0.0.1", store.port, timeout_seconds=2.0))
            async with running(config) as gateway, RawClient.connect(gateway.port) as client:
                await _ask(client)
                assert (await client.answer())[0] == 200
                store.command("client", "pause", "500")
                await _ask(client, "/api/x" if ends == "answered" else "/api/stream")
                await asyncio.sleep(0.1)
                shared = Shared("127.0.0.1", store.port, timeout_seconds=1.9)
                await gateway.use(replace(config, shared=shared))
                assert (await client.head()).startswith(b"HTTP/1.1 200 "), "it waited for ever"
                async with RawClient.connect(gateway.port) as other:
                    await _ask(other, "/api/stream")
                    status = int((await other.head())[9:12])
                assert status == (200 if ends == "answered" else 429), "its place counts in the store as before"


@needs("redis-server", "redis-cli")
async def test_a_stream_that_is_refused_late_has_its_line(tmp_path: Path) -> None:
    with redis_server() as store:
        text = FILE.replace("own: {by: subject}", "")
        text = text.replace("allow: authenticated}", "allow: authenticated, budget: b}")
        text += "budgets: {b: {per: subject, streams: 1}}\n"
        text += f"shared: {{url: 'redis://127.0.0.1:{store.port}/0', timeout: 2s}}\n"
        async with (
            _mastra(tmp_path, text) as (gateway, _),
            RawClient.connect(gateway.port) as first,
            RawClient.connect(gateway.port) as second,
        ):
            token = mint({"sub": "ann", "exp": time.time() + 60})
            for client, method in ((first, "POST"), (second, "GET")):
                lines = "Content-Length: 0\r\n" if method == "POST" else ""
                head = f"{method} /api/stream HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{lines}\r\n"
                await client.send(head.encode())
                await client.head()
            assert not (await second.rest()).endswith(b"0\r\n\r\n"), "it is cut: its answer had begun"
        lines_of = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
        assert [(one["event"], one.get("code"), one["subject"]) for one in lines_of] == [
            ("write", None, "ann"),
            ("deny", "budget_exceeded", "ann"),
        ]


# CWE-400: a store is another's program, and its answer no word of ours.
ODD = {
    "a number": b":1\r\n",
    "nothing": b"$-1\r\n",
    "an empty list": b"*0\r\n",
    "too few": b"*3\r\n:0\r\n:0\r\n:0\r\n",
    "a budget that is not there": b"*6\r\n:99\r\n:1\r\n:0\r\n:0\r\n:0\r\n:0\r\n",
    "a budget below zero": b"*6\r\n:-5\r\n:1\r\n:0\r\n:0\r\n:0\r\n:0\r\n",
    "texts": b"*6\r\n" + b"$1\r\na\r\n" * 6,
    "no scripts": b"-NOSCRIPT none\r\n",
    "no Redis": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "half of it": b"*6\r\n:0\r\n",
}


@pytest.mark.parametrize("name", ODD)
async def test_whatever_a_store_says_nobody_waits_for_ever(name: str) -> None:
    async def store(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while count := int((await reader.readline())[1:] or 0):
                words = []
                for _ in range(count):
                    words.append(await reader.readexactly(int((await reader.readline())[1:])))
                    await reader.readexactly(2)
                writer.write(ODD[name] if words[0].upper().startswith(b"EVAL") else b"+OK\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(store, "127.0.0.1", 0)
    shared = Shared("127.0.0.1", server.sockets[0].getsockname()[1], timeout_seconds=0.2)
    async with server, RawUpstream(_script) as upstream, running(_counted(upstream, shared)) as gateway:
        for _ in range(2):
            async with asyncio.timeout(5), RawClient.connect(gateway.port) as client:
                await _ask(client)
                assert (await client.answer())[0] == 200, "each process counts for itself"
        async with asyncio.timeout(5):
            while gateway.open_requests or any(gateway.ledger.open_streams.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # a connection's end is seen by the loop

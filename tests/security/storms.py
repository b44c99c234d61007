"""Storms: what a crowd of strangers, or one caller gone mad, does to a gateway. Each asserts what they get for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.transport.client import IDLE_SECONDS
from tests.keyserver import KeyServer, sign_token
from tests.minting import mint
from tests.rawpeer import RawClient, RawUpstream, Visit

HEADER_TIMEOUT_SECONDS = 2.0
BODY_TIMEOUT_SECONDS = 2.0
SLACK_SECONDS = 3.0
MIB = 1024 * 1024
# `GATEWAY_STORM_TOKENS=1000000` for the whole of it: about eight minutes each.
TOKENS = int(os.environ.get("GATEWAY_STORM_TOKENS", "20000"))


@dataclass(frozen=True)
class Field:
    """Where a storm takes place. `token` is a good one for `/api`; `streams` are the upstream's endless ones."""

    port: int
    upstream: RawUpstream
    keys: KeyServer
    token: str
    streams: set[Visit]

    def head(self, line: str, token: str | None = None, *lines: str) -> bytes:
        """Return a request's head."""
        bearer = [] if token is None else [f"Authorization: Bearer {token}"]
        return "\r\n".join([f"{line} HTTP/1.1", "Host: gw.test", *bearer, *lines, "", ""]).encode()


Storm = Callable[[Field], Awaitable[None]]


async def together(count: int, one: Callable[[int], Awaitable[None]]) -> None:
    """Run `one` so many times at once; the first failure counts."""
    await asyncio.gather(*(one(number) for number in range(count)))


async def slow_heads(field: Field) -> None:
    """300 clients send a byte now and then (slowloris, CWE-400): all are closed in time."""

    async def one(number: int) -> None:
        async with RawClient.connect(field.port) as client:
            began = time.monotonic()
            reading = asyncio.create_task(client.rest())
            for byte in field.head("GET /api/x", field.token):
                if reading.done():
                    break
                with contextlib.suppress(ConnectionError):
                    await client.send(bytes([byte]))
                await asyncio.wait({reading}, timeout=0.2)
            assert (await reading)[9:12] in (b"", b"408")
            assert time.monotonic() - began < HEADER_TIMEOUT_SECONDS + SLACK_SECONDS

    await together(300, one)


async def slow_bodies(field: Field) -> None:
    """100 callers stop in the middle of an upload: 408, or closed, in time."""

    async def one(number: int) -> None:
        async with RawClient.connect(field.port) as client:
            began = time.monotonic()
            await client.send(field.head("POST /api/x", field.token, "Content-Length: 1000") + b"x" * 10)
            assert (await client.rest())[9:12] in (b"", b"408")
            assert time.monotonic() - began < BODY_TIMEOUT_SECONDS + SLACK_SECONDS

    await together(100, one)


async def idle_connections(field: Field) -> None:
    """1,500 connections that have had their answer and stay."""
    clients: list[RawClient] = []
    began = time.monotonic()

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(1500):
            connected = time.monotonic()
            client = await stack.enter_async_context(RawClient.connect(field.port))
            try:
                await client.send(field.head("GET /public/x"))
                assert (await client.answer())[0] == 200
            except (asyncio.IncompleteReadError, ConnectionError):
                # Where this very process was held up for so long, it was the head that came too late.
                assert time.monotonic() - connected > HEADER_TIMEOUT_SECONDS / 2
                continue
            clients.append(client)
        if time.monotonic() - began < IDLE_SECONDS / 2:
            await clients[0].send(field.head("GET /public/x"))
            assert (await clients[0].answer())[0] == 200, "they are kept"


async def header_floods(field: Field) -> None:
    """200 heads that are too many, too long, or never end: refused or closed, and nothing goes up."""
    seen = len(field.upstream.visits)
    start = field.head("GET /flood")[:-2]
    floods = [
        start + b"".join(b"X-%d: %s\r\n" % (number, b"y" * 12) for number in range(2000)) + b"\r\n",
        start + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        start + b"X: " + b"y" * (10 * MIB),
        start + b"X: y\r\n" * 500_000,
    ]

    async def one(number: int) -> None:
        async with RawClient.connect(field.port) as client:
            with contextlib.suppress(ConnectionError):
                await client.send(floods[number % 4])
            assert (await client.rest())[9:12] in (b"", b"400", b"431")

    for batch in range(10):
        await together(20, one)
        assert not any(visit.target == "/flood" for visit in field.upstream.visits[seen:]), batch


async def uploads_of_strangers(field: Field) -> None:
    """60 uploads of 60 MB without a token, or against the rules: refused before 4 MB of them are taken."""
    size = 60 * MIB
    heads = [
        (field.head("POST /api/x", None, f"Content-Length: {size}"), b"401"),
        (field.head("POST /api/x", None, "Transfer-Encoding: chunked"), b"401"),
        (field.head("POST /closed/x", field.token, f"Content-Length: {size}"), b"403"),
    ]
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    async def one(number: int) -> None:
        head, status = heads[number % 3]
        async with RawClient.connect(field.port) as client:
            # What the kernel keeps on the way is not what the gateway took.
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            reading = asyncio.create_task(client.rest())
            taken = 0
            with contextlib.suppress(ConnectionError):
                await client.send(head)
                while taken < size and not reading.done():
                    await client.send(piece)
                    taken += len(piece)
            assert taken < 4 * MIB, f"{taken} bytes were taken"
            assert (await reading)[9:12] in (status, b""), (
                "a reset may overtake the answer of a client that never reads"
            )

    await together(60, one)


async def endless_trailers(field: Field) -> None:
    """Trailers, chunk extensions and chunk sizes without an end: closed, or read away in bounded memory."""
    start = field.head("POST /api/x", field.token, "Transfer-Encoding: chunked")
    endless = [start + b"0\r\n" + b"X: y\r\n" * 2_000_000, start + b"1;" + b"e" * 10 * MIB, start + b"0" * 10 * MIB]

    async def one(number: int) -> None:
        async with RawClient.connect(field.port) as client:
            with contextlib.suppress(ConnectionError):
                await client.send(endless[number % 3])
            assert (await client.rest())[9:12] in (b"", b"400", b"408", b"431")

    await together(12, one)


async def bad_tokens(field: Field) -> None:
    """Distinct forged tokens, one after the other on kept connections: each a 401."""
    await _stream_of_tokens(
        field, 401, lambda number: mint({"sub": f"u{number}"}, b"another-secret-of-32-bytes-or-more")
    )


async def good_tokens(field: Field) -> None:
    """Distinct good tokens: each passes, and what is remembered of them is bounded."""
    await _stream_of_tokens(field, 200, lambda number: mint({"sub": f"u{number}", "at": time.time()}))


async def _stream_of_tokens(field: Field, status: int, make: Callable[[int], str]) -> None:
    lanes = 8

    async def one(lane: int) -> None:
        async with RawClient.connect(field.port) as client:
            for first in range(lane, TOKENS, lanes * 20):
                numbers = range(first, min(first + lanes * 20, TOKENS), lanes)
                await client.send(b"".join(field.head("GET /api/x", make(number)) for number in numbers))
                for _ in numbers:
                    assert (await client.answer())[0] == status
                field.upstream.visits.clear()

    await together(lanes, one)


async def unknown_keys(field: Field) -> None:
    """2,000 tokens that each name another key: 401, and the key server is asked once per cool-down."""
    fetches, began = field.keys.fetches, time.monotonic()
    payload = json.dumps(field.keys.claims()).encode()

    async def one(lane: int) -> None:
        async with RawClient.connect(field.port) as client:
            for number in range(100):
                header = {"alg": "RS256", "kid": f"{lane}-{number}-{began}"}
                token = (
                    sign_token(header, payload, "none", None) + "AAAA"
                )  # before its key, a signature is only base64url
                await client.send(field.head("GET /people/x", token))
                assert (await client.answer())[0] == 401

    await together(20, one)
    assert field.keys.fetches - fetches <= 2 + (time.monotonic() - began) / 1.0, "the cool-down is one second"


async def readers_that_stop(field: Field) -> None:
    """200 streams whose clients stop reading: back-pressure reaches the upstream, and all ends with them."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(200):
            client = await stack.enter_async_context(RawClient.connect(field.port))
            await client.send(field.head("GET /api/endless", field.token))
            assert (await client.head()).startswith(b"HTTP/1.1 200 ")
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # a reader that takes nothing more
        await asyncio.sleep(1)  # in which a gateway without limits would take hundreds of megabytes
    for _ in range(100):
        if not field.streams:
            break
        await asyncio.sleep(0.05)  # polls the upstream
    assert not field.streams, "the upstream still sends to nobody"


STORMS: list[Storm] = [
    slow_heads,
    slow_bodies,
    idle_connections,
    header_floods,
    uploads_of_strangers,
    endless_trailers,
    bad_tokens,
    good_tokens,
    unknown_keys,
    readers_that_stop,
]

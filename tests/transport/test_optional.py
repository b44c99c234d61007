"""Routes with an optional token, on the wire: somebody, nobody, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.config.model import Address, Decisions
from gateway.policy.providers import BEARER as BEARER_SOURCE
from gateway.policy.providers import TokenSource
from gateway.policy.routes import Policy, Route
from tests.minting import OTHER_SECRET, mint
from tests.rawpeer import RawClient, RawUpstream
from tests.running import SHARED, TOKEN, config_for, running, upstream_at
from tests.transport.test_asking import field
from tests.transport.test_questions import port_of

PROVIDER = replace(
    SHARED, token_sources=(BEARER_SOURCE, TokenSource("cookie", "session"), TokenSource("query", "token"))
)
FOREIGN = mint({"sub": "evil"}, OTHER_SECRET)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, int, RawUpstream]]:
    """Run a gateway whose one route takes a token or none; yields its port, that of its decisions, and the upstream."""
    async with RawUpstream() as upstream:
        server = upstream_at(upstream.url)
        route = Route("/me", ("me",), server, public=True, providers=(PROVIDER,), websocket=True)
        own = {"policy": Policy([route]), "providers": (PROVIDER,), "decisions": Decisions(Address("127.0.0.1", 0))}
        async with running(config_for(server, **own)) as gateway:
            yield gateway.port, port_of(gateway), upstream


async def ask(port: int, target: str, *lines: str, method: str = "GET") -> tuple[int, bytes, bytes]:
    async with RawClient.connect(port) as client:
        await client.send("\r\n".join([f"{method} {target} HTTP/1.1", "Host: a", *lines, "", ""]).encode())
        return await client.answer()


@pytest.mark.parametrize(
    ("target", "lines"),
    [
        ("/me", [f"Authorization: Bearer {TOKEN}"]),
        ("/me", [f"Cookie: session={TOKEN}; theme=dark"]),
        (f"/me?token={TOKEN}&x=1", []),
    ],
)
async def test_good_token_gives_an_identity(target: str, lines: list[str]) -> None:
    async with serving() as (port, deciding, upstream):
        status, _, _ = await ask(port, target, *lines)
        assert status == 200
        assert field(upstream.requests[0], "X-Auth-Subject") == "user-1"
        assert b"token=" not in upstream.requests[0]
        told = await ask(
            deciding,
            "/authz/haproxy",
            "X-Original-Method: GET",
            f"X-Original-URI: {target}",
            "X-Forwarded-For: 192.0.2.7",
            *lines,
        )
        assert told[0] == 200 and field(told[1], "X-Auth-Subject") == "user-1"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Authorization: Basic dTpw"],
        ["Cookie: session=; theme=dark; mastra-token=x"],
        ["X-Auth-Subject: evil", "X_Auth_Email: evil@example.com"],
    ],
)
async def test_no_token_gives_nobody(lines: list[str]) -> None:
    async with serving() as (port, _deciding, upstream):
        assert (await ask(port, "/me?apiKey=x&y=1", *lines))[0] == 200
        sent = upstream.requests[0].lower()
        assert sent.startswith(b"get /me?y=1 http/1.1")
        for gone in (b"authorization", b"x-auth", b"x_auth", b"session=", b"mastra-token", b"evil"):
            assert gone not in sent


@pytest.mark.parametrize(
    ("target", "lines", "expected"),
    [
        ("/me", [f"Authorization: Bearer {FOREIGN}"], (401, b"signature_invalid")),
        ("/me", ["Authorization: Bearer x"], (401, b"token_malformed")),
        ("/me", [f"Cookie: session={FOREIGN}"], (401, b"signature_invalid")),
        ("/me", [f"Authorization: Bearer {mint({'sub': 'u', 'exp': 1})}"], (401, b"token_expired")),
        (f"/me?token={TOKEN}", [f"Authorization: Bearer {TOKEN}"], (400, b"several_credentials")),
        ("/me", [f"Authorization: Bearer {TOKEN}"] * 2, (400, b"several_credentials")),
    ],
)
async def test_bad_token_is_refused(target: str, lines: list[str], expected: tuple[int, bytes]) -> None:
    async with serving() as (port, _, upstream):
        status, _, body = await ask(port, target, *lines)
        assert (status, expected[1] in body) == (expected[0], True), body
        assert upstream.requests == []


async def test_cookie_of_a_foreign_page_writes_nothing() -> None:
    async with serving() as (port, _, upstream):
        lines = [f"Cookie: session={TOKEN}", "Origin: https://evil.example.com", "Content-Length: 0"]
        status, _, body = await ask(port, "/me", *lines, method="POST")
        assert (status, b"origin_refused" in body) == (403, True)
        assert upstream.requests == []

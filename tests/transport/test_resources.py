"""MCP routes on the wire: the document, the challenges, and tokens that are meant for something else (RFC 9728)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.config.model import Address, Cors, Decisions
from gateway.policy.resources import Resource
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import Authenticated, HasAll
from tests.minting import mint
from tests.rawpeer import RawClient, RawUpstream
from tests.running import SHARED, config_for, running, upstream_at
from tests.transport.test_asking import field
from tests.transport.test_questions import port_of

A, B = "https://agents.example.com/api/a", "https://agents.example.com/api/b"
DOCUMENT = "https://agents.example.com/.well-known/oauth-protected-resource/api/a"
ORIGIN = "https://inspector.example.com"
PROVIDER = replace(SHARED, audiences=frozenset({A, B}))


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, int, RawUpstream]]:
    """Run a gateway with two MCP routes; yields its port, that of its decisions, and the upstream."""
    async with RawUpstream() as upstream:
        server = upstream_at(upstream.url)
        resources = [Resource(one, ("https://login.example.com",), ("mcp",), ("mcp",)) for one in (A, B)]
        routes = [
            Route(key, (*key.split("/")[1:],), server, providers=(PROVIDER,), allow=(rule,), resource=resource)
            for key, rule, resource in (
                ("/api/a", HasAll("scopes", ("mcp",)), resources[0]),
                ("/api/b", Authenticated(), resources[1]),
            )
        ]
        own = Route(
            "GET document", (".well-known", "oauth-protected-resource", "api", "a"), server,
            methods=frozenset({"GET"}), public=True, exact=True, document=resources[0].document,
        )  # fmt: skip
        config = config_for(
            server,
            policy=Policy([*routes, own]),
            providers=(PROVIDER,),
            cors=Cors(frozenset({ORIGIN})),
            decisions=Decisions(Address("127.0.0.1", 0)),
        )
        async with running(config) as gateway:
            yield gateway.port, port_of(gateway), upstream


async def ask(port: int, line: str, **claims: object) -> tuple[int, bytes, bytes]:
    head = f"{line} HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\n"
    if claims:
        head += f"Authorization: Bearer {mint({'sub': 'ann', **claims})}\r\n"
    async with RawClient.connect(port) as client:
        await client.send(f"{head}\r\n".encode())
        return await client.answer()


def challenge(answer: bytes) -> str:
    found = field(answer, "WWW-Authenticate")
    assert found is not None
    return found


async def test_document_is_answered_by_the_gateway() -> None:
    async with serving() as (port, _, upstream):
        for method in ("GET", "HEAD"):
            async with RawClient.connect(port) as client:
                line = f"{method} /.well-known/oauth-protected-resource/api/a HTTP/1.1"
                await client.send(f"{line}\r\nHost: a\r\nOrigin: {ORIGIN}\r\n\r\n".encode())
                head = await client.head()
                assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
                assert field(head, "Content-Type") == "application/json"
                assert field(head, "Access-Control-Allow-Origin") == ORIGIN
                if method == "GET":
                    body = await client.reader.readexactly(int(field(head, "Content-Length") or 0))
                    assert json.loads(body)["authorization_servers"] == ["https://login.example.com"]
        status, answer, _ = await ask(port, "POST /.well-known/oauth-protected-resource/api/a")
        assert (status, field(answer, "Allow")) == (405, "GET, HEAD")
        assert upstream.requests == []


async def test_every_challenge_names_the_document_and_what_is_enough() -> None:
    async with serving() as (port, _, upstream):
        status, answer, _ = await ask(port, "POST /api/a")
        assert status == 401
        assert challenge(answer) == f'Bearer realm="mastra-gateway", resource_metadata="{DOCUMENT}", scope="mcp"'
        status, answer, _ = await ask(port, "POST /api/a", aud=A, exp=1)
        assert status == 401
        assert challenge(answer).startswith(
            f'Bearer realm="mastra-gateway", resource_metadata="{DOCUMENT}", scope="mcp", error="invalid_token"'
        )
        status, answer, _ = await ask(port, "POST /api/a", aud=A, scope="other")
        assert status == 403
        named = f'Bearer realm="mastra-gateway", resource_metadata="{DOCUMENT}"'
        assert challenge(answer) == f'{named}, error="insufficient_scope", scope="mcp"'
        assert field(answer, "Access-Control-Expose-Headers") is not None
        assert upstream.requests == []


@pytest.mark.parametrize(("audience", "status"), [(A, 200), ([B, A], 200), (B, 401), ([B], 401), ([], 401)])
async def test_token_of_another_resource_is_refused(audience: object, status: int) -> None:
    async with serving() as (port, _deciding, upstream):
        for _ in range(2):  # at the second time it is remembered
            assert (await ask(port, "POST /api/b", aud=B))[0] == 200
        assert (await ask(port, "POST /api/a", aud=B))[0] == 401  # the very same token
        assert (await ask(port, "POST /api/a", aud=audience, scope="mcp"))[0] == status
        assert len(upstream.requests) == 2 + (status == 200)


async def test_engine_is_not_told_to_send_a_document() -> None:
    async with serving() as (_, deciding, _upstream):
        question = (
            b"GET /authz/haproxy HTTP/1.1\r\nHost: a\r\nX-Original-Method: GET\r\nX-Forwarded-For: 192.0.2.7\r\n"
            b"X-Original-URI: /.well-known/oauth-protected-resource/api/a\r\n\r\n"
        )
        async with RawClient.connect(deciding) as client:
            await client.send(question)
            status, _, body = await client.answer()
        assert (status, json.loads(body)["code"]) == (400, "engine_limited")

"""`X-Mastra-Client-Type`, which anybody can send and which selects another auth of Mastra: for whom it goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config.model import Address
from tests.configuring import SECRET as FILE_SECRET
from tests.configuring import read
from tests.minting import mint
from tests.rawpeer import RawClient, RawUpstream
from tests.running import running

ALICE = mint({"sub": "alice", "email": "alice@example.com"}, FILE_SECRET.encode())
BOB = mint({"sub": "bob", "email": "bob@example.org"}, FILE_SECRET.encode())
FILE = """
upstreams:
  studio: {{url: "{url}", studio: {{allow: developers}}}}
  plain: {{url: "{url}"}}
rules:
  developers: {{email_domain: example.com}}
providers:
  jobs: {{type: jwt, secret: {secret}, expiry: optional}}
routes:
  /api: {{provider: jobs, allow: authenticated, upstream: studio}}
  /api/tried: {{provider: jobs, allow: {{role: admin}}, enforce: false, upstream: studio}}
  /optional: {{optional: jobs, upstream: studio}}
  /public: {{public: true, upstream: studio}}
  /plain: {{provider: jobs, allow: authenticated, upstream: plain}}
"""
STUDIO = "X-Mastra-Client-Type: studio"


async def arrived(path: str, token: str | None, *lines: str, express: bool, file: str = FILE) -> list[str]:
    """Return the lines of this name, however spelt, that an upstream got."""
    async with RawUpstream() as upstream:
        config = read(file.format(url=upstream.url, secret=FILE_SECRET))
        config = replace(config, listen=Address("127.0.0.1", 0), admin=None, express=express)
        async with running(config) as gateway, RawClient.connect(gateway.port) as client:
            bearer = [f"Authorization: Bearer {token}"] if token is not None else []
            head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *bearer, *lines])
            await client.send(f"{head}\r\n\r\n".encode())
            assert (await client.answer())[0] == 200
        (visit,) = upstream.visits
    return [line for line in visit.head.decode().split("\r\n") if "client" in line.partition(":")[0].lower()]


@pytest.mark.parametrize("express", [True, False], ids=["fast", "aiohttp"])
@pytest.mark.parametrize("line", [STUDIO, "x-mastra-client-type: studio", "X-MASTRA-CLIENT-TYPE: studio"])
async def test_it_goes_on_for_a_caller_who_meets_the_rule(line: str, express: bool) -> None:
    assert await arrived("/api/agents", ALICE, line, express=express) == [STUDIO]


@pytest.mark.parametrize("express", [True, False], ids=["fast", "aiohttp"])
@pytest.mark.parametrize(
    ("path", "token", "lines"),
    [
        pytest.param("/api/agents", BOB, [STUDIO], id="rule-not-met"),
        pytest.param("/api/agents", ALICE, [], id="nobody-said-so"),
        pytest.param("/plain", ALICE, [STUDIO], id="upstream-without-studio"),
        pytest.param("/public", None, [STUDIO], id="public"),
        pytest.param("/public", ALICE, [STUDIO], id="public-with-a-token"),
        pytest.param("/optional", None, [STUDIO], id="optional-and-nobody"),
        pytest.param("/optional", ALICE, [STUDIO], id="optional-is-not-guarded"),
        pytest.param("/api/tried", None, [STUDIO], id="let-pass-without-a-token"),
        pytest.param("/api/tried", BOB, [STUDIO], id="let-pass-with-a-token"),
        pytest.param("/api/agents", ALICE, [STUDIO, STUDIO], id="twice"),
        pytest.param("/api/agents", ALICE, ["X_Mastra_Client_Type: studio"], id="underscores"),
        pytest.param("/api/agents", ALICE, ["X.Mastra.Client.Type: studio"], id="dots"),
        pytest.param("/api/agents", ALICE, ["X-Mastra-Client_Type: studio"], id="mixed"),
        pytest.param("/api/agents", ALICE, ["X-Mastra-Client-Type: studio, cli"], id="two-in-one"),
        pytest.param("/api/agents", ALICE, ["X-Mastra-Client-Type:"], id="empty"),
        pytest.param("/api/agents", ALICE, [STUDIO, "Connection: x-mastra-client-type"], id="named-by-connection"),
    ],
)
async def test_it_stops_here_for_everybody_else(path: str, token: str | None, lines: list[str], express: bool) -> None:
    assert await arrived(path, token, *lines, express=express) == []


async def test_other_spelling_beside_it_is_removed() -> None:
    assert await arrived("/api/x", ALICE, STUDIO, "x_mastra_client_type: cli", express=True) == [STUDIO]


@pytest.mark.parametrize("express", [True, False], ids=["fast", "aiohttp"])
@pytest.mark.parametrize("path", ["/api/agents", "/public"])
@pytest.mark.parametrize("line", [STUDIO, "X_Mastra_Client_Type: studio", "X.Mastra.Client.Type: studio"])
async def test_in_a_file_without_studio_it_is_removed_as_well(path: str, line: str, express: bool) -> None:
    plain = FILE.replace(", studio: {{allow: developers}}", "").replace(
        "rules:\n  developers: {{email_domain: example.com}}\n", ""
    )
    assert await arrived(path, ALICE, line, express=express, file=plain) == []

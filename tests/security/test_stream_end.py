"""Streams that are to end, callers who are revoked, and ways to have it otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.config.file import load
from gateway.server.gateway import Gateway
from tests.minting import SECRET, mint
from tests.rawpeer import RawClient, RawUpstream, Visit
from tests.running import WIRE
from tests.security.casebook import Case, cases, parameters
from tests.security.judge import Reached
from tests.security.tally import Tally
from tests.server.test_stream_ends import SWITCHING, UPGRADE, body_of, chunk

STREAMS, LISTS = cases("stream-end"), cases("revoked")
LIFE_SECONDS = 0.6
FILE = f"""
listen: 127.0.0.1:0
admin: none
upstream: UPSTREAM
providers:
  jobs:
    type: jwt
    secret: {SECRET.decode()}
    expiry: optional
    leeway: 0s
    token_from: [bearer, bare, {{cookie: session}}, {{query: token}}]
  staff: {{type: jwt, secret: {SECRET.decode()[::-1]}, issuer: staff}}
revoked_file: revoked.yaml
streams: {{end: with_token, grace: 100ms}}
routes:
  /live: {{provider: jobs, allow: authenticated, websocket: true}}
  /optional: {{optional: jobs}}
"""
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: %b\r\n\r\n"
EVENTS = HEAD % b"text/event-stream"
# What the upstream says first, and then every 50 ms.
SAID: dict[str, tuple[bytes, bytes]] = {
    "events": (EVENTS, b"data: 1\n\n"),
    "crlf": (EVENTS, b"data: 1\r\n\r\n"),
    "cr": (EVENTS, b"data: 1\r\r"),
    "bom": (EVENTS + chunk(b"\xef\xbb\xbf"), b"data: 1\n\n"),
    "silent": (EVENTS, b""),
    "records": (HEAD % b"application/json", b'{"n":1}\x1e'),
    "gzip": (HEAD % b"text/event-stream\r\nContent-Encoding: gzip", b"data: 1\n\n"),
    "two-types": (HEAD % b"text/event-stream\r\nContent-Type: text/plain", b"data: 1\n\n"),
    "other-type": (HEAD % b"text/event-streams", b"data: 1\n\n"),
    "endless": (EVENTS, b"data: 1\n"),
    "comment": (EVENTS + chunk(b": said\n"), b""),
    "half-mark": (EVENTS + chunk(b"\xef\xbb"), b""),
    "dribble": (EVENTS + chunk(b"data: "), b"x"),
    "torrent": (EVENTS, b"data: " + b"x" * 200_000 + b"\n\n"),
    "frames": (SWITCHING, b"\x81\x02hi"),
}


@asynccontextmanager
async def bench(folder: Path, listed: str = "") -> AsyncIterator[tuple[Gateway, RawUpstream]]:
    """Run an upstream, which says what its target asks for, and a gateway with a list."""

    async def script(visit: Visit) -> None:
        name = visit.target.partition("?")[0].rpartition("/")[2]
        first, then = SAID.get(name, SAID["events"])
        with contextlib.suppress(ConnectionError):
            await visit.send(first)
            while not visit.writer.is_closing():
                await asyncio.sleep(0.05)
                if then:
                    await visit.send(then if name == "frames" else chunk(then))

    async with RawUpstream(script) as upstream:
        (folder / "gateway.yaml").write_text(FILE.replace("UPSTREAM", upstream.url))
        (folder / "revoked.yaml").write_text(listed)
        gateway = Gateway(load(folder / "gateway.yaml", dict(WIRE)))
        await gateway.start()
        try:
            yield gateway, upstream
        finally:
            await gateway.stop()


async def act(client: RawClient, how: str) -> None:
    """Do what a client does besides reading, until it is stopped."""
    ping = b"\x89\x80mask"
    while True:
        with contextlib.suppress(ConnectionError):
            match how:
                case "pings":
                    await client.send(ping)
                case "floods":
                    await client.send(ping * 20_000)
                case "tears":
                    await client.send(b"\x82\xff" + (1 << 40).to_bytes(8) + b"mask")
                case "uploads":
                    await client.send(b"1\r\nx\r\n")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("case", parameters(STREAMS))
async def test_stream(tally: Tally, case: Case, tmp_path: Path) -> None:
    spec = case.spec
    with tally.of(case):
        async with bench(tmp_path) as (gateway, _):
            lives = LIFE_SECONDS if spec["until"] == "token" else 600.0
            token = mint({"sub": "user-1", "exp": time.time() + lives})
            how, name = spec["client"], spec["upstream"]
            method, framing = ("POST", b"Transfer-Encoding: chunked\r\n") if how == "uploads" else ("GET", b"")
            lines = f"Host: a\r\nAuthorization: Bearer {token}\r\n".encode() + framing
            lines += UPGRADE if name == "frames" else b""
            async with RawClient.connect(gateway.port) as client:
                start = f"{method} /live/{name} HTTP/{spec.get('version', '1.1')}\r\n".encode()
                await client.send((start + lines + b"\r\n") * (2 if how == "pipelines" else 1))
                await client.head()
                acting = asyncio.create_task(act(client, how))
                try:
                    await judge(gateway, client, spec)
                finally:
                    acting.cancel()


async def judge(gateway: Gateway, client: RawClient, spec: dict[str, Any]) -> None:
    """Raise `Reached` if the stream lives on, or ends in another way than is promised."""
    until, expect = spec["until"], spec["expect"]
    if until in ("revoked", "other"):
        await asyncio.sleep(0.1)
        listed = gateway.config.revoked_file
        assert listed is not None
        listed.write_text(f"revoked: [{{sub: {'user-1' if until == 'revoked' else 'user-2'}}}]")
    if expect == "lives":
        await asyncio.sleep(LIFE_SECONDS + 1.2)
        assert gateway.open_streams == 1, "somebody honest was ended"
        return
    sleeps = spec["client"] == "sleeps"
    reading = asyncio.ensure_future(asyncio.sleep(0, b"") if sleeps else client.reader.read(-1))
    # Of a whole answer the connection stays open: what counts is that the stream is none any more.
    began = time.monotonic()
    while gateway.open_streams:
        await asyncio.sleep(0.05)
        if time.monotonic() - began > 8.0:
            reading.cancel()
            raise Reached(f"it lives on: {spec}")
    if not sleeps:
        with contextlib.suppress(OSError):  # it may have gone first
            client.writer.write_eof()
    async with asyncio.timeout(10):
        said = await reading
    check_end(expect, said)


def check_end(expect: str, said: bytes) -> None:
    """Raise `Reached` if a stream looks other than it is."""
    match expect:
        case "event":
            body, is_whole = body_of(said)
            if not is_whole or not body.rpartition(b"event: gateway\n")[2].startswith(b'data: {"error":"Invalid'):
                raise Reached(f"no last event: {said[-100:]!r}")
            if body.count(b"event: gateway") != 1:
                raise Reached("it was said twice")
        case "broken":
            if body_of(said)[1]:
                raise Reached("what is broken looks whole")
        case "close":
            if b"\x88\x0f\x11\x31token_" not in said:
                raise Reached(f"no close frame: {said[-100:]!r}")
        case "gone" | "over":
            return


@pytest.mark.parametrize("case", parameters(LISTS))
async def test_list(tally: Tally, case: Case, tmp_path: Path) -> None:
    spec = case.spec
    with tally.of(case):
        async with bench(tmp_path, f"revoked: [{spec['entry']}]") as (gateway, upstream):
            claims = spec.get("claims") or {}
            said = {name: time.time() if value == "NOW" else value for name, value in claims.items()}
            raw = spec.get("raw")
            token = mint({**said, "exp": time.time() + 600} if raw is None else raw.encode())
            line = spec.get("line", "Authorization: Bearer {token}")
            target = spec.get("target", "/live/x")
            if line == "query":
                target, line = f"{target}?token={token}", "Accept: */*"
            lines = f"Host: a\r\n{line.replace('{token}', token)}\r\nContent-Length: 0\r\n\r\n"
            async with RawClient.connect(gateway.port) as client:
                await client.send(f"{spec.get('method', 'GET')} {target} HTTP/1.1\r\n{lines}".encode())
                status = int((await client.head())[9:12])
            if status != spec["expect"]:
                raise Reached(f"answered {status}")
            if status == 401 and upstream.visits:
                raise Reached("the upstream heard of it")


@pytest.mark.parametrize("family", [STREAMS, LISTS], ids=["stream-end", "revoked"])
def test_each_family_has_controls_that_pass(family: list[Case]) -> None:
    assert sum(not case.is_attack for case in family) >= 5

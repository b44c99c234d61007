"""Strangers hold every connection that they can get, and honest callers are served all the same (CWE-770).

The gateway runs as a process with few descriptors, so that a crowd is cheap. Each kind of stranger keeps his
connections in another way, and comes back when he is thrown out.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import resource
import socket
import ssl
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.transport.descriptors import unread_for
from tests.minting import SECRET, mint
from tests.processes import Served, free_port, process, status_of
from tests.rawpeer import RawClient, RawUpstream, answer_ok, ask
from tests.security.conftest import Report
from tests.security.meter import HONEST_SECONDS
from tests.server.test_server import make_certificate

pytestmark = pytest.mark.alone  # it counts seconds

DESCRIPTORS = 512
CONNECTIONS = 160  # of so many descriptors
CALLS = 10
FILE = """
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
upstream: {upstream}
express: {express}
{more}
providers:
  jobs: {{type: jwt, secret: "{secret}", expiry: optional}}
routes:
  /public: {{public: true}}
  /api: {{provider: jobs, allow: authenticated, websocket: true}}
"""
REFUSED = b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n"
HONEST = f"GET /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {mint({'sub': 'ann'})}\r\n\r\n".encode()
Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def begin_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(REFUSED[:20])
    await reader.read()


async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in itertools.chain(REFUSED[:-2], itertools.repeat(0x61)):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.3)


async def be_refused_and_stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(REFUSED)
    await reader.readuntil(b"\r\n\r\n")
    await reader.read()


async def be_refused_again_and_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(REFUSED)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1)


async def read_no_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(REFUSED * 400)
    # Else all read at once, and this process, which is the crowd as well, has no time for who is honest.
    await asyncio.sleep(random.uniform(5, 10))  # noqa: S311
    writer.transport.resume_reading()  # type: ignore[attr-defined]  # or it would never hear that it was closed
    await reader.read()


async def use_a_public_route(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await reader.read()


async def upload_slowly_to_a_public_route(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.3)


async def send_an_unwanted_upload(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.3)


async def begin_a_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00")  # a record of 512 bytes, of which no more comes
    await reader.read()


ACTS: list[Act] = [
    say_nothing,
    begin_a_head,
    dribble,
    be_refused_and_stay,
    be_refused_again_and_again,
    read_no_answer,
    use_a_public_route,
    upload_slowly_to_a_public_route,
    send_an_unwanted_upload,
]


@asynccontextmanager
async def gateway_of_few_descriptors(
    folder: Path, express: str, *, hard: int = DESCRIPTORS, more: str = ""
) -> AsyncIterator[Served]:
    """Run a gateway that may have only so many, and a soft limit below."""
    async with RawUpstream(answer_ok) as upstream:
        port, admin = free_port(), free_port()
        file, log = folder / "gateway.yaml", folder / "gateway.log"
        known = {"port": port, "admin": admin, "upstream": upstream.url, "express": express, "more": more}
        file.write_text(FILE.format(secret=SECRET.decode(), **known))
        serve = f'ulimit -Sn 128; ulimit -Hn {hard}; exec "$0" -m gateway serve -c "$1"'
        command = ["/bin/bash", "-c", serve, sys.executable, str(file)]
        with process(command, log, lambda: status_of(f"http://127.0.0.1:{admin}/readyz") == 200) as running:
            yield Served(port, admin, log, running.pid)


@asynccontextmanager
async def crowd_of(
    act: Act, count: int, port: int, sources: list[str], pause_seconds: float = 0.2
) -> AsyncIterator[None]:
    """Keep so many strangers at it for the length of a block; whoever is thrown out comes back."""
    are_there = asyncio.Event()
    came = itertools.count(1)

    async def stay(number: int) -> None:
        source = sources[number % len(sources)]
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
                if next(came) >= count:
                    are_there.set()
                try:
                    await act(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(pause_seconds)

    strangers = [asyncio.create_task(stay(number)) for number in range(count)]
    try:
        async with asyncio.timeout(30):
            await are_there.wait()
        yield
    finally:
        for stranger in strangers:
            stranger.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)


def metric(gateway: Served, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=10) as answer:
        found = re.search(rf"^{re.escape(name)} ([\d.]+)", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def over_tls(port: int, request: bytes) -> bytes:
    """Return the beginning of an answer over TLS."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    try:
        writer.write(request)
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()


async def call_often(gateway: Served) -> float:
    """Call on new connections; returns the slowest. Each must be a 200, in time.

    Who says nothing for too long in a crowd is a stranger as any other, and closed; this process, which is the crowd
    as well, may be so slow. Then it calls again, as clients do.
    """
    slowest = 0.0
    for _ in range(CALLS):
        began = time.monotonic()
        async with asyncio.timeout(HONEST_SECONDS):
            while True:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    assert (await ask(gateway.port, HONEST))[0] == 200
                    break
        slowest = max(slowest, time.monotonic() - began)
        await asyncio.sleep(0.1)
    return slowest


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("express", ["true", "false"])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
async def test_honest_callers_are_served_whoever_holds_all_connections(
    tmp_path: Path, report: Report, act: Act, express: str
) -> None:
    async with gateway_of_few_descriptors(tmp_path, express) as gateway:
        sources = [f"127.0.0.{number}" for number in range(1, 30)] if sys.platform == "linux" else ["127.0.0.1"]
        async with RawClient.connect(gateway.port) as kept:
            await kept.send(HONEST)
            await kept.answer()
            async with crowd_of(act, 2 * CONNECTIONS, gateway.port, sources):
                slowest = await call_often(gateway)
                await kept.send(HONEST)
                assert (await kept.answer())[0] == 200  # not closed in favour of any stranger
                open_now = await asyncio.to_thread(metric, gateway, "gateway_open_connections")
                shed = await asyncio.to_thread(metric, gateway, 'gateway_connections_shed_total{why="full"}')
                descriptors = await asyncio.to_thread(metric, gateway, "process_max_fds")
        report(f"crowd {act.__name__}, express {express}: slowest {slowest * 1000:.0f} ms, {shed:.0f} closed for room")
        assert open_now <= CONNECTIONS + unread_for(DESCRIPTORS) and shed
        assert descriptors == DESCRIPTORS or sys.platform != "linux", "the soft limit is raised to the hard one"
        assert "Traceback" not in gateway.log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("act", [say_nothing, begin_a_handshake], ids=lambda act: act.__name__)
async def test_handshakes_that_never_end_hold_nobody_up(tmp_path: Path, report: Report, act: Act) -> None:
    files = make_certificate(tmp_path, "crowd")
    more = f"tls: {{certificate_file: {files.certificate_file}, key_file: {files.key_file}}}"
    async with gateway_of_few_descriptors(tmp_path, "true", more=more) as gateway:
        async with crowd_of(act, 2 * CONNECTIONS, gateway.port, ["127.0.0.1", "127.0.0.2"], pause_seconds=2):
            slowest = 0.0
            for _ in range(CALLS):
                began = time.monotonic()
                async with asyncio.timeout(HONEST_SECONDS):
                    assert (await over_tls(gateway.port, HONEST)).startswith(b"HTTP/1.1 200 ")
                slowest = max(slowest, time.monotonic() - began)
            shed = await asyncio.to_thread(metric, gateway, 'gateway_connections_shed_total{why="full"}')
        report(f"crowd of handshakes, {act.__name__}: slowest {slowest * 1000:.0f} ms, {shed:.0f} closed for room")
        assert shed and "Traceback" not in gateway.log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_one_address_gets_no_more_than_its_share_and_the_others_do(tmp_path: Path) -> None:
    more = "limits: {connections_per_address: 20}"
    async with gateway_of_few_descriptors(tmp_path, "true", more=more) as gateway:
        async with crowd_of(say_nothing, 60, gateway.port, ["127.0.0.1"]):
            await call_often(gateway)
            assert await asyncio.to_thread(metric, gateway, "gateway_open_connections") <= 20


def test_this_machine_lets_a_crowd_in() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 2 * CONNECTIONS + 100 or soft == resource.RLIM_INFINITY

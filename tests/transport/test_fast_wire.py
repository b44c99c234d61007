"""What real clients send stays on the fast wire: seen by the counter that says which wire served."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config.model import Cors, Limits
from gateway.keys.store import KeyStore
from gateway.server.gateway import Gateway
from tests.configuring import read as read_config
from tests.jwks import serving_keys
from tests.minting import claims_of, mint, rsa_key
from tests.rawpeer import OK, RawClient, RawUpstream, Visit, ask
from tests.running import BEARER, config_for, running, upstream_at
from tests.server.test_server import make_certificate

pytestmark = pytest.mark.skipif(os.environ.get("GATEWAY_EXPRESS") == "off", reason="the fast wire is switched off")
GET = b"GET /api/x HTTP/1.1\r\nHost: a\r\n" + BEARER + b"\r\n"
PREFLIGHT = (
    b"OPTIONS /api/x HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n"
    b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
)
CORS = Cors(frozenset({"https://app.example.com"}))
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@asynccontextmanager
async def in_front_of(upstream: RawUpstream, **settings: object) -> AsyncIterator[Gateway]:
    async with running(config_for(upstream_at(upstream.url), **settings)) as gateway:
        yield gateway


def all_fast(gateway: Gateway, count: int) -> bool:
    """True if so many requests have ended, all of them on the fast wire."""
    return gateway.metrics.wires == {"fast": count, "aiohttp": 0}


async def test_preflights_and_what_the_page_sends_then() -> None:
    async with RawUpstream() as upstream, in_front_of(upstream, cors=CORS) as gateway:
        async with RawClient.connect(gateway.port) as client:
            for _ in range(3):
                await client.send(PREFLIGHT)
                head = await client.head()
                assert head.startswith(b"HTTP/1.1 204 ") and b"Access-Control-Allow-Methods: " in head
                await client.send(GET.replace(b"Host: a", b"Host: a\r\nOrigin: https://app.example.com"))
                status, head, _ = await client.answer()
                assert status == 200 and b"Access-Control-Allow-Origin: https://app.example.com\r\n" in head
        assert all_fast(gateway, 6)


@pytest.mark.parametrize("body", [b"Content-Length: 5\r\n\r\nhello", CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n"])
async def test_preflight_with_a_body_that_is_there_keeps_the_connection_only_where_nothing_is_left(body: bytes) -> None:
    async with RawUpstream() as upstream, in_front_of(upstream, cors=CORS) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(PREFLIGHT.replace(b"\r\n\r\n", b"\r\n" + body))
            assert (await client.head()).startswith(b"HTTP/1.1 204 ")
        assert not upstream.visits and all_fast(gateway, 1)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("Cookie: name=café; other=日本\r\n".encode(), id="cookie"),
        pytest.param(b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n", id="trace"),
        pytest.param(b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n", id="keep-alive"),
    ],
)
async def test_lines_of_browsers_and_agents(line: bytes) -> None:
    async with RawUpstream() as upstream, in_front_of(upstream) as gateway:
        assert (await ask(gateway.port, b"GET /public/x HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n"))[0] == 200
        assert all_fast(gateway, 1)
    if not line.startswith(b"Connection"):
        assert line in upstream.visits[0].head


async def test_cookie_that_is_no_text_is_refused() -> None:
    # RFC 9110 section 5.5: such bytes are read in two ways.
    async with RawUpstream() as upstream, in_front_of(upstream) as gateway:
        assert (await ask(gateway.port, b"GET /public/x HTTP/1.1\r\nHost: a\r\nCookie: a=caf\xe9\r\n\r\n"))[0] == 400
    assert not upstream.visits


@pytest.mark.parametrize("size", [0, 5, 200_000])
async def test_upload_in_chunks_arrives_whole_and_framed_anew(size: int) -> None:
    async with RawUpstream() as upstream, in_front_of(upstream) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /public/x HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"\r\n")
            for at in range(0, size, 1000):
                piece = b"x" * min(1000, size - at)
                await client.send(b"%x;a=b\r\n%b\r\n" % (len(piece), piece))
            await client.send(b"0\r\nX-Trailer: dropped\r\n\r\n" + GET)
            assert (await client.answer())[0] == 200
            assert (await client.answer())[0] == 200, "what comes behind it is another request"
        assert all_fast(gateway, 2)
    first = upstream.visits[0]
    assert first.body == b"x" * size and first.header("Transfer-Encoding") == "chunked"
    assert b"dropped" not in b"".join(upstream.requests)


@pytest.mark.parametrize("framing", [b"Content-Length: 100000\r\n", CHUNKED])
async def test_refusal_while_an_upload_is_coming(framing: bytes) -> None:
    async with RawUpstream() as upstream, in_front_of(upstream) as gateway:
        async with RawClient.connect(gateway.port) as client:
            await client.send(b"POST /api/x HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n5000\r\n" + b"x" * 10_000)
            assert (await client.answer())[0] == 401
            await client.send(b"x" * 10_000)  # read, and thrown away
        assert all_fast(gateway, 1)
    assert not upstream.visits


async def test_body_over_the_limit_is_refused_by_its_length_or_as_it_comes() -> None:
    async with RawUpstream() as upstream, in_front_of(upstream, limits=Limits(body_bytes=10)) as gateway:
        for rest in (b"Content-Length: 11\r\n\r\n", CHUNKED + b"\r\nb\r\n12345678901\r\n"):
            async with RawClient.connect(gateway.port) as client:
                await client.send(b"POST /public/x HTTP/1.1\r\nHost: a\r\n" + rest)
                status, _, body = await client.answer()
                assert status == 413 and b"body_too_large" in body
        assert all_fast(gateway, 2)


async def test_first_request_that_waits_for_a_key() -> None:
    token = mint(claims_of(iat=time.time(), exp=time.time() + 300), rsa_key(), "RS256", kid="k1")
    head = f"POST /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 6\r\n\r\n"
    async with RawUpstream() as upstream:
        with serving_keys() as keys:
            text = (
                f"listen: 127.0.0.1:0\nadmin: none\nupstream: {upstream.url}\n"
                "providers: {people: {type: oidc, issuer: 'https://idp.example.test',"
                f" audience: 'https://api.example.test', jwks_uri: '{keys}'}}}}\n"
                "routes: {/api: {provider: people, allow: authenticated}}"
            )
            async with running(read_config(text)) as gateway:
                await gateway.store.close()
                gateway.keys = gateway.store = KeyStore(gateway.fetcher.fetch)  # cold, as before anybody came
                async with RawClient.connect(gateway.port) as client:
                    await client.send(head.encode() + b"abc")
                    await client.send(b"def")
                    assert (await client.answer())[0] == 200
                assert all_fast(gateway, 1)
    assert upstream.visits[0].body == b"abcdef"


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "gw.crt"))


async def test_tls_on_the_public_port(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path, "gw")
    async with RawUpstream() as upstream, in_front_of(upstream, tls=tls) as gateway:
        reader, writer = await asyncio.open_connection("localhost", gateway.port, ssl=trusting(tmp_path))
        for _ in range(3):
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(2)
        writer.write(b"POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401 ")
        writer.close()
        assert all_fast(gateway, 4)
    assert upstream.visits[0].header("X-Forwarded-Proto") == "https"


@pytest.mark.parametrize("is_whole", [True, False])
async def test_upstream_behind_tls(tmp_path: Path, is_whole: bool) -> None:
    tls = make_certificate(tmp_path, "gw")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate_file, tls.key_file)
    seen: list[bytes] = []
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                seen.append(await reader.readuntil(b"\r\n\r\n"))
                await respond(writer)
        writer.close()
        gone.set()

    async def respond(writer: asyncio.StreamWriter) -> None:
        if is_whole:
            writer.write(OK)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            await writer.drain()
            writer.write(b"0\r\n\r\n")

    server = await asyncio.start_server(serve, "localhost", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    upstream = upstream_at(url, ca_file=str(tls.certificate_file))
    async with server, running(config_for(upstream)) as gateway:
        async with RawClient.connect(gateway.port) as client:
            for _ in range(3):
                await client.send(GET)
                assert (await client.answer())[0] == 200
        assert all_fast(gateway, 3) and gateway.pools["default"].certificate_expires_at is not None
        gateway.pools["default"].close()
        await asyncio.wait_for(gone.wait(), 5)
    assert len(seen) == 3


async def test_certificate_of_an_upstream_that_nobody_vouches_for(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path, "gw")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate_file, tls.key_file)
    server = await asyncio.start_server(lambda reader, writer: None, "localhost", 0, ssl=context)
    async with server, running(config_for(upstream_at(f"https://localhost:{_port(server)}"))) as gateway:
        assert (await ask(gateway.port, GET))[0] == 502


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


async def test_what_the_aiohttp_wire_takes_it_takes_for_one_request() -> None:
    async def script(visit: Visit) -> None:
        await visit.read_body()
        await visit.send(OK)

    odd = [
        b"GET /public/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
        b"GET /public/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: a\r\nConnection: x-one, keep-alive\r\nX-One: 1\r\n\r\n",
        b"POST /public/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        b"POST /public/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n" + CHUNKED + b"\r\n2\r\nhi\r\n0\r\n\r\n",
    ]
    async with RawUpstream(script) as upstream, in_front_of(upstream) as gateway:
        async with RawClient.connect(gateway.port) as client:
            for request in odd:
                await client.send(request + GET)
                assert (await client.answer())[0] == 200
                assert (await client.answer())[0] == 200
        assert gateway.metrics.wires == {"fast": len(odd), "aiohttp": len(odd)}

"""Plain HTTP on the TLS port is told so, on both event loops; TLS is what it was."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.transport.client import LINGER_BYTES
from gateway.transport.plain_http import answer
from tests.rawpeer import RawUpstream
from tests.running import config_for, running, upstream_at
from tests.server.test_server import make_certificate

GET = b"GET /public HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def on_both_loops(what: Coroutine[Any, Any, None], loop: Any) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(what)


LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


async def answer_to(port: int, *pieces: bytes) -> bytes:
    """Return what comes back for bytes that are no TLS, as far as its length says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(10):
            return await reader.readexactly(len(answer()))
    finally:
        writer.close()


@LOOPS
def test_plain_http_is_told_to_use_https(loop: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with RawUpstream() as upstream:
            config = replace(config_for(upstream_at(upstream.url)), tls=make_certificate(tmp_path, "first"))
            async with running(config) as gateway:
                for method in (b"GET", b"POST", b"DELETE", b"PATCH", b"OPTIONS", b"CONNECT"):
                    said = await answer_to(gateway.port, method + b" /public HTTP/1.1\r\nHost: a\r\n\r\n")
                    head, _, body = said.partition(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 400 ") and b"Connection: close" in head
                    assert json.loads(body)["code"] == "plain_http" and "use https://" in json.loads(body)["error"]
                    assert f"X-Request-Id: {json.loads(body)['request_id']}\r\n".encode() in head
                assert b'"plain_http"' in await answer_to(gateway.port, b"G"), "also before the rest has come"
                upload = b"POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n"
                assert b'"plain_http"' in await answer_to(gateway.port, upload, b"x" * 99_999), (
                    "whoever is still sending"
                )
            assert not upstream.visits, "nothing of it is a request"

    on_both_loops(run(), loop)


@LOOPS
def test_plain_http_without_end_is_cut_off(loop: Any, tmp_path: Path) -> None:
    async def run() -> None:
        config = replace(config_for(upstream_at("http://127.0.0.1:9")), tls=make_certificate(tmp_path, "first"))
        async with running(config) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            with pytest.raises(ConnectionError):
                async with asyncio.timeout(10):
                    for _ in range(100):
                        writer.write(b"x" * LINGER_BYTES)
                        await writer.drain()
            writer.close()
            assert reader is not None

    on_both_loops(run(), loop)


@LOOPS
def test_tls_is_what_it_was_and_other_bytes_get_no_answer(loop: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with RawUpstream() as upstream:
            config = replace(config_for(upstream_at(upstream.url)), tls=make_certificate(tmp_path, "first"))
            async with running(config) as gateway:
                context = ssl.create_default_context(cafile=str(config.tls.certificate_file if config.tls else ""))
                context.check_hostname = False
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=context)
                assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
                writer.write(GET)
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
                writer.close()
                context.maximum_version = ssl.TLSVersion.TLSv1_2
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=context)
                assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                writer.write(b"\x16\x03\x01\x00\x05hello" + bytes(40))  # a record, and no greeting in it
                async with asyncio.timeout(10):
                    assert not (await _rest(reader)).startswith(b"HTTP")
                writer.close()

    on_both_loops(run(), loop)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""

"""What one request costs, counted and not timed: how many calls the interpreter makes for it on the fast wire.

Times differ by machine and by hour; calls do not. A tenth more and this fails: then either the change is worth it, and
the number is raised with a word why, or something slipped onto the hot path that can be done once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.config.file import load_text
from gateway.record.build import build
from gateway.server.gateway import Gateway
from gateway.transport.client import ClientConnection
from gateway.transport.upstream import UpstreamConnection
from tests.minting import SECRET, mint

FILE = f"""
listen: 127.0.0.1:0
admin: none
upstreams:
  mastra:
    url: http://127.0.0.1:9
    identity: {{headers: {{X-Auth-Subject: subject, X-Auth-Email: email}}}}
providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}}}}}
routes:
  /api: {{provider: jobs, allow: {{email_domain: example.com}}}}
"""
# Calls per request, Python's and C's, on CPython 3.11; later versions make fewer.
CALLS = {
    "allowed, every head different": 243,
    "allowed, a head that came before": 172,
    "allowed, a page's POST": 240,
    "preflight": 116,
    "refused, no token": 96,
}
IS_COMPILED, MOST_INTERPRETED = build() == "compiled", 4
CORS = "cors: {origins: ['https://app.example.com']}\n"
PAGE = "Host: a.test\r\nUser-Agent: test\r\nOrigin: https://app.example.com\r\nReferer: https://app.example.com/%d\r\n"
ASKED = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-N: %d\r\nContent-Length: 2\r\n\r\nok"


class Wire(asyncio.Transport):
    """A transport that takes everything and leads nowhere."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.count_bytes = 0

    def write(self, data: Any) -> None:
        self.count_bytes += len(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        """There is nothing to end."""


def head_of(what: str, number: int, different: int, bearer: str) -> str:
    """Return a request, a page's with its body."""
    if what == "preflight":
        return "OPTIONS /api/x HTTP/1.1\r\n" + PAGE % number + ASKED
    if what == "allowed, a page's POST":
        length = number % 100
        framed = f"Content-Length: {length}\r\nAccept: */*\r\nCookie: a=b; n={number}\r\n\r\n{'x' * length}"
        return f"POST /api/x?n={number} HTTP/1.1\r\n{PAGE % number}{bearer}{framed}"
    return (
        f"GET /api/x?n={number} HTTP/1.1\r\nHost: a.test\r\nX-Request-Id: {number}\r\nX-N: {different}\r\n"
        f"Accept: */*\r\n{bearer}User-Agent: test\r\n\r\n"
    )


def count_calls(act: Callable[[int], None], times: int) -> float:
    """Return how many calls one turn makes, the turn itself not counted; compiled, those that are still interpreted."""
    calls = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        if IS_COMPILED:
            calls += event == "call" and "/gateway/" in frame.f_code.co_filename
        else:
            calls += event in ("call", "c_call")

    for number in range(50):
        act(number)
    sys.setprofile(note)
    try:
        for number in range(times):
            act(1000 + number)
    finally:
        sys.setprofile(None)
    return calls / times


@pytest.mark.skipif(os.environ.get("GATEWAY_EXPRESS") == "off", reason="it is the fast wire whose calls are counted")
@pytest.mark.parametrize("what", CALLS)
async def test_hot_path_has_not_grown_by_a_tenth(what: str) -> None:
    logging.getLogger("gateway.access").setLevel(logging.WARNING)
    cors = CORS if "page" in what or what == "preflight" else ""
    gateway = Gateway(load_text(FILE + cors, "gateway.yaml", {}))
    await gateway.start()
    try:
        assert gateway.listener is not None
        client = ClientConnection(gateway.listener)
        client.connection_made(Wire())
        pool = gateway.pools["mastra"]
        upstream = UpstreamConnection(pool)
        upstream.connection_made(Wire())
        pool.release(upstream)
        token = mint({"sub": "user-1", "email": "alice@example.com", "exp": time.time() + 600})
        bearer = f"Authorization: Bearer {token}\r\n" if "allowed" in what else ""

        def act(number: int) -> None:
            different = number if "different" in what else 0
            client.data_received(head_of(what, number, different, bearer).encode())
            gateway.cork.flush()
            if bearer:
                upstream.data_received(ANSWER % different)

        calls = count_calls(act, 200)
        client.connection_lost(None)
    finally:
        logging.getLogger("gateway.access").setLevel(logging.NOTSET)
        await gateway.stop()
    counted = gateway.metrics.requests
    assert sum(counted.values()) == 250, counted
    assert calls <= (MOST_INTERPRETED if IS_COMPILED else CALLS[what] * 1.1)

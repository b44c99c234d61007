"""What the tests of engines share: every test below `tests/engines` that starts one has the marker `engines`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines.front import Front, engine_in_front
from tests.engines.programs import ENGINES, Engine
from tests.minting import SECRET, mint
from tests.security.rig import Answer, Script, Upstream, exchange

TOKEN = mint({"sub": "user-1", "email": "alice@example.com"})
SIGNING = "another-secret-for-the-upstream-alone-0123456789"
_TEXT = """\
upstreams:
  default:
    url: ${UPSTREAM}
    headers: {X-Upstream-Key: "text:a {constant} $of %the; 'file'"}
    identity: {authorization: sign, secret: "${SIGNING}", headers: {X-Auth-Subject: subject, X-Auth-Email: email}}
strip_headers: [Remote-User]
providers:
  jobs:
    type: jwt
    secret: "${SECRET}"
    expiry: optional
    token_from: [bearer, {header: X-Edge-Assertion}, {cookie: session}]
routes:
  /public: {public: true, websocket: true}
  /plain: {public: true}
  /api: {provider: jobs, allow: authenticated, websocket: true}
  GET /read: {provider: jobs, allow: authenticated}
"""


@dataclass
class Stage:
    """An engine with its gateway in front of an upstream that plays by scripts."""

    engine: Engine
    front: Front
    upstream: Upstream

    @property
    def port(self) -> int:
        """The engine's port."""
        return self.front.port

    def ask(self, request: str, *lines: str, body: str = "") -> Answer:
        """Send a request (`GET /api/x`) with further header lines, and return its answer."""
        return exchange(self.port, request_bytes(request, *lines, body=body))


def request_bytes(request: str, *lines: str, body: str = "") -> bytes:
    """Return the bytes of a request with a Host."""
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{request} HTTP/1.1", "Host: gw.test", *lines, *length, "", body]).encode()


BEARER = f"Authorization: Bearer {TOKEN}"


def stage_of(stack: ExitStack, engine: Engine, folder: Path, more: str = "", *options: str) -> Stage:
    """Start an engine, its gateway and an upstream. `more` is added to the file."""
    upstream = Upstream()
    stack.callback(upstream.close)
    environment = {"UPSTREAM": upstream.url, "SECRET": SECRET.decode(), "SIGNING": SIGNING}
    front = stack.enter_context(engine_in_front(engine, f"{more}{_TEXT}", folder, environment, *options))
    return Stage(engine, front, upstream)


@pytest.fixture(params=list(ENGINES), scope="module")
def engine(request: pytest.FixtureRequest) -> Engine:
    """Give each engine that is installed."""
    found = ENGINES[request.param]
    found.needed()
    return found


@pytest.fixture(scope="module")
def stage(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Give an engine that runs, one for all tests of a file."""
    with ExitStack() as stack:
        yield stage_of(stack, engine, tmp_path_factory.mktemp(engine.name))


def streaming(*chunks: bytes) -> tuple[bytes, ...]:
    """Return the pieces of a chunked event stream: the head with the first chunk, then one for each further chunk."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return (head + pieces[0], *pieces[1:], b"0\r\n\r\n")


__all__ = ["BEARER", "SIGNING", "TOKEN", "Script", "Stage", "request_bytes", "stage_of", "streaming"]

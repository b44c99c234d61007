"""A stand-in for a Mastra server: a few of its routes, with answers made up. For the demo and the compose file."""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import json
import re
import threading
from collections.abc import Callable

from aiohttp import web

from gateway.commands.call import Command, Refusal

_DELTAS = ("It ", "is ", "sunny ", "in ", "Lisbon, ", "24 ", "degrees ", "and ", "no ", "wind.")
_GAP_SECONDS = 0.1
_AGENTS = {"weatherAgent": {"id": "weatherAgent", "name": "Weather Agent"}}
_IDENTITY_PREFIXES = ("x-auth-", "x-forwarded-", "x-request-id")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=4111, help="the port (default: 4111, as Mastra)")


def _run(call: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; then 0. Raises `Refusal` if it cannot listen."""
    try:
        web.run_app(
            make_standin(), host=call.host, port=call.port, print=_tell_where, access_log=None, shutdown_timeout=2
        )
    except OSError as problem:
        why = problem.strerror or type(problem).__name__
        raise Refusal(f"cannot listen on {call.host}:{call.port}: {why}; --port takes another") from None
    return 0


def _tell_where(said: str) -> None:
    """Say where it listens, in place of the banner, which alone knows the port that was found for --port 0."""
    where = " and ".join(re.findall(r"https?://[^\s,]+", said))
    print(f"A stand-in for Mastra listens on {where}, without any guard. Ctrl-C ends it.", flush=True)


def make_standin() -> web.Application:
    """Return the stand-in: agents, generate, stream (SSE), whoami, health."""
    app = web.Application()
    app.router.add_get("/health", _health)
    app.router.add_get("/api/agents", _agents)
    app.router.add_post("/api/agents/{agent}/generate", _generate)
    app.router.add_post("/api/agents/{agent}/stream", _stream)
    app.router.add_get("/api/whoami", _whoami)
    return app


class StandinThread:
    """The stand-in on a free port of loopback, in a thread of this process that dies with it."""

    def __init__(self) -> None:
        self._listens = threading.Event()
        self._port = 0
        threading.Thread(target=self._serve, name="standin", daemon=True).start()

    def wait_for_port(self) -> int:
        """Return the port, once it listens."""
        self._listens.wait()
        return self._port

    def _serve(self) -> None:
        asyncio.run(_serve_on_loopback(self._tell))

    def _tell(self, port: int) -> None:
        self._port = port
        self._listens.set()


async def _serve_on_loopback(tell: Callable[[int], None]) -> None:
    runner = web.AppRunner(make_standin(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    tell(runner.addresses[0][1])
    await asyncio.Event().wait()


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"success": True})


async def _agents(_request: web.Request) -> web.Response:
    return web.json_response(_AGENTS)


async def _generate(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response({"text": "".join(_DELTAS), "finishReason": "stop"})


async def _stream(request: web.Request) -> web.StreamResponse:
    await request.read()
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
    await response.prepare(request)
    for text in _DELTAS:
        event = {"type": "text-delta", "payload": {"text": text}}
        await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await asyncio.sleep(_GAP_SECONDS)
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def _whoami(request: web.Request) -> web.Response:
    """Show what the gateway told us about the caller. The token itself is not shown: people paste this."""
    headers = {name: value for name, value in request.headers.items() if name.lower().startswith(_IDENTITY_PREFIXES)}
    return web.json_response({"headers": headers, "claims": _claims(request.headers.get("Authorization", ""))})


def _claims(authorization: str) -> object:
    parts = authorization.split(".")
    if len(parts) != 3:
        return None
    try:
        return json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None


COMMAND = Command("Run a stand-in for a Mastra server, without any guard.", _add_arguments, _run)

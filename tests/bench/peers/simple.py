"""The simple way in Python: PyJWT, then aiohttp on both sides."""

from __future__ import annotations

import sys
from pathlib import Path

import aiohttp
import jwt
from aiohttp import web

PORT, UPSTREAM, ISSUER, AUDIENCE = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
KEY = Path(sys.argv[5]).read_text()
_HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "upgrade"}


async def handle(request: web.Request) -> web.StreamResponse:
    """Check, forward, stream back."""
    if request.path.startswith("/api"):
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, KEY, ["RS256"], audience=AUDIENCE, issuer=ISSUER, options={"require": ["exp"]})
        except jwt.PyJWTError:
            return web.json_response({"error": "denied"}, status=401)
        if not str(claims.get("email")).endswith("@example.com"):
            return web.json_response({"error": "denied"}, status=403)
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
    body = await request.read() if request.body_exists else None
    session: aiohttp.ClientSession = request.app["session"]
    async with session.request(request.method, UPSTREAM + request.raw_path, headers=headers, data=body) as answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def make() -> web.Application:
    """Return the application; its session keeps connections."""
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application["session"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
    application.router.add_route("*", "/{rest:.*}", handle)
    return application


if __name__ == "__main__":
    web.run_app(make(), host="127.0.0.1", port=PORT, access_log=None, print=None)

"""A stand-in identity provider as a process of its own: discovery, the code flow with PKCE, refresh, the end.

`python -m tests.login.idp` prints its port. Whoever opens its page is logged in as `ann`; `POST /control` with JSON
changes that and whatever else comes next: see `Settings`. `GET /seen` tells what the token endpoint got.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from tests.keyserver import to_jwk
from tests.minting import mint, rsa_key
from tests.secrecy import keep_secret

CLIENT_ID, CLIENT_SECRET = "gateway", "stand-in: it is no secret/at all+"


@dataclass
class Settings:
    """What comes next."""

    user: str = "ann"
    claims: dict[str, Any] = field(default_factory=dict)  # of ID tokens, beside or in place of the usual ones
    lifetime: float = 3600.0  # of ID tokens, in seconds
    gives_refresh: bool = True
    refuses_refresh: bool = False
    is_down: bool = False
    error: str = ""  # at the login
    token_error: str = ""  # of the token endpoint
    nonce: str | None = None  # in place of the right one
    iss: str | None = None  # of RFC 9207, in place of the right one; empty: none
    gives_id_token: bool = True  # when it refreshes
    padding: int = 0  # characters of a claim more
    logged_in_ago: float | None = None  # seconds, by `auth_time`; None: it does not say
    logs_in_anew: bool = True  # where `max_age` asks for it
    classes: tuple[str, ...] = ("mfa",)  # of `acr_values`, that it knows


@dataclass
class Idp:
    """The server's state."""

    settings: Settings = field(default_factory=Settings)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    seen: list[dict[str, str]] = field(default_factory=list)
    has_revoked: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None  # the token endpoint waits for it
    waiting: asyncio.Event = field(default_factory=asyncio.Event)  # set once somebody waits
    issuer: str = ""
    metadata_asked: int = 0
    clock: Callable[[], float] = time.time

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "end_session_endpoint": f"{self.issuer}/end",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "revocation_endpoint": f"{self.issuer}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def id_token(self, user: str, nonce: str | None, asked: Mapping[str, str]) -> str:
        now, said = self.clock(), self.settings
        ago = said.logged_in_ago
        if said.logs_in_anew and "max_age" in asked:
            ago = 0.0
        classes = [one for one in asked.get("acr_values", "").split() if one in said.classes]
        claims = {
            "iss": self.issuer,
            "sub": user,
            "aud": CLIENT_ID,
            "iat": int(now),
            "exp": now + said.lifetime,
            "email": f"{user}@example.com",
            "email_verified": True,
            "name": user.title(),
            "padding": "x" * said.padding,
            "auth_time": None if ago is None else int(now - ago),
            "acr": classes[0] if classes else None,
        }
        claims |= {} if nonce is None else {"nonce": said.nonce or nonce}
        return mint(
            {name: value for name, value in (claims | said.claims).items() if value is not None},
            rsa_key("idp"),
            "RS256",
            kid="idp",
        )

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        given = dict(request.query)
        back = {"state": given.get("state", ""), "iss": self.issuer if self.settings.iss is None else self.settings.iss}
        back = {name: value for name, value in back.items() if value}
        if self.settings.error:
            back["error"] = self.settings.error
        else:
            code = keep_secret(secrets.token_urlsafe(16))
            self.codes[code] = given | {"user": self.settings.user}
            back["code"] = code
        raise web.HTTPFound(f"{given['redirect_uri']}?{urlencode(back)}")

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = dict(parse_qsl(await request.text()))
        self.seen.append(form | {"authorization": request.headers.get("Authorization", "")})
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        if self.settings.is_down:
            return web.Response(status=503)
        if self.settings.token_error:
            status = 401 if self.settings.token_error == "invalid_client" else 400
            return web.json_response({"error": self.settings.token_error}, status=status)
        if form.get("grant_type") == "authorization_code":
            code = self.codes.pop(form.get("code", ""), None)
            challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            is_good = code is not None and challenge.rstrip(b"=").decode() == code["code_challenge"]
            if not is_good or code is None or code["redirect_uri"] != form.get("redirect_uri"):
                return web.json_response({"error": "invalid_grant"}, status=400)
            return self._tokens(code["user"], code["nonce"], code)
        user = self.refresh.pop(form.get("refresh_token", ""), None)
        if user is None or self.settings.refuses_refresh:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return self._tokens(user, None, {})

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        form = dict(parse_qsl(await request.text()))
        self.refresh.pop(form.get("token", ""), None)
        self.has_revoked.set()
        return web.Response()

    def _tokens(self, user: str, nonce: str | None, asked: Mapping[str, str]) -> web.Response:
        answer = {
            "access_token": "opaque",
            "token_type": "Bearer",
            "expires_in": int(self.settings.lifetime),
        }
        if nonce is not None or self.settings.gives_id_token:
            answer["id_token"] = keep_secret(self.id_token(user, nonce, asked))
        if self.settings.gives_refresh:
            token = keep_secret(secrets.token_urlsafe(32))
            self.refresh[token] = user
            answer["refresh_token"] = token
        return web.json_response(answer)

    async def control(self, request: web.Request) -> web.StreamResponse:
        for name, value in (await request.json()).items():
            setattr(self.settings, name, value)
        return web.json_response({})

    async def tell(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.seen)

    def app(self) -> web.Application:
        async def metadata(request: web.Request) -> web.StreamResponse:
            self.metadata_asked += 1
            return web.Response(status=503) if self.settings.is_down else web.json_response(self.metadata())

        async def jwks(request: web.Request) -> web.StreamResponse:
            return web.json_response({"keys": [to_jwk(rsa_key("idp"), "idp", use="sig", alg="RS256")]})

        async def end(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(request.query["post_logout_redirect_uri"])

        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", metadata)
        app.router.add_get("/jwks", jwks)
        app.router.add_get("/authorize", self.authorize)
        app.router.add_post("/token", self.token)
        app.router.add_get("/end", end)
        app.router.add_post("/revoke", self.revoke)
        app.router.add_post("/control", self.control)
        app.router.add_get("/seen", self.tell)
        return app


async def _serve() -> None:
    idp = Idp()
    runner = web.AppRunner(idp.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    idp.issuer = f"http://127.0.0.1:{port}"
    print(json.dumps({"port": port}), flush=True)  # noqa: T201  # for whoever started it
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve()))

"""A gateway with a login in the test's own loop: an issuer and an upstream of real sockets, a browser, a fake clock."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web

from gateway.endpoints.login import desk_of
from gateway.server.gateway import Gateway
from tests.configuring import read
from tests.login.idp import CLIENT_SECRET, Idp
from tests.minting import NOW
from tests.running import IS_FAST
from tests.secrecy import keep_secret

SECRET = "wohYeequ8aish4ahQuoo4aiPh7aish2eeF0"
PUBLIC_URL = "http://localhost:4000"
NAVIGATES = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
ROUTES = """
  /: {provider: staff, allow: authenticated, login: true, websocket: true}
  /ann: {provider: staff, allow: {email: ann@example.com}}
  /public: {public: true}
  /optional: {optional: staff}
  /watched: {provider: staff, allow: authenticated, enforce: false}
"""


@dataclass
class Clock:
    """Seconds that go by when a test says so."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Answer:
    """What a browser was answered."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        on_a_page = re.search(rb"<small>(\w+) ", self.body)  # of a login that failed, to a person
        return str(self.json["code"]) if on_a_page is None else on_a_page[1].decode()

    @property
    def set_cookies(self) -> dict[str, str]:
        """The lines of cookies that it sets, by name."""
        lines = self.headers.getall("Set-Cookie", [])
        return {line.partition("=")[0]: line for line in lines}

    @property
    def location(self) -> str:
        return str(self.headers["Location"])


@dataclass
class Browser:
    """Cookies, and whoever sends them."""

    house: House
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request to the gateway. `headers` have `_` for `-`; what the answer says of cookies is kept."""
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies and "Cookie" not in lines:
            lines["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.house.ask(path, method, lines)
        for name, line in answer.set_cookies.items():
            value = line.partition("=")[2].partition(";")[0]
            if "Max-Age=0;" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = keep_secret(value)
        return answer

    async def open(self, path: str) -> Answer:
        """Open a page."""
        return await self.ask(path, **{name.replace("-", "_"): value for name, value in NAVIGATES.items()})

    async def post(self, path: str, origin: str = PUBLIC_URL) -> Answer:
        return await self.ask(path, "POST", Origin=origin)

    async def begin(self, to: str = "/page") -> str:
        """Begin a login; returns the path of the callback to which the issuer sends the browser."""
        begun = await self.ask(f"/api/auth/sso/login?redirect_uri={to}")
        assert begun.status == 200, begun.body
        return await self.house.authorize(begun.json["url"])

    async def log_in(self, to: str = "/page") -> Answer:
        """Log in; returns the answer of the callback."""
        return await self.open(await self.begin(to))


@dataclass
class House:
    """All of it."""

    gateway: Gateway
    idp: Idp
    clock: Clock
    client: aiohttp.ClientSession
    text: str
    arrived: list[web.Request] = field(default_factory=list)  # at the upstream
    answers_with: dict[str, str] = field(default_factory=dict)  # headers of the upstream

    def browser(self) -> Browser:
        return Browser(self)

    async def ask(self, path: str, method: str, headers: dict[str, str]) -> Answer:
        url = f"http://127.0.0.1:{self.gateway.port}{path}"
        async with self.client.request(method, url, headers=headers, allow_redirects=False) as response:
            return Answer(response.status, response.headers, await response.read())

    async def authorize(self, url: str) -> str:
        """Go to the issuer, and be sent back: the path and query of the callback."""
        async with self.client.get(url, allow_redirects=False) as response:
            where = response.headers["Location"]
        assert where.startswith(f"{PUBLIC_URL}/api/auth/sso/callback?")
        return where.removeprefix(PUBLIC_URL)

    async def reload(self, text: str) -> None:
        await self.gateway.use(read(text))


def file_for(issuer: str, upstream: str, session: str = "", routes: str = ROUTES, more: str = "") -> str:
    """Return a file with a login."""
    return f"""
listen: 127.0.0.1:0
upstreams:
  default: {{url: {upstream}, identity: {{headers: {{X-Auth-Subject: subject, X-Auth-Email: email}}}}}}
providers:
  staff: {{type: oidc, issuer: {issuer}, audience: api}}
login:
  provider: staff
  client_id: gateway
  client_secret: {json.dumps(CLIENT_SECRET)}
  session: {{secret: {SECRET}{session}}}
  public_url: {PUBLIC_URL}
{more}
routes:{routes}
"""


@asynccontextmanager
async def house(session: str = "", routes: str = ROUTES, more: str = "") -> AsyncIterator[House]:
    """Run an issuer, an upstream and a gateway for the length of a block."""
    clock = Clock()
    idp = Idp(clock=clock)
    arrived: list[web.Request] = []
    answers_with: dict[str, str] = {}

    async def upstream(request: web.Request) -> web.StreamResponse:
        arrived.append(request)
        if request.headers.get("Upgrade") == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.close()
            return socket
        return web.Response(text="upstream", headers=answers_with)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", upstream)
    async with (
        served(idp.app()) as issuer,
        served(app) as address,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        idp.issuer = issuer
        text = file_for(issuer, address, session, routes, more)
        config = read(text, {} if IS_FAST else {"GATEWAY_EXPRESS": "off"})
        gateway = Gateway(config, clock=clock, make_desk=desk_of)
        await gateway.start()
        try:
            yield House(gateway, idp, clock, client, text, arrived, answers_with)
        finally:
            await gateway.stop()


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on loopback; its address."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def query_of(path: str) -> dict[str, str]:
    """Return the query of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


async def turns(count: int = 20) -> None:
    """Let everything that can go on in this loop go on."""
    for _ in range(count):
        await asyncio.sleep(0)

"""The admin port: health, readiness, metrics, status and the page, for the operator's own machines only.

Pages of other sites must not get at it through the operator's browser. A name that anybody can point at this machine
(DNS rebinding) is refused as `Host` by the page, the state and the explanations, and what a page sends in the
operator's name (CSRF) needs the page's own origin. Health and metrics answer under any name, for the scrapers and
load balancers that come by one: they tell counts, and of nobody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from ipaddress import ip_address
from typing import Any, Protocol

from aiohttp import web

from gateway.config.model import Address
from gateway.server.gateway import StartError

_log = logging.getLogger("gateway.server")
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104  # no address that one can open
_MAX_QUESTION_BYTES = 64 * 1024
# Names that nobody can register: RFC 6761, RFC 6762, RFC 8375, ICANN 2024-07-29 (internal); `svc` as clusters have it.
_PRIVATE_NAMES = ("localhost", "local", "internal", "test", "home.arpa", "svc")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/?#\s]+))(?::[0-9]*)?")
_PLAIN_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Source(Protocol):
    """Where the answers come from: this process, or all workers."""

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether requests are welcome, and what to say about it."""
        ...

    async def metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        ...

    async def status(self) -> dict[str, Any]:
        """Return the state as JSON has it."""
        ...

    async def explain(self, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the explanation of a request that somebody asks about."""
        ...


class Admin:
    """Serves the admin port."""

    def __init__(self, source: Source, hosts: Sequence[str] = ()) -> None:
        self._source = source
        self._hosts = frozenset(hosts)
        application = web.Application(client_max_size=_MAX_QUESTION_BYTES, middlewares=[_safe_headers])
        application.router.add_get("/", self._page)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/status", self._status)
        application.router.add_post("/explain", self._explain)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self.port = 0

    async def start(self, address: Address) -> None:
        """Listen on a TCP address. Raises `StartError`."""
        self._hosts |= {address.host.lower()}
        await self._runner.setup()
        site = web.TCPSite(self._runner, address.host or None, address.port)
        await self._listen(site, f"{address.host}:{address.port}")
        self.port = self._runner.addresses[0][1]
        where = "localhost" if address.host in _EVERYWHERE else address.host
        _log.info("status page, health and metrics on http://%s:%d", f"[{where}]" if ":" in where else where, self.port)

    async def start_on_path(self, path: str) -> None:
        """Listen on a Unix socket, for the process that speaks for all workers. Raises `StartError`."""
        await self._runner.setup()
        await self._listen(web.UnixSite(self._runner, path), path)

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _listen(self, site: web.BaseSite, where: str) -> None:
        try:
            await site.start()
        except OSError as problem:
            await self._runner.cleanup()
            raise StartError(f"admin: cannot listen on {where}: {problem.strerror or problem}") from None

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, request: web.Request) -> web.Response:
        is_ready, said = await self._source.ready()
        return web.json_response({"ready": is_ready, **said}, status=200 if is_ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=await self._source.metrics(), headers={"Content-Type": _PLAIN_TEXT})

    async def _status(self, request: web.Request) -> web.Response:
        self._check_host(request)
        return web.json_response(await self._source.status())

    async def _page(self, request: web.Request) -> web.Response:
        self._check_host(request)
        page, policy = _page()
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
        return web.Response(body=page, headers=headers)

    async def _explain(self, request: web.Request) -> web.Response:
        self._check_host(request)
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            return _said(403, f"the page {origin} may not ask: only the status page itself")
        if request.content_type != "application/json" or "Content-Encoding" in request.headers:
            return _said(415, "expected content-type: application/json, and no content-encoding")
        try:
            question = json.loads((await request.read()).decode("utf-8"))  # RFC 8259 section 8.1
        except (ValueError, RecursionError):
            return _said(400, "the question is no JSON")
        if not isinstance(question, dict):
            return _said(400, "the question is JSON, but no object")
        status, answer = await self._source.explain(question)
        return web.json_response(answer, status=status)

    def _check_host(self, request: web.Request) -> None:
        name = _host_name(request.headers.get("Host", ""))
        if name in self._hosts or is_private_name(name):
            return
        said = f"Host {name[:100]!a} is a public name: name it in `admin_hosts`, or use the address or localhost"
        raise web.HTTPForbidden(reason=said)


def is_private_name(name: str) -> bool:
    """True for an address, and for a name that no stranger can make point here (RFC 6761 and its kind)."""
    try:
        ip_address(name)
    except ValueError:
        labels = name.rstrip(".").lower()
        return bool(labels) and ("." not in labels or any(labels.endswith("." + top) for top in _PRIVATE_NAMES))
    return True


def _host_name(host: str) -> str:
    """Return the name in a `Host` (RFC 9110 section 7.2); empty for what is none."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found is not None else ""


@web.middleware
async def _safe_headers(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except web.HTTPException as refusal:
        response = _said(refusal.status, refusal.reason)
    except Exception:  # a fault of ours: it gets its trace, and these headers like any other answer
        _log.exception("admin port: %s %s", request.method, request.path)
        response = _said(500, "a fault of the gateway's own: its log has the trace")
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


@cache
def _page() -> tuple[bytes, str]:
    """Return the page and the policy that lets exactly its own script and style run."""
    page = files("gateway.endpoints").joinpath("status.html").read_text(encoding="utf-8")
    script, style = (_digest(re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), policy


def _digest(found: re.Match[str] | None) -> str:
    if found is None:
        raise ValueError("the page has no script or no style")
    return "sha256-" + base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()


def _said(status: int, words: str) -> web.Response:
    return web.json_response({"error": words}, status=status)

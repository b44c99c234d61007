"""The admin port: health, readiness, metrics and status, for the operator's own machines only."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from aiohttp import web

from gateway import __version__
from gateway.config.model import Address
from gateway.server.gateway import Gateway, StartError

INDEX = f"""gateway {__version__}
/healthz  the process is alive
/readyz   the configuration is loaded and keys are usable
/metrics  Prometheus
/status   routes, providers, keys, last errors (JSON)
"""


class Admin:
    """Serves one gateway's state."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        application = web.Application()
        application.router.add_get("/", self._index)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/status", self._status)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self.port = 0

    async def start(self, address: Address) -> None:
        """Listen on a TCP address. Raises `StartError`."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, address.host or None, address.port)
        await self._listen(site, f"{address.host}:{address.port}")
        self.port = self._runner.addresses[0][1]

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

    async def _index(self, request: web.Request) -> web.Response:
        return web.Response(text=INDEX)

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, request: web.Request) -> web.Response:
        gateway = self._gateway
        is_ready = gateway.is_ready()
        why = None if is_ready else "stopping" if gateway.is_draining else "no usable keys yet"
        return web.json_response({"ready": is_ready, "why": why}, status=200 if is_ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        gateway = self._gateway
        metrics = gateway.metrics
        metrics.open_requests.set(gateway.open_requests)
        metrics.open_websockets.set(len(gateway.tunnels))
        for source in gateway.keys.status():
            metrics.key_fetches.labels(source.label).set(source.fetch_count)
            metrics.key_failures.labels(source.label).set(source.failure_count)
            if source.age_seconds is not None:
                metrics.key_age_seconds.labels(source.label).set(source.age_seconds)
        return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(status_of(self._gateway))


def status_of(gateway: Gateway) -> dict[str, Any]:
    """Return the state of a gateway as JSON has it: no secret, no claim, no token."""
    config = gateway.config
    return {
        "version": __version__,
        "ready": gateway.is_ready(),
        "draining": gateway.is_draining,
        "uptime_seconds": round(time.time() - gateway.started_at, 1),
        "open_requests": gateway.open_requests,
        "open_websockets": len(gateway.tunnels),
        "files": [str(path) for path in config.sources],
        "loaded_seconds_ago": round(time.time() - gateway.loaded_at, 1),
        "last_reload_error": gateway.last_reload_error,
        "warnings": list(config.warnings),
        "routes": [
            {
                "route": route.key,
                "public": route.public,
                "providers": [provider.name for provider in route.providers],
                "upstream": route.upstream.name,
                "enforced": route.enforce,
                "websocket": route.websocket,
            }
            for route in config.policy.routes
        ],
        "providers": [{"name": provider.name, "type": provider.kind} for provider in config.providers],
        "keys": [dataclasses.asdict(source) for source in gateway.keys.status()],
        "token_cache": {
            "entries": len(config.policy.verified),
            "hits": config.policy.verified.hits,
            "misses": config.policy.verified.misses,
        },
    }

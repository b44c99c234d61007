"""Several processes on one port (SO_REUSEPORT), and one that starts them, restarts them and speaks for them."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from aiohttp import web

from gateway.config.model import Config
from gateway.server.admin import INDEX
from gateway.server.merge import merge_metrics

_log = logging.getLogger("gateway.server")
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.5, 30.0
_ASK_SECONDS = 5.0


def run_workers(path: Path, environment: Mapping[str, str], config: Config) -> int:
    """Run `config.workers` processes until SIGTERM or SIGINT, and return the exit status."""
    if not config.listen.port:
        print("gateway serve: several workers need a port by number, found 0", file=sys.stderr)  # noqa: T201
        return 1
    try:
        held = _hold_port(config)
    except OSError as problem:
        where = f"{config.listen.host}:{config.listen.port}"
        print(f"gateway serve: cannot listen on {where}: {problem.strerror or problem}", file=sys.stderr)  # noqa: T201
        return 1
    with held, tempfile.TemporaryDirectory(prefix="gateway-") as folder:
        return asyncio.run(_Master(path, environment, config, Path(folder)).run())


def _hold_port(config: Config) -> socket.socket:
    """Return a socket that is bound to the public port and does not listen, so that a taken port is told at once.

    Workers that each find it taken would be started again for ever.
    """
    found = socket.getaddrinfo(
        config.listen.host or None, config.listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, address = found[0]
    held = socket.socket(family, kind, protocol)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError:
        held.close()
        raise
    return held


class _Master:
    """The process that serves nobody, and keeps the others running."""

    def __init__(self, path: Path, environment: Mapping[str, str], config: Config, folder: Path) -> None:
        self._path, self._environment, self._config = path, environment, config
        self._sockets = [str(folder / f"worker-{number}") for number in range(config.workers)]
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()
        self._exit_status = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._begin_stop)
        loop.add_signal_handler(signal.SIGHUP, self._tell_all, signal.SIGHUP)
        keepers = [asyncio.create_task(self._keep_running(number)) for number in range(self._config.workers)]
        runner = await self._start_admin()
        if runner is None:
            self._begin_stop()
            self._exit_status = 1
        await asyncio.gather(*keepers)
        if runner is not None:
            await runner.cleanup()
        return self._exit_status

    def _begin_stop(self) -> None:
        self._stop.set()
        self._tell_all(signal.SIGTERM)

    def _tell_all(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(number)

    async def _keep_running(self, number: int) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            began = asyncio.get_running_loop().time()
            status = await self._run_one(number)
            if self._stop.is_set():
                self._exit_status = self._exit_status or status
                return
            lived_seconds = asyncio.get_running_loop().time() - began
            pause_seconds = _FIRST_PAUSE_SECONDS if lived_seconds > _MAX_PAUSE_SECONDS else pause_seconds * 2
            _log.error("worker %d ended with status %d; another starts in %g s", number, status, pause_seconds)
            try:
                async with asyncio.timeout(min(pause_seconds, _MAX_PAUSE_SECONDS)):
                    await self._stop.wait()
            except TimeoutError:
                continue

    async def _run_one(self, number: int) -> int:
        arguments = ("-m", "gateway.server.worker", str(self._path), self._sockets[number])
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=dict(self._environment))
        self._processes[number] = process
        if self._stop.is_set():
            process.send_signal(signal.SIGTERM)
        return await process.wait()

    async def _start_admin(self) -> web.AppRunner | None:
        """Answer for all workers on the admin port."""
        address = self._config.admin
        application = web.Application()
        application.router.add_get("/", self._index)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/status", self._status)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        if address is None:
            return runner
        try:
            await web.TCPSite(runner, address.host or None, address.port).start()
        except OSError as problem:
            print(f"gateway serve: admin: {problem.strerror}", file=sys.stderr)  # noqa: T201
            await runner.cleanup()
            return None
        return runner

    async def _ask_all(self, path: str) -> list[tuple[int, bytes]]:
        return list(await asyncio.gather(*(_ask(socket_path, path) for socket_path in self._sockets)))

    async def _index(self, request: web.Request) -> web.Response:
        return web.Response(text=INDEX)

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "workers": len(self._sockets)})

    async def _ready(self, request: web.Request) -> web.Response:
        ready = [status == 200 for status, _ in await self._ask_all("/readyz")]
        is_ready = all(ready) and not self._stop.is_set()
        return web.json_response({"ready": is_ready, "workers": ready}, status=200 if is_ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        texts = [body for status, body in await self._ask_all("/metrics") if status == 200]
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=merge_metrics(texts), headers=headers)

    async def _status(self, request: web.Request) -> web.Response:
        answers = await self._ask_all("/status")
        return web.json_response({"workers": [json.loads(body) if status == 200 else None for status, body in answers]})


async def _ask(socket_path: str, path: str) -> tuple[int, bytes]:
    """Return a worker's answer; status 0 if it gives none."""
    timeout = aiohttp.ClientTimeout(total=_ASK_SECONDS)
    try:
        connector = aiohttp.UnixConnector(socket_path)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"http://worker{path}") as response,
        ):
            return response.status, await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0, b""

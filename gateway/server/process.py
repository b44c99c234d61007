"""One process of the gateway, from its configuration to its exit status."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.config.model import Config
from gateway.server.admin import Admin
from gateway.server.descriptors import raise_descriptor_limit
from gateway.server.gateway import Gateway, StartError
from gateway.server.local import LocalState
from gateway.server.memory import give_back_memory
from gateway.server.reload import Reloader

_log = logging.getLogger("gateway.server")
_MASTER_POLL_SECONDS = 1.0


def run_process(
    path: Path, environment: Mapping[str, str], config: Config, subject_key: bytes, admin_path: str | None = None
) -> int:
    """Run one process of the gateway; with `admin_path` as a worker whose state is asked for on that Unix socket."""
    raise_descriptor_limit()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(path, environment, config, subject_key, admin_path))
    except StartError as problem:
        print(f"gateway serve: {problem}", file=sys.stderr)  # noqa: T201
        return 1


async def _run(
    path: Path, environment: Mapping[str, str], config: Config, subject_key: bytes, admin_path: str | None
) -> int:
    loop = asyncio.get_running_loop()
    stop, master = asyncio.Event(), os.getppid()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)  # before anything answers: who sees it up may stop it
    gateway = Gateway(config, subject_key=subject_key)
    admin = Admin(LocalState(gateway), config.admin_hosts)
    try:
        await gateway.start(shares_port=admin_path is not None)
        if admin_path is not None:
            await admin.start_on_path(admin_path)
        elif config.admin is not None:
            await admin.start(config.admin)
    except StartError:
        await gateway.stop()
        raise
    reloader = Reloader(gateway, path, environment)
    reloads: set[asyncio.Task[bool]] = set()

    def reload() -> None:
        task = loop.create_task(reloader.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    watching = [loop.create_task(reloader.watch()), loop.create_task(give_back_memory())]
    if admin_path is not None:
        watching.append(loop.create_task(_end_with(master, stop)))
    routes = f"{count} routes" if (count := len(config.policy.routes)) != 1 else "1 route"
    _log.info("listening on %s:%d, %s of %s", config.listen.host, gateway.port, routes, path)
    gc.collect()
    gc.freeze()  # what was made at the start is never garbage: leave it out of every later collection
    await stop.wait()
    for task in watching:
        task.cancel()
    await _drain_until_told_again(gateway, loop)
    await admin.stop()
    if admin_path is not None and os.getppid() != master:
        shutil.rmtree(Path(admin_path).parent, ignore_errors=True)  # its master was killed: nobody else will
    _log.info("stopped")
    return 0


async def _end_with(master: int, stop: asyncio.Event) -> None:
    # A master that was killed says nothing; its workers would serve on with a configuration nobody watches over.
    while os.getppid() == master:  # noqa: ASYNC110  # a parent's death sends no event
        await asyncio.sleep(_MASTER_POLL_SECONDS)
    stop.set()


async def _drain_until_told_again(gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
    _log.info("stopping: %d requests under way", gateway.open_requests)
    draining = loop.create_task(gateway.drain())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
        loop.add_signal_handler(number, draining.cancel)
    try:
        await draining
    except asyncio.CancelledError:
        await gateway.stop()  # told twice: at once


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop

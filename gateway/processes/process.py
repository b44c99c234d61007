"""One process of the gateway, from its configuration to its exit status."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.config.model import Config
from gateway.endpoints.admin import Admin
from gateway.endpoints.local import LocalState
from gateway.endpoints.login import desk_of
from gateway.processes.memory import give_back_memory
from gateway.server.gateway import Gateway, StartError
from gateway.server.reload import Reloader
from gateway.transport.descriptors import raise_descriptor_limit

_log = logging.getLogger("gateway.server")
_MASTER_POLL_SECONDS = 1.0
# How a master tells its workers that it was told twice. SIGTERM does not count twice there: Ctrl-C and systemd send
# theirs to all processes of a group, and so each worker hears of one stop from there and from its master.
AT_ONCE = signal.SIGUSR1


def run_process(
    path: Path,
    environment: Mapping[str, str],
    config: Config,
    subject_key: bytes,
    admin_path: str | None = None,
    held: socket.socket | None = None,
) -> int:
    """Run one process of the gateway; with `admin_path` as a worker whose state is asked for on that Unix socket.

    `held` is the socket on which engines ask, where several workers share one.
    """
    raise_descriptor_limit()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(path, environment, config, subject_key, admin_path, held))
    except StartError as problem:
        print(f"gateway serve: {problem}", file=sys.stderr)  # noqa: T201
        return 1


async def _run(
    path: Path,
    environment: Mapping[str, str],
    config: Config,
    subject_key: bytes,
    admin_path: str | None,
    held: socket.socket | None,
) -> int:
    loop = asyncio.get_running_loop()
    stop, master = asyncio.Event(), os.getppid()
    again = (signal.SIGTERM, signal.SIGINT) if admin_path is None else (AT_ONCE,)
    for number in {signal.SIGTERM, signal.SIGINT, *again}:
        loop.add_signal_handler(number, stop.set)  # before anything answers: who sees it up may stop it
    gateway = Gateway(config, subject_key=subject_key, make_desk=desk_of)
    admin = Admin(LocalState(gateway), config.admin_hosts)
    try:
        await gateway.start(shares_port=admin_path is not None, held=held)
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
    if gateway.decisions is not None:
        _log.info("answering engines on %s", gateway.decisions.where)
    gc.collect()
    gc.freeze()  # what was made at the start is never garbage: leave it out of every later collection
    await stop.wait()
    for task in watching:
        task.cancel()
    await _drain_until_told_again(gateway, loop, again)
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


async def _drain_until_told_again(
    gateway: Gateway, loop: asyncio.AbstractEventLoop, again: tuple[signal.Signals, ...]
) -> None:
    seconds = gateway.config.drain_delay_seconds
    delay = f"; /readyz is 503, and requests are taken for {seconds:g} s more (drain_delay)" if seconds else ""
    _log.info("stopping: %d requests under way%s", gateway.open_requests, delay)
    draining = loop.create_task(gateway.drain())
    for number in again:
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

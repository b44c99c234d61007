"""Several processes on one port (SO_REUSEPORT), and one that starts them, restarts them and speaks for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.config.model import Address, Config
from gateway.endpoints.admin import Admin
from gateway.endpoints.fleet import FleetState
from gateway.processes.folder import shared_folder
from gateway.processes.process import AT_ONCE
from gateway.processes.worker import SUBJECT_KEY_FILE
from gateway.record.subject import keep_once
from gateway.server.gateway import StartError
from gateway.transport.descriptors import backlog_for, descriptor_limit
from gateway.transport.unix import SocketFile

_log = logging.getLogger("gateway.server")
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.5, 30.0


def run_workers(path: Path, environment: Mapping[str, str], config: Config, subject_key: bytes) -> int:
    """Run `config.workers` processes until SIGTERM or SIGINT, and return the exit status."""
    if not config.listen.port:
        print("gateway serve: several workers need a port by number, found 0", file=sys.stderr)  # noqa: T201
        return 1
    asked = config.decisions
    if asked is not None and isinstance(asked.listen, Address) and not asked.listen.port:
        print("gateway serve: decisions: several workers need a port by number, found 0", file=sys.stderr)  # noqa: T201
        return 1
    with contextlib.ExitStack() as held:
        try:
            asked_on = _hold_places(config, held)
        except StartError as problem:
            print(f"gateway serve: {problem}", file=sys.stderr)  # noqa: T201
            return 1
        folder = held.enter_context(shared_folder())
        keep_once(folder / SUBJECT_KEY_FILE, subject_key)  # not as an argument: those can be read by everybody
        return asyncio.run(_Master(path, environment, config, folder, asked_on).run())


def _hold_places(config: Config, held: contextlib.ExitStack) -> int | None:
    """Have what the workers listen on for as long as `held`; return the descriptor on which engines ask, if it is one.

    A taken one is told at once: workers that each find it so would be started again for ever. Raises `StartError`.
    """
    decisions, asked_on = config.decisions, None
    where = f"{config.listen.host}:{config.listen.port}"
    try:
        held.enter_context(_hold_port(config.listen))
        if decisions is not None:
            where = f"{decisions.where} (decisions)"
            if isinstance(decisions.listen, Address):
                held.enter_context(_hold_port(decisions.listen))
            else:
                file = SocketFile(decisions.listen)
                file.open(backlog_for(descriptor_limit()))
                held.callback(file.close)
                asked_on = file.listening.fileno()
    except OSError as problem:
        raise StartError(f"cannot listen on {where}: {problem.strerror or problem}") from None
    return asked_on


def _hold_port(address: Address) -> socket.socket:
    """Return a socket that is bound to a port and does not listen."""
    found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, bound = found[0]
    held = socket.socket(family, kind, protocol)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(bound)
    except OSError:
        held.close()
        raise
    return held


class _Master:
    """The process that serves nobody, and keeps the others running."""

    def __init__(
        self, path: Path, environment: Mapping[str, str], config: Config, folder: Path, asked_on: int | None
    ) -> None:
        self._path, self._environment, self._config, self._asked_on = path, environment, config, asked_on
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
        admin = await self._start_admin()
        if admin is None:
            self._begin_stop()
            self._exit_status = 1
        await asyncio.gather(*keepers)
        if admin is not None:
            await admin.stop()
        return self._exit_status

    def _begin_stop(self) -> None:
        self._tell_all(AT_ONCE if self._stop.is_set() else signal.SIGTERM)
        self._stop.set()

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
        arguments = ["-m", "gateway.processes.worker", str(self._path), self._sockets[number], self._config.log.format]
        inherited = []
        if self._asked_on is not None:
            inherited = [self._asked_on]  # one socket for all: a path, unlike a port, can be listened at once only
            arguments.append(str(self._asked_on))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=dict(self._environment), pass_fds=inherited
        )
        self._processes[number] = process
        if self._stop.is_set():
            process.send_signal(signal.SIGTERM)
        return await process.wait()

    async def _start_admin(self) -> Admin | None:
        """Answer for all workers on the admin port; None if it cannot be had."""
        admin = Admin(FleetState(self._sockets, self._stop), self._config.admin_hosts)
        if self._config.admin is None:
            return admin
        try:
            await admin.start(self._config.admin)
        except StartError as problem:
            print(f"gateway serve: {problem}", file=sys.stderr)  # noqa: T201
            return None
        return admin

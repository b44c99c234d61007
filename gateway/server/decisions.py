"""Where engines ask for decisions: a listener of its own, on an address or a socket, never the public port."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

from gateway.config.model import Address, Config, Decisions
from gateway.proxy.host import Host
from gateway.proxy.question import question_bytes
from gateway.transport.asking import AskingListener
from gateway.transport.cork import Cork
from gateway.transport.descriptors import backlog_for, descriptor_limit
from gateway.transport.limits import ConnectionLimits
from gateway.transport.room import Room
from gateway.transport.unix import SocketFile


class DecisionPort:
    """Answers engines, from `start` to `stop`."""

    def __init__(self, host: Host, cork: Cork, config: Config, decisions: Decisions, *, is_fast: bool) -> None:
        self._decisions = decisions
        self._limits = ConnectionLimits(0, 0)
        self.use(config)
        # Engines are few, and each speaks for many: there is no limit for one address.
        room = Room(config.limits.connections, config.limits.connections)
        self.listener = AskingListener(host, cork, room, self._limits, _nothing_else, is_fast=is_fast)
        self._server: asyncio.Server | None = None
        self._file: SocketFile | None = None

    @property
    def where(self) -> str:
        """Where it listens, as the file writes it, also when the file asked for any free port (0)."""
        decisions = self._decisions
        if self._server is None or isinstance(decisions.listen, Path):
            return decisions.where
        server: Any = self._server
        return Decisions(Address(decisions.listen.host, server.sockets[0].getsockname()[1])).where

    async def start(self, *, shares_port: bool = False, held: socket.socket | None = None) -> None:
        """Listen, on `held` if several processes share a socket that listens already. Raises `OSError`."""
        loop, place, backlog = asyncio.get_running_loop(), self._decisions.listen, backlog_for(descriptor_limit())
        make = self.listener.make_connection
        if isinstance(place, Address):
            self._server = await loop.create_server(
                make, place.host, place.port, backlog=backlog, reuse_port=shares_port or None
            )
            return
        if held is None:
            self._file = SocketFile(place)
            self._file.open(backlog)
            held = self._file.listening
        # Not create_unix_server: from Python 3.13 on that removes the path when it ends, which other workers listen at.
        self._server = await loop.create_server(make, sock=held, backlog=backlog)

    def use(self, config: Config) -> None:
        """Hold to the limits of a configuration."""
        self._limits.header_bytes = question_bytes(config.limits.header_bytes)
        self._limits.header_timeout_seconds = config.limits.header_timeout_seconds

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()
        if self._file is not None:
            self._file.close()

    async def stop(self) -> None:
        """End at once; what was answered may still leave."""
        self.close()
        self.listener.cut()
        await self.listener.stop()


def _nothing_else() -> None:
    """Upstreams are swept by the public listener."""

"""Where clients come in: the public port, its TLS, and what it takes of a connection."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any

from gateway.config.model import Config, Limits
from gateway.proxy.host import Host
from gateway.transport.certificate import end_of_certificate, load_certificate, server_context
from gateway.transport.cork import Cork
from gateway.transport.descriptors import backlog_for, descriptor_limit
from gateway.transport.door import TlsDoor
from gateway.transport.limits import ConnectionLimits
from gateway.transport.listener import Listener
from gateway.transport.room import Room

_log = logging.getLogger("gateway.server")


class PublicPort:
    """Lets clients in, from `start` to `stop`. A reload changes `limits` in place; `sweep` is called now and then."""

    def __init__(
        self, host: Host, cork: Cork, room: Room, config: Config, sweep: Callable[[], None], *, is_fast: bool
    ) -> None:
        self.limits = ConnectionLimits(config.limits.header_bytes, config.limits.header_timeout_seconds)
        self.listener: Listener | None = None  # once it listens
        self.certificate_expires_at: float | None = None  # Unix seconds
        self._host, self._cork, self._room, self._sweep, self._is_fast = host, cork, room, sweep, is_fast
        self._server: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._door: TlsDoor | None = None

    @property
    def is_open(self) -> bool:
        """True once it has begun to listen, also when that is over."""
        return self._server is not None

    @property
    def port(self) -> int:
        """The port, also when the file asked for any free one (0)."""
        if self._server is None:
            raise RuntimeError("the gateway does not listen yet")
        server: Any = self._server  # uvloop's `sockets` is a list
        port: int = server.sockets[0].getsockname()[1]
        return port

    def prepare(self, config: Config) -> None:
        """Read the certificate. Raises `CertificateError`."""
        self._tls = server_context(config.tls)
        self.certificate_expires_at = end_of_certificate(config.tls)

    async def start(self, config: Config, *, shares_port: bool = False) -> None:
        """Listen. `shares_port`: several processes listen on the same port (SO_REUSEPORT). Raises `OSError`."""
        address = config.listen
        self._warn_of_few_descriptors(config.limits)
        self.listener = Listener(self._host, self._cork, self._room, self.limits, self._sweep, is_fast=self._is_fast)
        if self._tls is not None:
            self._door = TlsDoor(self.listener, self._tls, lambda: self.limits.header_timeout_seconds)
        self._server = await asyncio.get_running_loop().create_server(
            self.listener.make_connection if self._door is None else self._door.make_handshake,
            address.host or None,
            address.port,
            backlog=backlog_for(descriptor_limit()),
            reuse_port=shares_port or None,
        )

    def renew_certificate(self, config: Config) -> None:
        """Have new connections get the certificate of a configuration. Raises `CertificateError`."""
        if config.tls is not None and self._tls is not None:
            load_certificate(self._tls, config.tls)
            self.certificate_expires_at = end_of_certificate(config.tls)

    def use(self, config: Config) -> None:
        """Hold to the limits of a configuration."""
        self.limits.header_bytes = config.limits.header_bytes
        self.limits.header_timeout_seconds = config.limits.header_timeout_seconds
        self._warn_of_few_descriptors(config.limits)

    def _warn_of_few_descriptors(self, limits: Limits) -> None:
        asked, most = limits.connections, self._room.limit
        if asked > most and asked != Limits().connections:  # nobody asked for the default
            _log.warning(
                "limits.connections: found %d, but %d descriptors are enough for %d: raise the hard limit (ulimit -Hn)",
                asked, descriptor_limit(), most,
            )  # fmt: skip

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

    async def stop(self, quiet: Callable[[], Any]) -> None:
        """End at once; `quiet` is waited for between the cut of what is under way and the end of the connections."""
        self.close()
        if self._door is not None:
            await self._door.stop()
        if self.listener is not None:
            self.listener.cut()
            await quiet()
            await self.listener.stop()

"""The connections to one upstream, taken last-in first-out, closed before the upstream would."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from aiohappyeyeballs import AddrInfoType, start_connection

from gateway.http1.body import Chunks
from gateway.http1.llhttp import ChunksReadTwice, LlhttpResponses
from gateway.http1.response import Responses
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason
from gateway.policy.upstreams import Upstream
from gateway.proxy.headers import is_response_line_forwarded
from gateway.proxy.unreachable import no_connection_within, why_unreachable
from gateway.transport.cork import Cork
from gateway.transport.upstream import Home, UpstreamConnection

# Node closes idle connections after 5 s; one that it is closing just now must not be taken for the next request.
_KEEPALIVE_SECONDS: Final = 4.0
_NEXT_ADDRESS_SECONDS: Final = 0.25
_log = logging.getLogger("gateway.server")


class Pool(Home):
    """The connections to one upstream. `is_fast` False: llhttp reads what comes on them.

    Raises OSError for a `ca_file` that cannot be read or used.
    """

    def __init__(self, upstream: Upstream, clock: Callable[[], float], cork: Cork, *, is_fast: bool = True) -> None:
        parts = urlsplit(upstream.url)
        self.upstream = upstream
        self.cork = cork
        self.read = Responses(is_response_line_forwarded).read if is_fast else LlhttpResponses().read
        self.make_chunks = Chunks if is_fast else ChunksReadTwice
        self.certificate_expires_at: float | None = None  # Unix seconds, as last seen; None: not seen yet, or no TLS
        self._tls = _tls_context(upstream) if parts.scheme == "https" else None
        self._host, self._port = parts.hostname or "", parts.port or (80 if self._tls is None else 443)
        self._address = _numeric(self._host, self._port)
        self._clock = clock
        self._idle: deque[UpstreamConnection] = deque()
        self._is_closed = False

    def take(self) -> UpstreamConnection:
        return self.take_kept() or self.open()

    def take_kept(self) -> UpstreamConnection | None:
        """Return the connection that was used last, if the upstream will not have closed it."""
        oldest = self._clock() - _KEEPALIVE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            transport = connection.transport
            if transport is None or transport.is_closing():
                continue
            if connection.idle_since < oldest:
                connection.abort()
                continue
            connection.is_reused = True
            return connection
        return None

    def open(self) -> UpstreamConnection:
        connection = UpstreamConnection(self)
        connection.opening = asyncio.get_running_loop().create_task(self._open(connection))
        return connection

    async def _open(self, connection: UpstreamConnection) -> None:
        """Open a connection, or say why there is none: UPSTREAM_UNREACHABLE, UPSTREAM_TIMEOUT."""
        loop, seconds = asyncio.get_running_loop(), self.upstream.connect_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                found = self._address or await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                # RFC 8305: an address that leads nowhere, most often of IPv6, must not cost the others their time.
                wire = await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1)
                name = self._host if self._tls is not None else None
                transport, _ = await loop.create_connection(
                    lambda: connection, sock=wire, ssl=self._tls, server_hostname=name
                )
        except TimeoutError:
            connection.not_opened(Denied(Reason.UPSTREAM_TIMEOUT, no_connection_within(self.upstream)))
        except OSError as problem:
            connection.not_opened(Denied(Reason.UPSTREAM_UNREACHABLE, why_unreachable(problem)))
        except Exception as surprise:
            _log.exception("no connection to %s could be tried", self.upstream.name)
            connection.not_opened(Denied(Reason.UPSTREAM_UNREACHABLE, type(surprise).__name__))
        else:
            self._look_at_certificate(transport)

    def _look_at_certificate(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert() if tls is not None else None
        if certificate:
            self.certificate_expires_at = ssl.cert_time_to_seconds(certificate["notAfter"])

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back."""
        if self._is_closed:
            connection.abort()
            return
        connection.idle_since = self._clock()
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has ended; if it was idle, it is so no longer."""
        if connection.taker is None and connection.idle_since:
            try:
                self._idle.remove(connection)
            except ValueError:
                return

    def sweep(self) -> None:
        """Close what has been idle for too long."""
        oldest = self._clock() - _KEEPALIVE_SECONDS
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().abort()

    def close(self) -> None:
        """Close every idle connection; those in use close when they are given back."""
        self._is_closed = True
        while self._idle:
            self._idle.popleft().abort()


def _numeric(host: str, port: int) -> Sequence[AddrInfoType]:
    """Return what a host that is an address stands for, so that no thread is asked for it; none for a name."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return []


def _tls_context(upstream: Upstream) -> ssl.SSLContext:
    """Return how an upstream's certificate is verified: always, by `ca_file` or the system's authorities."""
    context = ssl.create_default_context(cafile=upstream.ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context

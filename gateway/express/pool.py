"""The connections to one upstream, taken last-in first-out, closed before the upstream would."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

from gateway.express.answers import Answers
from gateway.express.cork import Cork
from gateway.express.upstream import UpstreamConnection
from gateway.policy.reasons import Denied, Reason
from gateway.policy.upstreams import Upstream
from gateway.proxy.headers import is_answer_line_passed
from gateway.proxy.unreachable import no_connection_within, why_unreachable

# Node closes idle connections after 5 s; one that it is closing just now must not be taken for the next request.
_KEEPALIVE_SECONDS = 4.0


class Pool:
    """The connections to one upstream."""

    def __init__(self, upstream: Upstream, clock: Callable[[], float], cork: Cork) -> None:
        parts = urlsplit(upstream.url)
        self.upstream = upstream
        self.cork = cork
        self.answers = Answers(is_answer_line_passed)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._clock = clock
        self._idle: deque[UpstreamConnection] = deque()
        self._is_closed = False

    def take(self) -> UpstreamConnection | None:
        """Return the connection that was used last, if one is free and the upstream will not have closed it."""
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

    async def open(self) -> UpstreamConnection:
        """Open a connection. Raises `Denied` (UPSTREAM_UNREACHABLE, UPSTREAM_TIMEOUT)."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.upstream.connect_timeout_seconds):
                _, connection = await loop.create_connection(lambda: UpstreamConnection(self), self._host, self._port)
        except TimeoutError:
            raise Denied(Reason.UPSTREAM_TIMEOUT, no_connection_within(self.upstream)) from None
        except OSError as problem:
            raise Denied(Reason.UPSTREAM_UNREACHABLE, why_unreachable(problem)) from None
        return connection

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

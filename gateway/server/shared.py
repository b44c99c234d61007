"""What one request on the express lane needs of its connection, and of what all of them share."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from gateway.server.host import Host
from gateway.server.limits import ConnectionLimits
from gateway.server.room import Place

MAX_AHEAD_BYTES = 64 * 1024  # of what a client sends before anybody can take it


class RequestIds:
    """Ids of requests: 128 random bits each, fetched from the system many at a time."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def next(self) -> str:
        """Return an id."""
        if not self._left:
            many = secrets.token_hex(16 * 256)
            self._left = [many[at : at + 32] for at in range(0, len(many), 32)]
        return self._left.pop()


class Exchange(Protocol):
    """The request under way, as its connection sees it."""

    upload_left: int

    def uploaded(self, data: bytes) -> bytes:
        """Take what is of the body; returns what is behind it."""
        ...

    def client_left(self) -> None:
        """The client is gone."""
        ...

    def client_is_behind(self, *, is_behind: bool) -> None:
        """The client takes less than arrives, or takes again."""
        ...

    def expire(self) -> None:
        """Somebody took too long."""
        ...

    def shut_down(self) -> None:
        """The gateway stops, and cannot wait any longer."""
        ...


class LaneClient(Protocol):
    """The client's connection, as an exchange sees it."""

    deadline: float
    is_client_behind: bool  # it takes less than was written
    is_upload_held: bool  # it may not send: if it does not, it is not to blame
    place: Place  # among all connections

    def began(self, exchange: Exchange, end: int) -> None:
        """The exchange has taken the request; `end` is where it ends in what it was given."""
        ...

    def write(self, data: bytes, *, is_urgent: bool = False) -> None:
        """Write to the client; `is_urgent`: it is one of many small pieces, each of which is waited for."""
        ...

    def hold_upload(self, *, is_held: bool) -> None:
        """Have the client wait with its upload, or go on."""
        ...

    def exchange_ended(self, *, keeps_alive: bool, lingers: bool = False) -> None:
        """The answer is written. `lingers`: the client is still sending."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Shared(Protocol):
    """What the exchanges of a listener share."""

    host: Host
    ids: RequestIds
    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    connections: set[Any]

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something in the background, and hold it until it ends."""
        ...


class SharedByConnections(Shared, Protocol):
    """What the connections of a listener share besides."""

    limits: ConnectionLimits  # what a client may send and take; a reload changes it in place

    def lost(self, connection: Any) -> None:
        """A connection has ended, or is another's now."""
        ...

    def hand_over(
        self, transport: asyncio.Transport, place: Place, ahead: bytes, *, is_behind: bool, has_eof: bool
    ) -> None:
        """Give a connection to the reference path, with what was read of it and what is known of its client."""
        ...

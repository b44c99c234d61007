"""What a request needs to know of the gateway around it."""

from __future__ import annotations

from typing import Protocol

from gateway.express.cork import Cork
from gateway.keys.store import KeyStore
from gateway.proxy.tunnel import Tunnel
from gateway.server.outcome import Outcome
from gateway.server.room import Room
from gateway.server.runtime import Runtime
from gateway.server.tracing import Tracing


class Host(Protocol):
    """The gateway, as a request sees it."""

    runtime: Runtime
    keys: KeyStore
    cork: Cork
    is_draining: bool
    open_requests: int
    tunnels: set[Tunnel]
    tracing: Tracing | None
    room: Room

    def began(self, outcome: Outcome) -> None:
        """A request has begun."""
        ...

    def stream_began(self, outcome: Outcome) -> None:
        """A request's answer is a stream: nobody knows how long it will be."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """A request has ended, well or badly."""
        ...

"""What an exchange needs to know of the gateway around it."""

from __future__ import annotations

from collections.abc import Callable

from mypy_extensions import mypyc_attr

from gateway.policy.decision import NeedKey
from gateway.policy.key_lookup import Keys
from gateway.proxy.runtime import Runtime
from gateway.proxy.tunnel import Tunnel
from gateway.record.outcome import Outcome
from gateway.record.tracing import Tracing


@mypyc_attr(allow_interpreted_subclasses=True)
class Host:
    """The gateway, as an exchange sees it. `clock` gives Unix seconds, `next_id` an id for a request.

    `is_draining`: each response is the last of its connection. `takes_requests` False: no other request begins.
    """

    runtime: Runtime
    keys: Keys
    clock: Callable[[], float]
    next_id: Callable[[], str]
    tracing: Tracing | None
    is_draining: bool
    takes_requests: bool
    open_requests: int
    tunnels: set[Tunnel]

    def began(self, outcome: Outcome) -> None:
        """A request has begun."""
        raise NotImplementedError

    def stream_began(self, outcome: Outcome) -> None:
        """A request's response is a stream: nobody knows how long it will be."""
        raise NotImplementedError

    def ended(self, outcome: Outcome) -> None:
        """A request has ended, well or badly."""
        raise NotImplementedError

    def fetch_key(self, need: NeedKey, then: Callable[[float, float], None]) -> Callable[[], object]:
        """Fetch a key, and say that it was tried, well or badly, and when: seconds of `time.perf_counter`.

        Returns what gives it up.
        """
        raise NotImplementedError

"""What an exchange needs to know of the gateway around it."""

from __future__ import annotations

from collections.abc import Callable

from mypy_extensions import mypyc_attr

from gateway.policy.budgets import OverBudget
from gateway.policy.decision import NeedKey
from gateway.policy.denied import Denied
from gateway.policy.key_lookup import Keys
from gateway.policy.model import Principal
from gateway.policy.routes import Route
from gateway.policy.seen_sessions import SeenSessions
from gateway.policy.session import Session
from gateway.proxy.holding import Holding
from gateway.proxy.own import OwnAnswer, OwnQuestion
from gateway.proxy.runtime import Runtime
from gateway.proxy.tunnel import Tunnel
from gateway.record.outcome import Outcome
from gateway.record.tracing import Tracing


@mypyc_attr(allow_interpreted_subclasses=True)
class Lease:
    """A place that a request has in the budgets of its route, until it ends.

    `lines` are what its client is told of what is left, as they are written. `would_deny`: why it would have none, were
    the route's rules enforced.
    """

    __slots__ = ("lines", "would_deny")

    def __init__(self, lines: bytes = b"", would_deny: Denied | None = None) -> None:
        self.lines, self.would_deny = lines, would_deny

    def answered(self, *, has_length: bool, is_events: bool, cut: Callable[[OverBudget], None]) -> None:
        """The head of the response came: what is no stream needs no place for one; events without one ask for it now.

        `cut` is told, at once or later, if there is none.
        """
        raise NotImplementedError

    def release(self) -> None:
        """Give it back. Called once."""
        raise NotImplementedError


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
    sessions: SeenSessions
    holding: Holding

    def began(self, outcome: Outcome) -> None:
        """A request has begun."""
        raise NotImplementedError

    def stream_began(self, outcome: Outcome) -> None:
        """A request's response is a stream: nobody knows how long it will be."""
        raise NotImplementedError

    def ended(self, outcome: Outcome) -> None:
        """A request has ended, well or badly."""
        raise NotImplementedError

    def renew_session(self, session: Session, then: Callable[[Session | Denied], None]) -> Callable[[], object]:
        """Ask the issuer for the next word on a session, and say what came of it. Returns what gives it up."""
        raise NotImplementedError

    def answer(self, question: OwnQuestion, then: Callable[[OwnAnswer | Denied], None]) -> Callable[[], object]:
        """Answer a request at one of the gateway's own addresses. Returns what gives it up."""
        raise NotImplementedError

    def fetch_key(self, need: NeedKey, then: Callable[[tuple[float, float]], None]) -> Callable[[], object]:
        """Fetch a key, and say that it was tried, well or badly, from when to when: seconds of `time.perf_counter`.

        Returns what gives it up.
        """
        raise NotImplementedError

    def spend(
        self,
        route: Route,
        principal: Principal | None,
        client_ip: str,
        then: Callable[[Lease | Denied], None],
        *,
        may_stream: bool,
    ) -> Callable[[], object]:
        """Ask whether a caller may use up some of a route's budgets, and say so, at once or later.

        `may_stream`: the response may be a stream, so it needs a place for one. Returns what gives the asking up.
        """
        raise NotImplementedError

    def locked_out(self, client_ip: str) -> OverBudget | None:
        """Return why nothing is read of an address that failed too often; None for all others."""
        raise NotImplementedError

    def note_failure(self, client_ip: str) -> None:
        """An address was answered 401."""
        raise NotImplementedError

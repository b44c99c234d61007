"""What an exchange needs to know of the gateway around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mypy_extensions import mypyc_attr

from gateway.policy.decision import NeedKey
from gateway.policy.denied import Denied
from gateway.policy.key_lookup import Keys
from gateway.policy.model import Principal
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
    """A place that a request has in the budgets of its route, until it ends."""

    __slots__ = ()

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
        budgets: Sequence[str],
        principal: Principal | None,
        client_ip: str,
        then: Callable[[Lease | Denied | None], None],
    ) -> Callable[[], object]:
        """Ask whether a caller may use up some of these budgets, and say so, at once or later.

        None: yes, and there is nothing to give back. Returns what gives the asking up.
        """
        raise NotImplementedError

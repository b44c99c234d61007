"""What a request waits for, as tasks of their own: each says to whom waits what came of it, unless it was given up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.keys.store import KeyStore
from gateway.policy.budgets import OverBudget
from gateway.policy.decision import NeedKey
from gateway.policy.denied import Denied
from gateway.policy.model import Principal
from gateway.policy.reasons import Reason
from gateway.policy.routes import Route
from gateway.policy.session import Session
from gateway.proxy.host import Host, Lease
from gateway.proxy.own import Desk, OwnAnswer, OwnQuestion
from gateway.server.ledger import Ledger

T = TypeVar("T")
_log = logging.getLogger("gateway.server")


class Errands(Host):
    """A host that sends for keys, sessions and answers. `tasks` are those under way."""

    store: KeyStore
    desk: Desk | None
    tasks: set[asyncio.Task[None]]
    ledger: Ledger

    def fetch_key(self, need: NeedKey, then: Callable[[tuple[float, float]], None]) -> Callable[[], object]:
        """Fetch a key, and say that it was tried; returns what gives it up."""
        return self._begin(self._fetch_key(need, then))

    async def _fetch_key(self, need: NeedKey, then: Callable[[tuple[float, float]], None]) -> None:
        began_at = time.perf_counter()
        await self.store.fetch(need.source, need.kid)
        then((began_at, time.perf_counter()))

    def renew_session(self, session: Session, then: Callable[[Session | Denied], None]) -> Callable[[], object]:
        """Ask the issuer for the next word on a session; returns what gives it up."""
        assert self.desk is not None  # noqa: S101  # there are no sessions without one
        return self._begin(_told(self.desk.renew(session), then))

    def answer(self, question: OwnQuestion, then: Callable[[OwnAnswer | Denied], None]) -> Callable[[], object]:
        """Answer at one of the gateway's own addresses; returns what gives it up."""
        assert self.desk is not None  # noqa: S101  # there are no such addresses without one
        return self._begin(_told(self.desk.answer(question), then))

    def spend(
        self,
        route: Route,
        principal: Principal | None,
        client_ip: str,
        then: Callable[[Lease | Denied], None],
        *,
        may_stream: bool,
    ) -> Callable[[], object]:
        """Ask whether a caller may use up some of a route's budgets. Who gives that up is told, and gives it back."""
        self.ledger.spend(route, principal, client_ip, then, may_stream=may_stream)
        return _nothing

    def locked_out(self, client_ip: str) -> OverBudget | None:
        """Return why nothing is read of an address that failed too often; None for all others."""
        return self.ledger.locked_out(client_ip)

    def note_failure(self, client_ip: str) -> None:
        """An address was answered 401."""
        self.ledger.failures.note(client_ip)

    def _begin(self, work: Awaitable[None]) -> Callable[[], object]:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task.cancel


def _nothing() -> None:
    """Give up what is no work of ours."""


async def _told(work: Awaitable[T], then: Callable[[T | Denied], None]) -> None:
    try:
        result: T | Denied = await work
    except Denied as no:
        result = no
    except Exception as surprise:  # a mistake of ours: the request that waits must hear of an end
        _log.error("an errand failed", exc_info=surprise)
        result = Denied(Reason.INTERNAL_ERROR, type(surprise).__name__)
    then(result)

"""What callers have used up: asked of this process, or of the store that it shares; leases, and how they end."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable

from gateway.config.model import Config, Shared
from gateway.explain.spent import Counted
from gateway.policy.budgets import (
    Budget,
    Claim,
    Left,
    OverBudget,
    Verdict,
    claims_of,
    over_budget,
    told,
)
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.model import Principal
from gateway.policy.reasons import Reason
from gateway.policy.routes import Route
from gateway.proxy.host import Lease
from gateway.server.failures import Failures
from gateway.server.leases import Leases, Spent, Then, unenforced
from gateway.stores.counting import Counting, Held, SharedStore, StoreDownError
from gateway.stores.memory import Memory


class Ledger(Leases):
    """All counts of one process, over reloads as well. `clock` gives seconds that never go back."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self.memory = Memory()
        self.store: SharedStore | None = None  # that which replicas share
        self.results: dict[tuple[str, str], int] = {}  # by budget and result
        self.open_streams: dict[str, int] = {}  # by budget, those of this process
        self._clock = clock
        self.failures = Failures(clock)
        self._counting: Counting | None = None
        self._before: list[tuple[Counting, SharedStore]] = []  # of former configurations: streams may still be open
        self._shared: Shared | None = None
        self._if_down = "local"
        self._own_secret = secrets.token_bytes(32)
        self._secret = self._own_secret
        self._closing: set[asyncio.Task[None]] = set()
        self._has_counts = False
        self.use(config)

    def use(self, config: Config) -> None:
        """Count by a configuration from now on; what was counted stays."""
        shared = config.shared
        self.failures.use(config.budgets)
        self._has_counts = any(route.budgets for route in config.policy.routes)
        self._secret = self._own_secret if shared is None else _secret_of(config, shared)
        self._if_down = "local" if shared is None else shared.if_down
        if shared == self._shared:
            return
        if self._counting is not None and self.store is not None:
            self._before.append((self._counting, self.store))
        self._shared, self.store, self._counting = shared, None, None
        if shared is not None:
            self.store, self._counting = _connect(shared)
        idle = [pair for pair in self._before if not pair[0].held]
        self._before = [pair for pair in self._before if pair[0].held]
        for pair in idle:
            task = asyncio.ensure_future(self._retire(pair))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _retire(self, pair: tuple[Counting, SharedStore]) -> None:
        """Let go of a former store once it has answered those who wait, unless a stream of theirs has a place there."""
        await pair[0].answered()
        if pair[0].held:
            self._before.append(pair)
        else:
            await _close(pair)

    def begin(self) -> None:
        """Connect to the store that replicas share, if there is something to count in it."""
        if self.store is not None and self._has_counts:
            self.store.begin()

    async def close(self) -> None:
        """Give back what is left, and let go of the stores."""
        if self._counting is not None and self.store is not None:
            self._before.append((self._counting, self.store))
            self._counting = self.store = None
        await asyncio.gather(*self._closing, return_exceptions=True)
        for pair in self._before:
            await _close(pair)

    # --- requests ---

    def spend(self, route: Route, principal: Principal | None, client_ip: str, then: Then, *, may_stream: bool) -> None:
        """Count a request of a route, or refuse it; `then` is told, at once or later."""
        told_to = then if route.enforce else unenforced(then)
        try:
            claims = claims_of(route.budgets, self._secret, principal, client_ip)
        except Denied as no:
            self._count(route.budgets, "uncounted")
            told_to(no)
            return
        self._take(claims, told_to, may_stream)

    def _take(self, claims: tuple[Claim, ...], then: Then, is_stream: bool, *, is_late: bool = False) -> None:
        """Ask whoever counts. `is_late`: the request was counted before, and its result with it."""
        counting, store, result = self._counting, self.store, "" if is_late else "allowed"
        if counting is None or store is None:
            self._settle(claims, self._of_memory(claims, is_stream), then, is_stream, result)
        elif store.is_up is False:
            self._without_store(counting, claims, then, is_stream, result and "local")
        else:
            self._ask(counting, claims, then, is_stream, result)

    def _ask(self, counting: Counting, claims: tuple[Claim, ...], then: Then, may_stream: bool, result: str) -> None:
        def heard(verdict: Verdict | None) -> None:
            if verdict is None:
                self._without_store(counting, claims, then, may_stream, result and "local")
                return
            if verdict.refused is None:
                # Here as well: who has nobody left to ask begins with what it has seen itself.
                self.memory.note(claims, self._clock(), is_stream=may_stream)
            self._settle(claims, verdict, then, may_stream, result, counting, held)

        held = counting.take(claims, heard, is_stream=may_stream)

    def _without_store(
        self, counting: Counting, claims: tuple[Claim, ...], then: Then, may_stream: bool, result: str
    ) -> None:
        if self._if_down == "refuse":
            self._count([claim.budget for claim in claims], "unknown")
            then(OverBudget(Reason.BUDGET_UNKNOWN, "the shared store cannot be asked", b""))
            return
        held = counting.held_for(claims) if may_stream else None  # counted in the store once it is back
        self._settle(claims, self._of_memory(claims, may_stream), then, may_stream, result, counting, held)

    def _of_memory(self, claims: tuple[Claim, ...], may_stream: bool) -> Verdict:
        return self.memory.take(claims, self._clock(), is_stream=may_stream)

    def _settle(
        self,
        claims: tuple[Claim, ...],
        verdict: Verdict,
        then: Then,
        is_stream: bool,
        result: str,
        counting: Counting | None = None,
        held: Held | None = None,
    ) -> None:
        """Say what the verdict is. Places are given back through what is said."""
        if verdict.refused is not None:
            self._count([claims[verdict.refused].budget], "refused")
            then(over_budget(claims, verdict))
            return
        if result:
            self._count([claim.budget for claim in claims], result)
        spent = Spent(self, claims, told(claims, verdict), is_stream=is_stream)
        self._open(spent, counting, held)
        then(spent)

    # --- questions ---

    async def left_in_store(self, allow: Allow, client_ip: str) -> Counted | None:
        """Return what the shared store says is left for a caller; None: there is none, or nothing to ask for."""
        claims = self._claims_of(allow, client_ip)
        if self._counting is None or self.store is None or not claims:
            return None
        try:
            found = await self._counting.left(claims)
        except StoreDownError as problem:
            return Counted({}, f"the shared store cannot be asked what is left: {problem}")
        return Counted(_by_budget(claims, found), "as the shared store counts")

    async def left(self, allow: Allow, client_ip: str) -> Counted:
        """Return what is left for a caller, whoever counts now."""
        shared = await self.left_in_store(allow, client_ip)
        if shared is not None and (shared.left or self._if_down == "refuse"):
            return shared
        claims, words = self._claims_of(allow, client_ip), "as this process counts"
        here = _by_budget(claims, self.memory.left(claims, self._clock()))
        return Counted(here, words if shared is None else f"{words}: {shared.words}")

    def _claims_of(self, allow: Allow, client_ip: str) -> tuple[Claim, ...]:
        try:
            return claims_of(allow.route.budgets, self._secret, allow.principal, client_ip)
        except Denied:
            return ()

    # --- streams ---

    def take_late(self, spent: Spent, cut: Callable[[OverBudget], None]) -> None:
        """See `Leases`."""
        claims = tuple([
            Claim(one.budget, one.key, one.streams, None) for one in spent.claims if one.streams is not None
        ])  # fmt: skip
        if not claims:
            return

        def hear(late: Lease | Denied) -> None:
            if isinstance(late, OverBudget):
                cut(late)
            elif isinstance(late, Spent):
                late.is_stream = False  # the other one gives its places back
                spent.is_stream, spent.held = True, late.held
                if spent.is_over:
                    spent.release()

        self._take(claims, hear, True, is_late=True)

    def _open(self, spent: Spent, counting: Counting | None, held: Held | None) -> None:
        if not spent.is_stream:
            return
        for claim in spent.claims:
            if claim.streams is not None:
                self.open_streams[claim.budget.name] = self.open_streams.get(claim.budget.name, 0) + 1
        if counting is not None and held is not None:
            counting.keep(held)
            spent.held = counting, held

    def give_back(self, spent: Spent) -> None:
        """See `Leases`."""
        self.memory.give_back(spent.claims)
        for claim in spent.claims:
            if claim.streams is not None:
                self.open_streams[claim.budget.name] -= 1
        if spent.held is not None:
            counting, held = spent.held
            spent.held = None
            counting.give_back(held)

    def locked_out(self, client_ip: str) -> OverBudget | None:
        """Return why nothing is read of an address; None for all others."""
        found = self.failures.locked_out(client_ip)
        if found is None:
            return None
        self._count([found[0]], "refused")
        return found[1]

    def _count(self, budgets: tuple[Budget, ...] | list[Budget], result: str) -> None:
        for one in budgets:
            series = one.name, result
            self.results[series] = self.results.get(series, 0) + 1


def _by_budget(claims: tuple[Claim, ...], left: list[Left]) -> dict[str, Left]:
    return {claim.budget.name: one for claim, one in zip(claims, left, strict=True)}


def _connect(shared: Shared) -> tuple[SharedStore, Counting]:
    # Here, not above: it takes a fifth of a second, and most files share nothing.
    from gateway.stores.redis import Store
    from gateway.stores.shared import SharedBudgets

    store = Store(shared)
    return store, SharedBudgets(store)


async def _close(pair: tuple[Counting, SharedStore]) -> None:
    counting, store = pair
    await counting.close()
    await store.close()


def _secret_of(config: Config, shared: Shared) -> bytes:
    """Return what callers are hashed with: what all replicas know, and who reads the store does not."""
    place = f"{shared.where} {shared.username} {shared.password}".encode()
    return hashlib.sha256(b"budgets:" + (shared.secret or config.log.subject_secret or place)).digest()

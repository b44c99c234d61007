"""What a request holds of its budgets, from the verdict to its end."""

from __future__ import annotations

from collections.abc import Callable

from gateway.policy.budgets import Claim, OverBudget
from gateway.policy.denied import Denied
from gateway.proxy.host import Lease
from gateway.stores.counting import Counting, Held

Then = Callable[[Lease | Denied], None]


class Leases:
    """Whoever gives leases, and takes them back."""

    def take_late(self, spent: Spent, cut: Callable[[OverBudget], None]) -> None:
        """Take a place for a request whose response is a stream, which was not to be expected."""
        raise NotImplementedError

    def give_back(self, spent: Spent) -> None:
        """A stream has ended, or was none."""
        raise NotImplementedError


class Spent(Lease):
    """What one request was given. `held`: its places in the shared store. Without a place it is of no stream."""

    __slots__ = ("claims", "held", "is_over", "is_stream", "ledger", "may_be_late")

    def __init__(self, ledger: Leases, claims: tuple[Claim, ...], lines: bytes, *, is_stream: bool) -> None:
        super().__init__(lines)
        self.ledger, self.claims = ledger, claims
        self.is_stream, self.is_over = is_stream and any([one.streams is not None for one in claims]), False
        self.held: tuple[Counting, Held] | None = None
        self.may_be_late = True  # it may take a place when its response is a stream all the same

    def answered(self, *, has_length: bool, is_events: bool, cut: Callable[[OverBudget], None]) -> None:
        """See `Lease`."""
        if self.is_stream and has_length:
            self._give_back()
        elif is_events and not self.is_stream and not has_length and self.may_be_late:
            self.ledger.take_late(self, cut)

    def release(self) -> None:
        """See `Lease`."""
        self.is_over = True
        self._give_back()

    def _give_back(self) -> None:
        if self.is_stream:
            self.is_stream = False
            self.ledger.give_back(self)


def unenforced(then: Then) -> Then:
    """Return who tells of a refusal that only would be one: of a route with `enforce: false`."""

    def tell(given: Lease | Denied) -> None:
        if isinstance(given, Spent):
            given.may_be_late = False
        then(Unenforced(given) if isinstance(given, Denied) else given)

    return tell


class Unenforced(Lease):
    """What a request gets on a route with `enforce: false` that a budget would refuse."""

    __slots__ = ()

    def __init__(self, no: Denied) -> None:
        super().__init__(b"", no)

    def answered(self, *, has_length: bool, is_events: bool, cut: Callable[[OverBudget], None]) -> None:
        """See `Lease`: there is nothing to give back."""

    def release(self) -> None:
        """See `Lease`."""

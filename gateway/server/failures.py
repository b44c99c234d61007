"""Addresses that are answered 401 again and again: after so many nothing of what they send is looked at."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from gateway.policy.budgets import Budget, Claim, Left, OverBudget, Verdict, key_of, retry_line, told
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason
from gateway.stores.windows import Windows

_MAX_WEIGHT: Final = 500_000  # some 12 MB of addresses at most


class Failures:
    """Counts of one process, by address. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._budgets: tuple[Budget, ...] = ()
        self._failed: dict[str, Windows] = {}  # by budget

    def use(self, budgets: Sequence[Budget]) -> None:
        """Hold to those of a configuration that count failures; what was counted stays."""
        self._budgets = tuple(one for one in budgets if one.failures is not None)
        self._failed = {one.name: self._failed.get(one.name) or Windows(_MAX_WEIGHT) for one in self._budgets}

    def locked_out(self, client_ip: str) -> tuple[Budget, OverBudget] | None:
        """Return why nothing is read of an address; None: it did not fail too often, or is unknown."""
        now = self._clock()
        for budget in self._budgets:
            key, rate = self._key_of(budget, client_ip), budget.failures
            if key is None or rate is None:
                return None
            count, seconds = self._failed[budget.name].count(key, rate, now)
            if count >= rate.count:
                lines = retry_line(seconds) + told([Claim(budget, key, None, rate)], Verdict([Left(0, seconds)]))
                detail = f"the budget '{budget.name}': {rate} answers 401"
                return budget, OverBudget(Reason.BUDGET_EXCEEDED, detail, lines, budget)
        return None

    def note(self, client_ip: str) -> None:
        """An address was answered 401. One that is unknown is nobody's: whoever is behind it would share its fate."""
        now = self._clock()
        for budget in self._budgets:
            key = self._key_of(budget, client_ip)
            if key is not None and budget.failures is not None:
                self._failed[budget.name].add(key, budget.failures, now)

    def _key_of(self, budget: Budget, client_ip: str) -> bytes | None:
        try:
            return key_of(budget, self._secret, None, client_ip)
        except Denied:
            return None

"""The last five minutes, in slots of five seconds, and the last refusals: what the status page draws. Bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.explain.general import general_advice
from gateway.policy.reasons import Reason
from gateway.server.counters import Histogram
from gateway.server.outcome import Outcome

SLOT_SECONDS = 5
SLOTS = 60
MAX_REFUSALS = 50
_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_REASONS = {reason.code: reason for reason in Reason}
_REFUSED_STATUS = 500  # from here on it is not the caller's fault


class _Slot:
    __slots__ = ("allowed", "decision", "failed", "first_byte", "number", "refused")

    def __init__(self, number: int) -> None:
        self.number = number
        self.allowed = self.refused = self.failed = 0
        self.decision, self.first_byte = Histogram(_BOUNDS), Histogram(_BOUNDS)

    def shown(self) -> dict[str, Any]:
        return {
            "allowed": self.allowed,
            "refused": self.refused,
            "failed": self.failed,
            "decision_seconds": self.decision.quantile(0.95),
            "first_byte_seconds": self.first_byte.quantile(0.95),
        }


class Recent:
    """What happened lately. `clock` gives seconds that never jump."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._slots: deque[_Slot] = deque(maxlen=SLOTS)
        self._refusals: deque[dict[str, Any]] = deque(maxlen=MAX_REFUSALS)

    def note(self, outcome: Outcome, line: dict[str, Any]) -> None:
        """Take note of a request that has ended; `line` is what the log says of it."""
        slot = self._current()
        if outcome.code is None:
            slot.allowed += 1
        else:
            if outcome.status < _REFUSED_STATUS:
                slot.refused += 1
            else:
                slot.failed += 1
            self._refusals.appendleft(line)
        if outcome.decided_at is not None:
            slot.decision.observe(outcome.decided_at - outcome.began_at)
        if outcome.first_byte_at is not None:
            slot.first_byte.observe(outcome.first_byte_at - outcome.began_at)

    def slots(self) -> list[dict[str, Any]]:
        """Return the slots, the oldest first; times are the 95th percentile in seconds."""
        newest = self._number()
        by_number = {slot.number: slot for slot in self._slots}
        numbers = range(newest - SLOTS + 1, newest + 1)
        return [by_number.get(number, _Slot(number)).shown() for number in numbers]

    def refusals(self) -> list[dict[str, Any]]:
        """Return the last refusals, the newest first, each with what to do."""
        return [line | {"advice": general_advice(_REASONS[line["code"]])} for line in self._refusals]

    def _number(self) -> int:
        return int(self._clock() // SLOT_SECONDS)

    def _current(self) -> _Slot:
        number = self._number()
        if not self._slots or self._slots[-1].number != number:
            self._slots.append(_Slot(number))
        return self._slots[-1]

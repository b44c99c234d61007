"""The last five minutes, in slots of five seconds, and the last refusals: what the status page draws. Bounded.

Requests cost nothing here: a slot is the difference of two looks at the counters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from gateway.explain.general import general_advice
from gateway.policy.providers import Kind
from gateway.policy.reasons import Reason
from gateway.record.counters import Histogram
from gateway.record.metrics import Metrics
from gateway.record.outcome import Outcome, log_fields

SLOT_SECONDS = 5
SLOTS = 60
MAX_REFUSALS = 50
_REASONS = {reason.code: reason for reason in Reason}
_FAILED_STATUS = 500  # from here on it is not the caller's fault


@dataclass(frozen=True, slots=True)
class _Look:
    """The counters at one moment."""

    allowed: int
    refused: int
    failed: int
    decision: tuple[int, ...]
    first_byte: tuple[int, ...]


class Recent:
    """What happened lately, by the counters of `metrics`. `hash_subject` hides who was refused."""

    def __init__(self, metrics: Metrics, hash_subject: Callable[[str | None], str | None]) -> None:
        self._metrics = metrics
        self._hash_subject = hash_subject
        self._last = self._look()
        self._slots: deque[dict[str, Any]] = deque(
            (self._between(self._last, self._last) for _ in range(SLOTS - 1)), maxlen=SLOTS - 1
        )
        self._refusals: deque[Outcome] = deque(maxlen=MAX_REFUSALS)

    def note_refusal(self, outcome: Outcome) -> None:
        """Remember a request that the gateway answered by itself."""
        self._refusals.appendleft(outcome)

    def turn(self) -> None:
        """Begin the next slot; called every `SLOT_SECONDS`."""
        now = self._look()
        self._slots.append(self._between(self._last, now))
        self._last = now

    def slots(self) -> list[dict[str, Any]]:
        """Return the slots, the oldest first, the one that has just begun last; times are the 95th percentile."""
        return [*self._slots, self._between(self._last, self._look())]

    def refusals(self, kinds_of: Callable[[Outcome], Collection[Kind]]) -> list[dict[str, Any]]:
        """Return the last refusals, the newest first, each with what to do where the providers are of `kinds_of`."""
        return [
            log_fields(outcome, self._hash_subject(outcome.subject))
            | {"advice": general_advice(_REASONS[outcome.code or ""], kinds_of(outcome))}
            for outcome in self._refusals
        ]

    def _look(self) -> _Look:
        metrics = self._metrics
        allowed = refused = failed = 0
        for (_, _, code, status), count in metrics.requests.items():
            if not code:
                allowed += count
            elif status < _FAILED_STATUS:
                refused += count
            else:
                failed += count
        first_byte = tuple(metrics.first_byte.counts)
        return _Look(allowed, refused, failed, tuple(metrics.decision.counts), first_byte)

    def _between(self, before: _Look, after: _Look) -> dict[str, Any]:
        return {
            "allowed": after.allowed - before.allowed,
            "refused": after.refused - before.refused,
            "failed": after.failed - before.failed,
            "decision_seconds": _quantile(self._metrics.decision, before.decision, after.decision),
            "first_byte_seconds": _quantile(self._metrics.first_byte, before.first_byte, after.first_byte),
        }


def _quantile(histogram: Histogram, before: tuple[int, ...], after: tuple[int, ...]) -> float | None:
    part = Histogram(histogram.bounds)
    part.counts = [now - then for then, now in zip(before, after, strict=True)]
    return part.quantile(0.95)

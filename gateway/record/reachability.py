"""What became of the requests that were sent to each upstream. Nobody is asked: it is what the requests met."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.record.counters import Histogram
from gateway.record.outcome import Outcome

LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
_FAILED_STATUS: Final = 500

State = Literal["answers", "fails", "unknown"]
# What may go wrong with an upstream, as its label says: the codes of our own answers, and what has none.
CUT, ANSWERED_5XX = "upstream_cut", "answered_5xx"
ERRORS: Final = ("upstream_unreachable", "upstream_timeout", "upstream_broken", CUT, ANSWERED_5XX)


@dataclass(slots=True)
class Reachability:
    """One upstream: how fast it answered, what went wrong, and when it last did. Times are Unix seconds."""

    first_byte: Histogram = field(default_factory=lambda: Histogram(LONG_SECONDS))
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ERRORS, 0))
    answered_at: float | None = None
    failed_at: float | None = None
    failing_since: float | None = None  # of failures without an answer in between
    last_error: str | None = None

    @property
    def state(self) -> State:
        """Return what the last request met. An answer of status 500 is an answer: the upstream was reached."""
        if self.failing_since is not None:
            return "fails"
        return "unknown" if self.answered_at is None else "answers"

    def note(self, outcome: Outcome) -> None:
        """Count one request that was meant for this upstream, and has ended."""
        first_byte_at, over_at = outcome.first_byte_at, outcome.over_at
        if first_byte_at is not None and over_at is not None:
            self.first_byte.observe(first_byte_at - outcome.began_at)
            self.note_answer(outcome.ended_at - (over_at - first_byte_at))
        if outcome.code is not None or outcome.status >= _FAILED_STATUS or outcome.ended == CUT:
            self._note_failure(outcome)

    def note_answer(self, at: float) -> None:
        """An answer began at that moment; of a stream that is said before it ends."""
        if self.failed_at is None or at >= self.failed_at:
            self.failing_since = None
        if self.answered_at is None or at > self.answered_at:
            self.answered_at = at

    def _note_failure(self, outcome: Outcome) -> None:
        kind = CUT if outcome.ended == CUT else outcome.code or ANSWERED_5XX
        if kind not in self.errors:
            return  # ours, or the client's
        self.errors[kind] += 1
        if kind != ANSWERED_5XX:
            self.failed_at = outcome.ended_at
            self.failing_since = self.failing_since or outcome.ended_at
            self.last_error = outcome.detail


class Upstreams:
    """Every upstream that a request was meant for, by its name in the file."""

    def __init__(self) -> None:
        self.known: dict[str, Reachability] = {}

    def know(self, names: Iterable[str]) -> None:
        """Have these among them, whether or not a request comes for them."""
        for name in names:
            self.of(name)

    def of(self, name: str) -> Reachability:
        """Return what is known of one."""
        known = self.known.get(name)
        if known is None:
            known = self.known[name] = Reachability()
        return known

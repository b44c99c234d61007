"""What one process counts by itself: requests in sliding windows, streams as long as they are open."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.policy.budgets import Claim, Left, Rate, Verdict
from gateway.stores.windows import Windows


class Memory:
    """The counts of one process. Times are seconds of one clock that never goes back.

    A process that dies takes its streams with it, so they need no end of their own here. There are never more entries
    than open requests.
    """

    def __init__(self) -> None:
        self._windows: dict[float, Windows] = {}  # by length: who is first in one is who is over first
        self._streams: dict[bytes, int] = {}

    def take(self, claims: Sequence[Claim], now: float, *, is_stream: bool) -> Verdict:
        """Return whether a request may pass, and count it if so: in all of its budgets, or in none."""
        verdict = Verdict([Left() for _ in claims])
        for number, claim in enumerate(claims):
            if claim.streams is not None:
                verdict.left[number].streams = claim.streams - self._streams.get(claim.key, 0) - is_stream
                if is_stream and verdict.left[number].streams < 0 and verdict.refused is None:
                    verdict.refused, verdict.what = number, "streams"
        for number, claim in enumerate(claims):
            if claim.requests is not None:
                count, seconds = self._window_of(claim.requests).count(claim.key, claim.requests, now)
                left = verdict.left[number]
                left.requests, left.reset_seconds = claim.requests.count - count - 1, seconds or claim.requests.seconds
                if left.requests < 0 and verdict.refused is None:
                    verdict.refused, verdict.what, verdict.wait_seconds = number, "requests", seconds
        if verdict.refused is None:
            self.note(claims, now, is_stream=is_stream)
        else:
            for claim, left in zip(claims, verdict.left, strict=True):  # nothing was taken
                left.requests += claim.requests is not None
                left.streams += claim.streams is not None and is_stream
        return verdict

    def left(self, claims: Sequence[Claim], now: float) -> list[Left]:
        """Return what is left of each, and count nothing."""
        found = []
        for claim in claims:
            left = Left(streams=0 if claim.streams is None else claim.streams - self._streams.get(claim.key, 0))
            if claim.requests is not None:
                count, seconds = self._window_of(claim.requests).count(claim.key, claim.requests, now)
                left.requests, left.reset_seconds = claim.requests.count - count, seconds or claim.requests.seconds
            found.append(left)
        return found

    def note(self, claims: Sequence[Claim], now: float, *, is_stream: bool) -> None:
        """Count a request that passes, whatever is left."""
        for claim in claims:
            if claim.requests is not None:
                self._window_of(claim.requests).add(claim.key, claim.requests, now)
            if claim.streams is not None and is_stream:
                self._streams[claim.key] = self._streams.get(claim.key, 0) + 1

    def give_back(self, claims: Sequence[Claim]) -> None:
        """A stream that was counted has ended."""
        for claim in claims:
            if claim.streams is not None:
                count = self._streams.pop(claim.key) - 1
                if count:
                    self._streams[claim.key] = count

    @property
    def open_streams(self) -> int:
        """How many places are taken, over all budgets."""
        return sum(self._streams.values())

    def _window_of(self, rate: Rate) -> Windows:
        window = self._windows.get(rate.seconds)
        if window is None:
            window = self._windows[rate.seconds] = Windows()
        return window

"""Counting on the way of a request: plain integers, made into text only when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence


class Histogram:
    """How often a time fell into which bucket. Times are seconds; the last bucket has no upper bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the buckets as Prometheus has them: upper bound, and how many are at most that."""
        count, found = 0, []
        for bound, own in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            count += own
            found.append((bound, float(count)))
        return found

    def quantile(self, share: float) -> float | None:
        """Return the upper bound of the bucket that holds this share of the observations; None without any.

        Of what lies above the last bound, that bound.
        """
        wanted = share * sum(self.counts)
        if not wanted:
            return None
        seen = 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return bound
        return self.bounds[-1]


def added(bounds: Sequence[float], histograms: Iterable[Histogram]) -> Histogram:
    """Return the sum of histograms, all with these bounds."""
    whole = Histogram(bounds)
    for one in histograms:
        whole.counts = [own + other for own, other in zip(whole.counts, one.counts, strict=True)]
        whole.total += one.total
    return whole

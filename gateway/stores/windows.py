"""Sliding windows of many callers in the memory of one process, bounded, and exact. The time is an argument."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from typing import Final

from gateway.policy.budgets import Rate

# In moments. A caller of one request weighs as much as 17, and takes some 600 bytes: 70 MB at most for each length of
# a window. Of a moment more there are 12 bytes.
_MAX_WEIGHT: Final = 2_000_000
_OWN_WEIGHT: Final = 16


class _Window:
    """When one caller's requests came, in their order; `total` is the sum of `counts`."""

    __slots__ = ("counts", "moments", "total")

    def __init__(self) -> None:
        self.moments = array("d")
        self.counts = array("I")
        self.total = 0


class Windows:
    """The windows of all callers, of one length. Those that came last are kept where there are too many."""

    def __init__(self, max_weight: int = _MAX_WEIGHT) -> None:
        self._known: OrderedDict[bytes, _Window] = OrderedDict()  # whose last request is oldest comes first
        self._weight, self._max_weight = 0, max_weight

    def __len__(self) -> int:
        return len(self._known)

    def count(self, key: bytes, rate: Rate, now: float) -> tuple[int, float]:
        """Return how many of a caller's requests count now, and for how many seconds more the first of them does."""
        window = self._known.get(key)
        if window is None:
            return 0, 0.0
        self._forget_before(window, now - rate.seconds)
        return window.total, window.moments[0] + rate.seconds - now if window.total else 0.0

    def add(self, key: bytes, rate: Rate, now: float) -> None:
        """Count one request more."""
        window = self._known.get(key)
        if window is None:
            window = self._known[key] = _Window()
            self._weight += _OWN_WEIGHT
        else:
            self._known.move_to_end(key)
        granule = rate.granule_seconds
        # Rounded up: it counts for no shorter than it should.
        moment = (now // granule + 1) * granule if granule else now
        if window.moments and window.moments[-1] >= moment:
            window.counts[-1] += 1
        else:
            window.moments.append(moment)
            window.counts.append(1)
            self._weight += 1
        window.total += 1
        self._make_room(now - rate.seconds - granule)

    def _forget_before(self, window: _Window, moment: float) -> None:
        gone = bisect_right(window.moments, moment)
        if gone:
            window.total -= sum(window.counts[:gone])
            del window.moments[:gone], window.counts[:gone]
            self._weight -= gone

    def _make_room(self, over_before: float) -> None:
        """Let go of who has nothing that counts, and of the oldest while there are too many."""
        for _ in range(2):  # more than come: so the others never grow
            key, window = next(iter(self._known.items()))
            if window.moments and window.moments[-1] > over_before:
                break
            self._drop(key, window)
            if not self._known:
                return
        while self._weight > self._max_weight and len(self._known) > 1:
            self._drop(*next(iter(self._known.items())))

    def _drop(self, key: bytes, window: _Window) -> None:
        del self._known[key]
        self._weight -= _OWN_WEIGHT + len(window.moments)

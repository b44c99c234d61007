"""Which issuers of a template may have their keys fetched and kept. No I/O: the time is always given."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from gateway.keys.entry import Entry
from gateway.policy.key_lookup import NoKey
from gateway.policy.providers import KeySource

_BURST: Final = 200.0  # after a start all tenants come at once, and strangers among them
_MOST_TRIED: Final = 16  # at least, whatever `max_issuers` is: one slow stranger must not keep the others out

IsBusy = Callable[[KeySource], bool]  # whether keys of a source are being fetched, or somebody waits for that


class Admission:
    """The issuers of one template: those of which a token was good, and those that are only tried.

    Anybody can name a tenant, so a name takes nobody's place. A place is had by a token that was good in every respect,
    and there are `max_issuers`; it is given up when none came for as long as its keys would serve without being
    fetched. What is only tried stands in a row of its own, from which the oldest goes.

    Fetches for them are bounded, as the issuer's server is not ours to load (CWE-770): a burst, and then as many in a
    cool-down as strangers could cause with unknown key ids at that many known issuers.
    """

    def __init__(self, pattern: KeySource) -> None:
        self.most = pattern.max_issuers
        self._idle_seconds = pattern.ttl_seconds + pattern.stale_if_error_seconds
        self._per_second = self.most / max(pattern.cooldown_seconds, 0.1)
        self._left, self._counted_at = _BURST, 0.0
        self._good: dict[KeySource, float] = {}  # and when a token of it was last good
        self._tried: dict[KeySource, None] = {}  # the oldest first

    def answer(self, source: KeySource, entry: Entry | None, answer: NoKey, now: float, is_busy: IsBusy) -> NoKey:
        """Return what a token of an issuer is told that found no key, by what `entry` would have had it told."""
        if source in self._good:
            return answer
        if not self._has_room(now):
            stranger = f"the {self.most} issuers of `max_issuers` are there, and this is another"
            return NoKey(fetch_may_help=False, is_outage=False, stranger=stranger)
        may_help = answer.fetch_may_help and (is_busy(source) or self._may_fetch(source, now, is_busy))
        if entry is not None and entry.is_refused and not may_help:
            return NoKey(fetch_may_help=False, is_outage=False, stranger=f"the issuer has no keys: {entry.last_error}")
        return NoKey(fetch_may_help=may_help, is_outage=answer.is_outage)

    def enter(self, source: KeySource, now: float, is_busy: IsBusy) -> tuple[bool, KeySource | None]:
        """Return whether an issuer may be asked for keys, and who had to go from among those that are tried for it."""
        if source in self._good or is_busy(source):
            return True, None
        if not self._has_room(now) or not self._may_fetch(source, now, is_busy):
            return False, None
        gone: KeySource | None = None
        if source not in self._tried and self._is_full():
            gone = next(one for one in self._tried if not is_busy(one))
            del self._tried[gone]
        self._tried[source] = None
        return True, gone

    def spend(self, source: KeySource, now: float) -> None:
        """Take note of a fetch of an issuer of which no token was good yet."""
        if source not in self._good:
            self._gain(now)
            self._left -= 1.0

    def confirm(self, source: KeySource, now: float) -> tuple[bool, KeySource | None]:
        """Give a place to an issuer of which a token was good; return whether it has one, and who lost it for that."""
        gone: KeySource | None = None
        if source not in self._good:
            if len(self._good) >= self.most:
                gone = self._idle(now)
                if gone is None:
                    return False, None
                del self._good[gone]
            self._tried.pop(source, None)
        self._good[source] = now
        return True, gone

    def gives_up(self, source: KeySource, now: float) -> bool:
        """Take an issuer's place if no token of it was good for long; return whether it has none."""
        if now - self._good.get(source, -inf) > self._idle_seconds:
            self._good.pop(source, None)
        return source not in self._good

    def sources(self) -> tuple[KeySource, ...]:
        """Return the issuers that have a place."""
        return tuple(self._good)

    def _has_room(self, now: float) -> bool:
        return len(self._good) < self.most or self._idle(now) is not None

    def _is_full(self) -> bool:
        return len(self._tried) >= max(self.most, _MOST_TRIED)

    def _may_fetch(self, source: KeySource, now: float, is_busy: IsBusy) -> bool:
        self._gain(now)
        has_place = source in self._tried or not self._is_full() or not all(map(is_busy, self._tried))
        return has_place and self._left >= 1.0

    def _gain(self, now: float) -> None:
        self._left = min(self._left + (now - self._counted_at) * self._per_second, _BURST)
        self._counted_at = now

    def _idle(self, now: float) -> KeySource | None:
        """Return the issuer of which no good token came for longest, if that is long enough."""
        longest = min(self._good, key=lambda source: self._good[source], default=None)
        return longest if longest is not None and now - self._good[longest] > self._idle_seconds else None

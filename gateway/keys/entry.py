"""What is known about the keys of one source, and when they count. No I/O: the time is always given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal

from gateway.policy.jwk import Key, KeySet
from gateway.policy.key_lookup import NoKey
from gateway.policy.providers import KeySource

State = Literal["fresh", "stale", "none"]

_REFRESH_SHARE: Final = 0.8  # of the TTL: leaves time for a second and third try before it ends
_JITTER_SHARE: Final = 0.1  # so that many gateways started together do not ask together for ever
_FIRST_PAUSE_SECONDS: Final = 1.0
_MAX_PAUSE_WITHOUT_KEYS_SECONDS: Final = 5.0  # callers are being refused: look again soon
_MAX_MISSED: Final = 16  # one that is still unknown is enough for the next cool-down
_MIN_PAUSE_SECONDS: Final = 0.1  # whatever the file says: after a fetch there is always a pause, so nothing can loop


@dataclass(slots=True)
class Entry:
    """The keys of one source and the history that matters. Times are seconds of the store's clock.

    Three cases once keys were fetched: within the TTL they are fresh; after it they are stale, and count
    only while the key server was asked again and failed, for at most `stale_if_error_seconds`; then there are none.
    """

    source: KeySource
    keys: KeySet | None = None
    fetched_at: float = -inf
    retry_at: float = -inf  # after a failure: no caller may cause a fetch before
    cooldown_until: float = -inf  # after an unknown kid: no other one may cause a fetch before
    refresh_at: float = -inf  # when the background fetch is due
    missed: set[str | None] = field(default_factory=set)  # unknown kids that were asked for during the cool-down
    answered: Counter[str | None] = field(
        default_factory=Counter
    )  # unknown kids whose callers have waited, and look now
    is_tried: bool = False
    failures_in_a_row: int = 0
    failing_since: float | None = None  # of these
    failure_count: int = 0
    fetch_count: int = 0
    is_refused: bool = False  # the last answer was that there is no such issuer
    last_error: str | None = None
    last_error_at: float = -inf

    def state(self, now: float) -> State:
        """Return how old the keys are, whether or not they may be used at this moment."""
        age = now - self.fetched_at
        if age < self.source.ttl_seconds:
            return "fresh"
        # Using a key does not prolong its life, nor does a failed refresh: the limit is a fixed moment.
        return "stale" if age < self.source.ttl_seconds + self.source.stale_if_error_seconds else "none"

    def hold(self, keys: KeySet, now: float) -> None:
        """Have keys that were read with the configuration, and go with it."""
        self.keys, self.fetched_at, self.is_tried, self.cooldown_until = keys, now, True, inf

    def find(self, kid: str | None, algorithm: str, now: float, *, is_fetching: bool) -> Key | NoKey:
        """Return the key that fits, or why there is none and whether waiting for a fetch may help."""
        keys = self.keys
        if keys is None or not self._may_use(now, is_fetching):
            return NoKey(fetch_may_help=self.fetch_may_help(kid, now, is_fetching=is_fetching), is_outage=True)
        key = keys.find(kid, algorithm)
        if key is not None:
            return key
        may_help = self.fetch_may_help(kid, now, is_fetching=is_fetching)
        if not may_help and kid not in keys.kids:
            self._note_miss(kid)
        return NoKey(fetch_may_help=may_help, is_outage=False)

    def fetch_may_help(self, kid: str | None, now: float, *, is_fetching: bool) -> bool:
        """Return whether a fetch may be asked for now by whoever found no key of this kid."""
        keys = self.keys
        if keys is None or not self._may_use(now, is_fetching):
            return now >= self.retry_at
        # Of a kid that is there with another algorithm, a second look brings nothing.
        return kid not in keys.kids and now >= self.cooldown_until

    def _note_miss(self, kid: str | None) -> None:
        if self.answered[kid] > 0:
            self.answered[kid] -= 1  # he has just had his fetch
        elif len(self.missed) < _MAX_MISSED:
            self.missed.add(kid)

    def look_again_at(self, now: float) -> float | None:
        """Return when to fetch for those who asked in vain during the cool-down; None if nobody did."""
        return max(self.cooldown_until, self.retry_at, now) if self.missed else None

    def _may_use(self, now: float, is_fetching: bool) -> bool:
        if now - self.fetched_at < self.source.ttl_seconds:
            return True  # the common case, in one step
        # Stale keys count only after the key server had its chance to say that a key is gone: without a failure
        # since the last good answer, and a recent one, the caller waits for the fetch instead.
        is_failing = self.failures_in_a_row > 0 and (is_fetching or now < self.retry_at)
        return is_failing and self.state(now) == "stale"

    def accept(self, keys: KeySet, asked: Set[str | None], now: float, chance: float) -> bool:
        """Take a good answer; True if the key ids have changed. `asked` are the kids that callers wait for.

        `chance` from 0 to 1 spreads the next refresh. Keys that are not in the answer stop working here.
        """
        old = self.keys
        self.keys = keys.reuse(old)
        self.fetched_at = now
        self.is_tried, self.is_refused = True, False
        self.failures_in_a_row = 0
        self.failing_since = None
        spread = 1 + _JITTER_SHARE * (2 * chance - 1)
        self.refresh_at = now + max(self.source.ttl_seconds * _REFRESH_SHARE * spread, _MIN_PAUSE_SECONDS)
        if not asked <= keys.kids:
            self._cool_down(now)
        return old is None or old.kids != keys.kids

    def fail(self, error: str, asked: Set[str | None], now: float, *, is_refused: bool = False) -> None:
        """Take note of a failed or bad answer. Good keys stay (CVE-2026-48524: PyJWT forgot them)."""
        self.is_tried, self.is_refused = True, is_refused
        self.failures_in_a_row += 1
        self.failing_since = now if self.failing_since is None else self.failing_since
        self.failure_count += 1
        self.last_error = error
        self.last_error_at = now
        self.retry_at = now + self._pause_seconds(now)
        self.refresh_at = max(self.refresh_at, self.retry_at)
        if asked:
            self._cool_down(now)

    def _pause_seconds(self, now: float) -> float:
        longest = self.source.cooldown_seconds
        if self.keys is None or self.state(now) == "none":
            longest = min(longest, _MAX_PAUSE_WITHOUT_KEYS_SECONDS)
        # The exponent is bounded: 2.0 ** 1024 raises OverflowError after some hours of outage.
        return max(min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures_in_a_row - 1, 16), longest), _MIN_PAUSE_SECONDS)

    def _cool_down(self, now: float) -> None:
        # Otherwise anybody could have the issuer asked once per request (CWE-770).
        self.cooldown_until = now + max(self.source.cooldown_seconds, _MIN_PAUSE_SECONDS)

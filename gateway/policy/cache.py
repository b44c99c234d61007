"""Tokens that have been verified, so that the next request with the same token costs one hash.

Holds principals, never decisions: rules are asked again for every request.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from cachetools import LRUCache

from gateway.policy.jwk import Key
from gateway.policy.model import Principal
from gateway.policy.providers import Provider

MAX_AGE_SECONDS = 300.0
# What an entry weighs beside its token: the record, the dictionaries and strings of its claims.
_ENTRY_BYTES = 2048
_BYTES_PER_CHARACTER = 8
_MAX_MARKS, _MARK_BYTES = 8192, 8


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A principal, and what must still be true for it to count: the very key, and the time."""

    principal: Principal
    provider: Provider
    key: Key
    kid: str | None
    algorithm: str
    good_until: float  # Unix seconds
    weight_bytes: int


class VerifiedTokens:
    """A bounded cache of verified tokens, keyed by a full digest of the token and the provider's name.

    One per configuration: a reload starts with an empty one. Four advisories of other gateways come from
    keys that were less than the whole token, or entries that outlived `exp` or their key.
    """

    def __init__(self, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._entries: LRUCache[tuple[bytes, tuple[str, ...]], VerifiedToken] = LRUCache(max_bytes, getsizeof=_weight)
        self._seen_once: set[bytes] = set()  # beginnings of digests: who shares one is kept a time sooner
        self.hits = 0
        self.misses = 0

    def get(self, text: str, providers: tuple[str, ...], now: float) -> VerifiedToken | None:
        """Return what is known of a token among these providers, unless its time is over."""
        entry_key = sha256(text.encode()).digest(), providers
        try:
            entry = self._entries[entry_key]
        except KeyError:
            self.misses += 1
            return None
        if now >= entry.good_until:
            del self._entries[entry_key]
            self.misses += 1
            return None
        self.hits += 1
        return entry

    def put(
        self,
        text: str,
        providers: tuple[str, ...],
        principal: Principal,
        provider: Provider,
        key: Key,
        kid: str | None,
        algorithm: str,
        now: float,
    ) -> None:
        """Keep a verified token that comes a second time until its `exp` (plus leeway), at most five minutes.

        One that never comes again is not worth a place, and many such would push out those that do.
        """
        digest = sha256(text.encode()).digest()
        weight = _ENTRY_BYTES + _BYTES_PER_CHARACTER * len(text)
        if weight > self._entries.maxsize or self._is_new(digest):
            return
        good_until = now + MAX_AGE_SECONDS
        if principal.expires_at is not None:
            good_until = min(good_until, principal.expires_at + provider.leeway_seconds)
        entry = VerifiedToken(principal, provider, key, kid, algorithm, good_until, weight)
        self._entries[digest, providers] = entry

    def _is_new(self, digest: bytes) -> bool:
        mark = digest[:_MARK_BYTES]
        if mark in self._seen_once:
            self._seen_once.discard(mark)
            return False
        if len(self._seen_once) >= _MAX_MARKS:
            self._seen_once.clear()
        self._seen_once.add(mark)
        return True

    def __len__(self) -> int:
        return len(self._entries)


def _weight(entry: VerifiedToken) -> float:
    return entry.weight_bytes

"""Tokens that have been verified, so that the next request with the same token costs one hash.

Holds principals, never decisions: rules are asked again for every request.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from gateway.policy.jwk import Key
from gateway.policy.model import Principal
from gateway.policy.providers import KeySource, Provider
from gateway.policy.seen import SeenOnce
from gateway.policy.token import Token

CacheKey = tuple[bytes, tuple[str, ...]]  # a token's digest, and the names of a route's providers

MAX_AGE_SECONDS: Final = 300.0
# What an entry weighs beside its token: the record, the dictionaries and strings of its claims.
_ENTRY_BYTES: Final = 2048
_BYTES_PER_CHARACTER: Final = 8
_MARK_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A principal, and what must still be true for it to count: the very key of the very source, and the time."""

    principal: Principal
    provider: Provider
    source: KeySource | None  # None: the key is the configuration's own, as the cache is
    key: Key
    kid: str | None
    algorithm: str
    good_until: float  # Unix seconds
    weight_bytes: int


class VerifiedTokens:
    """A bounded cache of verified tokens, keyed by a full digest of the token and the providers' names.

    One per configuration: a reload starts with an empty one. Four advisories of other gateways come from
    keys that were less than the whole token, or entries that outlived `exp` or their key.
    """

    def __init__(self, max_bytes: int = 16 * 1024 * 1024) -> None:
        # The last used is the last, and stays: an entry costs a signature to make again. Every request looks here, with
        # two calls; the LRUCache of cachetools takes three at best, two of them Python's.
        self._entries: OrderedDict[CacheKey, VerifiedToken] = OrderedDict()
        self._max_bytes, self._bytes = max_bytes, 0
        self._seen_once = SeenOnce()  # by the beginnings of digests
        self.hits = 0
        self.misses = 0

    def get(self, key: CacheKey, now: float) -> VerifiedToken | None:
        """Return what is known of a token by its `cache_key`, unless its time is over. `now` is Unix seconds."""
        entry = self._entries.get(key)
        if entry is None or now >= entry.good_until:
            if entry is not None:
                self._drop(key)
            self.misses += 1
            return None
        self._entries.move_to_end(key)
        self.hits += 1
        return entry

    def put(
        self, key: CacheKey, token: Token, principal: Principal, provider: Provider, source: KeySource | None, by: Key,
        now: float,
    ) -> None:  # fmt: skip
        """Keep a verified token that comes a second time until its `exp` (plus leeway), at most five minutes.

        One that never comes again is not worth a place, and many such would push out those that do. `by` is the key
        that verified it, found at `source`.
        """
        length = len(token.signing_input) + len(token.signature)
        weight = _ENTRY_BYTES + _BYTES_PER_CHARACTER * length
        if weight > self._max_bytes or self._seen_once.is_new(key[0][:_MARK_BYTES]):
            return
        good_until = now + MAX_AGE_SECONDS
        if principal.expires_at is not None:
            good_until = min(good_until, principal.expires_at + provider.leeway_seconds)
        if key in self._entries:
            self._drop(key)
        while self._bytes + weight > self._max_bytes:
            self._drop(next(iter(self._entries)))
        self._bytes += weight
        self._entries[key] = VerifiedToken(
            principal, provider, source, by, token.kid, token.algorithm, good_until, weight
        )

    def _drop(self, key: CacheKey) -> None:
        self._bytes -= self._entries.pop(key).weight_bytes

    def __len__(self) -> int:
        return len(self._entries)


def cache_key(text: str, providers: tuple[str, ...]) -> CacheKey:
    """Return the key of a token among these providers, who are given by name."""
    return sha256(text.encode()).digest(), providers

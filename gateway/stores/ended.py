"""Sessions that were ended, told to all processes that share a store, which look there once a second.

A sorted set of marks by when they were ended (Unix seconds). Nothing in it says whose they are: see `EndedSessions`.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

from gateway.policy.ended_sessions import EndedSessions
from gateway.stores.counting import SharedStore, StoreDownError

# Clocks of replicas may differ by so much, and a word may be late by as much: it is heard again for so long.
OVERLAP_SECONDS: Final = 60.0
_PREFIX: Final = "gateway:"  # as all that is kept there


class SharedEnds:
    """The marks of the sessions of one login, in one store. `place` is what names it there.

    `untold` are those that others are still to hear of. While `is_down`, each process knows what came to itself.
    """

    def __init__(self, store: SharedStore, place: bytes, max_age_seconds: float) -> None:
        self._store = store
        self._key = f"{_PREFIX}ended:{place[:16].hex()}"
        self._max_age_seconds = max_age_seconds
        self.untold: dict[bytes, float] = {}
        self.is_down = False
        self._since: float | None = None  # None: all is to be heard, and all that is known to be told

    async def exchange(self, known: EndedSessions, now: float) -> list[tuple[bytes, float]] | None:
        """Return what was ended lately or, the first time and after an outage, ever; None: the store gives no answer.

        `now` is Unix seconds.
        """
        if self._since is None:
            self.untold |= known.known()  # a store that was away may have lost it
        telling, self.untold, since = self.untold, {}, self._since

        async def work(redis: Any) -> Any:
            if telling:
                async with redis.pipeline(transaction=True) as steps:
                    steps.zadd(self._key, dict(telling), gt=True)
                    steps.zremrangebyscore(self._key, "-inf", now - self._max_age_seconds)
                    steps.expire(self._key, ceil(self._max_age_seconds))
                    await steps.execute()
            low = "-inf" if since is None else since - OVERLAP_SECONDS
            return await redis.zrangebyscore(self._key, low, "+inf", withscores=True)

        try:
            news = await self._store.ask(work)
        except StoreDownError:
            self.untold = telling | self.untold
            self.is_down, self._since = True, None
            return None
        self.is_down, self._since = False, now
        return [(bytes(mark), float(at)) for mark, at in news]

"""Every source's keys: fetched before they are needed, one fetch at a time, found at once."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.keys.entry import Entry, State
from gateway.keys.fetch import FetchError, describe_source
from gateway.policy.decision import Keys, NoKey
from gateway.policy.jwk import Key, KeySetError, read_key_set
from gateway.policy.providers import KeySource

Fetch = Callable[[KeySource], Awaitable[bytes]]

_log = logging.getLogger("gateway.keys")
# Callers waiting for one source. More are refused at once: a key server that hangs must not pile up requests.
_MAX_WAITERS: Final = 1024
_MAX_KIDS_LOGGED: Final = 10
_MANY_KEYS: Final = 100


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source as `/status` shows it. Times in seconds; `label` is its address without credentials.

    `age_seconds` None: never fetched. `state` is `fresh`, `stale` (past the TTL) or `none`.
    """

    label: str
    state: State
    kids: tuple[str, ...]
    age_seconds: float | None
    next_refresh_seconds: float
    is_fetching: bool
    fetch_count: int
    failure_count: int
    last_error: str | None
    last_error_age_seconds: float | None
    failing_seconds: float | None = None  # since the first failure after the last good answer


@dataclass(slots=True, eq=False)
class _Slot:
    """An entry and the tasks that work on it."""

    entry: Entry
    fetching: asyncio.Task[None] | None = None
    refreshing: asyncio.Task[None] | None = None
    looking: asyncio.Task[None] | None = None  # waits for the end of the cool-down
    asked: set[str | None] = field(default_factory=set)  # kids that callers of the running fetch wait for
    waiters: int = 0


class KeyStore(Keys):
    """Keys by source. `find` answers at once; `fetch` waits for the one fetch that may help.

    `fetch` returns the JWKS document of a source or raises `FetchError`, within the source's timeout.
    `clock` gives seconds that never jump, unlike Unix time: a step of the wall clock must neither expire
    keys nor keep them alive.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._slots: dict[KeySource, _Slot] = {}
        self._is_closed = False

    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        """Return the one key that fits, or why there is none.

        `now` is for token times only; keys age by the store's own clock. After `fetch` has returned, the
        answer to the same question never asks for another fetch.
        """
        if self._is_closed:
            return NoKey(fetch_may_help=False, is_outage=True)
        slot = self._slots.get(source)
        if slot is None:
            return NoKey(fetch_may_help=True, is_outage=True)
        answer = slot.entry.find(kid, algorithm, self._clock(), is_fetching=slot.fetching is not None)
        if isinstance(answer, NoKey):
            if slot.entry.missed and slot.looking is None and slot.refreshing is not None:
                slot.looking = asyncio.create_task(self._look_again(slot))
            if slot.waiters >= _MAX_WAITERS:
                return NoKey(fetch_may_help=False, is_outage=answer.is_outage)
        return answer

    async def fetch(self, source: KeySource, kid: str | None = None) -> None:
        """Wait until the source's fetch has ended, well or badly; start it unless one runs or has just ended.

        Raises nothing. Whoever is cancelled while waiting leaves the fetch and the other callers alone.
        """
        if self._is_closed:
            return
        slot = self._slots.setdefault(source, _Slot(Entry(source)))
        if slot.waiters >= _MAX_WAITERS:
            return
        # The fetch that ran when the caller was told to ask may have ended before his turn: it was his, too.
        if slot.fetching is None and not slot.entry.fetch_may_help(kid, self._clock(), is_fetching=False):
            return
        slot.waiters += 1
        slot.asked.add(kid)
        try:
            # wait, unlike await, neither cancels the task with its caller nor raises what the task raises.
            await asyncio.wait({self._begin_fetch(slot)})
            slot.entry.answered[kid] += 1
        finally:
            slot.waiters -= 1

    def use(self, sources: Iterable[KeySource]) -> None:
        """Keep exactly these sources, fetched now and from now on in the background. Needs a running loop.

        Sources that stay keep their keys; one that callers still wait for is dropped at the next call.
        """
        if self._is_closed:
            raise RuntimeError("the key store is closed")
        wanted = dict.fromkeys(sources)
        for source, slot in list(self._slots.items()):
            if source not in wanted:
                self._retire(source, slot)
        for source in wanted:
            slot = self._slots.setdefault(source, _Slot(Entry(source)))
            if slot.refreshing is None:
                slot.refreshing = asyncio.create_task(self._refresh_forever(slot))

    async def start(self, sources: Iterable[KeySource]) -> None:
        """Use these sources, and return when each was tried once, well or badly (within its timeout)."""
        self.use(sources)
        untried = [slot for slot in self._slots.values() if not slot.entry.is_tried]
        await asyncio.gather(*(asyncio.wait({self._begin_fetch(slot)}) for slot in untried))

    async def close(self) -> None:
        """End every fetch; waiting callers return. Later questions find no key."""
        self._is_closed = True
        slots = self._slots.values()
        tasks = [one for slot in slots for one in (slot.fetching, slot.refreshing, slot.looking) if one is not None]
        self._slots.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def is_ready(self, *, needs_keys: bool = True) -> bool:
        """True once every source was tried and at least one has keys, or there is no source at all.

        One issuer's outage must not take the callers of all others away, so it does not end readiness. `needs_keys`
        False: tokens can be judged without any, by a secret.
        """
        entries = [slot.entry for slot in self._slots.values()]
        now = self._clock()
        return all(entry.is_tried for entry in entries) and (
            not entries or not needs_keys or any(entry.state(now) != "none" for entry in entries)
        )

    def status(self) -> tuple[SourceStatus, ...]:
        """Return what is known about every source, ordered by address."""
        return tuple(sorted((self._describe(slot) for slot in self._slots.values()), key=lambda one: one.label))

    def status_of(self, source: KeySource) -> SourceStatus | None:
        """Return what is known about one source; None for one that is not used."""
        slot = self._slots.get(source)
        return self._describe(slot) if slot is not None else None

    def _describe(self, slot: _Slot) -> SourceStatus:
        entry, now = slot.entry, self._clock()
        return SourceStatus(
            label=describe_source(entry.source),
            state=entry.state(now),
            kids=tuple(sorted(entry.keys.kids)) if entry.keys is not None else (),
            age_seconds=now - entry.fetched_at if entry.keys is not None else None,
            next_refresh_seconds=max(0.0, entry.refresh_at - now),
            is_fetching=slot.fetching is not None,
            fetch_count=entry.fetch_count,
            failure_count=entry.failure_count,
            last_error=entry.last_error,
            last_error_age_seconds=now - entry.last_error_at if entry.last_error is not None else None,
            failing_seconds=now - entry.failing_since if entry.failing_since is not None else None,
        )

    def _retire(self, source: KeySource, slot: _Slot) -> None:
        if slot.refreshing is not None:
            slot.refreshing.cancel()
            slot.refreshing = None
        if slot.looking is not None:
            slot.looking.cancel()
            slot.looking = None
        if not slot.waiters:
            # Requests that began under the old configuration are decided under it: their fetch goes on.
            del self._slots[source]
            if slot.fetching is not None:
                slot.fetching.cancel()

    async def _refresh_forever(self, slot: _Slot) -> None:
        while True:
            pause_seconds = slot.entry.refresh_at - self._clock()
            if pause_seconds > 0:
                await self._sleep(pause_seconds)  # and look again: a caller's fetch may have moved the date
            else:
                await asyncio.wait({self._begin_fetch(slot)})

    async def _look_again(self, slot: _Slot) -> None:
        """Fetch once when the cool-down ends, for kids that were asked for in vain: a new key then works by itself.

        However many were asked for: it is one fetch, and what stays unknown begins the next cool-down.
        """
        entry = slot.entry
        while (until := entry.look_again_at(self._clock())) is not None and until > self._clock():
            await self._sleep(until - self._clock())
        slot.looking = None
        if entry.missed:
            slot.asked |= entry.missed
            entry.missed.clear()
            self._begin_fetch(slot)

    def _begin_fetch(self, slot: _Slot) -> asyncio.Task[None]:
        if slot.fetching is None:
            slot.fetching = asyncio.create_task(self._fetch_once(slot))
        return slot.fetching

    async def _fetch_once(self, slot: _Slot) -> None:
        entry = slot.entry
        entry.fetch_count += 1
        entry.answered.clear()
        try:
            document = await self._fetch(entry.source)
            # A thousand keys take a third of a second, in which nobody else would be served.
            is_large = document.count(b'"kty"') > _MANY_KEYS
            keys = await asyncio.to_thread(read_key_set, document) if is_large else read_key_set(document)
        except (FetchError, KeySetError) as error:
            self._note_failure(slot, str(error))
        # Fail closed: what a key server sends is half-trusted, and a surprise in reading it must neither end
        # the background refresh nor reach a caller (CVE-2025-64527: Envoy crashed on a failing fetch).
        except Exception as surprise:
            self._note_failure(slot, f"unexpected {type(surprise).__name__}")
        else:
            if entry.accept(keys, slot.asked, self._clock(), self._chance()):
                _log.info("keys of %s: now %s", describe_source(entry.source), _list_kids(keys.kids))
        finally:
            slot.asked.clear()
            slot.fetching = None

    def _note_failure(self, slot: _Slot, error: str) -> None:
        entry = slot.entry
        entry.fail(error, slot.asked, self._clock())
        _log.warning(
            "keys of %s: fetch failed, %d in a row: %s", describe_source(entry.source), entry.failures_in_a_row, error
        )


def _list_kids(kids: frozenset[str]) -> str:
    names = [ascii(kid[:64]) for kid in sorted(kids)[:_MAX_KIDS_LOGGED]]
    return (", ".join(names) or "keys without id") + ", ..." * (len(kids) > _MAX_KIDS_LOGGED)

"""Every source's keys: fetched before they are needed, one fetch at a time, found at once."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.keys.admission import Admission
from gateway.keys.asking import FetchError
from gateway.keys.entry import Entry
from gateway.keys.status import SourceStatus, describe_entry, describe_source, kids_in_words
from gateway.policy.jwk import Key, KeySetError, read_key_set
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.providers import KeySource, Provider

Fetch = Callable[[KeySource], Awaitable[bytes]]

_log = logging.getLogger("gateway.keys")
# Callers waiting for one source. More are refused at once: a key server that hangs must not pile up requests.
_MAX_WAITERS: Final = 1024
_MANY_KEYS: Final = 100


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
        self._admissions: dict[KeySource, Admission] = {}  # by the pattern of their sources
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
            return self._without_slot(source, kid, algorithm)
        answer = slot.entry.find(kid, algorithm, self._clock(), is_fetching=slot.fetching is not None)
        if isinstance(answer, NoKey):
            if source.pattern is not None:
                answer = self._of_template(source, slot, answer)
            if slot.entry.missed and slot.looking is None and slot.refreshing is not None:
                slot.looking = asyncio.create_task(self._look_again(slot))
            if slot.waiters >= _MAX_WAITERS:
                return NoKey(fetch_may_help=False, is_outage=answer.is_outage)
        return answer

    def confirm(self, source: KeySource) -> bool:
        """Keep the keys of a template's issuer from now on, as a token of it was good; False: there is no room left."""
        slot = self._slots.get(source)
        if slot is None or source.pattern is None:
            return not self._is_closed
        is_kept, gone = self._admission(source.pattern).confirm(source, self._clock())
        if gone is not None:
            self._retire(gone)
        if is_kept and slot.refreshing is None:
            slot.refreshing = asyncio.create_task(self._refresh_forever(slot))
        return is_kept

    async def fetch(self, source: KeySource, kid: str | None = None) -> None:
        """Wait until the source's fetch has ended, well or badly; start it unless one runs or has just ended.

        Raises nothing. Whoever is cancelled while waiting leaves the fetch and the other callers alone.
        """
        if self._is_closed or not self._may_enter(source):
            return
        slot = self._slot_of(source)
        if slot.waiters >= _MAX_WAITERS:
            return
        # The fetch that ran when the caller was told to ask may have ended before his turn: it was his, too.
        if slot.fetching is None and not slot.entry.fetch_may_help(kid, self._clock(), is_fetching=False):
            return
        if slot.fetching is None and source.pattern is not None:
            self._admission(source.pattern).spend(source, self._clock())
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

        Sources that stay keep their keys, as do the issuers of a template that stays; one that callers still wait for
        is dropped at the next call.
        """
        if self._is_closed:
            raise RuntimeError("the key store is closed")
        wanted = dict.fromkeys(sources)
        for source in list(self._slots):
            if (source.pattern or source) not in wanted:
                self._retire(source)
        self._admissions = {pattern: self._admission(pattern) for pattern in wanted if pattern.max_issuers}
        for source in wanted:
            if source.max_issuers:
                continue
            slot = self._slot_of(source)
            # By the new record: found by what it is, in place of by what is in it.
            self._slots[source] = self._slots.pop(source)
            if slot.refreshing is None and source.keys is None:
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
        False: tokens can be judged without any, by a secret; so it is with a template, whose issuers are not known yet.
        """
        entries = [slot.entry for source, slot in self._slots.items() if source.pattern is None]
        now = self._clock()
        may_judge = not entries or not needs_keys or bool(self._admissions)
        return all(entry.is_tried for entry in entries) and (may_judge or any(e.state(now) != "none" for e in entries))

    def status(self) -> tuple[SourceStatus, ...]:
        """Return what is known about every source, ordered by address."""
        return tuple(sorted(map(self._describe, self._slots.values()), key=lambda one: one.label))

    def status_of(self, source: KeySource) -> SourceStatus | None:
        """Return what is known about one source; None for one that is not used."""
        slot = self._slots.get(source)
        return self._describe(slot) if slot is not None else None

    def statuses_of(self, provider: Provider) -> tuple[SourceStatus, ...]:
        """Return what is known about each source of a provider; of a template's issuers, those that have a place."""
        found: list[KeySource] = []
        for source in provider.key_sources():
            admission = self._admissions.get(source) if source.max_issuers else None
            found += (source,) if admission is None else admission.sources()
        return tuple(status for status in map(self.status_of, found) if status is not None)

    def _describe(self, slot: _Slot) -> SourceStatus:
        return describe_entry(slot.entry, self._clock(), is_fetching=slot.fetching is not None)

    def _slot_of(self, source: KeySource) -> _Slot:
        slot = self._slots.get(source)
        if slot is None:
            slot = self._slots[source] = _Slot(Entry(source))
            if source.keys is not None:
                slot.entry.hold(source.keys, self._clock())
        return slot

    def _without_slot(self, source: KeySource, kid: str | None, algorithm: str) -> Key | NoKey:
        if source.keys is not None:  # of a configuration that is no longer in force
            return source.keys.find(kid, algorithm) or NoKey(fetch_may_help=False, is_outage=False)
        answer = NoKey(fetch_may_help=True, is_outage=True)
        return answer if source.pattern is None else self._of_template(source, None, answer)

    def _of_template(self, source: KeySource, slot: _Slot | None, answer: NoKey) -> NoKey:
        assert source.pattern is not None  # noqa: S101  # asked before
        entry = slot.entry if slot is not None else None
        return self._admission(source.pattern).answer(source, entry, answer, self._clock(), self._is_busy)

    def _may_enter(self, source: KeySource) -> bool:
        """Return whether a source may be fetched; one of a template gets a place among those that are tried."""
        if source.pattern is None:
            return source.keys is None
        has_entered, gone = self._admission(source.pattern).enter(source, self._clock(), self._is_busy)
        if gone is not None:
            self._retire(gone)
        return has_entered

    def _admission(self, pattern: KeySource) -> Admission:
        return self._admissions.setdefault(pattern, Admission(pattern))

    def _is_busy(self, source: KeySource) -> bool:
        slot = self._slots.get(source)
        return slot is not None and (slot.fetching is not None or slot.waiters > 0)

    def _retire(self, source: KeySource) -> None:
        slot = self._slots.get(source)
        if slot is None:
            return
        for task in (slot.refreshing, slot.looking):
            if task is not None:
                task.cancel()
        slot.refreshing = slot.looking = None
        if not slot.waiters:
            # Requests that began under the old configuration are decided under it: their fetch goes on.
            del self._slots[source]
            if slot.fetching is not None:
                slot.fetching.cancel()

    async def _refresh_forever(self, slot: _Slot) -> None:
        pattern = slot.entry.source.pattern
        while True:
            pause_seconds = slot.entry.refresh_at - self._clock()
            if pause_seconds > 0:
                await self._sleep(pause_seconds)  # and look again: a caller's fetch may have moved the date
            elif pattern is not None and self._admission(pattern).gives_up(slot.entry.source, self._clock()):
                self._retire(slot.entry.source)
                return
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
        except FetchError as failure:
            self._note_failure(slot, str(failure), is_refused=failure.is_refused)
        except KeySetError as error:
            self._note_failure(slot, str(error))
        # Fail closed: what a key server sends is half-trusted, and a surprise in reading it must neither end
        # the background refresh nor reach a caller (CVE-2025-64527: Envoy crashed on a failing fetch).
        except Exception as surprise:
            self._note_failure(slot, f"unexpected {type(surprise).__name__}")
        else:
            if entry.accept(keys, slot.asked, self._clock(), self._chance()):
                _log.info("keys of %s: now %s", describe_source(entry.source), kids_in_words(keys.kids))
        finally:
            slot.asked.clear()
            slot.fetching = None

    def _note_failure(self, slot: _Slot, error: str, *, is_refused: bool = False) -> None:
        entry = slot.entry
        entry.fail(error, slot.asked, self._clock(), is_refused=is_refused)
        _log.warning(
            "keys of %s: fetch failed, %d in a row: %s", describe_source(entry.source), entry.failures_in_a_row, error
        )

"""Budgets that several processes count in one Redis: one round trip for all of a request's, or of many."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from gateway.policy.budgets import Claim, Left, Verdict
from gateway.stores.counting import Held, StoreDownError, Then
from gateway.stores.redis import PREFIX, Store
from gateway.stores.scripts import RENEW, SPEND

_log = logging.getLogger("gateway.stores")
LIFE_SECONDS: Final = 30.0  # of a lease that nobody renews: how long a process that died holds its places
_RENEWALS_IN_A_LIFE: Final = 4
_PATIENCE_SECONDS: Final = 2.0  # of who only wants to know, to connect included
_AT_ONCE: Final = 3  # batches under way; the store has a connection more, for leases
_MAX_BATCH: Final = 100
_MAX_KEYS: Final = 500  # in one step of Redis, which serves nobody else meanwhile
_MICROSECONDS: Final = 1_000_000
# One hash slot for all, so that one step may touch several.
_KEY_PREFIX: Final = f"{PREFIX}{{b}}:".encode()
_DIGESTS: Final = {script: hashlib.sha1(script.encode()).hexdigest() for script in (SPEND, RENEW)}  # noqa: S324  # EVALSHA


class _Asked:
    """One request that waits for a verdict."""

    __slots__ = ("at", "claims", "held", "then")

    def __init__(self, claims: Sequence[Claim], held: Held | None, then: Then, at: float) -> None:
        self.claims, self.held, self.then, self.at = claims, held, then, at


class SharedBudgets:
    """Counts in one store. Without a lease, and without a question, it sends nothing.

    A lease is good for `life_seconds` and renewed several times in them. Who comes back from being down has its open
    streams counted again at once, and what it could not give back is given back then.
    """

    def __init__(self, store: Store, life_seconds: float = LIFE_SECONDS) -> None:
        self.store = store
        self.held: set[Held] = set()
        self._life_seconds = life_seconds
        self._life = b"%d" % round(life_seconds * 1000)
        self._waiting: list[_Asked] = []
        self._under_way = 0
        self._is_pumping = False
        self._returned: list[tuple[float, Held]] = []
        self._keeper: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._renewed_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        store.when_up.append(self._renew_soon)

    def take(self, claims: Sequence[Claim], then: Then, *, is_stream: bool) -> Held | None:
        """Ask for one request; `then` is told the verdict, or None if the store could not say one in time.

        With `is_stream` the places are held under what is returned; they are not to be given back before the verdict.
        """
        held = None
        if is_stream:
            keys = tuple([_stream_key(claim) for claim in claims if claim.streams is not None])
            held = Held(secrets.token_bytes(12), keys) if keys else None
        loop = asyncio.get_running_loop()
        self._waiting.append(_Asked(claims, held, then, loop.time()))
        if not self._is_pumping:
            self._is_pumping = True
            loop.call_soon(self._pump)  # what comes in one turn of the loop goes in one round trip
        return held

    def keep(self, held: Held) -> None:
        """Renew places from now on: the verdict was that they are taken, or nobody could be asked."""
        self.held.add(held)
        self._work()

    def give_back(self, held: Held) -> None:
        """A stream has ended."""
        self.held.discard(held)
        self._returned.append((asyncio.get_running_loop().time(), held))
        if self.store.is_up:  # else as soon as it is back, or it is over by itself
            self._wake.set()
        self._work()

    def held_for(self, claims: Sequence[Claim]) -> Held | None:
        """Return places that nobody was asked for yet: of a stream that began while the store was down."""
        keys = tuple([_stream_key(claim) for claim in claims if claim.streams is not None])
        return Held(secrets.token_bytes(12), keys) if keys else None

    async def left(self, claims: Sequence[Claim]) -> list[Left]:
        """Return what is left of each, and count nothing. Raises `StoreDownError`."""
        asked = _Asked(claims, None, lambda verdict: None, 0.0)
        answers = await self.store.ask(lambda client: _run(client, SPEND, [_words_of(asked, b"0")]), _PATIENCE_SECONDS)
        return _left_of(claims, answers[0])

    async def answered(self) -> None:
        """Return once nobody waits for a verdict any more, and nobody does for longer than the time-out."""
        while self._waiting or self._tasks:
            await (asyncio.wait(self._tasks) if self._tasks else asyncio.sleep(0))

    async def close(self) -> None:
        """Give back what is held, if the store can be asked, and stop."""
        now = asyncio.get_running_loop().time()
        self._returned += [(now, held) for held in self.held]
        self.held.clear()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._returned and self.store.is_up:
            await self._give_back()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- questions ---

    def _pump(self) -> None:
        self._is_pumping = False
        while self._waiting and self._under_way < _AT_ONCE:
            batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
            self._under_way += 1
            task = asyncio.ensure_future(self._ask(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, batch: list[_Asked]) -> None:
        loop = asyncio.get_running_loop()
        within = batch[0].at + self.store.shared.timeout_seconds - loop.time()
        verdicts: Sequence[Verdict | None]
        try:
            verdicts = await self.store.ask(partial(_spend, batch=batch, life=self._life), max(within, 0.001))
        except StoreDownError:
            verdicts = [None] * len(batch)
            # Perhaps it did it all the same, and only its answer was late.
            self._returned += [(loop.time(), one.held) for one in batch if one.held is not None]
        except Exception as surprise:  # a mistake of ours, or of the store: those who wait must hear of an end
            _log.error("the shared store was not understood", exc_info=surprise)
            verdicts = [None] * len(batch)
        finally:
            self._under_way -= 1
        for one, verdict in zip(batch, verdicts, strict=True):
            one.then(verdict)
        if self._waiting:
            self._pump()

    # --- leases ---

    def _work(self) -> None:
        if self._keeper is None or self._keeper.done():
            self._renewed_at = asyncio.get_running_loop().time()
            self._keeper = asyncio.ensure_future(self._keep())

    def _renew_soon(self) -> None:
        self._renewed_at = -_MICROSECONDS
        self._wake.set()
        if self.held or self._returned:
            self._work()

    async def _keep(self) -> None:
        """Renew leases, and give back those that are over, one after the other: else one could come back."""
        loop, pause_seconds = asyncio.get_running_loop(), self._life_seconds / _RENEWALS_IN_A_LIFE
        while self.held or self._returned:
            self._wake.clear()
            since = loop.time() - self._life_seconds  # who was given back before is over by itself
            self._returned = [one for one in self._returned if one[0] > since]
            if self._returned and self.store.is_up is not False:
                await self._give_back()
            if self.held and loop.time() - self._renewed_at >= pause_seconds and self.store.is_up is not False:
                self._renewed_at = loop.time()
                await self._renew()
            if not self.held and not self._returned:
                return
            try:
                async with asyncio.timeout(max(0.0, self._renewed_at + pause_seconds - loop.time()) or pause_seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _give_back(self) -> None:
        returned, self._returned = self._returned, []
        pairs = [(key, held.lease) for _, held in returned for key in held.keys]
        for begin in range(0, len(pairs), _MAX_KEYS):
            part = pairs[begin : begin + _MAX_KEYS]
            try:
                await self.store.ask(partial(_remove, pairs=part))
            except (StoreDownError, asyncio.CancelledError) as problem:
                self._returned += returned  # once more costs nothing
                if isinstance(problem, asyncio.CancelledError):
                    raise
                return

    async def _renew(self) -> None:
        pairs = [(key, held.lease) for held in self.held for key in held.keys]
        for begin in range(0, len(pairs), _MAX_KEYS):
            part = pairs[begin : begin + _MAX_KEYS]
            try:
                await self.store.ask(partial(_renew, pairs=part, life=self._life))
            except StoreDownError:
                return  # they are renewed as soon as it is back


def _stream_key(claim: Claim) -> bytes:
    return b"%bs:%b" % (_KEY_PREFIX, claim.key.hex().encode())


def _window_key(claim: Claim) -> bytes:
    return b"%br:%b" % (_KEY_PREFIX, claim.key.hex().encode())


def _words_of(asked: _Asked, life: bytes) -> list[bytes | int]:
    """Return what the script is told: how many keys, the keys, the rest."""
    claims = asked.claims
    words: list[bytes | int] = [2 * len(claims)]
    for claim in claims:
        words += (_stream_key(claim), _window_key(claim))
    words += (asked.held.lease if asked.held is not None else b"", life)
    for claim in claims:
        rate = claim.requests
        words.append(-1 if claim.streams is None else claim.streams)
        if rate is None:
            words += (-1, 0, 0)
        else:
            words += (rate.count, round(rate.seconds * _MICROSECONDS), round(rate.granule_seconds * _MICROSECONDS))
    return words


async def _run(client: Redis, script: str, several: Sequence[Sequence[bytes | int]]) -> list[Any]:
    """Return what a script says to each of several, all of them in one round trip. Raises `RedisError`."""
    pipeline: Any = client.pipeline(transaction=False)
    for words in several:
        pipeline.evalsha(_DIGESTS[script], *words)
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:  # it is new to the script, or forgot it: SCRIPT FLUSH, a failover
        again: Any = client.pipeline(transaction=False)
        for number in unknown:
            again.eval(script, *several[number])
        for number, answer in zip(unknown, await again.execute(raise_on_error=False), strict=True):
            answers[number] = answer
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


async def _spend(client: Redis, batch: Sequence[_Asked], life: bytes) -> list[Verdict]:
    answers = await _run(client, SPEND, [_words_of(one, life) for one in batch])
    return [_verdict_of(one, answer) for one, answer in zip(batch, answers, strict=True)]


async def _renew(client: Redis, pairs: Sequence[tuple[bytes, bytes]], life: bytes) -> None:
    await _run(client, RENEW, [[len(pairs), *(key for key, _ in pairs), life, *(lease for _, lease in pairs)]])


async def _remove(client: Redis, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    pipeline: Any = client.pipeline(transaction=False)
    for key, lease in pairs:
        pipeline.zrem(key, lease)
    await pipeline.execute(raise_on_error=False)  # what is of another type holds no place


def _verdict_of(asked: _Asked, answer: list[int]) -> Verdict:
    number, what, wait = answer[:3]
    if not 0 <= number <= len(asked.claims):
        raise ValueError(f"budget {number} of {len(asked.claims)} refuses")
    verdict = Verdict(_left_of(asked.claims, answer))
    if number:
        verdict.refused, verdict.what = number - 1, "streams" if what == 1 else "requests"
        verdict.wait_seconds = wait / _MICROSECONDS
    else:  # it was taken
        for claim, left in zip(asked.claims, verdict.left, strict=True):
            left.requests -= claim.requests is not None
            left.streams -= claim.streams is not None and asked.held is not None
    return verdict


def _left_of(claims: Sequence[Claim], answer: list[int]) -> list[Left]:
    """Return what there was of each when it was asked for."""
    found = []
    for place, claim in enumerate(claims):
        count, open_streams, first = answer[3 * place + 3 : 3 * place + 6]
        rate = claim.requests
        found.append(
            Left(
                0 if rate is None else rate.count - count,
                0.0 if rate is None else first / _MICROSECONDS if count else rate.seconds,
                0 if claim.streams is None else claim.streams - open_streams,
            )
        )
    return found

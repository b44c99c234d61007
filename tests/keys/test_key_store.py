"""When keys are fetched, how often, and how long they count. The clock is fake, and so is the key server."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import logging
from collections import Counter
from typing import Any

import pytest

from gateway.keys.asking import FetchError
from gateway.keys.store import KeyStore
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import NoKey
from gateway.policy.providers import KeySource
from tests.keyserver import private_key, to_jwk

SOURCE = KeySource("https://idp.test", "https://idp.test/jwks")
OTHER = KeySource("https://other.test", "https://other.test/jwks")
NO_FIT = NoKey(fetch_may_help=False, is_outage=False)
OUTAGE = NoKey(fetch_may_help=False, is_outage=True)
FETCH = NoKey(fetch_may_help=True, is_outage=True)
FETCH_FOR_KID = NoKey(fetch_may_help=True, is_outage=False)
DOWN = FetchError("cannot connect")


def jwks(*kids: str) -> bytes:
    return json.dumps({"keys": [to_jwk(private_key(kid), kid) for kid in kids]}).encode()


async def settle() -> None:
    """Let every task run on until it waits for something outside."""
    for _ in range(50):
        await asyncio.sleep(0)


class FakeTime:
    """A clock that stands still until it is advanced, waking sleepers in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        await settle()
        end = self.now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self.now = end
        await settle()


class FakeKeyServer:
    """Answers by source: a document, or an error to raise. While a gate is clear, answers wait."""

    def __init__(self) -> None:
        self.answers: dict[KeySource, bytes | Exception] = {SOURCE: jwks("rsa-1"), OTHER: jwks("rsa-2")}
        self.gates: dict[KeySource, asyncio.Event] = {}
        self.fetches: Counter[KeySource] = Counter()

    def block(self, source: KeySource = SOURCE) -> asyncio.Event:
        gate = self.gates[source] = asyncio.Event()
        return gate

    async def fetch(self, source: KeySource) -> bytes:
        self.fetches[source] += 1
        if source in self.gates:
            await self.gates[source].wait()
        answer = self.answers[source]
        if isinstance(answer, Exception):
            raise answer
        return answer


class World:
    """A store with its fake surroundings, and what a request handler does with it."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.server = FakeKeyServer()
        self.chance = 0.5
        self.store = KeyStore(
            self.server.fetch, clock=self.time.clock, sleep=self.time.sleep, chance=lambda: self.chance
        )

    @property
    def fetches(self) -> int:
        return self.server.fetches[SOURCE]

    def answer(self, document: bytes | Exception, source: KeySource = SOURCE) -> None:
        self.server.answers[source] = document

    def find(self, kid: str | None = "rsa-1", source: KeySource = SOURCE, algorithm: str = "RS256") -> Key | NoKey:
        return self.store.find(source, kid, algorithm, 0.0)

    async def ask(self, kid: str | None = "rsa-1", source: KeySource = SOURCE, algorithm: str = "RS256") -> Key | NoKey:
        answer = self.find(kid, source, algorithm)
        if isinstance(answer, NoKey) and answer.fetch_may_help:
            await self.store.fetch(source, kid)
            answer = self.find(kid, source, algorithm)
            # Otherwise a handler that decides until it knows would never end.
            assert not (isinstance(answer, NoKey) and answer.fetch_may_help)
        return answer


@pytest.fixture
async def world() -> Any:
    world = World()
    yield world
    await world.store.close()


def kid_of(answer: Key | NoKey) -> str | None:
    assert isinstance(answer, Key), answer
    return answer.kid


async def test_a_cold_herd_causes_one_fetch(world: World) -> None:
    gate = world.server.block()
    herd = [asyncio.create_task(world.ask()) for _ in range(200)]
    await settle()
    assert not any(task.done() for task in herd)
    gate.set()
    assert {kid_of(await task) for task in herd} == {"rsa-1"}
    assert world.fetches == 1


async def test_fresh_keys_cause_no_fetch(world: World) -> None:
    for _ in range(50):
        assert kid_of(await world.ask()) == "rsa-1"
    assert world.fetches == 1


async def test_a_thousand_unknown_kids_cause_one_refetch_per_cooldown(world: World) -> None:
    # CWE-770: anybody can write any kid into a token.
    await world.ask()
    flood = [asyncio.create_task(world.ask(f"k{number}")) for number in range(500)]
    assert [await task for task in flood] == [NO_FIT] * 500
    for number in range(500):
        assert await world.ask(f"l{number}") == NO_FIT
    assert world.fetches == 2
    await world.time.advance(SOURCE.cooldown_seconds - 0.001)
    assert world.find("k") == NO_FIT
    await world.time.advance(0.001)
    assert world.find("k") == FETCH_FOR_KID
    assert await world.ask("k") == await world.ask("l") == NO_FIT
    assert world.fetches == 3


async def test_a_caller_whose_fetch_ended_before_his_turn_starts_no_other(world: World) -> None:
    # A request asks for its fetch in a task of its own, and the one that ran may have ended by then.
    await world.ask()
    gate = world.server.block()
    first = asyncio.create_task(world.ask("k"))
    await settle()
    assert world.find("l") == FETCH_FOR_KID
    gate.set()
    assert await first == NO_FIT
    await world.store.fetch(SOURCE, "l")
    assert world.fetches == 2
    assert world.find("l") == NO_FIT
    await world.time.advance(SOURCE.cooldown_seconds)
    assert world.find("l") == FETCH_FOR_KID


async def test_a_caller_whose_fetch_failed_before_his_turn_starts_no_other(world: World) -> None:
    world.answer(DOWN)
    gate = world.server.block()
    first = asyncio.create_task(world.ask())
    await settle()
    assert world.find() == FETCH
    gate.set()
    assert await first == OUTAGE
    await world.store.fetch(SOURCE, "rsa-1")
    assert world.fetches == 1
    assert world.find() == OUTAGE


async def test_a_key_that_was_asked_for_during_the_cooldown_works_when_it_ends(world: World) -> None:
    await world.store.start([SOURCE])
    assert await world.ask("rsa-2") == NO_FIT
    world.answer(jwks("rsa-1", "rsa-2"))
    assert await world.ask("rsa-2") == NO_FIT, "the cool-down runs"
    assert world.fetches == 2
    await world.time.advance(SOURCE.cooldown_seconds - 0.001)
    assert world.fetches == 2
    await world.time.advance(0.001)
    assert world.fetches == 3
    assert kid_of(world.find("rsa-2")) == "rsa-2", "without waiting"


async def test_nobody_asked_during_the_cooldown_so_nobody_fetches(world: World) -> None:
    await world.store.start([SOURCE])
    assert await world.ask("rsa-2") == NO_FIT
    await world.ask("rsa-1")
    await world.time.advance(SOURCE.cooldown_seconds * 3)
    assert world.fetches == 2


async def test_a_flood_of_kids_during_cooldowns_is_one_fetch_for_each(world: World) -> None:
    await world.store.start([SOURCE])
    for round_number in range(5):
        for number in range(500):
            assert await world.ask(f"k{round_number}-{number}") == NO_FIT
        assert world.fetches == 2 + round_number
        await world.time.advance(SOURCE.cooldown_seconds)
        assert world.fetches == 3 + round_number
        assert world.find("k") == NO_FIT, "what stayed unknown has begun the next cool-down"
    assert len(world.store._slots[SOURCE].entry.missed) <= 16


async def test_a_look_at_the_end_of_the_cooldown_that_fails_costs_no_good_key(world: World) -> None:
    await world.store.start([SOURCE])
    await world.ask("k")
    await world.ask("k")
    world.answer(DOWN)
    await world.time.advance(SOURCE.cooldown_seconds)
    assert world.fetches == 3 and kid_of(world.find()) == "rsa-1"
    await world.time.advance(SOURCE.cooldown_seconds)
    assert world.fetches == 3, "nobody has asked since"


@pytest.mark.parametrize("end", ["retired", "closed"])
async def test_a_look_ends_with_its_source(world: World, end: str) -> None:
    await world.store.start([SOURCE])
    await world.ask("k")
    await world.ask("k")
    if end == "retired":
        world.store.use([])
    else:
        await world.store.close()
    await world.time.advance(SOURCE.cooldown_seconds)
    assert world.fetches == 2


async def test_a_large_set_is_read_while_others_are_served(world: World) -> None:
    turns, is_done = 0, False

    async def count() -> None:
        nonlocal turns
        while not is_done:
            turns += 1
            await asyncio.sleep(0)

    one = to_jwk(private_key("rsa-1"), "rsa-1")
    world.answer(json.dumps({"keys": [one, *({**one, "kid": f"k{number}"} for number in range(999))]}).encode())
    counting = asyncio.create_task(count())
    assert kid_of(await world.ask("k998")) == "k998"
    is_done = True
    await counting
    assert turns > 10, "the loop went on"


async def test_a_flood_on_a_cold_store_causes_one_fetch(world: World) -> None:
    for number in range(100):
        assert await world.ask(f"k{number}") == NO_FIT
    assert world.fetches == 1
    assert kid_of(await world.ask()) == "rsa-1"


async def test_a_flood_while_the_refetch_fails_costs_no_good_key(world: World) -> None:
    # CVE-2026-48524: a failed refetch evicted the good keys.
    await world.ask()
    world.answer(DOWN)
    for number in range(100):
        assert await world.ask(f"k{number}") == NO_FIT
    assert world.fetches == 2
    assert kid_of(world.find()) == "rsa-1"


async def test_an_added_key_is_found_by_its_kid_at_once(world: World) -> None:
    await world.store.start([SOURCE])
    world.answer(jwks("rsa-1", "rsa-2"))
    assert kid_of(await world.ask("rsa-2")) == "rsa-2"
    assert kid_of(world.find()) == "rsa-1"
    assert world.fetches == 2


async def test_a_kid_that_brought_its_key_starts_no_cooldown(world: World) -> None:
    await world.ask()
    world.answer(jwks("rsa-1", "rsa-2"))
    await world.ask("rsa-2")
    world.answer(jwks("rsa-1", "rsa-2", "rsa-3"))
    assert kid_of(await world.ask("rsa-3")) == "rsa-3"


async def test_a_removed_key_stops_working_at_the_background_refresh(world: World) -> None:
    await world.store.start([SOURCE])
    world.answer(jwks("rsa-2"))
    assert kid_of(await world.ask()) == "rsa-1"
    await world.time.advance(SOURCE.ttl_seconds * 0.8)
    # The kid is unknown now, so one refetch is due to it.
    assert await world.ask() == NO_FIT
    assert world.fetches == 3


async def test_a_removed_key_stops_working_at_the_ttl_without_any_refresh(world: World) -> None:
    await world.ask()
    world.answer(jwks("rsa-2"))
    await world.time.advance(SOURCE.ttl_seconds - 0.001)
    assert kid_of(await world.ask()) == "rsa-1"
    await world.time.advance(0.001)
    # Stale keys count only once the key server was asked and failed.
    assert world.find() == FETCH
    assert await world.ask() == NO_FIT


async def test_using_a_key_does_not_prolong_its_life(world: World) -> None:
    await world.ask()
    for _ in range(9):
        await world.time.advance(SOURCE.ttl_seconds / 10)
        assert isinstance(world.find(), Key)
    await world.time.advance(SOURCE.ttl_seconds / 10)
    assert world.find() == FETCH


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.72), (0.5, 0.8), (1.0, 0.88)])
async def test_keys_are_refreshed_in_the_background_before_they_expire(
    world: World, chance: float, share: float
) -> None:
    world.chance = chance
    await world.store.start([SOURCE])
    for round_number in range(1, 4):
        await world.time.advance(SOURCE.ttl_seconds * share - 0.001)
        assert world.fetches == round_number
        await world.time.advance(0.001)
        assert world.fetches == round_number + 1
        assert isinstance(world.find(), Key)


async def test_a_callers_fetch_moves_the_background_refresh(world: World) -> None:
    await world.store.start([SOURCE])
    await world.time.advance(SOURCE.ttl_seconds * 0.5)
    await world.ask("unknown")
    await world.time.advance(SOURCE.ttl_seconds * 0.79)
    assert world.fetches == 2
    await world.time.advance(SOURCE.ttl_seconds * 0.01)
    assert world.fetches == 3


async def test_keys_are_usable_while_a_refresh_is_under_way(world: World) -> None:
    await world.store.start([SOURCE])
    gate = world.server.block()
    await world.time.advance(SOURCE.ttl_seconds * 0.8)
    assert (world.fetches, kid_of(world.find())) == (2, "rsa-1")
    gate.set()


async def test_a_key_server_that_is_down_at_start_does_not_stop_it_and_recovers(world: World) -> None:
    world.answer(DOWN)
    await world.store.start([SOURCE])
    assert world.fetches == 1
    for _ in range(100):  # nor is it hammered by the callers
        assert await world.ask() == OUTAGE
    assert world.fetches == 1
    await world.time.advance(0.999)
    assert world.fetches == 1
    world.answer(jwks("rsa-1"))
    await world.time.advance(0.001)
    assert (world.fetches, kid_of(world.find())) == (2, "rsa-1")


async def test_pauses_grow_up_to_5_seconds_while_there_are_no_keys(world: World) -> None:
    world.answer(DOWN)
    await world.store.start([SOURCE])
    for count, pause_seconds in enumerate([1, 2, 4, 5, 5, 5], start=1):
        await world.time.advance(pause_seconds - 0.001)
        assert world.fetches == count
        assert world.find() == OUTAGE
        await world.time.advance(0.001)
        assert world.fetches == count + 1


async def test_pauses_grow_up_to_the_cooldown_while_there_are_keys(world: World) -> None:
    await world.store.start([SOURCE])
    world.answer(DOWN)
    await world.time.advance(SOURCE.ttl_seconds * 0.8)
    for count, pause_seconds in enumerate([1, 2, 4, 8, 16, 30, 30], start=2):
        await world.time.advance(pause_seconds - 0.001)
        assert world.fetches == count
        await world.time.advance(0.001)
        assert world.fetches == count + 1


async def test_without_background_a_caller_tries_again_after_the_pause(world: World) -> None:
    world.answer(DOWN)
    assert await world.ask() == OUTAGE
    await world.time.advance(0.999)
    assert world.find() == OUTAGE
    await world.time.advance(0.001)
    assert world.find() == FETCH
    world.answer(jwks("rsa-1"))
    assert kid_of(await world.ask()) == "rsa-1"


async def test_stale_keys_serve_until_exactly_ttl_and_stale_if_error(world: World) -> None:
    await world.store.start([SOURCE])
    fetched_at = world.time.now
    world.answer(DOWN)
    limit = SOURCE.ttl_seconds + SOURCE.stale_if_error_seconds
    for _ in range(41):
        await world.time.advance(100)
        assert kid_of(await world.ask()) == "rsa-1"
        assert await world.ask("unknown") == NO_FIT  # 401, the keys are there
    await world.time.advance(fetched_at + limit - world.time.now - 0.001)
    assert kid_of(await world.ask()) == "rsa-1"
    await world.time.advance(0.001)
    assert await world.ask() == OUTAGE
    assert await world.ask("unknown") == OUTAGE
    world.answer(jwks("rsa-1"))
    await world.time.advance(SOURCE.cooldown_seconds)
    assert kid_of(world.find()) == "rsa-1"


async def test_stale_keys_serve_while_another_try_is_under_way(world: World) -> None:
    await world.store.start([SOURCE])
    world.answer(DOWN)
    await world.time.advance(SOURCE.ttl_seconds + 100)
    gate = world.server.block()
    before = world.fetches
    await world.time.advance(SOURCE.cooldown_seconds)
    assert world.fetches == before + 1
    assert kid_of(world.find()) == "rsa-1"
    gate.set()


async def test_stale_keys_need_a_recent_failure(world: World) -> None:
    # An old failure does not let a key live on that a good answer would have taken away.
    await world.ask()
    world.answer(DOWN)
    await world.ask("unknown")
    world.answer(jwks("rsa-2"))
    await world.time.advance(SOURCE.ttl_seconds)
    assert world.find() == FETCH
    assert await world.ask() == NO_FIT


async def test_a_good_answer_ends_staleness(world: World) -> None:
    await world.store.start([SOURCE])
    world.answer(DOWN)
    await world.time.advance(SOURCE.ttl_seconds + 60)
    assert world.store.status()[0].state == "stale"
    world.answer(jwks("rsa-2"))
    await world.time.advance(SOURCE.cooldown_seconds)
    assert world.store.status()[0].state == "fresh"
    assert isinstance(world.find("rsa-2"), Key)
    assert not isinstance(world.find("rsa-1"), Key)


async def test_stale_keys_wait_for_the_first_refresh_that_is_under_way(world: World) -> None:
    # It may be about to say that the key is gone.
    await world.ask()
    await world.time.advance(SOURCE.ttl_seconds)
    gate = world.server.block()
    waiting = asyncio.create_task(world.ask())
    await settle()
    assert world.find() == FETCH
    world.answer(jwks("rsa-2"))
    gate.set()
    assert await waiting == NO_FIT
    assert world.fetches == 2


async def test_after_the_stale_limit_the_key_server_is_asked_every_5_seconds(world: World) -> None:
    await world.store.start([SOURCE])
    world.answer(DOWN)
    await world.time.advance(SOURCE.ttl_seconds + SOURCE.stale_if_error_seconds + SOURCE.cooldown_seconds)
    before = world.fetches
    await world.time.advance(50)
    assert world.fetches == before + 10


async def test_a_failed_refetch_for_an_unknown_kid_does_not_hurry_the_background(world: World) -> None:
    await world.store.start([SOURCE])
    world.answer(DOWN)
    assert await world.ask("unknown") == NO_FIT
    assert world.store.status()[0].next_refresh_seconds == SOURCE.ttl_seconds * 0.8
    await world.time.advance(SOURCE.ttl_seconds * 0.79)
    assert world.fetches == 2


async def test_a_background_refresh_starts_no_cooldown(world: World) -> None:
    await world.store.start([SOURCE])
    assert await world.ask("unknown") == NO_FIT
    await world.time.advance(SOURCE.ttl_seconds * 0.8)
    assert world.fetches == 3
    assert world.find("unknown") == FETCH_FOR_KID


async def test_a_slow_key_server_delays_only_its_own_callers(world: World) -> None:
    gate = world.server.block(OTHER)
    slow = asyncio.create_task(world.ask("rsa-2", OTHER))
    await settle()
    assert kid_of(await world.ask()) == "rsa-1"
    assert not slow.done()
    gate.set()
    assert kid_of(await slow) == "rsa-2"


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(FetchError("found status 500, expected 200"), id="status"),
        pytest.param(b"<html>sorry</html>", id="html"),
        pytest.param(b"", id="empty"),
        pytest.param(b'{"keys":[]}', id="no-keys"),
        pytest.param(b'{"keys":[{"kty":"oct","kid":"rsa-1","k":"c2VjcmV0"}]}', id="only-oct"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(RuntimeError("surprise"), id="surprise"),
    ],
)
async def test_a_bad_answer_discards_no_good_key_and_gives_none(world: World, lie: bytes | Exception) -> None:
    await world.store.start([SOURCE])
    world.answer(lie)
    world.answer(lie, OTHER)
    await world.time.advance(SOURCE.ttl_seconds * 0.8)
    assert world.fetches == 2
    assert kid_of(world.find()) == "rsa-1"
    assert await world.ask("rsa-2", OTHER) == OUTAGE
    # The background goes on, whatever came.
    world.answer(jwks("rsa-2"))
    await world.time.advance(1)
    assert isinstance(world.find("rsa-2"), Key)


async def test_an_unchanged_key_stays_the_same_object(world: World) -> None:
    await world.store.start([SOURCE])
    before = world.find()
    world.answer(jwks("rsa-2", "rsa-1"))
    await world.time.advance(SOURCE.ttl_seconds)
    assert world.fetches == 2
    assert world.find() is before


async def test_a_known_kid_with_another_algorithm_causes_no_fetch(world: World) -> None:
    await world.ask()
    assert world.find(algorithm="ES256") == NO_FIT
    assert world.find(algorithm="HS256") == NO_FIT


async def test_a_token_without_kid_gets_the_one_key_that_fits(world: World) -> None:
    assert kid_of(await world.ask(None)) == "rsa-1"
    world.answer(jwks("rsa-1", "rsa-2"))
    await world.time.advance(SOURCE.ttl_seconds)
    assert await world.ask(None) == NO_FIT
    assert await world.ask(None) == NO_FIT
    assert world.fetches == 2


async def test_a_key_of_another_source_is_not_found(world: World) -> None:
    # RFC 8725 section 3.8: the key belongs to the issuer.
    await world.ask("rsa-2", OTHER)
    assert await world.ask("rsa-2") == NO_FIT


async def test_equal_sources_share_one_fetch(world: World) -> None:
    twin = KeySource("https://idp.test", "https://idp.test/jwks")
    await world.store.start([SOURCE, twin])
    assert kid_of(await world.ask(source=twin)) == "rsa-1"
    assert (world.fetches, len(world.store.status())) == (1, 1)


@pytest.mark.parametrize("is_down", [False, True])
async def test_a_cooldown_of_zero_cannot_loop(world: World, is_down: bool) -> None:
    eager = KeySource(None, "https://eager.test/jwks", cooldown_seconds=0)
    world.answer(DOWN if is_down else jwks("rsa-1"), eager)
    await world.ask("unknown", eager)
    await world.ask("unknown", eager)
    assert world.server.fetches[eager] == 1


async def test_a_cancelled_caller_cancels_neither_the_fetch_nor_the_others(world: World) -> None:
    gate = world.server.block()
    leaving, staying = (asyncio.create_task(world.ask()) for _ in range(2))
    await settle()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    gate.set()
    assert kid_of(await staying) == "rsa-1"
    assert world.fetches == 1


async def test_a_fetch_whose_callers_have_all_left_still_brings_its_keys(world: World) -> None:
    gate = world.server.block()
    leaving = asyncio.create_task(world.ask())
    await settle()
    leaving.cancel()
    await settle()
    gate.set()
    await settle()
    assert (world.fetches, kid_of(world.find())) == (1, "rsa-1")


async def test_callers_of_one_source_are_bounded(world: World) -> None:
    gate = world.server.block()
    waiting = [asyncio.create_task(world.ask()) for _ in range(1024)]
    await settle()
    assert world.find() == OUTAGE
    await world.store.fetch(SOURCE, "rsa-1")  # returns at once
    assert await world.ask() == OUTAGE
    gate.set()
    assert {kid_of(await task) for task in waiting} == {"rsa-1"}
    assert kid_of(await world.ask()) == "rsa-1"


async def test_start_returns_when_every_source_was_tried(world: World) -> None:
    gate = world.server.block(OTHER)
    world.answer(DOWN, OTHER)
    starting = asyncio.create_task(world.store.start([SOURCE, OTHER]))
    await settle()
    assert not starting.done()
    assert not world.store.is_ready()
    gate.set()
    await starting
    assert world.server.fetches == {SOURCE: 1, OTHER: 1}
    assert world.store.is_ready()


async def test_start_does_not_fetch_again_what_is_there(world: World) -> None:
    await world.store.start([SOURCE])
    await world.store.start([SOURCE])
    await settle()
    assert world.fetches == 1


async def test_use_keeps_what_stays_fetches_what_is_new_and_drops_the_rest(world: World) -> None:
    await world.store.start([SOURCE])
    kept = world.find()
    world.store.use([SOURCE, OTHER])
    await settle()
    assert world.find() is kept
    assert isinstance(world.find("rsa-2", OTHER), Key)
    world.store.use([OTHER])
    assert world.find() == FETCH
    await world.time.advance(SOURCE.ttl_seconds)
    assert world.server.fetches == {SOURCE: 1, OTHER: 2}


async def test_use_does_not_take_keys_from_callers_who_wait_for_them(world: World) -> None:
    gate = world.server.block()
    world.store.use([SOURCE])
    waiting = asyncio.create_task(world.ask())
    await settle()
    world.store.use([OTHER])
    gate.set()
    assert kid_of(await waiting) == "rsa-1"
    world.store.use([OTHER])
    assert [one.label for one in world.store.status()] == ["https://other.test/jwks"]


async def test_use_ends_a_fetch_nobody_waits_for(world: World) -> None:
    world.server.block()
    world.store.use([SOURCE])
    await settle()
    world.store.use([])
    await settle()
    assert len(asyncio.all_tasks()) == 1  # this test


async def test_a_source_that_comes_back_is_refreshed_again(world: World) -> None:
    gate = world.server.block()
    world.store.use([SOURCE])
    waiting = asyncio.create_task(world.ask())
    await settle()
    world.store.use([])
    world.store.use([SOURCE])
    gate.set()
    await waiting
    await world.time.advance(SOURCE.ttl_seconds * 0.8)
    assert world.fetches == 2


async def test_close_lets_waiting_callers_go_and_leaves_no_task(world: World) -> None:
    world.server.block()
    world.store.use([SOURCE, OTHER])
    waiting = asyncio.create_task(world.ask())
    await settle()
    await world.store.close()
    assert await waiting == OUTAGE
    assert len(asyncio.all_tasks()) == 1  # this test
    await world.store.fetch(SOURCE, "rsa-1")
    assert await world.ask() == OUTAGE
    assert world.fetches == 1
    with pytest.raises(RuntimeError, match="closed"):
        world.store.use([SOURCE])


async def test_a_store_without_sources_is_ready(world: World) -> None:
    assert world.store.is_ready()


async def test_a_secret_needs_no_keys_but_every_source_to_be_tried(world: World) -> None:
    world.answer(DOWN)
    assert world.store.is_ready(needs_keys=False)
    gate = world.server.block()
    world.store.use([SOURCE])
    await settle()
    assert not world.store.is_ready(needs_keys=False)
    gate.set()
    await settle()
    assert world.store.is_ready(needs_keys=False) and not world.store.is_ready()


async def test_readiness_ends_when_no_source_has_keys(world: World) -> None:
    await world.store.start([SOURCE])
    world.answer(DOWN)
    await world.time.advance(SOURCE.ttl_seconds + SOURCE.stale_if_error_seconds - 1)
    assert world.store.is_ready()
    await world.time.advance(1)
    assert not world.store.is_ready()


async def test_status_tells_states_ages_and_errors(world: World) -> None:
    world.answer(DOWN, OTHER)
    await world.store.start([SOURCE, OTHER])
    await world.time.advance(0.5)
    good, bad = world.store.status()
    assert (good.label, good.state, good.kids, good.age_seconds) == ("https://idp.test/jwks", "fresh", ("rsa-1",), 0.5)
    assert (good.next_refresh_seconds, good.last_error, good.last_error_age_seconds) == (479.5, None, None)
    assert (good.fetch_count, good.failure_count, good.is_fetching) == (1, 0, False)
    assert (bad.label, bad.state, bad.kids, bad.age_seconds) == ("https://other.test/jwks", "none", (), None)
    assert (bad.next_refresh_seconds, bad.last_error, bad.last_error_age_seconds) == (0.5, "cannot connect", 0.5)
    assert (bad.fetch_count, bad.failure_count, bad.is_fetching) == (1, 1, False)


async def test_the_last_error_stays_in_the_status_after_recovery(world: World) -> None:
    world.answer(DOWN)
    await world.store.start([SOURCE])
    world.answer(jwks("rsa-1"))
    await world.time.advance(1)
    (status,) = world.store.status()
    assert (status.state, status.last_error, status.last_error_age_seconds) == ("fresh", "cannot connect", 1)


async def test_a_line_is_logged_for_each_failure_and_each_change_of_kids(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.keys")
    await world.store.start([SOURCE])
    await world.time.advance(SOURCE.ttl_seconds)  # the same keys again: nothing to say
    world.answer(DOWN)
    await world.ask("unknown")
    world.answer(jwks("rsa-2"))
    await world.time.advance(SOURCE.ttl_seconds)
    world.answer(RuntimeError("c2VjcmV0"))
    await world.time.advance(SOURCE.ttl_seconds * 0.81)
    assert caplog.messages[:4] == [
        "keys of https://idp.test/jwks: now 'rsa-1'",
        "keys of https://idp.test/jwks: fetch failed, 1 in a row: cannot connect",
        "keys of https://idp.test/jwks: now 'rsa-2'",
        "keys of https://idp.test/jwks: fetch failed, 1 in a row: unexpected RuntimeError",
    ]


async def test_a_logged_list_of_kids_is_bounded(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.keys")
    key = to_jwk(private_key("rsa-1"))
    world.answer(json.dumps({"keys": [{**key, "kid": f"{n:02}" * 500} for n in range(50)]}).encode())
    world.answer(json.dumps({"keys": [key]}).encode(), OTHER)
    await world.store.start([SOURCE, OTHER])
    first, second = caplog.messages
    assert len(first) < 800 and first.endswith(", ...")
    assert second == "keys of https://other.test/jwks: now keys without id"

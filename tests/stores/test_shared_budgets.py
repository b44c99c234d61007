"""Budgets in a real Redis: the same as in memory, and what becomes of them whatever is done to the store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.config.model import Shared
from gateway.policy.budgets import Budget, Claim, Rate, Verdict
from gateway.stores.counting import Held
from gateway.stores.memory import Memory
from gateway.stores.redis import Store
from gateway.stores.shared import SharedBudgets
from tests.processes import wait_until
from tests.programs import needs
from tests.redisserver import RedisServer, redis_server

pytestmark = needs("redis-server", "redis-cli")
PEOPLE = Budget("people", "subject", streams=3, requests=Rate(5, 60.0))
ALL = Budget("all", "provider", streams=50, requests=Rate(3000, 60.0))


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@asynccontextmanager
async def _budgets(redis: RedisServer, life_seconds: float = 30.0) -> AsyncIterator[SharedBudgets]:
    store = Store(Shared("127.0.0.1", redis.port, timeout_seconds=0.25))
    budgets = SharedBudgets(store, life_seconds)
    try:
        yield budgets
    finally:
        await budgets.close()
        await store.close()


def _claims(subject: str = "ann", *budgets: Budget) -> list[Claim]:
    asked = budgets or (PEOPLE, ALL)
    return [
        Claim(one, f"{one.name}{subject if one is PEOPLE else ''}".encode().ljust(16), one.streams, one.requests)
        for one in asked
    ]


async def _take(
    budgets: SharedBudgets, claims: Sequence[Claim], *, is_stream: bool = False
) -> tuple[Verdict | None, Held | None]:
    said: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()
    held = budgets.take(claims, said.set_result, is_stream=is_stream)
    verdict = await said
    if verdict is not None and verdict.refused is None and held is not None:
        budgets.keep(held)
        return verdict, held
    return verdict, None


def _open(redis: RedisServer, claim: Claim) -> int:
    return int(redis.command("zcard", f"gateway:{{b}}:s:{claim.key.hex()}"))


async def test_it_says_what_memory_says(redis: RedisServer) -> None:
    chance, memory = random.Random(7), Memory()  # noqa: S311
    open_here: list[tuple[list[Claim], Held]] = []
    async with _budgets(redis) as budgets:
        for _ in range(300):
            claims = _claims(chance.choice("abcd"))
            is_stream = chance.random() < 0.5
            verdict, held = await _take(budgets, claims, is_stream=is_stream)
            expected = memory.take(claims, 1000.0, is_stream=is_stream)
            assert verdict is not None
            assert (verdict.refused, verdict.what) == (expected.refused, expected.what)
            assert [(one.requests, one.streams) for one in verdict.left] == [
                (one.requests, one.streams) for one in expected.left
            ]
            there, here = await budgets.left(claims), memory.left(claims, 1000.0)  # told twice: nothing was counted
            for _ in range(2):
                assert [(one.requests, one.streams) for one in there] == [(one.requests, one.streams) for one in here]
                there = await budgets.left(claims)
            if held is not None:
                open_here.append((claims, held))
            if open_here and chance.random() < 0.4:
                ended, held = open_here.pop(chance.randrange(len(open_here)))
                budgets.give_back(held)
                memory.give_back(ended)
                wait_for = redis.calls_of("zrem") + 1
                async with asyncio.timeout(20):
                    while budgets._returned or redis.calls_of("zrem") < 1 < wait_for:  # noqa: ASYNC110
                        await asyncio.sleep(0.001)
                    await budgets.store.ask(lambda client: client.ping())


async def test_two_processes_count_together_and_one_that_dies_frees_its_places(redis: RedisServer) -> None:
    claims = _claims()
    async with _budgets(redis, life_seconds=1.0) as one:
        other_store = Store(Shared("127.0.0.1", redis.port, timeout_seconds=0.25))
        other = SharedBudgets(other_store, 1.0)
        for budgets in (one, other, other):
            verdict, held = await _take(budgets, claims, is_stream=True)
            assert verdict is not None and verdict.refused is None and held is not None
        for budgets in (one, other):
            verdict, _ = await _take(budgets, claims, is_stream=True)
            assert verdict is not None and (verdict.refused, verdict.what) == (0, "streams")
        assert other._keeper is not None
        other._keeper.cancel()  # it is killed: nobody renews
        await asyncio.sleep(2.5)  # longer than its leases, while those of the first one are renewed
        assert _open(redis, claims[0]) == 3  # they are still members, and count no more
        verdict, held = await _take(one, claims, is_stream=True)
        assert verdict is not None and verdict.left[0].streams == 1
        other.held.clear()
        await other.close()
        await other_store.close()


async def test_what_the_store_lost_is_put_back(redis: RedisServer) -> None:
    claims = _claims()
    async with _budgets(redis, life_seconds=1.0) as budgets:
        for _ in range(2):
            await _take(budgets, claims, is_stream=True)
        for loss in (("flushall",), ("script", "flush"), ("set", f"gateway:{{b}}:s:{claims[0].key.hex()}", "x")):
            redis.command(*loss)
            wait_until(lambda: True)
            async with asyncio.timeout(20):
                while redis.command("type", f"gateway:{{b}}:s:{claims[0].key.hex()}") != "zset":  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert _open(redis, claims[0]) == 2
            assert budgets.store.failures == 0


async def test_keys_of_another_type_are_thrown_away(redis: RedisServer) -> None:
    claims = _claims()
    redis.command("lpush", f"gateway:{{b}}:r:{claims[0].key.hex()}", "x")
    redis.command("set", f"gateway:{{b}}:s:{claims[0].key.hex()}", "x")
    redis.command("set", f"gateway:{{b}}:r:{claims[1].key.hex()}", "broken")
    async with _budgets(redis) as budgets:
        verdict, _ = await _take(budgets, claims, is_stream=True)
        assert verdict is not None and verdict.refused is None and verdict.left[0].requests == 4
        assert budgets.store.is_up


async def test_every_key_ends_by_itself(redis: RedisServer) -> None:
    async with _budgets(redis) as budgets:
        for subject in "abc":
            await _take(budgets, _claims(subject), is_stream=True)
        keys = redis.command("--scan", "--pattern", "gateway:{b}:*").split()
        assert len(keys) == 8
        assert all(0 < int(redis.command("pttl", key)) <= 61_000 for key in keys)
    wait_until(lambda: not redis.command("--scan", "--pattern", "gateway:{b}:s:*"))  # what ended was given back


async def test_while_it_is_frozen_nobody_waits_longer_than_the_time_out(redis: RedisServer) -> None:
    async with _budgets(redis) as budgets:
        verdict, held = await _take(budgets, _claims(), is_stream=True)
        assert verdict is not None and held is not None
        redis.freeze()
        answers = await asyncio.gather(*(_take(budgets, _claims(str(n)), is_stream=True) for n in range(300)))
        assert {verdict for verdict, _ in answers} == {None}
        assert budgets.store.failures == 1
        mine = budgets.held_for(_claims())  # a stream that began meanwhile
        assert mine is not None
        budgets.keep(mine)
        budgets.give_back(held)  # and one that ended
        came_up = asyncio.Event()
        budgets.store.when_up.append(came_up.set)
        redis.thaw()
        await came_up.wait()
        async with asyncio.timeout(20):
            while _open(redis, _claims()[0]) != 1 or _open(redis, _claims("7")[0]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # what it was asked while nobody listened is given back as well


async def test_requests_of_one_turn_go_in_one_round_trip(redis: RedisServer) -> None:
    async with _budgets(redis) as budgets:
        await _take(budgets, _claims())
        before = int(redis.command("info", "stats").partition("total_reads_processed:")[2].split()[0])
        await asyncio.gather(*(_take(budgets, _claims(str(n))) for n in range(50)))
        after = int(redis.command("info", "stats").partition("total_reads_processed:")[2].split()[0])
        assert after - before <= 4  # redis-cli's own among them
        assert redis.calls_of("evalsha") == 51

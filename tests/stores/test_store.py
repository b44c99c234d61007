"""One Redis, real: asked in time or not at all, whatever is done to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.config.model import Shared
from gateway.stores.counting import StoreDownError
from gateway.stores.redis import Store
from tests.authority import private_authority
from tests.programs import needs
from tests.redisserver import RedisServer, redis_server

_PASSWORD = ("--requirepass", "not-shown-anywhere")
pytestmark = needs("redis-server", "redis-cli")


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@asynccontextmanager
async def _store(port: int, **settings: Any) -> AsyncIterator[Store]:
    # A longer time-out than the default: the machine of a test is busy, and nothing here is about how long it takes.
    store = Store(Shared("127.0.0.1", port, **{"timeout_seconds": 0.25, **settings}))
    try:
        yield store
    finally:
        await store.close()


async def _say(client: Redis) -> Any:
    return await client.set("gateway:said", b"1", px=60_000)


async def _until_up(store: Store) -> None:
    came_up = asyncio.Event()
    store.when_up.append(came_up.set)
    if not store.is_up:
        await came_up.wait()


async def test_nobody_is_connected_to_before_somebody_asks(redis: RedisServer) -> None:
    async with _store(redis.port) as store:
        assert store.is_up is None
        assert redis.calls_of("set") == 0
        assert await store.ask(_say)
        assert store.is_up is True


async def test_what_does_not_answer_is_waited_for_once_and_comes_back(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with _store(redis.port) as store:
        await store.ask(_say)
        redis.freeze()
        asked = await asyncio.gather(*(store.ask(_say) for _ in range(20)), return_exceptions=True)
        assert {type(one) for one in asked} == {StoreDownError}
        assert (store.is_up, store.problem) == (False, "no answer within 250 ms")
        before = asyncio.get_running_loop().time()
        for _ in range(100):
            with pytest.raises(StoreDownError):
                await store.ask(_say)
        assert asyncio.get_running_loop().time() - before < store.shared.timeout_seconds  # nobody waits for it again
        redis.thaw()
        await _until_up(store)
        assert await store.ask(_say)
        said = [record.getMessage() for record in caplog.records if record.name == "gateway.stores"]
        assert [line.partition(f"{redis.port}/0 ")[2] for line in said] == [
            "cannot be asked: no answer within 250 ms; each process counts for itself", "answers again",
        ]  # fmt: skip
        assert store.failures == 1


async def test_one_that_is_killed_and_started_again_is_found(redis: RedisServer) -> None:
    async with _store(redis.port, if_down="refuse") as store:
        await store.ask(_say)
        redis.kill()
        with pytest.raises(StoreDownError):
            await store.ask(_say)
        redis.start()
        await _until_up(store)
        assert await store.ask(_say)


async def test_connections_that_the_other_end_closed_are_opened_again(redis: RedisServer) -> None:
    async with _store(redis.port) as store:
        await store.ask(_say)
        redis.command("client", "kill", "type", "normal")
        assert await store.ask(_say)
        assert store.failures == 0


async def test_who_leaves_while_it_is_asked_costs_no_connection(redis: RedisServer) -> None:
    async with _store(redis.port) as store:
        await store.ask(_say)
        connections = redis.command("info", "stats").partition("total_connections_received:")[2].split()[0]
        for _ in range(20):
            asking = asyncio.ensure_future(store.ask(_say))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert await store.ask(_say)
        after = redis.command("info", "stats").partition("total_connections_received:")[2].split()[0]
        assert int(after) - int(connections) <= 4 + 2  # those of the pool, and redis-cli's own


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("--requirepass", "another-password"), "AuthenticationError: "),
        ((*_PASSWORD, "--maxmemory", "512kb", "--maxmemory-policy", "noeviction"), "OutOfMemoryError: "),
        ((*_PASSWORD, "--replicaof", "127.0.0.1", "1"), "ReadOnlyError: "),
    ],
    ids=["wrong password", "no memory left", "a replica"],
)
async def test_one_that_takes_no_writes_is_down(settings: tuple[str, ...], says: str) -> None:
    with redis_server(*settings) as server:
        async with _store(server.port, password="not-shown-anywhere") as store:
            with pytest.raises(StoreDownError):
                await store.ask(_say)
            assert store.problem.startswith(says)
            assert "not-shown-anywhere" not in store.problem + repr(store) + repr(store.shared)


async def test_a_store_with_tls_is_verified(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "asyncio")
    files, others = private_authority(tmp_path), private_authority(tmp_path, "other")
    with redis_server(certificates=files) as server:
        tls: dict[str, Any] = {"has_tls": True, "timeout_seconds": 2.0}
        async with _store(server.port, ca_file=files["ca"], **tls) as store:
            assert await store.ask(_say)
        for ca_file in (others["ca"], None):
            async with _store(server.port, ca_file=ca_file, **tls) as store:
                with pytest.raises(StoreDownError, match="CERTIFICATE_VERIFY_FAILED"):
                    await store.ask(_say)


async def test_a_port_where_nobody_listens_is_no_exception(redis: RedisServer) -> None:
    redis.kill()
    async with _store(redis.port) as store:
        with pytest.raises(StoreDownError):
            await store.ask(_say)
        assert store.is_up is False
        assert store.changed_at is not None

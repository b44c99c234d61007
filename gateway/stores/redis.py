"""One Redis: connected when somebody first asks, never waited for longer than its time-out, and back by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLostError
from redis.exceptions import RedisError

from gateway.config.model import Shared
from gateway.stores.counting import StoreDownError

T = TypeVar("T")
_log = logging.getLogger("gateway.stores")
PREFIX: Final = "gateway:"  # every key begins so, and a user of the store needs no right to others
_PROBE_KEY: Final = f"{PREFIX}probe"
_CONNECTIONS: Final = 4
_PROBE_SECONDS: Final = 2.0  # to connect, TLS and password included: nobody waits for it
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.05, 1.0  # between two probes of one that is down


class Store:
    """A Redis that one process asks.

    `ask` never takes longer than the time-out. One bad or late answer, and the store is down: nobody waits for it any
    more, while it is probed in the background until a write to it succeeds. `is_up` None: it was not asked yet.
    """

    def __init__(self, shared: Shared, *, clock: Callable[[], float] = time.time) -> None:
        self.shared = shared
        self.is_up: bool | None = None
        self.changed_at: float | None = None  # Unix seconds
        self.problem = ""  # why it is down, in words without secrets
        self.failures = 0  # how often it went down
        self.when_up: list[Callable[[], None]] = []  # called each time it can be asked again
        self._clock = clock
        self.client = _client(shared)
        self._probing: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<Store {self.shared.where}>"

    def begin(self) -> None:
        """Connect, so that the first who asks need not wait for that."""
        if self.is_up is None:
            self._probe()

    async def ask(self, work: Callable[[Redis], Awaitable[T]], within_seconds: float | None = None) -> T:
        """Return what the work got. Raises `StoreDownError` after the time-out, or at once while the store is down.

        `within_seconds`: of the time-out, how much is left to who waited before.
        Who is cancelled here leaves the work to its end: a connection that is cut in mid-answer is lost.
        """
        if self.is_up is False:
            raise StoreDownError(self.problem)
        most = self.shared.timeout_seconds
        task = asyncio.ensure_future(self._asked(work, most if within_seconds is None else within_seconds))
        self._asking.add(task)
        task.add_done_callback(self._asked_it)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Let go of the connections."""
        tasks = [*self._asking, *([self._probing] if self._probing is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.client.aclose()

    async def _asked(self, work: Callable[[Redis], Awaitable[T]], within_seconds: float) -> T:
        try:
            async with asyncio.timeout(within_seconds):
                if self.is_up is None:
                    await asyncio.shield(self._probe())
                return await work(self.client)
        except TimeoutError:
            if self.is_up is None:  # still connecting, which has a clock of its own
                raise StoreDownError("it is being connected") from None
            self._went_down(f"no answer within {self.shared.timeout_seconds * 1000:g} ms")
        except (RedisError, OSError) as problem:
            self._went_down(_words(problem))
        raise StoreDownError(self.problem)

    def _asked_it(self, task: asyncio.Task[Any]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()  # it was told to who asked, if he is still there

    def _probe(self) -> asyncio.Task[None]:
        if self._probing is None or self._probing.done():
            self._probing = asyncio.ensure_future(self._probe_until_it_answers())
        return self._probing

    async def _probe_until_it_answers(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    # A write: a replica, one without memory left, and a user without rights read and answer PING.
                    await self.client.set(_PROBE_KEY, b"", px=1000)
            except TimeoutError:
                self._went_down(f"no answer within {_PROBE_SECONDS:g} s")
            except (RedisError, OSError) as problem:
                self._went_down(_words(problem))
            else:
                self._came_up()
                return
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LAST_PAUSE_SECONDS)

    def _went_down(self, problem: str) -> None:
        if self.is_up is not False:
            self.is_up, self.changed_at, self.problem = False, self._clock(), problem
            self.failures += 1
            then = "each process counts for itself" if self.shared.if_down == "local" else "what it counts is refused"
            _log.warning("the shared store %s cannot be asked: %s; %s", self.shared.where, problem, then)
        self._probe()

    def _came_up(self) -> None:
        was_down, self.is_up, self.problem = self.is_up is False, True, ""
        if was_down:
            _log.warning("the shared store %s answers again", self.shared.where)
        self.changed_at = self._clock()
        for call in self.when_up:
            call()


def _client(shared: Shared) -> Redis:
    settings: dict[str, Any] = {}
    if shared.has_tls:
        settings = {
            "ssl_ca_certs": str(shared.ca_file) if shared.ca_file is not None else None,
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
        }
    pool = BlockingConnectionPool(
        max_connections=_CONNECTIONS,
        timeout=None,  # whoever waits has a time-out of his own
        connection_class=SSLConnection if shared.has_tls else Connection,
        host=shared.host,
        port=shared.port,
        db=shared.database,
        username=shared.username,
        password=shared.password,
        socket_timeout=None,
        socket_connect_timeout=None,
        # Once more at once: a connection that was idle for long may have been closed at the other end.
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionLostError,)),
        protocol=2,  # understood by every server, and by the proxies of clouds
        driver_info=None,
        **settings,
    )
    return Redis.from_pool(pool)


def _words(problem: Exception) -> str:
    """Return what went wrong, in one line; nothing of it is a secret: a server never repeats a password."""
    said = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {said}"[:200] if said else type(problem).__name__

"""One running gateway between raw peers, for properties: Hypothesis tries many examples on the same sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, TypeVar

from gateway.config.model import Config
from gateway.server.gateway import Gateway
from tests.rawpeer import DEADLINE_SECONDS, RawUpstream
from tests.running import config_for, running, upstream_at

Result = TypeVar("Result")


class Live:
    """A gateway and its upstream on a loop of their own, which runs while an example does."""

    def __init__(self, runner: asyncio.Runner, upstream: RawUpstream, gateway: Gateway) -> None:
        self.upstream, self.gateway = upstream, gateway
        self._runner = runner

    def run(self, exchange: Coroutine[Any, Any, Result]) -> Result:
        """Return what an exchange returns, within the deadline. What the upstream saw before is forgotten."""

        async def bounded() -> Result:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await exchange

        self.upstream.visits.clear()
        return self._runner.run(bounded())


@contextmanager
def live_gateway(configure: Callable[[RawUpstream], Config] | None = None) -> Iterator[Live]:
    """Run a gateway and an upstream for the length of a block."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        stack = AsyncExitStack()

        async def start() -> Live:
            upstream = await stack.enter_async_context(RawUpstream())
            config = configure(upstream) if configure else config_for(upstream_at(upstream.url))
            return Live(runner, upstream, await stack.enter_async_context(running(config)))

        live = runner.run(start())
        try:
            yield live
        finally:
            runner.run(stack.aclose())

"""The admin port's answers about all workers: each is asked on its own socket, and what they say is added up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import aiohttp

from gateway.endpoints.state import merge_states, no_state

_ASK_SECONDS = 5.0
_EXPLAIN_SECONDS = 15.0  # a key may have to be fetched


class FleetState:
    """Answers for the workers behind some sockets, until `stop` is set."""

    def __init__(self, sockets: Sequence[str], stop: asyncio.Event) -> None:
        self._sockets = sockets
        self._stop = stop

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether every worker is ready, and which are."""
        answers = await self._ask_all("/readyz")
        ready = [status == 200 for status, _ in answers]
        # Who is not ready says why before those who are, and serve on an earlier file.
        answers.sort(key=lambda answer: answer[0] == 200)
        whys = [json.loads(body)["why"] if status else "no worker answers" for status, body in answers]
        why = next((why for why in whys if why is not None), "stopping" if self._stop.is_set() else None)
        return all(ready) and not self._stop.is_set(), {"why": why, "workers": ready}

    async def metrics(self) -> bytes:
        """Return the sums of the workers' metrics."""
        from gateway.endpoints.merge import merge_metrics  # here: a start need not wait for what asks now and then

        return merge_metrics([body for status, body in await self._ask_all("/metrics") if status == 200])

    async def status(self) -> dict[str, Any]:
        """Return the workers' states as one; `workers` is how many answered."""
        states = [json.loads(body) for status, body in await self._ask_all("/status") if status == 200]
        return merge_states(states) if states else no_state()

    async def explain(self, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return what the first worker that answers says."""
        for socket_path in self._sockets:
            status, body = await _ask(socket_path, "/explain", question)
            if status:
                answer: dict[str, Any] = json.loads(body)
                return status, answer
        return 503, {"error": "no worker answers"}

    async def _ask_all(self, path: str) -> list[tuple[int, bytes]]:
        return list(await asyncio.gather(*(_ask(socket_path, path) for socket_path in self._sockets)))


async def _ask(socket_path: str, path: str, question: dict[str, Any] | None = None) -> tuple[int, bytes]:
    """Return a worker's answer; status 0 if it gives none."""
    timeout = aiohttp.ClientTimeout(total=_ASK_SECONDS if question is None else _EXPLAIN_SECONDS)
    method = "GET" if question is None else "POST"
    try:
        connector = aiohttp.UnixConnector(socket_path)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.request(method, f"http://worker{path}", json=question) as response,
        ):
            return response.status, await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0, b""

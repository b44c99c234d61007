"""The admin port's answers about this very process."""

from __future__ import annotations

import time
from typing import Any

from gateway.explain.explain import explain
from gateway.explain.request import Asked, head_for
from gateway.explain.walk import source_asked
from gateway.server.gateway import Gateway
from gateway.server.state import state_of

_MAX_TEXT = 20_000


class LocalState:
    """Answers for one gateway in this process."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether requests are welcome, and why not."""
        gateway = self._gateway
        is_ready = gateway.is_ready()
        why = None if is_ready else "stopping" if gateway.is_draining else "no usable keys yet"
        return is_ready, {"why": why}

    async def metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return self._gateway.metrics.text(self._gateway.gauges())

    async def status(self) -> dict[str, Any]:
        """Return the state as JSON has it."""
        return state_of(self._gateway)

    async def explain(self, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Explain a request with the configuration and the keys in force. The token is decoded here and not kept."""
        try:
            asked, token = _read_question(question)
        except ValueError as problem:
            return 400, {"error": str(problem)}
        config, keys, now = self._gateway.config, self._gateway.keys, time.time()
        head = head_for(asked, config, token)
        wanted = source_asked(config.policy, head, now, keys)
        if wanted is not None and getattr(keys.find(wanted[0], wanted[1], "", now), "fetch_may_help", False):
            await keys.fetch(*wanted)  # as a request with this token would; the store's own limits hold
        return 200, explain(config.policy, keys, head, now, keys.status_of).as_json()


def _read_question(question: dict[str, Any]) -> tuple[Asked, str | None]:
    """Return the request that is asked about, and its token. Raises `ValueError`."""
    method, path = _text(question, "method", "GET"), _text(question, "path", "")
    token = _text(question, "token", "").strip()
    if not path.startswith("/"):
        raise ValueError("the path does not begin with '/', expected something like /api/agents")
    if not (method.isascii() and method.isalpha() and method.isupper()):
        raise ValueError("expected a method such as GET, in capitals")
    scheme, _, rest = token.partition(" ")
    return Asked(method, path), (rest.strip() if scheme.lower() == "bearer" and rest.strip() else token) or None


def _text(question: dict[str, Any], name: str, default: str) -> str:
    value = question.get(name, default)
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError(f"expected {name} as text of at most {_MAX_TEXT} characters")
    return value

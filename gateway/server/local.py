"""The admin port's answers about this very process."""

from __future__ import annotations

from typing import Any

from gateway.server.gateway import Gateway
from gateway.server.state import state_of


class LocalState:
    """Answers for one gateway in this process.

    What answers only now and then is imported when it is asked for the first time: a start need not wait for it.
    """

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
        from gateway.server.exposition import metrics_text

        return metrics_text(self._gateway.metrics, self._gateway.gauges())

    async def status(self) -> dict[str, Any]:
        """Return the state as JSON has it."""
        return state_of(self._gateway)

    async def explain(self, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Explain a request with the configuration and the keys in force."""
        from gateway.server.questions import answer

        return await answer(question, self._gateway)

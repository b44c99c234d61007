"""The admin port's answers about this very process."""

from __future__ import annotations

from typing import Any

from gateway.endpoints.state import state_of
from gateway.server.gateway import Gateway
from gateway.server.gauges import gauges_of


class LocalState:
    """Answers for one gateway in this process.

    What answers only now and then is imported when it is asked for the first time: a start need not wait for it.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether requests are welcome, and why not; or why what serves them is not what the files say."""
        if self._gateway.is_ready():
            error = self._gateway.last_reload_error
            return True, {"why": None if error is None else f"the configuration before is in force: {_headline(error)}"}
        errors = [trouble["what"] for trouble in state_of(self._gateway)["troubles"] if trouble["level"] == "error"]
        return False, {"why": "; ".join(errors) or "starting"}

    async def metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        from gateway.record.exposition import metrics_text

        return metrics_text(self._gateway.metrics, gauges_of(self._gateway))

    async def status(self) -> dict[str, Any]:
        """Return the state as JSON has it."""
        return state_of(self._gateway)

    async def explain(self, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Explain a request with the configuration and the keys in force."""
        from gateway.endpoints.questions import answer

        return await answer(question, self._gateway)


def _headline(error: str) -> str:
    """Return the first mistake of a file: place and words, without the line itself."""
    return error.partition("\n")[0]

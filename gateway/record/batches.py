"""Lines of requests, gathered for a moment: few and large pieces for the thread that writes them.

Under load it waits for the interpreter's lock before and after each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.record.outcome import Outcome

_SECONDS, _MAX_LINES = 0.05, 5_000


class Batches:
    """Makes lines of outcomes by `line_of`, and gives them to `give` many at a time."""

    def __init__(self, line_of: Callable[[Outcome, str | None], str], give: Callable[[list[str]], None]) -> None:
        self.line_of, self._give = line_of, give
        self._waiting: list[str] = []

    def write(self, outcome: Outcome, subject_hash: str | None) -> None:
        """Add a request's line."""
        waiting = self._waiting
        if not waiting:
            asyncio.get_running_loop().call_later(_SECONDS, self.flush)
        waiting.append(self.line_of(outcome, subject_hash))
        if len(waiting) >= _MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Give away what has been gathered."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._give(waiting)

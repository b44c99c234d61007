"""How long nothing has moved between two sides. Pure: the time is always given."""

from __future__ import annotations

from typing import Final

_LOOKS: Final = 10  # within the time that silence may last: it may last a tenth longer


class Silence:
    """Compares what has moved so far with what had moved at the last look. Times are seconds of any clock."""

    def __init__(self, seconds: float, now: float) -> None:
        self.seconds = seconds
        self.pause_seconds = seconds / _LOOKS  # until the next look
        self._moved: tuple[int, ...] = ()
        self._since = now

    def is_over(self, moved: tuple[int, ...], now: float) -> bool:
        """Look; true if it has lasted too long. `moved` differs from the last look if only a byte has moved."""
        if moved != self._moved:
            self._moved, self._since = moved, now
        return now - self._since >= self.seconds

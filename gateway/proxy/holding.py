"""The bodies that are held whole before they go on: how many bytes they may be together, in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MAX_BODY_BYTES: Final = 4_718_592  # of one: 4.5 MiB, as much as Mastra takes itself
MAX_HELD_BYTES: Final = 64 * 1024 * 1024  # of all: what a container of 512 MiB can spare


class Held:
    """One body, growing. `shed` ends its request, where others need the room."""

    __slots__ = ("count_bytes", "shed")

    def __init__(self, shed: Callable[[], None]) -> None:
        self.shed = shed
        self.count_bytes = 0


class Holding:
    """All of them. Where they are too many bytes, that goes which is held for longest.

    So uploads that are kept slow on purpose push out one another, and what is sent at once is whole before it is the
    oldest. A question of order alone, no clock, as that of connections is (`transport/room.py`).
    """

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        self.max_bytes, self.count_bytes = max_bytes, 0
        self.shed = 0  # how many had to go
        self._held: dict[Held, None] = {}  # in the order they began

    @property
    def count(self) -> int:
        """How many are held."""
        return len(self._held)

    def begin(self, shed: Callable[[], None]) -> Held:
        """Begin to hold a body."""
        held = Held(shed)
        self._held[held] = None
        return held

    def grow(self, held: Held, count_bytes: int) -> None:
        """So many bytes of it came."""
        held.count_bytes += count_bytes
        self.count_bytes += count_bytes
        while self.count_bytes > self.max_bytes:
            oldest = next(iter(self._held))
            self.end(oldest)
            self.shed += 1
            oldest.shed()

    def end(self, held: Held) -> None:
        """It is held no longer; once is enough."""
        if held in self._held:
            del self._held[held]
            self.count_bytes -= held.count_bytes

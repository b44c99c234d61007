"""The bodies that are held whole before they go on: how many bytes they may take together, in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.proxy.turns import Act, Turns

MAX_BODY_BYTES: Final = 4_718_592  # of one: 4.5 MiB, as much as Mastra takes itself
MAX_HELD_BYTES: Final = 64 * 1024 * 1024  # of all: what a container of 512 MiB can spare
# A body of fewer is read when it is whole; of more, in its turn. It takes some milliseconds at the most.
SMALL_BYTES: Final = 16 * 1024


def _at_once(act: Act) -> None:
    act()


class Held:
    """One body of a caller's. `shed` ends its request, where the room is needed."""

    __slots__ = ("caller", "count_bytes", "shed")

    def __init__(self, caller: str, shed: Callable[[], None]) -> None:
        self.caller, self.shed = caller, shed
        self.count_bytes = 0


class Holding:
    """All of them. Where they are too many bytes, one goes: the oldest of the caller who has most of them.

    So whoever keeps uploads slow on purpose, or sends what takes much to read, pushes out their own.
    """

    def __init__(self, max_bytes: int = MAX_HELD_BYTES, soon: Callable[[Act], object] = _at_once) -> None:
        self.max_bytes, self.count_bytes = max_bytes, 0
        self.turns = Turns(soon)  # in which they are read
        self.shed = 0  # how many had to go
        self._held: dict[str, dict[Held, None]] = {}  # by caller, in the order they began

    @property
    def count(self) -> int:
        """How many are held."""
        return sum(len(held) for held in self._held.values())

    def begin(self, caller: str, shed: Callable[[], None]) -> Held:
        """Begin to hold a body."""
        held = Held(caller, shed)
        self._held.setdefault(caller, {})[held] = None
        return held

    def grow(self, held: Held, count_bytes: int) -> None:
        """It takes so many bytes more."""
        held.count_bytes += count_bytes
        self.count_bytes += count_bytes
        while self.count_bytes > self.max_bytes:
            most = max(self._held.values(), key=lambda held: sum(one.count_bytes for one in held))
            oldest = next(iter(most))
            self.end(oldest)
            self.shed += 1
            oldest.shed()

    def end(self, held: Held) -> None:
        """It is held no longer. Once is enough."""
        of_caller = self._held.get(held.caller, {})
        if held in of_caller:
            del of_caller[held]
            self.count_bytes -= held.count_bytes
            if not of_caller:
                del self._held[held.caller]

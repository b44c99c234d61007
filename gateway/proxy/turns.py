"""Whose large body is read next: one at a time, and callers one after another.

To read and change one takes up to a tenth of a second, for which everybody waits. So whoever sends a hundred of them at
once has their own wait for each other, and in between the loop turns often enough for others to be served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# Turns of the loop between two: a request that is small takes fewer. They cost nothing where nobody else is served.
BETWEEN: Final = 8
Act = Callable[[], object]


class Turn:
    """A place in the order. `act` is called when it has come."""

    __slots__ = ("act",)

    def __init__(self, act: Act) -> None:
        self.act = act


class Turns:
    """All that wait. `soon` has a function called in the loop's next turn."""

    def __init__(self, soon: Callable[[Act], object]) -> None:
        self._soon = soon
        self._waiting: dict[str, dict[Turn, None]] = {}  # by caller: whose turn was longest ago comes first
        self._is_due = False
        self._left = 0  # turns until the next

    def wait(self, caller: str, act: Act) -> Act:
        """Have something done in a caller's turn; returns what gives it up."""
        turn = Turn(act)
        self._waiting.setdefault(caller, {})[turn] = None
        self._go_on()
        return lambda: self._give_up(caller, turn)

    def _give_up(self, caller: str, turn: Turn) -> None:
        of_caller = self._waiting.get(caller)
        if of_caller is not None:
            of_caller.pop(turn, None)
            if not of_caller:
                del self._waiting[caller]

    def _go_on(self) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            self._soon(self._next)

    def _next(self) -> None:
        self._is_due = False
        if not self._waiting:
            return
        if self._left:
            self._left -= 1
            self._go_on()
            return
        self._left = BETWEEN
        caller = next(iter(self._waiting))
        of_caller = self._waiting.pop(caller)
        turn = next(iter(of_caller))
        del of_caller[turn]
        if of_caller:
            self._waiting[caller] = of_caller  # behind all others
        self._go_on()
        turn.act()

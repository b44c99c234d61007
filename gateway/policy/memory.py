"""What was made of things that come again and again: looked up, and made anew where it was given up."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Remembered(Generic[K, T]):
    """A memory with a bound: in entries, or in what `weigh` says of their keys.

    Which entries are old costs more to know than to make them again. When it is full every other one goes: of more
    things than there is room for, asked for in turn, those that are left are found, and with none left none would be.
    """

    def __init__(self, bound: int, weigh: Callable[[K], int] | None = None) -> None:
        self.known: dict[K, T] = {}  # look here: a call for each look would cost as much as the look
        self._bound, self._weigh, self._weight = bound, weigh, 0

    def keep(self, key: K, made: T) -> None:
        """Keep what was made of a key that is not known."""
        self._weight += 1 if self._weigh is None else self._weigh(key)
        while self._weight > self._bound and self.known:
            for one in list(self.known)[::2]:
                self.forget(one)
        self.known[key] = made

    def forget(self, key: K) -> None:
        """Give up the place of a key that is known."""
        del self.known[key]
        self._weight -= 1 if self._weigh is None else self._weigh(key)

"""What was read before, by the bytes that it was read from."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

MAX_BYTES = 2 * 1024 * 1024


class Remembered(Generic[T]):
    """What was made of bytes that come again and again. Bounded by what the entries weigh, in bytes."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.known: dict[bytes, T] = {}  # look here first: a call for each would cost as much as the look
        self._max_bytes, self._bytes = max_bytes, 0

    def keep(self, text: bytes, made: T, weight_bytes: int) -> None:
        """Keep what was made of a text."""
        self._bytes += weight_bytes
        if self._bytes > self._max_bytes:
            # All of it: which are old costs more to know than to read them again.
            self.known.clear()
            self._bytes = weight_bytes
        self.known[text] = made

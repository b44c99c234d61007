"""What has come once: only what comes a second time is worth a place in a cache."""

from __future__ import annotations

from collections.abc import Hashable

_MAX_MARKS = 8192


class SeenOnce:
    """Marks of what has come once, bounded. Whoever shares a mark with another is kept a time sooner."""

    def __init__(self) -> None:
        self._marks: set[Hashable] = set()

    def is_new(self, mark: Hashable) -> bool:
        """Return whether this has not come before; the second time it is taken off the list."""
        if mark in self._marks:
            self._marks.discard(mark)
            return False
        if len(self._marks) >= _MAX_MARKS:
            self._marks.clear()
        self._marks.add(mark)
        return True

    def __len__(self) -> int:
        return len(self._marks)

"""What has come once: only what comes a second time is worth a place in a cache."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

_MAX_MARKS: Final = 8192


class SeenOnce:
    """Marks of what has come once, bounded. Whoever shares a mark with another is kept a time sooner."""

    def __init__(self) -> None:
        self._marks: set[Hashable] = set()

    def is_new(self, mark: Hashable) -> bool:
        """Return whether this has not come before; the second time it is taken off the list."""
        marks = self._marks
        if mark in marks:
            marks.remove(mark)
            return False
        if len(marks) >= _MAX_MARKS:
            marks.difference_update(list(marks)[::2])  # those that are left may still come again
        marks.add(mark)
        return True

    def __len__(self) -> int:
        return len(self._marks)

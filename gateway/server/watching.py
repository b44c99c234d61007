"""Whether files have changed, and reading them without holding up who is served meanwhile."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 1.0  # mounted secrets and ConfigMaps are swapped in ways that notifications miss
_INTERVAL_SECONDS: Final = 0.0005
_intervals: list[float] = []  # what counted before, while somebody reads

Stamp = tuple[tuple[str, int, int, int], ...]


@contextlib.contextmanager
def letting_others_in() -> Iterator[None]:
    """Give the interpreter's lock to the loop sooner while a thread reads.

    A request asks for the lock at least twice, and each time waits an interval for it, 5 ms by default. A reader that
    sleeps now and then would have to know of it in every loop, and those that it calls, too.
    """
    if not _intervals:  # two may read at a time
        _intervals.append(sys.getswitchinterval())
        sys.setswitchinterval(_INTERVAL_SECONDS)
        try:
            yield
        finally:
            sys.setswitchinterval(_intervals.pop())
    else:
        yield


def stamp_of(paths: tuple[Path, ...]) -> Stamp:
    """Return what changes when one of the files does; a file that is gone is a change, too."""
    return tuple((str(path), *_stat(path)) for path in paths)


def _stat(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino

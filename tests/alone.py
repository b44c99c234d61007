"""Tests that measure time or memory run while no other test does, in whichever worker of pytest-xdist they are."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Nothing is written to these: a lock needs a file that every worker finds.
_DOOR, _ROOM = Path(__file__), Path(__file__).with_name("__init__.py")


@contextmanager
def turn(*, alone: bool, door: Path = _DOOR, room: Path = _ROOM) -> Iterator[None]:
    """Hold the room for the length of a block: with others, or alone.

    Who wants it alone stops at nothing but those inside: he holds the door, through which the others come one by one.
    Without it, two workers that take turns would keep him out for ever.
    """
    with _locked(door, fcntl.LOCK_EX) as waiting, _locked(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
        fcntl.flock(waiting, fcntl.LOCK_UN)
        yield


@contextmanager
def _locked(file: Path, kind: int) -> Iterator[int]:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
        yield descriptor
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile has the descriptor, too
        os.close(descriptor)

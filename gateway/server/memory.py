"""Memory that a storm has left behind, given back to the system.

glibc keeps what was freed below the top of its heap: after 200 clients who took nothing of their answers a process of
60 MiB stays at 190 for good, although nothing of it is in use.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger("gateway.server")
_PAUSE_SECONDS = 5.0
_STATM = Path("/proc/self/statm")
_GROWTH_MIB = 16.0  # since the start: less is not worth the milliseconds that the allocator is held up
_ROUNDS_TO_REST = 2


async def give_back_memory() -> None:
    """Hand freed memory back whenever the process is larger than it began, until cancelled.

    Ends at once where the C library has nothing for it (macOS, musl).
    """
    trim = _malloc_trim()
    if trim is None:
        return
    at_start_mib = _resident_mib()
    rounds_to_rest = 0
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        held_mib = _resident_mib()
        if rounds_to_rest or held_mib - at_start_mib < _GROWTH_MIB:
            rounds_to_rest = max(0, rounds_to_rest - 1)
            continue
        trim(0)
        freed_mib = held_mib - _resident_mib()
        _log.debug("memory: %.0f MiB, of which %.0f went back", held_mib, freed_mib)
        if freed_mib < 1:
            rounds_to_rest = _ROUNDS_TO_REST  # what is held is in use, for now


def _malloc_trim() -> Callable[[int], int] | None:
    if not _STATM.exists():
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


def _resident_mib() -> float:
    return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024

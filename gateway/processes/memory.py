"""Memory: kept while it is needed again and again, given back to the system when a storm has left it behind.

glibc gives the top of its heap back after every large response and asks for it anew, page by page: a third of what
1 MB down costs. And it keeps for good what was freed below the top: after 200 clients who took nothing of what they
asked for a process of 60 MiB stays at 190, although nothing of it is in use. Here both is decided by the clock.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
from pathlib import Path

_log = logging.getLogger("gateway.server")
_PAUSE_SECONDS = 5.0
_STATM = Path("/proc/self/statm")
_GROWTH_MIB = 16.0  # since the start: less is not worth the milliseconds that the allocator is held up
_ROUNDS_TO_REST = 2
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
_KEPT_TOP_BYTES, _KEPT_PIECE_BYTES = 64 * 1024 * 1024, 4 * 1024 * 1024


async def give_back_memory() -> None:
    """Hand freed memory back whenever the process is larger than it began, and only then, until cancelled.

    Ends at once where the C library has nothing for it (macOS, musl).
    """
    library = _glibc()
    if library is None:
        return
    trim = library.malloc_trim
    library.mallopt(_M_MMAP_THRESHOLD, _KEPT_PIECE_BYTES)
    library.mallopt(_M_TRIM_THRESHOLD, _KEPT_TOP_BYTES)
    at_start_mib = _resident_mib()
    rounds_to_rest = 0
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        held_mib = _resident_mib()
        if rounds_to_rest or held_mib - at_start_mib < _GROWTH_MIB:
            rounds_to_rest = max(0, rounds_to_rest - 1)
            continue
        gc.collect()  # closed connections hold themselves, and their buffers, in cycles: few requests end those late
        trim(0)
        freed_mib = held_mib - _resident_mib()
        _log.debug("memory: %.0f MiB, of which %.0f went back", held_mib, freed_mib)
        if freed_mib < 1:
            rounds_to_rest = _ROUNDS_TO_REST  # what is held is in use, for now


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
    except OSError:
        return None
    return library if _STATM.exists() and hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def _resident_mib() -> float:
    return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024

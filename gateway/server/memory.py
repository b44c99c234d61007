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
_GROWTH_MIB = 16.0  # since the last time: less is not worth the milliseconds that the allocator is held up


async def give_back_memory() -> None:
    """Hand freed memory back whenever the process has grown, until cancelled.

    Ends at once where the C library has nothing for it (macOS, musl).
    """
    trim = _malloc_trim()
    if trim is None:
        return
    held_mib = _resident_mib()
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        grown_mib = _resident_mib() - held_mib
        if grown_mib >= _GROWTH_MIB:
            trim(0)
            held_mib = _resident_mib()
            _log.debug("memory grew by %.0f MiB, now %.0f MiB", grown_mib, held_mib)


def _malloc_trim() -> Callable[[int], int] | None:
    if not _STATM.exists():
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


def _resident_mib() -> float:
    return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024

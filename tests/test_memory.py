"""Memory that is free goes back to the system."""

from __future__ import annotations

import asyncio
import sys

import pytest

from gateway.server import memory


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has something to give back")
async def test_memory_is_given_back_after_growth_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, trimmed, looked = iter([60.0, 70.0, 190.0, 65.0, 75.0]), [], asyncio.Event()

    def resident() -> float:
        size = next(sizes, None)
        if size is None:
            looked.set()
        return size or 75.0

    monkeypatch.setattr(memory, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(memory, "_resident_mib", resident)
    monkeypatch.setattr(memory, "_malloc_trim", lambda: trimmed.append)
    giving = asyncio.create_task(memory.give_back_memory())
    await looked.wait()
    giving.cancel()
    assert trimmed == [0], "once, at 190 MiB"


async def test_without_the_c_librarys_help_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_malloc_trim", lambda: None)
    await memory.give_back_memory()

"""Memory that is free goes back to the system."""

from __future__ import annotations

import asyncio
import sys

import pytest

from gateway.server import memory


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has something to give back")
async def test_memory_is_given_back_after_growth_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    # At the start, then at each look, and behind each look that gave something back.
    sizes = iter([60.0, 70.0, 190.0, 65.0, 75.0, 90.0, 90.0, 90.0, 90.0, 90.0, 70.0, 70.0])
    looked_at: list[float] = []
    given_back_at: list[float] = []
    over = asyncio.Event()

    def resident() -> float:
        looked_at.append(next(sizes, 60.0))
        if len(looked_at) > 14:
            over.set()
        return looked_at[-1]

    def trim(_: int) -> int:
        given_back_at.append(looked_at[-1])
        return 1

    monkeypatch.setattr(memory, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(memory, "_resident_mib", resident)
    monkeypatch.setattr(memory, "_malloc_trim", lambda: trim)
    giving = asyncio.create_task(memory.give_back_memory())
    await over.wait()
    giving.cancel()
    assert given_back_at == [190.0, 90.0, 90.0], "what is in use is left alone for two rounds, then tried again"


async def test_without_the_c_librarys_help_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_malloc_trim", lambda: None)
    await memory.give_back_memory()

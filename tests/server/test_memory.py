"""Memory that is free goes back to the system."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.processes import memory


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

    class Closed:
        """A connection that holds itself."""

        def __init__(self) -> None:
            self.itself = self

    gone = weakref.ref(Closed())

    def trim(_: int) -> int:
        assert gone() is None, "what is in a cycle is not free before it is collected"
        given_back_at.append(looked_at[-1])
        return 1

    monkeypatch.setattr(memory, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(memory, "_resident_mib", resident)
    chosen: dict[int, int] = {}
    library = SimpleNamespace(malloc_trim=trim, mallopt=chosen.__setitem__)
    monkeypatch.setattr(memory, "_glibc", lambda: library)
    giving = asyncio.create_task(memory.give_back_memory())
    await over.wait()
    giving.cancel()
    assert chosen == {-3: 4 << 20, -1: 64 << 20}
    assert given_back_at == [190.0, 90.0, 90.0], "what is in use is left alone for two rounds, then tried again"


async def test_without_the_c_librarys_help_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    await memory.give_back_memory()


LARGE_ANSWERS = """
import asyncio, resource, sys
from gateway.processes.memory import give_back_memory

async def main():
    if sys.argv[1] == "kept":
        asyncio.create_task(give_back_memory())
        await asyncio.sleep(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        pieces = [bytes(200_000 + 1000 * number) for number in range(8)]
        del pieces
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
asyncio.run(main())
"""


@pytest.mark.skipif(memory._glibc() is None, reason="only glibc gives its heap back after every large answer")
def test_memory_of_large_answers_is_not_asked_for_anew_each_time() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", LARGE_ANSWERS, how]
        found = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2], timeout=60)
        return int(found.stdout)

    assert faults("kept") * 5 < faults("given back at once")

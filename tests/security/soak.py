"""`python -m tests.security.soak [--seconds N]`: storms, reloads, new keys, cuts and streams, until the time is over.

One gateway lives through all of it, compiled or pure. What counts: it does not crash, its memory is flat, and not one
answer is wrong. Under PYTHONMALLOC=debug a use of freed memory ends the process.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import resource
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from dataclasses import field as made
from pathlib import Path
from statistics import median

from gateway.record.build import build
from tests.minting import SECRET, mint
from tests.processes import Served
from tests.rawpeer import RawClient
from tests.security.meter import read
from tests.security.storms import HEADER_TIMEOUT_SECONDS, STORMS, Field
from tests.security.test_storms import field_of

_DESCRIPTORS = 16384
_FLAT_MIB = 24.0  # between a later third of the rounds and the middle one
_SHORT = {"x": "y" * 40}


@dataclass
class Soak:
    """What was asked, and what was wrong."""

    field: Field
    gateway: Served
    is_over: asyncio.Event = made(default_factory=asyncio.Event)
    answers: dict[str, int] = made(default_factory=dict)
    wrong: list[str] = made(default_factory=list)
    late: int = 0  # what was asked too late, by this process
    memory_mib: list[float] = made(default_factory=list)

    async def ask_on(self) -> None:
        """Ask all kinds of questions in turn, on kept connections and new ones; each has one right answer."""
        place = self.field
        forged = mint({"sub": "user-1"}, SECRET[::-1])
        lacks = mint({"sub": "user-1", "roles": ["viewer"], **_SHORT})
        kinds = {
            "public": (place.head("GET /public/x"), 200),
            "allowed": (place.head("GET /api/x", place.token), 200),
            "no token": (place.head("GET /api/x"), 401),
            "forged": (place.head("GET /api/x", forged), 401),
            "no role": (place.head("GET /closed/x", lacks), 403),
            "no route": (place.head("GET /nowhere"), 404),
            "an upload": (place.head("POST /api/x", place.token, "Content-Length: 3") + b"abc", 200),
        }
        while not self.is_over.is_set():
            began = time.monotonic()
            try:
                async with asyncio.timeout(20), RawClient.connect(self.gateway.port) as client:
                    for kind, (request, status) in kinds.items():
                        await client.send(request)
                        found = (await client.answer())[0]
                        self.answers[kind] = self.answers.get(kind, 0) + 1
                        if found != status:
                            self.wrong.append(f"{kind}: {found}, expected {status}")
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as problem:
                # Where this very process was held up for so long, it was the head that came too late.
                if time.monotonic() - began < HEADER_TIMEOUT_SECONDS:
                    self.wrong.append(f"{type(problem).__name__}: {problem}")
                else:
                    self.late += 1
            await asyncio.sleep(0.02)

    async def ask_people(self) -> None:
        """Call with tokens of the issuer, whose keys change all the time; a key that is gone ends its tokens."""
        keys = self.field.keys
        for number in itertools.count():
            if self.is_over.is_set():
                return
            kid = f"soak-{number % 7}"
            keys.rotate(kid, remove=f"soak-{(number - 2) % 7}" if number > 1 else None)
            token = keys.mint(keys.claims(), kid=kid)
            async with RawClient.connect(self.gateway.port) as client:
                await client.send(self.field.head("GET /people/x", token))
                status = (await client.answer())[0]
                self.answers["people"] = self.answers.get("people", 0) + 1
                if status not in (200, 401):  # within the cool-down an unknown kid is not asked for
                    self.wrong.append(f"people: {status}")
            await asyncio.sleep(0.5)

    async def cut_on(self) -> None:
        """Begin streams, uploads and half a head, and leave in the middle, cleanly or not."""
        place = self.field
        for number in itertools.count():
            if self.is_over.is_set():
                return
            begun = (
                place.head("GET /api/endless", place.token),
                place.head("POST /api/x", place.token, "Transfer-Encoding: chunked") + b"5\r\nab",
                place.head("GET /api/x", place.token)[:-9],
                place.head("GET /api/x", place.token) * 30,
            )[number % 4]
            async with RawClient.connect(self.gateway.port) as client:
                await client.send(begun)
                await asyncio.sleep(0.01 * (number % 5))
                if number % 3:
                    client.reset()
            await asyncio.sleep(0.02)

    async def reload_on(self) -> None:
        """Have the file read again, well and badly."""
        while not self.is_over.is_set():
            os.kill(self.gateway.pid, signal.SIGHUP)
            await asyncio.sleep(1.0)

    async def storm_on(self, deadline: float) -> None:
        """Let one storm loose after the other."""
        for number, storm in enumerate(itertools.cycle(STORMS)):
            if time.monotonic() >= deadline:
                break
            await storm(self.field)
            reading = await asyncio.to_thread(read, self.gateway)
            self.memory_mib.append(reading.memory_mib)
            said = f"{number + 1:4} {storm.__name__:<22} {reading.memory_mib:6.0f} MiB, {len(self.wrong)} wrong answers"
            print(said, flush=True)
        self.is_over.set()

    def growth_mib(self) -> float:
        """How much more the last third of the rounds held than the one before."""
        third = max(1, len(self.memory_mib) // 3)
        return median(self.memory_mib[-third:]) - median(self.memory_mib[-2 * third : -third] or self.memory_mib)


async def soak(seconds: float, folder: Path) -> int:
    """Run, and return the exit status."""
    async with field_of(folder) as (place, gateway):
        run = Soak(place, gateway)
        async with asyncio.TaskGroup() as tasks:
            for part in (run.ask_on(), run.ask_people(), run.cut_on(), run.reload_on()):
                tasks.create_task(part)
            tasks.create_task(run.storm_on(time.monotonic() + seconds))
        is_there = Path(f"/proc/{gateway.pid}").exists() or sys.platform != "linux"
        has_trace = "Traceback" in gateway.log.read_text()
    asked, growth = sum(run.answers.values()), run.growth_mib()
    print(f"{build()}, {seconds:.0f} s: {asked} answers, {len(run.wrong)} wrong, {run.late} asked too late")
    print(f"memory {growth:+.1f} MiB in the last third; the process {'lives' if is_there else 'DIED'}")
    print(f"{'TRACEBACKS' if has_trace else 'no traceback'} in its log")
    for one in run.wrong[:20]:
        print(one)
    return int(bool(run.wrong) or not is_there or has_trace or growth > _FLAT_MIB)


def main() -> int:
    """Read the call, and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.security.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600)
    call = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _DESCRIPTORS) if hard > 0 else _DESCRIPTORS, hard))
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(soak(call.seconds, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())

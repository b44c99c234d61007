"""Real processes for tests: the gateway as its users run it, and anything else that listens."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.secrecy import leaks_in

START_SECONDS = 60.0
_given: set[int] = set()


def free_port() -> int:
    """Return a port that nothing listens on, and that was not given before, by any worker of pytest-xdist.

    It is below those that the kernel gives to outgoing connections and to whoever asks for any (32768 on Linux, 49152
    on macOS), or one of these could have it before its user comes. Each worker has ports of its own: every second of
    them if there are two.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = random.randrange(20_000 + worker % workers, 32_000, workers)  # noqa: S311  # no secret
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in _given:
                _given.add(port)
                return port


@contextmanager
def refusing_port() -> Iterator[int]:
    """Hold a port on which every connection is refused: bound, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def status_of(url: str) -> int:
    """Return the status of a GET; 0 if nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as problem:
        return problem.code
    except OSError:
        return 0


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)  # polls other processes; nothing is ordered by it


@contextmanager
def process(
    command: list[str],
    log: Path,
    is_up: Callable[[], bool],
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command for the length of a block, once it is up; its output goes to `log`."""
    own = {"GATEWAY_STATE_DIR": str(log.parent), **os.environ, **(environment or {})}
    with log.open("wb") as output:
        running = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=own, cwd=cwd)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not is_up():
                if running.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"{command[:4]} did not come up:\n{log.read_text()[-4000:]}")
                time.sleep(0.05)  # polls the start of another process; nothing is ordered by it
            yield running
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
    for written in (log, *log.parent.glob("audit*.jsonl")):
        leaks = leaks_in(written.read_text(errors="replace"))
        assert not leaks, f"{written} holds secrets: {leaks[:3]}"


@dataclass(frozen=True)
class Served:
    """A running gateway."""

    port: int
    admin: int
    log: Path
    pid: int


@contextmanager
def served(
    text: str,
    folder: Path,
    environment: dict[str, str] | None = None,
    ready_path: str = "/readyz",
    port: int | None = None,
) -> Iterator[Served]:
    """Serve a YAML text (without `listen` and `admin`) as a process for the length of a block."""
    folder.mkdir(parents=True, exist_ok=True)
    port, admin = port or free_port(), free_port()
    file, log = folder / "gateway.yaml", folder / "gateway.log"
    file.write_text(f"listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\n{text}")
    command = [sys.executable, "-m", "gateway", "serve", "-c", str(file)]
    with process(
        command, log, lambda: status_of(f"http://127.0.0.1:{admin}{ready_path}") == 200, environment
    ) as running:
        yield Served(port, admin, log, running.pid)


@contextmanager
def gateway_process(text: str, folder: Path, environment: dict[str, str] | None = None) -> Iterator[tuple[str, Path]]:
    """Serve a YAML text as a process; gives its address and its log."""
    with served(text, folder, environment) as gateway:
        yield f"http://127.0.0.1:{gateway.port}", gateway.log

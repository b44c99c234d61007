"""A real Redis on a port of its own, which a test may stop, freeze, empty and start again."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import free_port, wait_until


class RedisServer:
    """One `redis-server` process. `port` stays the same over all starts; nothing is kept on disk."""

    def __init__(self, *settings: str, certificates: dict[str, Path] | None = None) -> None:
        self.port = free_port()
        self._settings = [*settings]
        self._certificates = certificates
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        files = self._certificates
        port = ["--port", str(self.port)]
        if files is not None:
            port = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            port += ["--tls-cert-file", str(files["certificate"]), "--tls-key-file", str(files["key"])]
            port += ["--tls-ca-cert-file", str(files["ca"])]
        command = ["redis-server", *port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *self._settings]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._listens)

    def freeze(self) -> None:
        """Stop it in the midst of what it does: connections stay, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def command(self, *words: str | bytes) -> str:
        """Return what it answers to one command, said by redis-cli."""
        asked = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(asked, capture_output=True, check=True, text=True, errors="replace").stdout.strip()

    def calls_of(self, name: str) -> int:
        """Return how often a command was called."""
        lines = self.command("info", "commandstats").splitlines()
        found = [line for line in lines if line.startswith(f"cmdstat_{name}:")]
        return int(found[0].partition("calls=")[2].partition(",")[0]) if found else 0

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def redis_server(*settings: str, certificates: dict[str, Path] | None = None) -> Iterator[RedisServer]:
    """Run a Redis with these settings; it is killed at the end, whatever the test did to it."""
    server = RedisServer(*settings, certificates=certificates)
    server.start()
    try:
        yield server
    finally:
        server.kill()

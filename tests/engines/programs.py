"""The engines as programs: found where `make engines` puts them, and started with what `gateway compile` printed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import process
from tests.security.rig import connected

_BIN = Path(sys.executable).parent


def _on_path(name: str) -> str | None:
    own = _BIN / name
    return str(own) if own.exists() else shutil.which(name)


def _envoy() -> str | None:
    found = importlib.util.find_spec("envoy")
    if found is None or not found.submodule_search_locations:
        return _on_path("envoy")
    # The wheel's command is a starter in Python, which would have to be ended with its child.
    program = Path(found.submodule_search_locations[0]) / "_bin" / "envoy"
    return str(program) if program.exists() else _on_path("envoy")


def is_listening(port: int) -> bool:
    """Return whether somebody takes connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _has_routes(port: int) -> bool:
    """Return whether Traefik has read its dynamic file: it listens before, and knows no route, plain or over TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError):
        with connected(port) as plain:
            if _finds(plain):
                return True
        with connected(port) as plain, context.wrap_socket(plain, server_hostname="ready.test") as connection:
            return _finds(connection)
    return False


def _finds(connection: socket.socket) -> bool:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: ready.test\r\n\r\n")
    return b"404 page not found" not in connection.recv(65536)


@dataclass(frozen=True)
class Engine:
    """One engine. `check` and `run` make commands of the program and the folder of the printed files."""

    name: str
    find: Callable[[], str | None]
    check: Callable[[str, Path], list[str]] | None
    run: Callable[[str, Path], list[str]]
    has_queries: bool = True  # takes tokens out of the query
    has_upstreams: bool = True  # goes where the decision says
    has_sockets: bool = True  # asks over a Unix socket
    is_ready: Callable[[int], bool] = lambda port: is_listening(port)

    @property
    def program(self) -> str:
        """Return the program. Fails where it is required and missing."""
        found = self.find()
        assert found is not None, f"{self.name} is not installed"
        return found

    def needed(self) -> None:
        """Skip the test where the engine is missing, unless GATEWAY_REQUIRE_ENGINES=1 says that it must run."""
        if self.find() is None and os.environ.get("GATEWAY_REQUIRE_ENGINES") != "1":
            pytest.skip(f"{self.name} is not installed")


def _nginx_user() -> str:
    # A worker of another user could not reach the socket, which lies in a folder of the tests.
    return "user root; " if os.geteuid() == 0 else ""


ENGINES = {
    one.name: one
    for one in (
        Engine(
            "nginx",
            lambda: _on_path("nginx"),
            lambda program, folder: [program, "-t", "-e", "stderr", "-c", str(folder / "nginx.conf")],
            lambda program, folder: [
                program, "-e", "stderr", "-c", str(folder / "nginx.conf"),
                "-g", f"{_nginx_user()}daemon off; pid {folder}/nginx.pid;",
            ],
        ),
        Engine(
            "envoy",
            _envoy,
            lambda program, folder: [program, "--mode", "validate", "-l", "error", "-c", str(folder / "envoy.yaml")],
            lambda program, folder: [
                program, "-c", str(folder / "envoy.yaml"), "-l", "error", "--concurrency", "1", "--disable-hot-restart",
            ],
            has_queries=False,
        ),
        Engine(
            "haproxy",
            lambda: _on_path("haproxy"),
            lambda program, folder: [program, "-c", "-C", str(folder), "-f", str(folder / "haproxy.cfg")],
            lambda program, folder: [program, "-db", "-C", str(folder), "-f", str(folder / "haproxy.cfg")],
        ),
        Engine(
            "caddy",
            lambda: _on_path("caddy"),
            lambda program, folder: [
                program, "validate", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile"),
            ],
            lambda program, folder: [program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")],
            has_queries=False,
        ),
        Engine(
            "traefik",
            lambda: _on_path("traefik"),
            None,
            lambda program, folder: [program, f"--configFile={folder}/traefik.yaml"],
            has_queries=False,
            has_upstreams=False,
            has_sockets=False,
            is_ready=lambda port: is_listening(port) and _has_routes(port),
        ),
    )
}  # fmt: skip


def compiled(engine: str, file: Path, folder: Path, *options: str, environment: dict[str, str] | None = None) -> None:
    """Print a file for an engine into a folder, by the command that people type."""
    command = [sys.executable, "-m", "gateway", "compile", engine, "-c", str(file), "--out", str(folder), *options]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **(environment or {})}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def running(engine: Engine, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run an engine on the files in a folder for the length of a block."""
    command = engine.run(engine.program, folder)
    with process(command, folder / f"{engine.name}.log", lambda: engine.is_ready(port), cwd=folder) as started:
        yield started


def with_one_upstream(text: str) -> str:
    """Return the configuration of the attacks with every route to its first upstream."""
    kept = re.sub(r"(?m)^  (strict|impatient|closed): *(#.*\n(?:    .*\n)+|\{.*\n)", "", text)
    return re.sub(r"upstream: (strict|impatient|closed)\}", "upstream: default}", kept)


def without_queries(text: str) -> str:
    """Return a configuration whose providers take no token from the query."""
    text = re.sub(r", \{query: \w+\}|\{query: \w+\}, ", "", text)
    # A provider that takes tokens nowhere else, and its routes.
    return re.sub(r"(?m)^  (links|/\w+/query):.*\n", "", text)

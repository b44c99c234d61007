"""Both ends of the gateway, scripted: a key server, an upstream that keeps raw bytes, a client that sends raw bytes.

Plain blocking sockets and threads, so that nothing here parses or repairs what it is asked to send.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 15.0


class Listener:
    """A loopback server: every connection is given to `serve` in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._serve = serve
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(TIMEOUT_SECONDS)
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._serve(connection)
        except OSError:
            pass

    def close(self) -> None:
        """Stop accepting."""
        self._socket.close()


class KeyServer(Listener):
    """Serves one JWKS on every path, and counts."""

    def __init__(self, keys: list[dict[str, Any]]) -> None:
        self.body = json.dumps({"keys": keys}).encode()
        self.fetches = 0
        super().__init__(self._answer)

    def _answer(self, connection: socket.socket) -> None:
        _read_head(connection)
        self.fetches += 1
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + self.body)

    @property
    def url(self) -> str:
        """Where the key set is."""
        return f"http://127.0.0.1:{self.port}/jwks"


class Upstream(Listener):
    """Answers 200 to every request, keeps the connection, and remembers the bytes of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: list[bytes] = []
        super().__init__(self._answer)

    def _answer(self, connection: socket.socket) -> None:
        rest = b""
        while True:
            head, rest = _read_head(connection, rest)
            if not head:
                return
            body, rest = _read_body(connection, head, rest)
            with self._lock:
                self._seen.append(head + body)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

    def take(self) -> list[bytes]:
        """Return the requests seen since the last call."""
        with self._lock:
            seen, self._seen = self._seen, []
        return seen

    @property
    def url(self) -> str:
        """The upstream's address."""
        return f"http://127.0.0.1:{self.port}"


def _read_head(connection: socket.socket, data: bytes = b"") -> tuple[bytes, bytes]:
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b"", data
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _read_body(connection: socket.socket, head: bytes, rest: bytes) -> tuple[bytes, bytes]:
    """Read a body by the framing its head declares, and insist that it declares one framing only."""
    lengths = re.findall(rb"(?im)^content-length:\s*(\S+)\s*$", head)
    codings = re.findall(rb"(?im)^transfer-encoding:\s*(.+?)\s*$", head)
    if len(lengths) + len(codings) > 1:
        raise OSError("the gateway sent two framings")
    if lengths:
        while len(rest) < int(lengths[0]):
            rest += connection.recv(65536)
        return rest[: int(lengths[0])], rest[int(lengths[0]) :]
    if codings:
        while b"0\r\n\r\n" not in rest:
            rest += connection.recv(65536)
        end = rest.index(b"0\r\n\r\n") + 5
        return rest[:end], rest[end:]
    return b"", rest


@dataclass(frozen=True)
class Answer:
    """What a client got, as bytes and taken apart."""

    raw: bytes

    @property
    def status(self) -> int:
        """The status code; 0 if the connection was closed without an answer."""
        return int(self.raw[9:12]) if self.raw.startswith(b"HTTP/1.") else 0

    def header(self, name: str) -> str | None:
        """Return a header's value, or None."""
        found = re.search(
            rf"(?im)^{re.escape(name)}:[ \t]*(.*?)\r$", self.raw.partition(b"\r\n\r\n")[0].decode("latin-1") + "\r"
        )
        return found[1] if found else None

    @property
    def body(self) -> bytes:
        """What follows the head."""
        return self.raw.partition(b"\r\n\r\n")[2]


def exchange(port: int, data: bytes) -> Answer:
    """Send exactly these bytes on a new connection, and return the first answer's bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
        with contextlib.suppress(OSError):  # refused while still sending: the answer may be there all the same
            connection.sendall(data)
        raw = b""
        is_head = data.startswith(b"HEAD ")
        while not _is_whole(raw, is_head=is_head):
            try:
                piece = connection.recv(65536)
            except ConnectionError:
                break
            if not piece:
                break
            raw += piece
        return Answer(raw)


def _is_whole(raw: bytes, *, is_head: bool) -> bool:
    head, end, body = raw.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
    if not end or is_head:
        return bool(end)
    if length:
        return len(body) >= int(length[1])
    return head[9:12] in (b"204", b"304") or b"0\r\n\r\n" in body


class Gateway:
    """The real gateway, as a process, from a configuration written as a dictionary."""

    def __init__(self, configuration: dict[str, Any], folder: Path) -> None:
        self.port, admin = _free_port(), _free_port()
        file = folder / "gateway.yaml"
        file.write_text(
            json.dumps({"listen": f"127.0.0.1:{self.port}", "admin": f"127.0.0.1:{admin}", **configuration})
        )
        self._log = (folder / "gateway.log").open("wb")
        command = [sys.executable, "-m", "gateway", "serve", "-c", str(file)]
        self.log_path = folder / "gateway.log"
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, env=dict(os.environ))
        self._wait_until_ready(admin)

    def _wait_until_ready(self, admin: int) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if exchange(admin, b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)  # polls another process's start; nothing is ordered by it
        self.close()
        raise AssertionError(f"the gateway did not become ready:\n{self.log_path.read_text()[-4000:]}")

    def send(self, data: bytes) -> Answer:
        """Send raw bytes to the public port."""
        return exchange(self.port, data)

    def close(self) -> None:
        """Stop the process and wait for it."""
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])

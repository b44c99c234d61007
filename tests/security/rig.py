"""Both ends of the gateway, scripted: a key server, an upstream that reads strictly, a client that sends raw bytes.

Plain blocking sockets and threads, so that nothing here parses or repairs what it is asked to send.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.security.strict import Reader, Seen, Violation

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
        with contextlib.suppress(OSError), connection:
            self._serve(connection)

    def close(self) -> None:
        """Stop accepting."""
        self._socket.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Keys:
    """What a key server answers on one path; its members may change at any time."""

    keys: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    body: bytes | None = None  # in place of the key set
    headers: dict[str, str] = field(default_factory=dict)
    is_closed: bool = False  # takes the connection and closes it
    gate: threading.Event = field(default_factory=threading.Event)  # while it is clear, answers wait
    fetches: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def answer(self) -> bytes:
        """Return the answer's bytes."""
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode() + body


class KeyServer(Listener):
    """Serves key sets: each path has its own, and counts its own fetches."""

    def __init__(self) -> None:
        self.paths: dict[str, Keys] = {}
        super().__init__(self._serve_keys)

    def _serve_keys(self, connection: socket.socket) -> None:
        request = Reader(lambda: connection.recv(65536)).request()
        if request is None:
            return
        keys = self.paths[request.target]
        keys.fetches += 1
        keys.gate.wait(TIMEOUT_SECONDS)
        if not keys.is_closed:
            connection.sendall(keys.answer())


@dataclass(frozen=True)
class Script:
    """What the upstream does on one target: what it sends, piece by piece, and how the connection ends."""

    pieces: tuple[bytes, ...]
    then: str = "keep"  # keep, close, reset, hang (say nothing more), echo (send back everything that comes)
    gate: threading.Event | None = None  # waited for before each further piece


class Upstream(Listener):
    """Answers 200 with the target as its body, or by a script; keeps what came, and what broke the rules of HTTP."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self._violations: list[str] = []
        self.scripts: dict[str, Script] = {}
        self.first_lines: list[bytes] = []  # of every head that came, of whole requests or not
        self.ends: Counter[str] = Counter()  # connections that have ended, by their last target
        super().__init__(self._serve_requests)

    def _serve_requests(self, connection: socket.socket) -> None:
        reader = Reader(lambda: connection.recv(65536), self.first_lines)
        target = ""
        try:
            while (request := reader.request()) is not None:
                target = request.target
                with self._lock:
                    self._seen.append(request)
                if not self._play(connection, request, reader):
                    return
        except Violation as problem:
            with self._lock:
                self._violations.append(str(problem))
        finally:
            with self._lock:
                self.ends[target] += 1

    def _play(self, connection: socket.socket, request: Seen, reader: Reader) -> bool:
        script = self.scripts.get(request.target.partition("?")[0])
        if script is None:
            body = b"" if request.method == "HEAD" else request.target.encode()
            length = len(request.target)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % length + body
            )
            return True
        for number, piece in enumerate(script.pieces):
            if number and script.gate is not None:
                script.gate.wait(TIMEOUT_SECONDS)
                script.gate.clear()
            connection.sendall(piece.replace(b"{accept}", _accept_of(request)))
        if script.then == "echo":
            connection.sendall(reader.rest())
            while piece := connection.recv(65536):
                connection.sendall(piece)
        if script.then == "hang":
            connection.recv(1)
        if script.then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return script.then == "keep"

    def take_all(self) -> tuple[list[Seen], list[str]]:
        """Return the requests seen since the last call, and why others were none."""
        with self._lock:
            seen, self._seen = self._seen, []
            violations, self._violations = self._violations, []
        return seen, violations

    def take(self) -> list[Seen]:
        """Return the requests seen since the last call. Raises `Violation` if one was none."""
        seen, violations = self.take_all()
        if violations:
            raise Violation("; ".join(violations))
        return seen


def _accept_of(request: Seen) -> bytes:
    """Return what Sec-WebSocket-Accept must be (RFC 6455 section 4.2.2)."""
    key = "".join(request.all("Sec-WebSocket-Key"))
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())  # noqa: S324


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
        head = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1") + "\r"
        found = re.search(rf"(?im)^{re.escape(name)}:[ \t]*(.*?)\r$", head)
        return found[1] if found else None

    @property
    def body(self) -> bytes:
        """What follows the head."""
        return self.raw.partition(b"\r\n\r\n")[2]


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """Give a connection for the length of a block."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
        yield connection


def exchange(port: int, data: bytes) -> Answer:
    """Send exactly these bytes on a new connection, and return the first answer's bytes."""
    with connected(port) as connection:
        with contextlib.suppress(OSError):  # refused while still sending: the answer may be there all the same
            connection.sendall(data)
        return first_answer(connection, is_head=data.startswith(b"HEAD "))


def first_answer(connection: socket.socket, *, is_head: bool = False) -> Answer:
    """Return the bytes of the next answer; nothing more may have come."""
    raw = b""
    while _end_of(raw, is_head=is_head) is None:
        try:
            piece = connection.recv(65536)
        except ConnectionError:
            break
        if not piece:
            break
        raw += piece
    return Answer(raw)


def everything(port: int, data: bytes, silence_seconds: float, at_least: int = 0) -> tuple[bytes, bool]:
    """Send bytes; return all that comes until the gateway closes or says nothing for a while, and whether it closed.

    Before `at_least` so many answers it may be silent for longer: who waits for what must come is not hurried.
    """
    with connected(port) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        raw = b""
        try:
            connection.settimeout(TIMEOUT_SECONDS if at_least else silence_seconds)
            while piece := connection.recv(65536):
                raw += piece
                connection.settimeout(TIMEOUT_SECONDS if len(answers(raw)) < at_least else silence_seconds)
        except TimeoutError:
            return raw, False
        except OSError:
            return raw, True
        return raw, True


def answers(raw: bytes, *, is_head: bool = False) -> list[Answer]:
    """Return the answers that follow each other in what a client got; the last one may be cut."""
    found = []
    while raw:
        end = _end_of(raw, is_head=is_head)
        found.append(Answer(raw[:end]))
        raw = raw[end:] if end else b""
    return found


def is_whole(raw: bytes) -> bool:
    """Return whether an answer ends where its framing says."""
    return _end_of(raw, is_head=False) is not None


def _end_of(raw: bytes, *, is_head: bool) -> int | None:
    """Return where the first answer ends, or None if it has not come whole, or ends with the connection."""
    head, end, body = raw.partition(b"\r\n\r\n")
    if not end:
        return None
    start = len(head) + 4
    if is_head or head[9:12] in (b"204", b"304"):
        return start
    length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
    if length:
        return start + int(length[1]) if len(body) >= int(length[1]) else None
    if re.search(rb"(?im)^transfer-encoding:\s*chunked", head):
        return _end_of_chunks(raw, start)
    return None


def _end_of_chunks(raw: bytes, place: int) -> int | None:
    while (line := raw.find(b"\r\n", place)) >= 0:
        size = int(raw[place:line], 16)
        place = line + 4 + size
        if place > len(raw):
            return None
        if size == 0:
            return place
    return None

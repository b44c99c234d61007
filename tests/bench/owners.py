"""What it costs that callers are kept to their own: `python -m tests.bench.owners`, beside the plain route, in one run.

One client, one request at a time, in turns: CPU seconds of the gateway's process are what is compared, and the median
of what a request takes. The upstream answers at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from tests.minting import SECRET, mint
from tests.processes import served

_ROUNDS = 5
_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*(\d+)")
FILE = f"""
upstreams:
  plain: {{url: "http://127.0.0.1:PORT"}}
  owned: {{url: "http://127.0.0.1:PORT", own: {{by: subject}}}}
providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}}}}}
routes:
  /plain: {{provider: jobs, allow: authenticated, upstream: plain}}
  /api: {{provider: jobs, allow: authenticated, upstream: owned}}
"""


class Upstream(asyncio.Protocol):
    """Answers whatever comes, once all of it is there: also whose a thing is."""

    def __init__(self) -> None:
        self._arrived = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        else:
            self._arrived += data
            end = self._arrived.find(b"\r\n\r\n")
            if end < 0:
                return
            found = _LENGTH.search(self._arrived, 0, end + 2)
            self._missing = (int(found[1]) if found else 0) - (len(self._arrived) - end - 4)
        if not self._missing:
            body = b'{"runId":"r","resourceId":"user-1"}' if b"?fields=" in self._arrived[:500] else b'{"ok":true}'
            self._arrived = b""
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )


def _post(path: str, size: int) -> Callable[[int], tuple[str, str, bytes]]:
    said = {
        "messages": [{"role": "user", "content": "x" * size}],
        "memory": {"thread": "thread-of-user-1", "resource": "whoever"},
    }
    body = json.dumps(said).encode()
    return lambda number: ("POST", path, body)


KINDS: dict[str, tuple[Callable[[int], tuple[str, str, bytes]], int]] = {
    "GET, without `own`": (lambda number: ("GET", "/plain/agents", b""), 1000),
    "GET, nobody's": (lambda number: ("GET", "/api/agents", b""), 1000),
    "GET, pinned": (lambda number: ("GET", "/api/memory/threads/t", b""), 1000),
    "GET, looked up": (lambda number: ("GET", f"/api/workflows/w/runs/r{number}", b""), 1000),
    "GET, looked up before": (lambda number: ("GET", "/api/workflows/w/runs/r", b""), 1000),
    "POST of 2 KB, without `own`": (_post("/plain/agents/a/generate", 2_000), 1000),
    "POST of 2 KB, pinned": (_post("/api/agents/a/generate", 2_000), 1000),
    "POST of 2 MB, without `own`": (_post("/plain/agents/a/generate", 2_000_000), 60),
    "POST of 2 MB, pinned": (_post("/api/agents/a/generate", 2_000_000), 60),
}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _measure(port: int, pid: int) -> list[tuple[str, float, float]]:
    token = mint({"sub": "user-1", "exp": time.time() + 3600})
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    cpu: dict[str, list[float]] = {name: [] for name in KINDS}
    took: dict[str, list[float]] = {name: [] for name in KINDS}
    numbers = count()
    for round_number in range(_ROUNDS + 1):  # the first one warms up
        for name, (make, times) in KINDS.items():
            before, moments = _cpu_seconds(pid), list[float]()
            for _ in range(times):
                method, path, body = make(next(numbers))
                framing = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
                head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{framing}\r\n"
                began = time.perf_counter()
                writer.write(head.encode() + body)
                answered = await reader.readuntil(b"\r\n\r\n")
                found = _LENGTH.search(answered)
                assert answered.startswith(b"HTTP/1.1 200") and found, answered
                await reader.readexactly(int(found[1]))
                moments.append(time.perf_counter() - began)
            if round_number:
                cpu[name].append((_cpu_seconds(pid) - before) / times)
                took[name].append(statistics.median(moments))
    writer.close()
    return [(name, statistics.median(cpu[name]), statistics.median(took[name])) for name in KINDS]


async def _run() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    text = FILE.replace("PORT", str(server.sockets[0].getsockname()[1]))
    with tempfile.TemporaryDirectory() as folder, served(text, Path(folder)) as running:
        rows = await _measure(running.port, running.pid)
    lines = ["| a request | CPU of the gateway | takes |", "| --- | --- | --- |"]
    lines += [f"| {name} | {cpu * 1e6:,.0f} us | {took * 1e6:,.0f} us |" for name, cpu, took in rows]
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    asyncio.run(_run())

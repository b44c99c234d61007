"""Peers that send and see exactly the bytes of a test: an upstream that can misbehave, and a client."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import cast

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
DEADLINE_SECONDS = 20.0

Script = Callable[["Visit"], Awaitable[None]]


class Visit:
    """One request as an upstream's script sees it."""

    def __init__(self, upstream: RawUpstream, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.upstream, self.head, self.reader, self.writer = upstream, head, reader, writer
        self.body = b""

    @property
    def target(self) -> str:
        """The request target, as it came."""
        return self.head.split(b" ", 2)[1].decode("latin-1")

    def header(self, name: str) -> str | None:
        """A header's value, or None; several are joined by `|`."""
        found = re.findall(rf"(?im)^{re.escape(name)}:[ \t]*(.*?)\r$".encode(), self.head)
        return b"|".join(found).decode("latin-1") if found else None

    async def read_body(self) -> bytes:
        """Read the body by its declared framing."""
        length, coding = self.header("Content-Length"), self.header("Transfer-Encoding")
        assert not (length and coding), "two framings"
        if length is not None:
            self.body = await self.reader.readexactly(int(length))
        elif coding is not None:
            assert coding == "chunked"
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                self.body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            assert await self.reader.readuntil(b"\r\n") == b"\r\n", "a trailer was passed on"
        return self.body

    async def send(self, data: bytes) -> None:
        """Send raw bytes at once."""
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """Close cleanly."""
        self.writer.close()

    def reset(self) -> None:
        """Break the connection."""
        reset(self.writer)

    async def wait_for_client_to_leave(self) -> None:
        """Return when the gateway closes this connection."""
        while await self.reader.read(65536):
            pass


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST; an abort alone sends FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def answer_ok(visit: Visit) -> None:
    """The script of an upstream that answers 200 to everything."""
    await visit.read_body()
    await visit.send(OK)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class RawUpstream:
    """An upstream on loopback that records the bytes of every request and answers by a script."""

    def __init__(self, script: Script = answer_ok) -> None:
        self.script = script
        self.visits: list[Visit] = []
        self.connections = 0
        self.left = asyncio.Event()  # set whenever the gateway has closed a connection
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> RawUpstream:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        # An accepted connection has its task, which would close it, only some turns later; and a server of Python 3.11
        # that is closed meanwhile takes no more and leaves the socket open (`assert self._sockets`, base_events.py).
        await _turns()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _turns()

    @property
    def url(self) -> str:
        """The address."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def requests(self) -> list[bytes]:
        """Head and body of every request seen."""
        return [visit.head + visit.body for visit in self.visits]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                visit = Visit(self, head, reader, writer)
                self.visits.append(visit)
                await self.script(visit)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.left.set()
            writer.close()
            if self._server is None or not self._server.is_serving():
                writer.transport.abort()  # a test's end does not wait for who reads nothing
            self._tasks.discard(task)


class RawClient:
    """A client's connection that sends exactly what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @property
    def transport(self) -> asyncio.Transport:
        """Both directions of the connection; `StreamWriter` tells of one."""
        return cast(asyncio.Transport, self.writer.transport)

    @classmethod
    @asynccontextmanager
    async def connect(cls, port: int) -> AsyncIterator[RawClient]:
        """Connect to the gateway for the length of a block."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))
        try:
            yield client
        finally:
            client.close()

    async def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        """Return the next head, its empty line included."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> tuple[int, bytes, bytes]:
        """Return status, head and body of the next answer; the body must be whole."""
        head = await self.head()
        status = int(head[9:12])
        length = re.search(rb"(?im)^content-length:[ \t]*(\d+)", head)
        async with asyncio.timeout(DEADLINE_SECONDS):
            if status in (204, 304) or status < 200:
                return status, head, b""
            if length is not None:
                return status, head, await self.reader.readexactly(int(length[1]))
            if b"chunked" not in head.lower():
                return status, head, await self.reader.read()
            return status, head, await self._chunks()

    async def chunk(self) -> bytes:
        """Return the next chunk of a chunked body; empty at its end."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            data = await self.reader.readexactly(size + 2)
        return data[:-2]

    async def rest(self) -> bytes:
        """Return everything until the connection ends, also if it ends by a reset."""
        data = b""
        async with asyncio.timeout(DEADLINE_SECONDS):
            try:
                while piece := await self.reader.read(65536):
                    data += piece
            except ConnectionError:
                pass
        return data

    def close(self) -> None:
        """Leave."""
        self.writer.close()

    def reset(self) -> None:
        """Leave by a reset."""
        reset(self.writer)

    async def _chunks(self) -> bytes:
        body = b""
        while piece := await self.chunk():
            body += piece
        return body


async def ask(port: int, data: bytes) -> tuple[int, bytes, bytes]:
    """Send bytes on a new connection and return the answer: status, head, body."""
    async with RawClient.connect(port) as client:
        await client.send(data)
        return await client.answer()

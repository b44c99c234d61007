"""Writing, held back until all that has arrived in this turn of the loop was looked at."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

_log = logging.getLogger("gateway.server")
LARGE_BYTES: Final = 16 * 1024  # so much is written at once, so that whoever sent it hears whether it is taken


class Cork:
    """Gathers what is to be written, and writes it at the beginning of the loop's next turn, in order for each.

    Writing at once would wake the reader for each piece, and let it fall asleep again while the next request is being
    read: with many connections, that is a third of a request's cost. Whoever closes a connection flushes it first.
    """

    def __init__(self) -> None:
        self.waiting: dict[asyncio.Transport, bytes] = {}
        self.turns = 0

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write soon."""
        waiting = self.waiting
        if not waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        known = waiting.get(transport)
        waiting[transport] = data if known is None else known + data

    def write_now(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write at once, behind what waits for the same connection."""
        if transport in self.waiting:
            self.flush_of(transport)
        if not transport.is_closing():
            transport.write(data)

    def flush_of(self, transport: asyncio.Transport) -> None:
        """Write what waits for one connection."""
        data = self.take_back(transport)
        if data and not transport.is_closing():
            transport.write(data)

    def take_back(self, transport: asyncio.Transport) -> bytes:
        """Return what waits for a connection, and nothing of it leaves."""
        return self.waiting.pop(transport, b"")

    def flush(self) -> None:
        """Write all of it; what was meant for a connection that is closing is dropped."""
        waiting, self.waiting = self.waiting, {}
        self.turns += 1
        for transport, data in waiting.items():
            try:
                if not transport.is_closing():
                    transport.write(data)
            except Exception:  # one connection's fault must not take the others' bytes
                _log.exception("a connection could not be written to")
                transport.abort()

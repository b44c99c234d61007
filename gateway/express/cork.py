"""Writing, held back until all that has arrived in this turn of the loop was looked at."""

from __future__ import annotations

import asyncio

_LARGE_BYTES = 16 * 1024


class Cork:
    """Gathers what is to be written, and writes it at the beginning of the loop's next turn, in the order it came.

    Writing at once would wake the reader for each piece, and let it fall asleep again while the next request is being
    read: with many connections, that is a third of a request's cost. Whoever closes a connection flushes first.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self.flushes = 0

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write soon; large pieces at once, so that whoever sent them hears whether they are taken."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((transport, data))
        if len(data) > _LARGE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write all of it now; what was meant for a connection that is closing is dropped."""
        waiting, self._waiting = self._waiting, []
        self.flushes += 1
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)

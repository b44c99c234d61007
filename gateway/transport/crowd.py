"""What the log says of a crowd: one line a minute at most, whoever comes how often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gateway.transport.room import Room

_log = logging.getLogger("gateway.server")
_PAUSE_SECONDS = 60.0


class Crowd:
    """Looks at a room now and then, and says so when connections were closed or turned away for want of room."""

    def __init__(self, room: Room, clock: Callable[[], float] = time.monotonic) -> None:
        self._room, self._clock = room, clock
        self._said = (0, 0, 0)
        self._quiet_until = float("-inf")

    def turn(self) -> None:
        """Look."""
        room, now = self._room, self._clock()
        seen = sum(room.shed.values()), room.refused["full"], room.refused["address"]
        if seen == self._said or now < self._quiet_until:
            return
        shed, full, address = (new - old for new, old in zip(seen, self._said, strict=True))
        self._said, self._quiet_until = seen, now + _PAUSE_SECONDS
        _log.warning(
            "connections: %d of at most %d are open; to make room %d idle ones were closed; %d new ones were refused,"
            " %d because their address has %d already (limits.connections, limits.connections_per_address)",
            room.count, room.limit, shed, full + address, address, room.per_address,
        )  # fmt: skip

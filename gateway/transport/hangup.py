"""What the kernel knows of a connection before anybody reads it: whether the other end has gone, or says something."""

from __future__ import annotations

import asyncio
import select
from typing import Final, Literal

_LOST: Final = select.POLLHUP | select.POLLERR
_HALF_CLOSED: Final = getattr(select, "POLLRDHUP", 0)  # Linux's; elsewhere only a whole end is seen


def hangup_of(transport: asyncio.Transport) -> Literal["", "half-closed", "lost"]:
    """Ask the kernel, which knows it also behind bytes that nobody has read."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), _LOST | _HALF_CLOSED)
    events = sum(found for _, found in poll.poll(0))
    return "lost" if events & _LOST else "half-closed" if events else ""


def has_unread(transport: asyncio.Transport) -> bool:
    """Return whether bytes, or the end, have arrived that the loop has not given to anybody yet."""
    wire = transport.get_extra_info("socket")
    if wire is None:
        return False
    poll = select.poll()
    poll.register(wire.fileno(), select.POLLIN)
    return bool(poll.poll(0))

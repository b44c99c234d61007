"""Whether the other end of a connection has gone, while nothing is read from it."""

from __future__ import annotations

import asyncio
import select
from typing import Literal

_LOST = select.POLLHUP | select.POLLERR
_HALF_CLOSED = getattr(select, "POLLRDHUP", 0)  # Linux's; elsewhere only a whole end is seen


def hangup_of(transport: asyncio.Transport) -> Literal["", "half-closed", "lost"]:
    """Ask the kernel, which knows it also behind bytes that nobody has read."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), _LOST | _HALF_CLOSED)
    events = sum(found for _, found in poll.poll(0))
    return "lost" if events & _LOST else "half-closed" if events else ""

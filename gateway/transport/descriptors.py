"""How many descriptors this process may have, and how many connections that is enough for."""

from __future__ import annotations

import resource

from gateway.config.model import Limits

MAX_BACKLOG = 1024
_OWN_DESCRIPTORS = 64  # listeners, admin, keys, log, the loop's own
_MIN_BACKLOG, _BACKLOG_SHARE = 16, 4
_MIN_CONNECTIONS = 8
_LARGEST_ASKED_FOR = (1 << 20, 10240)  # where there is no hard limit: Linux's usual most, macOS's


def raise_descriptor_limit() -> None:
    """Raise the soft limit of descriptors to the hard one, or as near to it as the system lets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, *_LARGEST_ASKED_FOR):
        if soft == hard or (soft != resource.RLIM_INFINITY and wanted != resource.RLIM_INFINITY and wanted <= soft):
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            continue  # macOS: "unlimited" is more than it lets
        return


def descriptor_limit() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else _LARGEST_ASKED_FOR[0]


def backlog_for(descriptors: int) -> int:
    """Return how many connections may wait to be accepted: all of them may be, before one was closed to make room.

    Not too few: who finds the queue full tries again only after a second.
    """
    return max(_MIN_BACKLOG, min(MAX_BACKLOG, descriptors // _BACKLOG_SHARE))


def most_connections(descriptors: int) -> int:
    """Return how many clients' connections so many descriptors are enough for: each may need another, to an upstream.

    The rest is for ourselves, and for those that are accepted while others are being closed.
    """
    kept = _OWN_DESCRIPTORS + backlog_for(descriptors)
    return max(_MIN_CONNECTIONS, (descriptors - kept) // 2)


def unread_for(descriptors: int) -> int:
    """Return how many connections may be there beyond the limit until their first bytes were read.

    They take from those that `backlog_for` keeps free, and leave it half: they have no connection to an upstream yet.
    """
    return backlog_for(descriptors) // 2


def room_for(limits: Limits, descriptors: int) -> tuple[int, int]:
    """Return how many connections there may be, and how many of one address: what the file says, or less."""
    connections = min(most_connections(descriptors), limits.connections)
    return connections, min(connections, limits.connections_per_address)

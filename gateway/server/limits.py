"""What every client may send and take, on either wire."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ConnectionLimits:
    """What a client may send before a request is judged. Read anew for each head, so that a reload counts at once.

    `stall_seconds`: how long a client may take nothing of its answer, by default as long as upstreams may be silent
    (less would cut readers that pause); `flush_seconds`: the same, where the connection is closed anyway.
    """

    header_bytes: int
    header_timeout_seconds: float
    stall_seconds: float = 300.0
    flush_seconds: float = 2.0

"""What every client may send and take, on either wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Between a client's FIN and the end of its request: enough for a refusal, too little for an agent to run on.
LEAVING_SECONDS: Final = 0.02
# A head in more pieces than a long one has packets: its pieces gather in the kernel, and are read together.
MAX_PIECES: Final = 32
GATHER_SECONDS: Final = 0.02


@dataclass(slots=True)
class ConnectionLimits:
    """What a client may send before a request is judged. Read anew for each head, so that a reload counts at once.

    `stall_seconds`: how long a client may take nothing of its response, by default as long as upstreams may be silent
    (less would cut readers that pause); `flush_seconds`: the same, where the connection is closed anyway.
    """

    header_bytes: int
    header_timeout_seconds: float
    stall_seconds: float = 300.0
    flush_seconds: float = 2.0

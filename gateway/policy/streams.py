"""How long an answer without a known length, or a WebSocket, may last, and what is said into its silence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Streams:
    """What `streams:` says of a route. Times are seconds; None: there is no such end, and nothing is said.

    `grace_seconds` is how long a stream outlives its token, or its login session; None: it does not end with either.
    """

    grace_seconds: float | None = None
    max_seconds: float | None = None
    heartbeat_seconds: float | None = None

    @property
    def ends_with_token(self) -> bool:
        """True if a stream ends with its token or session."""
        return self.grace_seconds is not None


FOLLOWED = Streams()  # ends by itself, or where its caller is revoked

"""How long one stream lives by the gateway's own will, and what keeps it alive. Pure: told of the time and of bytes."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from gateway.policy.reasons import Reason
from gateway.policy.streams import Streams
from gateway.proxy.event_stream import EventBorders

# For the event that is under way to end, before the stream is cut. Revocation has two seconds for all that it takes.
BORDER_SECONDS: Final = 0.5


class Life:
    """The clocks of one stream, and where its events end. Times are seconds of `Client.now`.

    `left` is asked how long the caller may still have the stream, when it begins and whenever that time is over: a
    session may have gone on since. None: for ever. `reason` is what is said when it may no longer.
    """

    __slots__ = ("_beat_at", "_border_by", "_left", "_max_at", "_others_at", "_reason", "_streams", "_token_at",
                 "borders", "ending")  # fmt: skip

    def __init__(
        self,
        streams: Streams,
        now: float,
        left: Callable[[], float] | None = None,
        reason: Reason = Reason.TOKEN_EXPIRED,
        *,
        has_events: bool = False,
    ) -> None:
        self._streams, self._left, self._reason = streams, left, reason
        self._token_at = inf if left is None else now + left()
        self._max_at = inf if streams.max_seconds is None else now + streams.max_seconds
        self.borders = EventBorders() if has_events else None
        self._beat_at = self._border_by = self._others_at = inf
        self.ending: Reason | None = None  # it ends at the next border, and why
        self._note_bytes(now)

    @property
    def due_at(self) -> float:
        """When `is_over` or `wants_heartbeat` is to be asked next."""
        return min(self._token_at, self._max_at, self._beat_at, self._border_by)

    def until(self, others_at: float) -> float:
        """Return the deadline of the stream, given that of whoever else waits for something."""
        self._others_at = others_at
        return min(others_at, self.due_at)

    def again(self) -> float:
        """Return the deadline anew, where only ours has moved."""
        return min(self._others_at, self.due_at)

    def passing(self, data: bytes, now: float) -> bytes:
        """Return what goes on of bytes that came: with an end in sight those up to the next border."""
        if self.borders is None:
            return data
        self._note_bytes(now)
        return self.borders.feed(data) if self.ending is None else self.borders.feed_to_border(data)

    @property
    def is_at_border(self) -> bool:
        """True if an event of ours may be written now."""
        return self.borders is not None and self.borders.is_at_border

    def is_over(self, now: float) -> Reason | None:
        """Return why the stream is to end now; None: it may go on."""
        if now >= self._max_at:
            return Reason.STREAM_TOO_LONG
        if self._left is not None and now >= self._token_at:
            left = self._left()
            if left <= 0:
                return self._reason
            self._token_at = now + left
        return None

    def wants_heartbeat(self, now: float, *, may_write: bool) -> bool:
        """Return whether a heartbeat is to be written now, into a silence at a border. `may_write`: the client takes."""
        if now < self._beat_at:
            return False
        self._note_bytes(now)
        if self.borders is None or not may_write or not self.borders.is_at_border:
            return False
        self.borders.note_ours()
        return True

    def end_at_border(self, reason: Reason, now: float) -> None:
        """Have the stream end behind the event that is under way, or be cut if that takes too long."""
        self.ending = reason
        self._token_at = self._max_at = self._beat_at = inf
        self._border_by = now + BORDER_SECONDS

    def _note_bytes(self, now: float) -> None:
        seconds = self._streams.heartbeat_seconds
        if seconds is not None and self.borders is not None and self.ending is None:
            self._beat_at = now + seconds

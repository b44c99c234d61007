"""How long one stream lives by the gateway's own will, and what keeps it alive. Pure: told of the time and of bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Final

from gateway.policy.decision import Allow, Deny
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason
from gateway.policy.revocation import Revoked
from gateway.policy.streams import Streams
from gateway.proxy.event_stream import EventBorders
from gateway.record.outcome import Ended

# For the event that is under way to end, before the stream is cut. Revocation has two seconds for all that it takes.
BORDER_SECONDS: Final = 0.5
_SAID: Final[Mapping[Reason, str]] = {
    Reason.TOKEN_EXPIRED: "the token has ended, and `streams.grace` is over",
    Reason.SESSION_EXPIRED: "the session has ended, and `streams.grace` is over",
    Reason.STREAM_TOO_LONG: "it lasted for `streams.max`",
}


class Ending:
    """Why the gateway ends a stream: what the client is told, and what the record says."""

    __slots__ = ("detail", "ended", "reason")

    def __init__(self, reason: Reason, detail: str, ended: Ended) -> None:
        self.reason, self.detail, self.ended = reason, detail, ended


class Life:
    """The clocks of one stream, and where its events end. Times are seconds of `Client.now`.

    `left` is asked how long the caller may still have the stream, when it begins and whenever that time is over: a
    session may have gone on since. None: for ever. `reason` is what is said when it may no longer.
    """

    __slots__ = ("_beat_at", "_border_by", "_left", "_max_at", "_reason", "_streams", "_token_at", "borders",
                 "ending", "others_at")  # fmt: skip

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
        self._beat_at = self._border_by = self.others_at = inf
        self.ending: Ending | None = None  # it ends at the next border, and why
        self._note_bytes(now)

    @property
    def due_at(self) -> float:
        """When `is_over` or `wants_heartbeat` is to be asked next."""
        return min(self._token_at, self._max_at, self._beat_at, self._border_by)

    def until(self, others_at: float) -> float:
        """Return the deadline of the stream, given that of whoever else waits for something."""
        self.others_at = others_at
        return min(others_at, self.due_at)

    def again(self) -> float:
        """Return the deadline anew, where only ours has moved."""
        return min(self.others_at, self.due_at)

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

    def is_over(self, now: float) -> Ending | None:
        """Return why the stream is to end now; None: it may go on."""
        if now >= self._max_at:
            return _by_time(Reason.STREAM_TOO_LONG)
        if self._left is not None and now >= self._token_at:
            left = self._left()
            if left <= 0:
                return _by_time(self._reason)
            self._token_at = now + left
        return None

    def wants_heartbeat(self, now: float, *, may_write: bool) -> bool:
        """Return whether a heartbeat is to be written now, into a silence at a border. `may_write`: nothing waits."""
        if now < self._beat_at:
            return False
        self._note_bytes(now)
        if self.borders is None or not may_write or not self.borders.is_at_border:
            return False
        self.borders.note_ours()
        return True

    def end_at_border(self, ending: Ending, now: float) -> None:
        """Have the stream end behind the event that is under way, or be cut if that takes too long."""
        self.ending = ending
        self._token_at = self._max_at = self._beat_at = inf
        self._border_by = now + BORDER_SECONDS

    def _note_bytes(self, now: float) -> None:
        seconds = self._streams.heartbeat_seconds
        if seconds is not None and self.borders is not None and self.ending is None:
            self._beat_at = now + seconds


def revoked_of(revoked: Revoked, allowed: Allow | None) -> Denied | None:
    """Return the refusal of a request's caller who counts no more; None: he does, or `enforce: false` lets him pass."""
    if allowed is None or allowed.principal is None or not allowed.route.enforce:
        return None
    return revoked.refusal(allowed.principal)


def no_more(problem: Denied, allowed: Allow | None) -> Deny:
    """Return the refusal of a request that was allowed and goes no further; log and audit say whose it was."""
    if allowed is None:
        return Deny(problem.reason, problem.detail, rule=problem.rule)
    principal = allowed.principal
    had_token = principal is not None
    return Deny(problem.reason, problem.detail, allowed.route, principal, had_token=had_token, rule=problem.rule)


def _by_time(reason: Reason) -> Ending:
    return Ending(reason, _SAID[reason], "too_long" if reason is Reason.STREAM_TOO_LONG else "expired")

"""Which sessions made a request lately: how many there are, and until when the streams of each may go on. Bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gateway.policy.seal import Seal
from gateway.policy.session import Session

MAX_SESSIONS: Final = 10_000


class SeenSessions:
    """The last request of each session, by the session's id. Times are Unix seconds."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()  # whoever was seen last is the last

    def note(self, session: Session, now: float) -> None:
        """A session has made a request that may pass."""
        self._seen[session.id] = now
        self._seen.move_to_end(session.id)
        if len(self._seen) > MAX_SESSIONS:
            self._seen.popitem(last=False)

    def forget(self, session: Session) -> None:
        """A session has ended."""
        self._seen.pop(session.id, None)

    def count(self, seal: Seal, now: float) -> int:
        """Return how many were seen in the time for which a session lasts unused; at most `MAX_SESSIONS`."""
        while self._seen and now >= next(iter(self._seen.values())) + seal.idle_seconds:
            self._seen.popitem(last=False)
        return len(self._seen)

    def end_of(self, session: Session, seal: Seal) -> float:
        """Return when a session ends, as far as is known here.

        What was renewed lives on, so the issuer's word is the end only where there is no next.
        """
        if session.refresh_token is None:
            return session.good_until
        seen_at = max(session.seen_at, self._seen.get(session.id, 0.0))
        return min(session.begun_at + seal.max_age_seconds, seen_at + seal.idle_seconds)

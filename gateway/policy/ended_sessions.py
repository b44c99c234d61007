"""Sessions that were ended before their time: by a logout, here or at the issuer (OpenID Connect Back-Channel Logout).

A session is a cookie that its browser may keep, so what remains to be remembered is that it counts no more. Only marks
are remembered, made with the secret of the sessions: nobody can tell from them whose they are.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gateway.policy.seal import Seal
from gateway.policy.session import Session

MAX_MARKS: Final = 100_000


class EndedSessions:
    """Marks of what was ended, each with when, and until when it has to be known. All times are Unix seconds."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._marks: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # in the order they came

    def __len__(self) -> int:
        return len(self._marks)

    def marks_of(self, *, sub: str | None, sid: str | None) -> list[bytes]:
        """Return the marks of what a logout token names (OpenID Connect Back-Channel Logout 1.0 section 2.4).

        With a `sid` that session alone. One whose ID token has no `sid` may be it, so then the subject counts.
        """
        if sid is None:
            return [self._seal.mark(f"sub {sub}")]
        return [self._seal.mark(f"sid {sid}"), *([] if sub is None else [self._seal.mark(f"sub without sid {sub}")])]

    def mark_of(self, session: Session) -> bytes:
        """Return the mark of one session of ours, as its own logout leaves it."""
        return self._seal.mark(f"id {session.id}")

    def add(self, mark: bytes, at: float, now: float) -> bool:
        """Remember that what bears a mark was ended at a moment: what began later counts. False: it was known."""
        until = at + self._seal.max_age_seconds
        known = self._marks.get(mark)
        if until <= now or (known is not None and known[0] >= at):
            return False
        self._marks[mark] = at, until
        self._marks.move_to_end(mark)
        self._forget(now)
        return True

    def known(self) -> dict[bytes, float]:
        """Return each mark, and when what bears it was ended."""
        return {mark: at for mark, (at, _) in self._marks.items()}

    def take_over(self, former: EndedSessions, now: float) -> None:
        """Remember what a former configuration was told. Of another secret, issuer or client nothing fits."""
        for mark, at in former.known().items():
            self.add(mark, at, now)

    def has(self, session: Session) -> bool:
        """Return whether a session was ended."""
        sub, sid = session.claims.get("sub"), session.claims.get("sid")
        said = [f"id {session.id}", f"sub {sub}", f"sub without sid {sub}" if sid is None else f"sid {sid}"]
        for one in said:
            known = self._marks.get(self._seal.mark(one))
            if known is not None and session.begun_at <= known[0]:
                return True
        return False

    def _forget(self, now: float) -> None:
        """Forget what no session can be any more; of too many the oldest."""
        while self._marks:
            mark, (_, until) = next(iter(self._marks.items()))
            if until > now and len(self._marks) <= MAX_MARKS:
                return
            del self._marks[mark]

"""Whose a thing is, as an upstream said lately: so that it need not be asked for each request. Never a decision."""

from __future__ import annotations

from typing import Final

from cachetools import TTLCache

Memo = tuple[str, str]  # of what kind a thing is, and the target at which it was asked for
SECONDS: Final = 60.0
_MAX_ENTRIES: Final = 10_000
_MAX_ASKED: Final = 8  # ways in which one thing was asked for: a query may say for which agent
_MAX_LENGTH: Final = 1024  # characters of what is kept: ids are the callers', and owners the upstream's


class Owners:
    """The owners of things, by upstream, for `SECONDS` each. `now` is seconds of one clock that does not go back.

    Only what an upstream said of a thing that is there is told: one that is not may be made by anybody in the meantime.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._known: TTLCache[tuple[str, str], dict[Memo, str]] = TTLCache(_MAX_ENTRIES, SECONDS, lambda: self._now)
        self._makers: TTLCache[tuple[str, str], str] = TTLCache(_MAX_ENTRIES, SECONDS, lambda: self._now)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"<Owners of {len(self)} things>"

    def find(self, upstream: str, memo: Memo, now: float) -> str | None:
        """Return whose a thing is; None: nobody has said so lately."""
        self._now = now
        asked: dict[Memo, str] | None = self._known.get((upstream, _path(memo[1])))
        return None if asked is None else asked.get(memo)

    def keep(self, upstream: str, memo: Memo, owner: str, now: float) -> None:
        """Keep what an upstream said."""
        self._now = now
        if len(memo[1]) + len(owner) > _MAX_LENGTH:
            return
        place = upstream, _path(memo[1])
        asked: dict[Memo, str] | None = self._known.get(place)
        if asked is None or len(asked) >= _MAX_ASKED:
            asked = self._known[place] = {}
        asked[memo] = owner

    def may_make(self, upstream: str, memo: Memo, owner: str, now: float) -> bool:
        """Return whether an owner may make what is not there yet: nobody else went to make it within `SECONDS`.

        Two who both were told that it is not there would both make it, and it would be the later one's, with what the
        earlier one has put there meanwhile. This lets nobody do what asking would not; and another process does not
        know of it.
        """
        self._now = now
        if len(memo[1]) + len(owner) > _MAX_LENGTH:
            return True
        maker: str = self._makers.setdefault((upstream, _path(memo[1])), owner)
        return maker == owner

    def forget(self, upstream: str, target: str) -> None:
        """The thing at a target goes: another may be made of its name, by somebody else."""
        self._known.pop((upstream, _path(target)), None)
        self._makers.pop((upstream, _path(target)), None)


def _path(target: str) -> str:
    return target.partition("?")[0]

"""Which names in Mastra's paths the routes and rules of a file tell apart, of one agent and another, say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.policy.mastra_names import NO_NAMES, Names, names_in
from gateway.policy.mastra_roles import MastraPermission, covers, permissions_of, place_of_id
from gateway.policy.mastra_routes import Row, may_meet, row_of
from gateway.policy.rules import PathUnder, Rule, When, rules_within

_WHOLE_PATH = "request.path"


@dataclass(frozen=True, slots=True)
class Door:
    """A route as it is judged: its segments, those of captures empty, the captures' names, and its rules."""

    segments: tuple[str, ...]
    captures: tuple[str, ...]  # by segment, empty for a literal
    rules: tuple[Rule, ...]

    @property
    def may_judge(self) -> bool:
        """False where no name in any row's path matters: a row's first segment below Mastra's prefix is a literal."""
        asked = (one for rule in self.rules for one in rules_within(rule))
        return any(self.segments[1:]) or any(isinstance(one, When | PathUnder | MastraPermission) for one in asked)

    def names(self, row: Row, prefix: Sequence[str], *, may_be: bool = True) -> set[str]:
        """Return the folded names in a row's path by which this route, or a rule of its, judges.

        With `may_be` also where an expression looks at the whole path, and perhaps at no name in it.
        """
        whole = (*prefix, *row.segments)
        if not may_meet(self.segments, whole):
            return set()
        named = {at: name for name, at in names_in(row, prefix).items()}
        places = {at for at, text in enumerate(self.segments) if text}
        for asked_for in (one for rule in self.rules for one in rules_within(rule)):
            match asked_for:
                case When(expression):
                    asked = expression.names
                    places |= {at for at, name in enumerate(self.captures) if name in asked}
                    places |= set(named) if may_be and _WHOLE_PATH in asked else set()
                case PathUnder(prefixes):
                    places |= {at for one in prefixes if may_meet(one, whole) for at in range(len(one))}
                case MastraPermission(patterns) if covers(patterns, permissions_of(row) or (), None) is None:
                    at = place_of_id(row)  # only with the id it is decided
                    places |= set() if at is None else {len(prefix) + at}
        return {named[at] for at in places & set(named)}


class JudgedNames:
    """Says of requests which names in their paths are judged by."""

    def __init__(self, doors: Iterable[Door]) -> None:
        self._doors = tuple(door for door in doors if door.may_judge)
        self._known: dict[tuple[str, str, tuple[str, ...]], Names] = {}

    def of(self, method: str, segments: Sequence[str], prefix: tuple[str, ...]) -> Names:
        """Return the names by which a request to the path is judged, and where in it each stands; most often none."""
        row = row_of(method, segments, prefix) if self._doors else None
        return NO_NAMES if row is None else self.of_row(row, prefix)

    def of_row(self, row: Row, prefix: tuple[str, ...]) -> Names:
        """Return the names by which requests to a row are judged, and where in the path each stands."""
        key = (row.method, row.path, prefix)
        known = self._known.get(key)
        if known is None:
            judged = {name for door in self._doors for name in door.names(row, prefix)}
            known = self._known[key] = {name: at for name, at in names_in(row, prefix).items() if name in judged}
        return known

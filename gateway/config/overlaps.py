"""Which routes take what another one seems to take or to guard, found by their segments: none is compared with all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from gateway.policy.routes import Capture, Route, Segment, with_head

_ANY = Capture("")  # a capture of whatever name
_Segments = tuple[Segment, ...]


class Overlaps:
    """The routes of a file, which may be asked about one of them after the other.

    What an answer costs grows with the routes that lie around the one in question, not with all of them: of each shape
    there is one route for a method and one for any at most. Only where every prefix stands there with a literal and
    with a capture do 2^n of them cover a path of n segments, and each is looked at, as `Policy.match` does.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._same: defaultdict[_Segments, list[Route]] = defaultdict(list)
        self._captured: defaultdict[_Segments, list[Route]] = defaultdict(list)  # by what stands before a last capture
        self._root = _Prefix()
        for place, route in enumerate(routes):
            self._same[route.segments].append(route)
            if route.exact:
                continue
            if route.segments and isinstance(route.segments[-1], Capture):
                self._captured[route.segments[:-1]].append(route)
            prefix = self._root
            for segment in route.segments:
                prefix = prefix.longer[_ANY if isinstance(segment, Capture) else segment]
            prefix.routes.append((place, route))

    def is_hidden(self, route: Route) -> bool:
        """Return whether exact routes take the path itself, and ones with a capture all that lies below."""
        if route.exact:
            return False
        exact = [other for other in self._same.get(route.segments, ()) if other.exact]
        return _cover_methods(route, exact) and _cover_methods(route, self._captured.get(route.segments, ()))

    def guarded_around(self, route: Route) -> Route | None:
        """Return the first guarded route of which a public one opens a part."""
        if not route.public:
            return None
        return next(
            (other for other in self._covering(route) if not other.public and _meet_as_asked(route, other)), None
        )

    def public_around(self, route: Route) -> Route | None:
        """Return the public route that takes what lies below a guarded exact one."""
        if route.public or not route.exact:
            return None
        covering = [
            other for other in self._covering(route)
            if route.methods is None or other.methods is None or not route.methods.isdisjoint(other.methods)
        ]  # fmt: skip
        nearest = max(covering, key=lambda other: len(other.segments), default=None)
        return nearest if nearest is not None and nearest.public else None

    def public_behind(self, route: Route) -> Route | None:
        """Return the public route that methods reach which a guarded route does not name, if there is one."""
        if route.public or route.methods is None:
            return None
        same = self._same.get(route.segments, ())
        if any(other.methods is None for other in same):
            return None
        taken = with_head(frozenset(method for other in same for method in other.methods or ()))
        shorter = [other for other in self._covering(route) if len(other.segments) < len(route.segments)]
        for outer in sorted(shorter, key=lambda other: len(other.segments), reverse=True):
            if outer.public and (outer.methods is None or outer.methods - taken):
                return outer
            if outer.methods is None:
                return None
        return None

    def _covering(self, route: Route) -> list[Route]:
        """Return the routes whose prefix covers a route's path and all below it, itself among them, as in the file."""
        prefixes = [self._root]
        found = list(self._root.routes)
        for segment in route.segments:
            keys = (_ANY,) if isinstance(segment, Capture) else (segment, _ANY)
            prefixes = [prefix.longer[key] for prefix in prefixes for key in keys if key in prefix.longer]
            found += [numbered for prefix in prefixes for numbered in prefix.routes]
        return [covering for _, covering in sorted(found, key=lambda numbered: numbered[0])]


class _Prefix:
    """A prefix, the longer ones by their next segment, and the routes that have it, each with its place in the file."""

    __slots__ = ("longer", "routes")

    def __init__(self) -> None:
        self.longer: defaultdict[Segment, _Prefix] = defaultdict(_Prefix)
        self.routes: list[tuple[int, Route]] = []


def _cover_methods(route: Route, others: Iterable[Route]) -> bool:
    if any(other.methods is None for other in others):
        return True
    named = with_head(frozenset(method for other in others for method in other.methods or ()))
    return route.methods is not None and route.methods <= named


def _meet_as_asked(route: Route, other: Route) -> bool:
    """Return whether a method leads to both, HEAD by GET among them."""
    mine, theirs = route.methods, other.methods
    return mine is None or theirs is None or not with_head(mine).isdisjoint(with_head(theirs))

"""What lies around a route, by the index, as by comparing each route with every other."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.overlaps import Overlaps
from gateway.policy.routes import Capture, Route, Segment, with_head
from gateway.policy.upstreams import Upstream


# The plain answers, by the words of the warnings. They look at every pair, and are what the index must say as well.
def is_hidden(route: Route, others: Sequence[Route]) -> bool:
    """True if an exact route takes the path itself, and one with a capture all that lies below."""
    if route.exact:
        return False
    same = [o for o in others if o is not route and o.exact and o.segments == route.segments]
    below = [o for o in others if not o.exact and ends_in_capture(o) and o.segments[:-1] == route.segments]
    return cover_methods(route, same) and cover_methods(route, below)


def ends_in_capture(route: Route) -> bool:
    return bool(route.segments) and isinstance(route.segments[-1], Capture)


def cover_methods(route: Route, others: Sequence[Route]) -> bool:
    if any(other.methods is None for other in others):
        return True
    named = with_head(frozenset(method for other in others for method in other.methods or ()))
    return route.methods is not None and route.methods <= named


def guarded_around(route: Route, others: Sequence[Route]) -> Route | None:
    return next((other for other in others if is_hole(route, other)), None)


def is_hole(route: Route, guarded: Route) -> bool:
    """True if a public route opens a part of what a guarded one covers."""
    if not route.public or guarded.public or guarded.exact or len(guarded.segments) > len(route.segments):
        return False
    mine, theirs = route.methods, guarded.methods
    if mine is not None and theirs is not None and with_head(mine).isdisjoint(with_head(theirs)):
        return False
    return covers(guarded, route)


def public_around(route: Route, others: Sequence[Route]) -> Route | None:
    """Return the public route that takes what lies below a guarded exact one."""
    if route.public or not route.exact:
        return None
    covering = [
        other for other in others
        if not other.exact and len(other.segments) <= len(route.segments) and covers(other, route)
        and (route.methods is None or other.methods is None or not route.methods.isdisjoint(other.methods))
    ]  # fmt: skip
    nearest = max(covering, key=lambda other: len(other.segments), default=None)
    return nearest if nearest is not None and nearest.public else None


def public_behind(route: Route, others: Sequence[Route]) -> Route | None:
    """Return the public route that methods reach which a guarded route does not name, if there is one."""
    if route.public or route.methods is None:
        return None
    taken = with_head(frozenset(method for o in others if o.segments == route.segments for method in o.methods or ()))
    if any(o.segments == route.segments and o.methods is None for o in others):
        return None
    covering = [o for o in others if not o.exact and len(o.segments) < len(route.segments) and covers(o, route)]
    for outer in sorted(covering, key=lambda o: len(o.segments), reverse=True):
        if outer.public and (outer.methods is None or outer.methods - taken):
            return outer
        if outer.methods is None:
            return None
    return None


def covers(outer: Route, route: Route) -> bool:
    pairs = zip(outer.segments, route.segments, strict=False)
    return all(isinstance(mine, Capture) or mine == theirs for mine, theirs in pairs)


UPSTREAM = Upstream("default", "http://mastra:4111")
NAMES: list[Segment] = ["a", "b", Capture("x"), Capture("y")]
METHODS = [None, frozenset({"GET"}), frozenset({"HEAD"}), frozenset({"POST"}), frozenset({"GET", "POST"})]


@st.composite
def route_sets(draw: st.DrawFn) -> list[Route]:
    """Return routes as no file may have them either: several of one shape and method, `{x}` beside `{y}`."""
    segments = st.lists(st.sampled_from(NAMES), max_size=3)
    shape = st.tuples(segments, st.sampled_from(METHODS), st.booleans(), st.booleans())
    return [
        Route(f"{number}", tuple(path), UPSTREAM, methods, public=public, exact=exact)
        for number, (path, methods, public, exact) in enumerate(draw(st.lists(shape, min_size=1, max_size=12)))
    ]


@given(route_sets())
@settings(max_examples=400)
def test_index_answers_as_comparing_all_does(routes: list[Route]) -> None:
    overlaps = Overlaps(routes)
    for route in routes:
        assert overlaps.is_hidden(route) == is_hidden(route, routes)
        assert overlaps.guarded_around(route) is guarded_around(route, routes)
        assert overlaps.public_around(route) is public_around(route, routes)
        assert overlaps.public_behind(route) is public_behind(route, routes)

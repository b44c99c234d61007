"""What rules about Mastra's routes probably do not mean: no route of Mastra's meets them, or a body walks round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.config.reading import Reading
from gateway.config.routes import ReadRoute
from gateway.policy.mastra_roles import MastraPermission, MastraRole, covers, permissions_of
from gateway.policy.mastra_routes import PREFIX, Row, may_meet, rows
from gateway.policy.own_query import folded
from gateway.policy.routes import Route, door_of, literals
from gateway.policy.rules import rules_within

_AGENTS = "agents"
_NOBODY = "a rule with 'mastra' lets nobody pass there (they are below /api)"


def lint_mastra(routes: Sequence[ReadRoute], reading: Reading) -> None:
    """Collect the warnings about rules that no route of Mastra meets where they stand, or that a body walks round."""
    _lint_names(routes, reading)
    for read in routes:
        route = read.route
        if read.is_ours:
            continue
        asked = [one for rule in (*route.allow, *route.deny) for one in rules_within(rule)]
        conditions = [one for one in asked if isinstance(one, MastraRole | MastraPermission)]
        if not conditions:
            continue
        below = list(_rows_below(route))
        if not below:
            reading.warn(read.entry.key.place, f"no route of Mastra's lies below '{route.key}': {_NOBODY}")
            continue
        needed = [one for row in below for one in permissions_of(row) or ()]
        for one in conditions:
            for pattern in one.patterns if isinstance(one, MastraPermission) else ():
                if all(covers((pattern,), (permission,), None) is False for permission in needed):
                    reading.warn(
                        read.entry.key.place,
                        f"nothing below '{route.key}' asks for {pattern}, so it lets nobody pass there",
                    )


def _lint_names(routes: Sequence[ReadRoute], reading: Reading) -> None:
    """Warn once of routes that tell an agent from another by the path, where nobody looks into bodies."""
    found: list[tuple[ReadRoute, str, Route]] = []
    unread = [read.route for read in routes if not read.is_ours and read.route.own_things is None]
    for read in routes if unread else ():
        door = door_of(read.route)
        for row in _with_bodies(read.route):
            names = door.names(row, PREFIX, may_be=False)
            open_at = next((one for one in unread if _is_below(row, one)), None) if names else None
            if open_at is not None:
                found.append((read, next(one[1:] for one in row.segments if folded(one) in names), open_at))
                break
    if not found:
        return
    read, name, open_at = found[0]
    more = f" (and so do {len(found) - 1} more)" if len(found) > 1 else ""
    said = f"tells one '{name}' from another by the path{more}, and Mastra believes a body that says '{name}' over it"
    hint = f"'own:' at the upstream '{open_at.upstream.name}'"
    if open_at.upstream.own is not None:
        hint = f"'own: {{by: nobody}}' in place of 'own: false' at '{open_at.key}'"
    reading.warn(read.entry.key.place, f"{said}: {hint} takes that out ('by: nobody' does nothing else)")


def _with_bodies(route: Route) -> Iterator[Row]:
    """Yield the rows below a route, or below a condition of it, to which a body can come that names another.

    Those of agents: the schemas of all others drop what they do not know (tests/mastra/own/test_names.py).
    """
    first = literals(route.segments)[len(PREFIX) : len(PREFIX) + 1]
    for row in rows() if not first or first[0] in ("", _AGENTS) else ():
        if row.method not in ("GET", "HEAD") and row.segments[0] == _AGENTS:
            yield row


def _rows_below(route: Route) -> Iterator[Row]:
    return (row for row in rows() if _is_below(row, route))


def _is_below(row: Row, route: Route) -> bool:
    """Return whether some request that a row takes falls under a route's prefix and methods."""
    whole = (*PREFIX, *row.segments)
    if route.exact and len(route.segments) < len(whole):
        return False
    if route.methods is not None and row.method not in route.methods and row.method != "ALL":
        return False
    return may_meet(literals(route.segments), whole)

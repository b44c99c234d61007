"""What rules in Mastra's words probably do not mean where they stand: no route of Mastra's meets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.config.reading import Reading
from gateway.config.routes import ReadRoute
from gateway.policy.mastra_roles import MastraPermission, MastraRole, covers, permissions_of
from gateway.policy.mastra_routes import PREFIX, Row, rows
from gateway.policy.routes import Capture, Route
from gateway.policy.rules import rules_within

_NOBODY = "a rule with 'mastra' lets nobody pass there (they are below /api)"


def lint_mastra(routes: Sequence[ReadRoute], reading: Reading) -> None:
    """Collect the warnings about rules that no route of Mastra meets where they stand."""
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


def _rows_below(route: Route) -> Iterator[Row]:
    for row in rows():
        whole = (*PREFIX, *row.segments)
        if len(route.segments) > len(whole) or (route.exact and len(route.segments) < len(whole)):
            continue
        if route.methods is not None and row.method not in route.methods and row.method != "ALL":
            continue
        if all(
            isinstance(own, Capture) or own == theirs or theirs.startswith(":")
            for own, theirs in zip(route.segments, whole, strict=False)
        ):
            yield row

"""What of Mastra a caller may use, in Mastra's words: which of its permissions some route of the file grants.

Found by asking the rules of each route as a request to it would, so whatever they go by counts: roles of Mastra's,
emails, scopes. What depends on an id that nobody has asked for yet is granted: whoever is told hides what is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.policy.denied import Denied
from gateway.policy.expressions import Facts
from gateway.policy.guard import may_pass
from gateway.policy.mastra_roles import MastraPermission, asked_permissions, permissions_of, place_of_id
from gateway.policy.mastra_routes import PREFIX, Row, may_meet, rows
from gateway.policy.model import Principal, RequestHead
from gateway.policy.paths import Path, canonical_path
from gateway.policy.resources import check_resource
from gateway.policy.routes import Capture, Match, Policy, Route
from gateway.policy.rules import AddressIn, PathUnder, Rule, When, rules_within

_ANY_ID = "any-id-of-mastra"
_OF_DOORS = frozenset({"request.method", "request.path"})
_EVERYTHING = "*"
_KEPT = ":mastra"  # with a principal, beside its headers by the names of upstreams, which hold no colon


@dataclass(frozen=True, slots=True)
class _Door:
    """A request to one of Mastra's routes, and where it would be judged. `goes_by_id`: a rule looks at its path."""

    method: str
    path: Path
    match: Match
    goes_by_id: bool
    is_closed: bool  # to everybody who has but things of their own


class MastraAccess:
    """Says of callers what they may use of Mastra behind the routes of one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._doors: dict[str, list[_Door]] | None = None
        self._goes_by_request = any(map(_goes_by_request, _rules_of(policy)))

    def permissions(self, principal: Principal, head: RequestHead, now: float) -> tuple[str, ...]:
        """Return what a caller may use, as Mastra's permissions: `*` for all, `agents:*` for all of a resource.

        `head` is of the question: address and headers count. `now` is Unix seconds.
        """
        known = principal.kept.get(_KEPT)
        if known is not None:
            return tuple(known.decode().split())
        if self._doors is None:  # when somebody asks: most never do
            self._doors = _doors_of(self._policy)
        granted = {
            permission
            for permission, doors in self._doors.items()
            if any(self._is_open(door, principal, head, now) for door in doors)
        }
        found = _shortened(granted)
        if not self._goes_by_request:  # some milliseconds: who asks again and again is not to cost as much each time
            principal.kept[_KEPT] = " ".join(found).encode()
        return found

    def _is_open(self, door: _Door, principal: Principal, head: RequestHead, now: float) -> bool:
        route = door.match.route
        if door.is_closed:
            return False
        if route.public or not route.enforce:
            return True
        if principal.provider not in route.provider_names:
            return False
        if route.resource is not None:
            try:
                check_resource(principal.claims, route.resource)
            except Denied:
                return False
        if door.goes_by_id:
            return True
        asked = RequestHead(door.method, door.path.text, head.headers, head.client_ip, head.scheme)
        captures, rules = door.match.captures, self._policy.header_rules
        return may_pass(route, Facts(principal, asked, door.path, captures, now, rules))


def _shortened(granted: set[str]) -> tuple[str, ...]:
    """Return permissions with what is whole under one name."""
    by_resource: dict[str, set[str]] = {}
    for permission in asked_permissions():
        by_resource.setdefault(permission.partition(":")[0], set()).add(permission)
    if all(whole <= granted for whole in by_resource.values()):
        return (_EVERYTHING,)
    found: list[str] = []
    for resource, whole in by_resource.items():
        found += [f"{resource}:*"] if whole <= granted else sorted(whole & granted)
    return tuple(found)


def _doors_of(policy: Policy) -> dict[str, list[_Door]]:
    asked = list(_rules_of(policy))
    found: dict[str, list[_Door]] = {}
    for row in rows():
        doors = list(_doors_at(row, policy, asked))
        for permission in permissions_of(row) or ():
            found.setdefault(permission, []).extend(doors)
    return found


def _doors_at(row: Row, policy: Policy, asked: Iterable[Rule]) -> Iterator[_Door]:
    method = "POST" if row.method == "ALL" else row.method
    for segments in dict.fromkeys(_instances(row, policy, asked)):
        path = canonical_path("/" + "/".join(segments))
        try:
            match = policy.match(path, method)
        except Denied:
            continue
        is_closed = (own := match.route.own_things) is not None and own.has_owners and row.way == "close"
        yield _Door(method, path, match, _goes_by_id(match.route), is_closed)


def _instances(row: Row, policy: Policy, asked: Iterable[Rule]) -> Iterator[tuple[str, ...]]:
    """Yield paths of a row: one of any id, and those of the ids that the file names."""
    pattern = (*PREFIX, *row.segments)
    base = tuple(_ANY_ID if segment.startswith(":") else segment for segment in pattern)
    yield base
    named = [tuple("" if isinstance(own, Capture) else own for own in route.segments) for route in policy.routes]
    named += [prefix for rule in asked if isinstance(rule, PathUnder) for prefix in rule.prefixes]
    at = place_of_id(row)
    if at is not None:
        ids = [
            pattern.split(":", 2)[2:]
            for rule in asked
            if isinstance(rule, MastraPermission)
            for pattern in rule.patterns
        ]
        named += [("",) * (len(PREFIX) + at) + (one[0],) for one in ids if one]
    for given in named:
        if may_meet(given, pattern):
            yield tuple(given[n] or base[n] if n < len(given) else base[n] for n in range(len(base)))


def _rules_of(policy: Policy) -> Iterator[Rule]:
    for route in policy.routes:
        for rule in (*route.allow, *route.deny):
            yield from rules_within(rule)


def _goes_by_request(rule: Rule) -> bool:
    """Return whether a condition looks at who asks from where, or when: else the answer is the principal's own."""
    if isinstance(rule, When):
        return any(name.startswith("request.") and name not in _OF_DOORS for name in rule.expression.names)
    return isinstance(rule, AddressIn)


def _goes_by_id(route: Route) -> bool:
    """Return whether an expression of a route looks at the path, or at what a capture stands for."""
    captures = {segment.name for segment in route.segments if isinstance(segment, Capture)} | {"request.path"}
    within = [one for rule in (*route.allow, *route.deny) for one in rules_within(rule)]
    return any(isinstance(one, When) and not captures.isdisjoint(one.expression.names) for one in within)

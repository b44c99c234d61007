"""`routes:` what leads where, and past whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

from gateway.config import route_fields as fields
from gateway.config.budgets import Budgets
from gateway.config.document import Entry, Fields, Items, Node, kind_of
from gateway.config.ownership import OWN_OF_ROUTE
from gateway.config.readers import Mistake, text_of
from gateway.config.reading import Reading, Unreadable, attempt, nearest
from gateway.config.records import Values
from gateway.config.resources import read_resource
from gateway.config.route_fields import RouteKey, read_key
from gateway.config.rules import RuleReader
from gateway.config.streams import OF_ALL, StreamsOfAll
from gateway.config.twins import why_twins
from gateway.policy.login import Login
from gateway.policy.ownership import Ownership
from gateway.policy.providers import Provider
from gateway.policy.routes import Capture, Route
from gateway.policy.rules import Rule
from gateway.policy.upstreams import Upstream
from gateway.policy.words import listed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known:
    """What routes may name. None: it is in the file, broken, and was complained about. No mapping at all: likewise."""

    providers: Mapping[str, Provider | None] | None
    upstreams: Mapping[str, Upstream | None] | None
    rules: RuleReader
    budgets: Budgets
    login: Login | None = None
    has_login: bool = False  # the file has one, perhaps with a mistake
    streams: StreamsOfAll = OF_ALL


@dataclass(frozen=True, slots=True)
class ReadRoute:
    """A route and where it stands; `is_ours`: the gateway itself answers there, because of the route at `entry`."""

    route: Route
    entry: Entry
    is_ours: bool = False


def read_routes(node: Node, known: Known, reading: Reading) -> tuple[ReadRoute, ...]:
    """Return the routes that could be read. Raises `Unreadable` only for what is no mapping."""
    if not isinstance(node, Fields) or not node.entries:
        reading.refuse(node, f"found {kind_of(node)}, expected at least one route: /api: {{provider: ..., allow: ...}}")
    routes: list[ReadRoute] = []
    good_keys: list[tuple[Entry, RouteKey, bool]] = []
    for entry in node.entries:
        key = attempt(_key, entry, reading)
        values = attempt(fields.ROUTE_RECORD.read, entry.value, reading)
        if values is None:
            continue
        if key is not None:
            good_keys.append((entry, key, values.get(fields.EXACT, False)))
        route = attempt(_Route(entry, key, values, known, reading).read)
        if route is not None:
            routes.append(ReadRoute(route, entry))
    _refuse_overlaps(good_keys, reading)
    return tuple(routes)


def _key(entry: Entry, reading: Reading) -> RouteKey:
    try:
        return read_key(entry.key.text)
    except Mistake as mistake:
        reading.refuse_at(entry.key.place, str(mistake))


class _Route:
    """One route, being read."""

    def __init__(self, entry: Entry, key: RouteKey | None, values: Values, known: Known, reading: Reading) -> None:
        self._entry = entry
        self._key = key
        self._values = values
        self._known = known
        self._reading = reading

    def read(self) -> Route:
        """Return the route. Raises `Unreadable`."""
        values = self._values
        upstream = attempt(self._upstream)
        is_open = values.get(fields.PUBLIC, False) or fields.OPTIONAL in values
        guard = attempt(self._open if is_open else self._guard)
        node = values.get(fields.BUDGET)
        budgets = () if node is None else attempt(self._known.budgets.of_route, node, self._reading, is_open=is_open)
        if self._key is None or upstream is None or guard is None or budgets is None or values.broken:
            raise Unreadable
        providers, allow, deny = guard
        resource = None
        if values.get(fields.MCP):
            place = values.key_place(fields.MCP)
            resource = read_resource(self._key.segments, providers, allow, place, self._reading)
        return Route(
            key=self._entry.key.text,
            segments=self._key.segments,
            upstream=upstream,
            methods=self._key.methods,
            public=is_open,
            exact=values.get(fields.EXACT, False),
            providers=providers,
            allow=allow,
            deny=deny,
            websocket=values.get(fields.WEBSOCKET, False),
            enforce=values.get(fields.ENFORCE, True),
            resource=resource,
            login=self._sends_to_login(providers),
            sealed=self._known.login.cookie if self._known.login is not None else "",
            budgets=budgets,
            streams=self._known.streams.of_route(values, bool(providers), self._reading),
            own_things=self._own_things(upstream),
        )

    def _own_things(self, upstream: Upstream) -> Ownership | None:
        said = self._values.get(OWN_OF_ROUTE)
        if said is None or upstream.own is None:
            if said is not None:
                hint = f"and the upstream '{upstream.name}' has no 'own:' that says whose its things are"
                self._reading.refuse_at(self._values.key_place(OWN_OF_ROUTE), f"found 'own' here, {hint}")
            return upstream.own
        return said.of(upstream.own)

    def _sends_to_login(self, providers: Sequence[Provider]) -> bool:
        values, login = self._values, self._known.login
        if not values.get(fields.LOGIN_PAGES) or (login is None and self._known.has_login):
            return False
        place = values.key_place(fields.LOGIN_PAGES)
        if login is None:
            self._reading.refuse_at(place, "found 'login: true', and the file has no 'login:' that says where")
        if all(provider.name != login.provider for provider in providers):
            hint = f"expected '{login.provider}', whose people log in, among the providers"
            self._reading.refuse_at(place, f"nobody who logs in could pass this route, {hint}")
        return True

    def _upstream(self) -> Upstream:
        upstreams = self._known.upstreams
        node = self._values.get(fields.UPSTREAM)
        if node is not None:
            return _named(node, "upstream", upstreams, self._reading)
        if upstreams is None or fields.UPSTREAM.name in self._values.broken:
            raise Unreadable
        if len(upstreams) > 1:
            names = listed(upstreams)
            self._reading.refuse_at(self._entry.key.place, f"'upstream' is missing, expected {names}")
        only = next(iter(upstreams.values()), None)
        if only is None:
            raise Unreadable
        return only

    def _open(self) -> tuple[tuple[Provider, ...], tuple[Rule, ...], tuple[Rule, ...]]:
        """The guard of a public route: there is none, and none may look as if. With `optional` a token may come."""
        is_optional = fields.OPTIONAL in self._values
        what = (
            "a route with 'optional', which lets everybody in"
            if is_optional
            else "a public route, which asks nobody for a token"
        )
        for field in (fields.PROVIDER, fields.ALLOW, fields.DENY, fields.ENFORCE, fields.LOGIN_PAGES, fields.MCP):
            if field in self._values:
                self._reading.add(
                    self._values.key_place(field), f"found '{field.name}' on {what}, expected one or the other"
                )
                raise Unreadable
        if is_optional and fields.PUBLIC in self._values:
            place = self._values.key_place(fields.PUBLIC)
            self._reading.refuse_at(place, "found 'public' beside 'optional', expected one of them")
        return self._providers(self._values.need(fields.OPTIONAL)) if is_optional else (), (), ()

    def _guard(self) -> tuple[tuple[Provider, ...], tuple[Rule, ...], tuple[Rule, ...]]:
        self._check_complete()
        providers = attempt(self._providers, self._values.get(fields.PROVIDER))
        allow = attempt(self._rules, self._values.get(fields.ALLOW))
        deny = attempt(self._rules, self._values.get(fields.DENY))
        if not providers or not allow or deny is None:
            raise Unreadable
        return providers, allow, deny

    def _check_complete(self) -> None:
        values, place = self._values, self._entry.key.place
        missing = [f for f in (fields.PROVIDER, fields.ALLOW) if f not in values and f.name not in values.broken]
        if fields.PUBLIC.name in values.broken:
            return
        if len(missing) == 2:
            self._reading.add(place, "nobody is named, expected 'provider' and 'allow', or 'public: true'")
        elif missing == [fields.PROVIDER]:
            self._reading.add(place, "'provider' is missing, expected the name of a provider whose tokens count")
        elif missing == [fields.ALLOW]:
            hint = "expected who may pass ('allow: authenticated': everybody with a token that counts)"
            self._reading.add(place, f"'allow' is missing, {hint}")

    def _providers(self, node: Node | None) -> tuple[Provider, ...]:
        if node is None:
            raise Unreadable
        members = node.members if isinstance(node, Items) else (node,)
        if not members:
            self._reading.refuse(node, "found an empty list, expected the name of a provider")
        known = self._known.providers
        found = [attempt(_named, member, "provider", known, self._reading) for member in members]
        providers = [provider for provider in found if provider is not None]
        for first, second in combinations(providers, 2):
            if first is second:
                self._reading.refuse(node, f"found the provider '{first.name}' twice in one list")
            self._refuse_twins(first, second, node)
        if len(providers) < len(found):
            raise Unreadable
        return tuple(providers)

    def _refuse_twins(self, first: Provider, second: Provider, node: Node) -> None:
        """The token picks its provider by issuer, then by algorithm: for no token may two be left."""
        twice = sorted({first.machines[digest].key.name for digest in first.machines.keys() & second.machines.keys()})
        if twice:
            hint = "expected each key in one file ('roles' of a key tell its rights)"
            self._reading.refuse(node, f"'{first.name}' and '{second.name}' both have the key {twice[0]}, {hint}")
        why = why_twins(first, second)
        if why is None:
            return
        ways = "'issuer' on each, other 'algorithms', or one provider ('secrets' and 'audience' take lists)"
        self._reading.refuse(
            node, f"no token can tell '{first.name}' and '{second.name}' apart: {why}, expected {ways}"
        )

    def _rules(self, node: Node | None) -> tuple[Rule, ...]:
        captures = self._key.segments if self._key is not None else ()
        names = frozenset(segment.name for segment in captures if isinstance(segment, Capture))
        if self._key is None and node is not None:
            # What it captures is unknown, so an expression could be blamed for nothing.
            raise Unreadable
        return self._known.rules.alternatives(node, names) if node is not None else ()


def _named(node: Node, what: str, known: Mapping[str, T | None] | None, reading: Reading) -> T:
    """Return what a name stands for. Raises `Unreadable`, in silence for what is broken by itself."""
    name = text_of(node, reading, f"the name of {'an' if what == 'upstream' else 'a'} {what}")
    if known is None:
        raise Unreadable
    if name.text not in known:
        names = f"the {what}s are {', '.join(known)}" if known else f"there are no '{what}s:' in the file"
        reading.refuse(node, f"unknown {what} {name.shown}{nearest(name.text, known)}", names)
    found = known[name.text]
    if found is None:
        raise Unreadable
    return found


def _refuse_overlaps(found: Sequence[tuple[Entry, RouteKey, bool]], reading: Reading) -> None:
    """Refuse routes of which no rule says which one counts: the same shape, a method in common."""
    by_shape: dict[tuple[object, ...], dict[str | None, tuple[int, Entry]]] = {}
    for number, (entry, key, exact) in enumerate(found):
        shape = (exact, *("{}" if isinstance(segment, Capture) else f"/{segment}" for segment in key.segments))
        firsts = by_shape.setdefault(shape, {})  # by method, and None for any: named methods go before it
        methods: Iterable[str | None] = (None,) if key.methods is None else key.methods
        taken = [firsts[method] for method in methods if method in firsts]
        if taken:
            _, other = min(taken, key=lambda numbered: numbered[0])
            where = f"line {other.key.place.line}"
            shown = other.key.text
            said = f"overlaps '{shown}' ({where}): the same paths and methods, expected one of them"
            reading.add(entry.key.place, said)
        for method in methods:
            firsts.setdefault(method, (number, entry))


def captures_of(routes: Iterable[ReadRoute]) -> frozenset[str]:
    """Return every capture of every route."""
    return frozenset(s.name for read in routes for s in read.route.segments if isinstance(s, Capture))

"""Routes: a path prefix with its guard, and the one that a request falls under."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.policy.budgets import Budget
from gateway.policy.cache import VerifiedTokens
from gateway.policy.denied import Denied, MethodNotAllowed
from gateway.policy.fields import MASTRA_COOKIES, MASTRA_PARAMETER, HeaderRules
from gateway.policy.judged_names import Door, JudgedNames
from gateway.policy.login import Login
from gateway.policy.mastra_names import NO_NAMES, Names
from gateway.policy.mastra_routes import PREFIX
from gateway.policy.memory import Remembered
from gateway.policy.onward import AUTHORIZATION, NOTHING, Withheld
from gateway.policy.ownership import Ownership
from gateway.policy.parameters import without_parameter
from gateway.policy.paths import Path, plain_readings, split_target
from gateway.policy.providers import Provider, TokenSource, token_sources
from gateway.policy.reasons import Reason
from gateway.policy.resources import Resource
from gateway.policy.revocation import Revoked
from gateway.policy.rules import Rule, Unenforced, rules_within
from gateway.policy.session import sealed_names
from gateway.policy.streams import Streams
from gateway.policy.upstreams import Upstream

_QUERY: Final = re.compile(r"[\x21\x22\x24-\x7e]*")  # printable, and no fragment
_MAX_REMEMBERED, _MAX_REMEMBERED_LENGTH = 8192, 256  # paths that were asked for lately: four megabytes at most


@dataclass(frozen=True, slots=True)
class Capture:
    """A segment `{name}` of a route's prefix: stands for exactly one segment of the path."""

    name: str


Segment = str | Capture


def literals(segments: Sequence[Segment]) -> tuple[str, ...]:
    """Return the segments of a prefix, those of captures empty."""
    return tuple("" if isinstance(one, Capture) else one for one in segments)


@dataclass(frozen=True, slots=True)
class Route:
    """A path prefix and who may pass it.

    `segments` are in canonical form (see `paths.canonical_path`). `methods` None means any; GET covers HEAD.
    A guarded route has providers and rules, a public one neither. One with `optional` is public, and has providers:
    a token counts if it is there. With a `document` the gateway itself answers.
    """

    key: str  # as written in the file: `POST,DELETE /api/memory`
    segments: tuple[Segment, ...]
    upstream: Upstream
    methods: frozenset[str] | None = None
    public: bool = False
    exact: bool = False
    providers: tuple[Provider, ...] = ()
    allow: tuple[Rule, ...] = ()  # one must hold
    deny: tuple[Rule, ...] = ()  # none may hold, none may be undecided
    websocket: bool = False
    enforce: bool = True
    resource: Resource | None = None  # `mcp: true`: what its clients know it by
    login: bool = False  # a page that asks without a session is sent to log in
    sealed: str = ""  # the name of the cookie of sessions, which no upstream gets to see
    own_things: Ownership | None = None  # callers have to do with their own things alone
    own: str = ""  # the gateway itself answers: the name of what is asked; with a `document` it is that
    document: bytes | None = field(default=None, repr=False)
    streams: Streams | None = None  # None: nobody looks after them
    budgets: tuple[Budget, ...] = ()  # of what a request uses up some
    # What follows from these, once: where a token may stand, and which parameters of the query never go on.
    provider_names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    sources: tuple[TokenSource, ...] = field(init=False, repr=False, compare=False)
    spent_parameters: tuple[str, ...] = field(init=False, repr=False, compare=False)
    keyed: tuple[Provider, ...] = field(init=False, repr=False, compare=False)  # those whose tokens are keys
    _withheld: tuple[tuple[TokenSource | None, Withheld], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sources = token_sources(self.providers)
        in_query = tuple(source.name for source in sources if source.place == "query")
        spent = () if not self.providers else tuple(dict.fromkeys((*in_query, MASTRA_PARAMETER)))
        object.__setattr__(self, "provider_names", tuple(provider.name for provider in self.providers))
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "keyed", tuple(one for one in self.providers if one.kind == "keys"))
        object.__setattr__(self, "spent_parameters", spent)
        object.__setattr__(self, "_withheld", tuple((source, self._stops(source)) for source in (None, *sources)))

    def withheld(self, source: TokenSource | None, provider: str = "") -> Withheld:
        """Return what stops here of a request whose verified token stood in `source`; None: nothing was verified.

        `provider` is whose it was. A machine's key goes up nowhere: it counts here alone, and for long.
        """
        if self.keyed and any(one.name == provider for one in self.keyed):
            source = None
        for one, stops in self._withheld:
            if one is source:  # most often: equal ones are hashed in Python
                return stops
        return next(stops for one, stops in self._withheld if one == source)

    def sent_query(self, query: str) -> str:
        """Return a query without what was spent here: parameters that are for tokens."""
        if query:
            for name in self.spent_parameters:
                query = without_parameter(query, name)
        return query

    def _stops(self, source: TokenSource | None) -> Withheld:
        forwards = self.upstream.identity.authorization == "forward"
        sealed = sealed_names(self.sealed) if self.sealed else ()
        if not self.providers:  # nobody verified what is there
            stops = NOTHING if forwards else AUTHORIZATION
            return replace(stops, cookies=frozenset(sealed)) if sealed else stops
        # Exactly the verified credential goes up in a place that an upstream may read one from.
        place = source.place if source is not None and forwards else None
        cookies = {one.name for one in self.sources if one.place == "cookie"} | MASTRA_COOKIES | set(sealed)
        spent = source.name if source is not None and place == "cookie" else None
        return Withheld(
            authorization=place not in ("bearer", "bare"),
            cookies=frozenset(cookies - {spent}),
            protocols=True,
            keeps_protocol=place == "websocket_protocol",
            mastra=True,
            plain_cookie=spent,
            headers=True,
            keeps_header=source.name if source is not None and place == "header" else "",
        )

    @property
    def has_unenforced_rules(self) -> bool:
        """True if a rule within `allow` or `deny` says `enforce: false`."""
        return any(isinstance(one, Unenforced) for rule in (*self.allow, *self.deny) for one in rules_within(rule))


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request, and what its captures stood for (percent-decoded once).

    `names` are the parts of Mastra's own path by which requests like this one are judged, and where in it they are.
    """

    route: Route
    captures: Mapping[str, str]
    names: Names


class Policy:
    """Every route, compiled into a tree of segments. Matching is exact, or it is refused.

    `header_rules`: which fields of a request no upstream gets to see, and so no rule; by default the built-in ones and
    what the gateway says to the routes' upstreams. `login` is where sessions come from.
    """

    def __init__(
        self, routes: Sequence[Route], header_rules: HeaderRules | None = None, login: Login | None = None
    ) -> None:
        self.routes = tuple(routes)
        self.header_rules = header_rules or HeaderRules(
            (),
            [name for route in routes for name in route.upstream.own_names],
            [source.name for route in routes for source in route.sources if source.place == "header"],
        )
        self.login = login
        self.judged = JudgedNames(door_of(route) for route in routes)
        self.verified = VerifiedTokens()
        self.revoked: Revoked | None = None  # None while nothing is: set anew by whoever learns of more
        self._found: Remembered[tuple[str, str], tuple[Path, Match]] = Remembered(_MAX_REMEMBERED)
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in route.segments:
                node = node.child_for(segment)
            node.routes.append(route)
            node.routes.sort(key=lambda route: (not route.exact, route.methods is None, not _names(route, "HEAD")))

    def find(self, target: str, method: str) -> tuple[Path, str, Match]:
        """Return the canonical path of a request target, its query, and its route. Raises `Denied`, as `match` does.

        Where a path leads is remembered, since it depends on nothing else; whether somebody may go there never is.
        """
        raw, mark, query = target.partition("?")
        known = self._found.known.get((raw, method))
        if known is not None and (not mark or _QUERY.fullmatch(query)):
            return known[0], mark + query, known[1]
        path, whole_query = split_target(target)
        match = self.match(path, method)
        if len(raw) <= _MAX_REMEMBERED_LENGTH:
            self._found.keep((raw, method), (path, match))
        return path, whole_query, match

    def match(self, path: Path, method: str) -> Match:
        """Return the most specific route: more segments first, a literal before a capture, named methods before any.

        A route for GET takes HEAD as well, unless another one of the same path names it.
        Raises `Denied`: NO_ROUTE; METHOD_NOT_ALLOWED, with the methods in `MethodNotAllowed.allowed`;
        TARGET_AMBIGUOUS for a segment that a laxer parser would take for a route's literal (`/API`, `/api;x`,
        `/api%2Fx`), for an exact route's path with a closing slash (many routers serve both alike), and for an encoded
        slash where the upstream does not keep those.
        """
        allowed: set[str] = set()
        for node in self._covering(path):
            for route in node.routes:
                if route.exact and len(route.segments) != len(path.segments):
                    continue
                if route.methods is None or _names(route, method) or (method == "HEAD" and _names(route, "GET")):
                    if route.exact and not _is_whole(route, path):
                        raise Denied(Reason.TARGET_AMBIGUOUS, f"only the closing slash is not of the route {route.key}")
                    return self._matched(route, path, method)
                allowed |= with_head(route.methods)
        if allowed:
            raise MethodNotAllowed(tuple(sorted(allowed)))
        raise Denied(Reason.NO_ROUTE, "no route covers the path")

    def covering(self, path: Path) -> tuple[Route, ...]:
        """Return every route whose prefix covers the path, in the order they are tried. Raises `Denied`."""
        routes = (route for node in self._covering(path) for route in node.routes)
        return tuple(route for route in routes if not route.exact or _is_whole(route, path))

    def _covering(self, path: Path) -> list[_Node]:
        """Return the nodes whose prefix covers the path, most specific first."""
        found: list[tuple[tuple[int, ...], _Node]] = []
        pending: list[tuple[tuple[int, ...], _Node]] = [((), self._root)]
        while pending:
            literalness, node = pending.pop()
            found.append((literalness, node))
            if len(literalness) == len(path.segments):
                continue
            segment = path.segments[len(literalness)]
            literal = node.literals.get(segment)
            if literal is not None:
                pending.append(((*literalness, 1), literal))
            elif node.literals and not node.folded.isdisjoint(plain_readings(segment)[:1]):
                raise Denied(Reason.TARGET_AMBIGUOUS, "a segment is spelt almost like a route's, but not the same")
            if node.capture is not None:
                if path.has_encoded_slash and not node.capture.folded.isdisjoint(plain_readings(segment)[1:2]):
                    raise Denied(Reason.TARGET_AMBIGUOUS, "behind an encoded slash stands what is a route's to others")
                pending.append(((*literalness, 0), node.capture))
        found.sort(key=lambda item: (len(item[0]), item[0]), reverse=True)
        return [node for _, node in found]

    def _matched(self, route: Route, path: Path, method: str) -> Match:
        if path.has_encoded_slash and not route.upstream.keeps_encoded_slash:
            said = "the path holds %2F (`encoded_slash: keep` on the upstream lets it pass)"
            raise Denied(Reason.TARGET_AMBIGUOUS, said)
        captures = {s.name: path.decoded(index) for index, s in enumerate(route.segments) if isinstance(s, Capture)}
        if route.own_things is not None:
            return Match(route, captures, NO_NAMES)  # what takes a name's place is taken out
        own = route.upstream.own
        return Match(route, captures, self.judged.of(method, path.segments, PREFIX if own is None else own.prefix))


class _Node:
    """One segment of the tree of routes."""

    __slots__ = ("capture", "folded", "literals", "routes")

    def __init__(self) -> None:
        self.routes: list[Route] = []  # exact before prefix, named methods before any, HEAD by its name before GET
        self.literals: dict[str, _Node] = {}
        self.folded: set[str] = set()
        self.capture: _Node | None = None

    def child_for(self, segment: Segment) -> _Node:
        if isinstance(segment, Capture):
            self.capture = self.capture or _Node()
            return self.capture
        if segment not in self.literals:
            self.literals[segment] = _Node()
            self.folded.update(plain_readings(segment))
        return self.literals[segment]


def door_of(route: Route) -> Door:
    """Return what of a route may judge by names in Mastra's paths."""
    captures = tuple(one.name if isinstance(one, Capture) else "" for one in route.segments)
    return Door(literals(route.segments), captures, (*route.allow, *route.deny))


def with_head(methods: frozenset[str]) -> frozenset[str]:
    """Return methods with HEAD where GET is: it asks for the same, without the content (RFC 9110 section 9.3.2)."""
    return methods | {"HEAD"} if "GET" in methods else methods


def _names(route: Route, method: str) -> bool:
    return route.methods is not None and method in route.methods


def _is_whole(route: Route, path: Path) -> bool:
    # `/api/` is below `/api`; only the root is its own closing slash.
    return len(route.segments) == len(path.segments) and path.ends_with_slash == (not path.segments)

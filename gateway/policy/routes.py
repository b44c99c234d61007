"""Routes: a path prefix with its guard, and the one that a request falls under."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.policy.cache import VerifiedTokens
from gateway.policy.paths import Path, plain_readings, split_target
from gateway.policy.providers import Provider, TokenSource, token_sources
from gateway.policy.reasons import Denied, Reason
from gateway.policy.rules import Rule, Unenforced, rules_within
from gateway.policy.upstreams import Upstream

_QUERY = re.compile(r"[\x21\x22\x24-\x7e]*")  # printable, and no fragment
_MAX_REMEMBERED, _MAX_REMEMBERED_LENGTH = 4096, 256  # paths that were asked for lately: two megabytes at most


@dataclass(frozen=True, slots=True)
class Capture:
    """A segment `{name}` of a route's prefix: stands for exactly one segment of the path."""

    name: str


Segment = str | Capture


@dataclass(frozen=True, slots=True)
class Route:
    """A path prefix and who may pass it.

    `segments` are in canonical form (see `paths.canonical_path`). `methods` None means any; GET covers HEAD.
    A public route has no providers and no rules; a guarded one has both.
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

    @property
    def has_unenforced_rules(self) -> bool:
        """True if a rule within `allow` or `deny` says `enforce: false`."""
        return any(isinstance(one, Unenforced) for rule in (*self.allow, *self.deny) for one in rules_within(rule))


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request, what its captures stood for (percent-decoded once), and what it asks of a token.

    `query_names`: the parameters of `sources` that may hold it.
    """

    route: Route
    captures: Mapping[str, str]
    provider_names: tuple[str, ...]
    sources: tuple[TokenSource, ...]
    query_names: tuple[str, ...]


class Policy:
    """Every route, compiled into a tree of segments. Matching is exact, or it is refused."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self.verified = VerifiedTokens()
        self._found: dict[tuple[str, str], tuple[Path, Match]] = {}
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
        known = self._found.get((raw, method))
        if known is not None and (not mark or _QUERY.fullmatch(query)):
            return known[0], mark + query, known[1]
        path, whole_query = split_target(target)
        match = self.match(path, method)
        if len(raw) <= _MAX_REMEMBERED_LENGTH:
            if len(self._found) >= _MAX_REMEMBERED:
                self._found.clear()
            self._found[raw, method] = path, match
        return path, whole_query, match

    def match(self, path: Path, method: str) -> Match:
        """Return the most specific route: more segments first, a literal before a capture, named methods before any.

        A route for GET takes HEAD as well, unless another one of the same path names it.
        Raises `Denied`: NO_ROUTE; METHOD_NOT_ALLOWED, with the methods in `MethodNotAllowed.allowed`;
        TARGET_AMBIGUOUS for a segment that a laxer parser would take for a route's literal (`/API`, `/api;x`,
        `/api%2Fx`), or that holds an encoded slash where the upstream does not keep those.
        """
        allowed: set[str] = set()
        for node in self._covering(path):
            for route in node.routes:
                if route.exact and not _is_whole(route, path):
                    continue
                if route.methods is None or _names(route, method) or (method == "HEAD" and _names(route, "GET")):
                    return _matched(route, path)
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
                pending.append(((*literalness, 0), node.capture))
        found.sort(key=lambda item: (len(item[0]), item[0]), reverse=True)
        return [node for _, node in found]


class MethodNotAllowed(Denied):
    """Routes cover the path, none of them the method."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(Reason.METHOD_NOT_ALLOWED, f"the path takes {', '.join(allowed)}")
        self.allowed = allowed


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


def with_head(methods: frozenset[str]) -> frozenset[str]:
    """Return methods with HEAD where GET is: it asks for the same, without the content (RFC 9110 section 9.3.2)."""
    return methods | {"HEAD"} if "GET" in methods else methods


def _names(route: Route, method: str) -> bool:
    return route.methods is not None and method in route.methods


def _is_whole(route: Route, path: Path) -> bool:
    # `/api/` is below `/api`; only the root is its own closing slash.
    return len(route.segments) == len(path.segments) and path.ends_with_slash == (not path.segments)


def _matched(route: Route, path: Path) -> Match:
    if path.has_encoded_slash and not route.upstream.keeps_encoded_slash:
        raise Denied(Reason.TARGET_AMBIGUOUS, "the path holds %2F (`encoded_slash: keep` on the upstream lets it pass)")
    captures = {s.name: path.decoded(index) for index, s in enumerate(route.segments) if isinstance(s, Capture)}
    names = tuple(provider.name for provider in route.providers)
    sources = token_sources(route.providers)
    return Match(route, captures, names, sources, tuple(s.name for s in sources if s.place == "query"))

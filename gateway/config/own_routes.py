"""The routes at which the gateway itself answers: what follows from `mcp: true`, from `login:` and from `studio:`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.config.login import only_sessions
from gateway.config.reading import Reading
from gateway.config.resources import route_of_document
from gateway.config.routes import ReadRoute
from gateway.config.targets import read_prefix
from gateway.config.twins import why_twins
from gateway.policy.login import BACKCHANNEL, PREFIX, Login
from gateway.policy.providers import Provider
from gateway.policy.routes import Route
from gateway.policy.studio import ASKED
from gateway.policy.upstreams import Upstream

_Row = tuple[str, str, tuple[Provider, ...]]
# Below the prefix. Of a login, and without one of a Studio, which then hears that there is none.
_OF_LOGIN = (("GET", "sso/login"), ("GET", "sso/callback"), ("POST", "logout"), ("POST", "refresh"))
_OF_LOGIN_ALONE = (("POST", BACKCHANNEL),)
_WITHOUT_LOGIN = tuple(one for one in _OF_LOGIN if one[1] != "sso/callback")
_ABOUT_SESSIONS = frozenset({"logout", "refresh"})
_OF_STUDIO = tuple(("GET", name) for name in ASKED)
_FIRST_OF_STUDIO = ("agents",)  # what its first page lists, below the prefix


def own_routes(routes: Sequence[ReadRoute], login: Login | None, reading: Reading) -> tuple[ReadRoute, ...]:
    """Return the gateway's own routes beside those of the file; one of the file at the same place is a mistake."""
    return (*_documents(routes, reading), *_about_people(routes, login, reading))


def _documents(routes: Sequence[ReadRoute], reading: Reading) -> list[ReadRoute]:
    """Return the routes of the documents of MCP routes, each at an address of its own."""
    taken = {read.route.segments: read for read in routes if read.route.exact and _takes_get(read.route)}
    found: list[ReadRoute] = []
    by_path: dict[str, Route] = {}
    for read in routes:
        resource = read.route.resource
        if resource is None:
            continue
        first = by_path.setdefault(resource.metadata_path, read.route)
        if first is not read.route:
            if first.resource != resource:
                said = f"tells another story of {resource.identifier} than '{first.key}', expected the same providers"
                reading.add(read.entry.key.place, f"{said} and scopes, or an address for each")
            continue
        own = route_of_document(resource, read.route.upstream)
        if own.segments in taken:
            place = taken[own.segments].entry.key.place
            said = f"the gateway itself answers there, for '{read.route.key}' (mcp: true)"
            reading.add(place, f"{said}, expected no route of that path")
            continue
        found.append(ReadRoute(own, read.entry, is_ours=True))
    return found


def _about_people(routes: Sequence[ReadRoute], login: Login | None, reading: Reading) -> list[ReadRoute]:
    """Return the routes at which the gateway itself answers about logins, and to Studio about people."""
    with_studio = [read for read in routes if read.route.upstream.studio is not None]
    rows: list[_Row] = []
    if login is not None and routes:
        sessions = (only_sessions(login),)
        rows += [(method, name, sessions if name in _ABOUT_SESSIONS else ()) for method, name in _OF_LOGIN]
        rows += [(method, name, ()) for method, name in _OF_LOGIN_ALONE]
    elif with_studio:
        rows += [(method, name, ()) for method, name in _WITHOUT_LOGIN]
    if with_studio:
        known = _providers_of_studio([read.route for read in with_studio])
        rows += [(method, name, known) for method, name in _OF_STUDIO]
    places: dict[tuple[str | None, object], ReadRoute] = {}
    for read in routes:
        places |= {(method, read.route.segments): read for method in read.route.methods or (None,)}
    found = []
    for method, name, providers in rows:
        path = f"{PREFIX}/auth/{name}"
        segments = read_prefix(path)
        taken = places.get((method, segments)) or places.get((None, segments))
        if taken is not None:
            because = "studio" if login is None or (method, name) in _OF_STUDIO else "login"
            said = f"the gateway itself answers {method} {path} ('{because}:'), expected no route of that path"
            reading.add(taken.entry.key.place, said)
        first = (with_studio or routes)[0]
        own = name.rpartition("/")[2]
        found.append(ReadRoute(_own(method, path, own, providers, first.route.upstream, login), first.entry, True))
    return found


def _own(
    method: str, path: str, name: str, providers: tuple[Provider, ...], upstream: Upstream, login: Login | None
) -> Route:
    return Route(
        key=f"{method} {path}",
        segments=read_prefix(path),
        upstream=upstream,
        methods=frozenset({method}),
        public=True,
        exact=True,
        providers=providers,
        enforce=not providers,  # whose credential does not count is nobody there
        sealed="" if login is None else login.cookie,
        own=name,
    )


def _providers_of_studio(routes: Sequence[Route]) -> tuple[Provider, ...]:
    """Return whose tokens say who uses Studio: first those that count where its first page lists agents.

    Of two that no token could tell apart only the first is one of them.
    """
    listed = (*read_prefix(PREFIX), *_FIRST_OF_STUDIO)
    around = [route for route in routes if route.segments == listed[: len(route.segments)]]
    nearest = sorted(around, key=lambda route: len(route.segments), reverse=True)
    found: list[Provider] = []
    for provider in _each_once((*nearest, *routes)):
        if all(why_twins(one, provider) is None for one in found):
            found.append(provider)
    return tuple(found)


def _each_once(routes: Iterable[Route]) -> Iterable[Provider]:
    return {provider.name: provider for route in routes for provider in route.providers}.values()


def _takes_get(route: Route) -> bool:
    return route.methods is None or "GET" in route.methods

"""The routes at which the gateway itself answers: what follows from `mcp: true` and from `login:`."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config.login import only_sessions
from gateway.config.reading import Reading
from gateway.config.resources import route_of_document
from gateway.config.routes import ReadRoute
from gateway.config.targets import read_prefix
from gateway.policy.login import Login
from gateway.policy.routes import Route

# Of `login:`, below the prefix: method, path, and whether it matters who asks (whoever is nobody is none there either).
_OWN_OF_LOGIN = (
    ("GET", "sso/login", False),
    ("GET", "sso/callback", False),
    ("POST", "logout", True),
    ("POST", "refresh", True),
)


def own_routes(routes: Sequence[ReadRoute], login: Login | None, reading: Reading) -> tuple[ReadRoute, ...]:
    """Return the gateway's own routes beside those of the file; one of the file at the same place is a mistake."""
    return (*_documents(routes, reading), *_of_login(routes, login, reading))


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


def _of_login(routes: Sequence[ReadRoute], login: Login | None, reading: Reading) -> list[ReadRoute]:
    """Return the routes at which the gateway itself answers about logins."""
    if login is None or not routes:
        return []
    found = []
    taken = {(method, read.route.segments): read for read in routes for method in read.route.methods or ()}
    for method, name, is_optional in _OWN_OF_LOGIN:
        path = f"{login.prefix}/auth/{name}"
        key = (method, read_prefix(path))
        if key in taken:
            said = f"the gateway itself answers {method} {path} ('login:'), expected no route of that path"
            reading.add(taken[key].entry.key.place, said)
        route = Route(
            key=f"{method} {path}",
            segments=key[1],
            upstream=routes[0].route.upstream,
            methods=frozenset({method}),
            public=True,
            exact=True,
            providers=(only_sessions(login),) if is_optional else (),
            enforce=not is_optional,
            sealed=login.cookie,
            own=name.rpartition("/")[2],
        )
        found.append(ReadRoute(route, routes[0].entry, is_ours=True))
    return found


def _takes_get(route: Route) -> bool:
    return route.methods is None or "GET" in route.methods

"""`mcp: true` on a route: which address its clients know it by, and the document that tells them where to log in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import urlsplit

from gateway.config.addresses import is_loopback
from gateway.config.document import Place
from gateway.config.readers import Mistake
from gateway.config.reading import Reading
from gateway.config.targets import read_prefix
from gateway.policy.asked import scopes_of
from gateway.policy.providers import Provider, token_sources
from gateway.policy.resources import Resource
from gateway.policy.routes import Route, Segment
from gateway.policy.rules import Rule
from gateway.policy.upstreams import Upstream
from gateway.policy.words import listed

_SCHEMES = ("https", "http")


def read_resource(
    segments: Sequence[Segment], providers: Sequence[Provider], allow: Sequence[Rule], place: Place, reading: Reading
) -> Resource:
    """Return what an MCP route is known by: the audience of its providers that is an address at or below its path.

    Raises `Unreadable`, with what is amiss at `place`.
    """
    literal = tuple(segment for segment in segments if isinstance(segment, str))
    if len(literal) < len(segments):
        reading.refuse_at(place, "found a capture in the path of an MCP route, expected a route for each server")
    for source in token_sources(tuple(providers)):
        if source.place == "query":
            hint = "expected none (MCP, \"Access Token Usage\"): a provider without 'token_from: [{query: ...}]'"
            reading.refuse_at(place, f"found a provider that takes tokens from the query on an MCP route, {hint}")
    # A key of a machine is of this gateway's own file: it was given out for no other server.
    issuing = [provider for provider in providers if provider.kind != "keys"]
    identifiers = [_identifier(literal, provider, place, reading) for provider in issuing]
    if len(set(identifiers)) > 1:
        found = listed(dict.fromkeys(identifiers), "and")
        reading.refuse_at(place, f"found {found}, expected one address of this route in every provider's 'audience'")
    issuers = [issuer for provider in issuing for issuer in sorted(provider.issuers or ()) if _is_address(issuer)]
    if not issuers:
        hint = "expected the 'issuer' of one, an address: an MCP client asks there for its token"
        reading.refuse_at(place, f"found no authorization server among the route's providers, {hint}")
    of_rules = [tuple(dict.fromkeys(scopes_of(rule))) for rule in allow]
    asked = [scopes for scopes in of_rules if scopes]
    every = tuple(dict.fromkeys(scope for scopes in asked for scope in scopes))
    # One rule is enough: what is asked for is no more than one of them needs.
    enough = min(asked, key=len) if len(asked) == len(of_rules) and asked else ()
    return Resource(identifiers[0], tuple(dict.fromkeys(issuers)), every, enough)


def route_of_document(resource: Resource, upstream: Upstream) -> Route:
    """Return the route at which the gateway itself answers with a resource's document."""
    path = resource.metadata_path
    return Route(
        key=f"GET {path}",
        segments=read_prefix(path),
        upstream=upstream,
        methods=frozenset({"GET"}),
        public=True,
        exact=True,
        own="document",
        document=resource.document,
    )


def _identifier(segments: tuple[str, ...], provider: Provider, place: Place, reading: Reading) -> str:
    """Return the one audience of a provider that lies at or below a path."""
    path = "/" + "/".join(segments)
    found = [audience for audience in sorted(provider.audiences or ()) if _is_at(audience, segments)]
    if len(found) > 1:
        said = f"found {listed(found, 'and')} in the audience of '{provider.name}', all at or below {path}"
        reading.refuse_at(place, f"{said}, expected a route for each")
    if not found:
        _refuse_unknown(path, provider, place, reading)
    if urlsplit(found[0]).scheme == "http" and not is_loopback(urlsplit(found[0]).hostname or ""):
        reading.refuse_at(place, f"found the http address {found[0]} as the resource, expected https (or loopback)")
    return found[0]


def _refuse_unknown(path: str, provider: Provider, place: Place, reading: Reading) -> NoReturn:
    has = f", which has {listed(sorted(provider.audiences), 'and')}" if provider.audiences else ", which has none"
    hint = f"expected the address that clients connect to, such as https://agents.example.com{path}"
    said = f"found no address at or below {path} in the 'audience' of provider '{provider.name}'{has}"
    reading.refuse_at(place, f"{said}, {hint}")


def _is_at(audience: str, segments: tuple[str, ...]) -> bool:
    if not _is_address(audience):
        return False
    parts = urlsplit(audience)
    if "?" in audience or "#" in audience:  # RFC 9728 section 1.2, RFC 8707 section 2
        return False
    try:
        own = read_prefix(parts.path or "/")  # in canonical form: clients compare it as a text
    except Mistake:
        return False
    return own[: len(segments)] == segments and all(isinstance(segment, str) for segment in own)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in _SCHEMES and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False

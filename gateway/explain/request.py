"""A request that nobody has sent: its head, and whose token the claims in it would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gateway.config.model import Config
from gateway.explain.step import Step
from gateway.policy.addresses import is_within
from gateway.policy.denied import Denied
from gateway.policy.model import Headers, RequestHead
from gateway.policy.paths import split_target
from gateway.policy.providers import BEARER, Provider, TokenSource
from gateway.policy.routes import Route
from gateway.proxy.runtime import client_told


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as somebody describes it, without its token. `ip` is who is connected: the client, or a proxy."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    ip: str = "127.0.0.1"
    scheme: str = "http"
    host: str = "localhost"


class NoProviderError(ValueError):
    """There is no provider whose token the claims could be."""


def head_for(asked: Asked, config: Config, token: str | None, source: TokenSource | None = None) -> RequestHead:
    """Return the head of a request, with the token where its route looks for one first, or in `source`."""
    target, lines = asked.target, asked.headers
    given = list(lines)
    if not any(name.lower() == "host" for name, _ in given):
        given.insert(0, ("Host", asked.host))
    if token is not None:
        route = route_of(config, asked.method, target)
        first = route.providers[0].token_sources[0] if route is not None and route.providers else BEARER
        source = source or first
        target, given = _with_token(token, source, target, given)
    headers = Headers(given)
    client, scheme, _ = client_told(config.trusted_proxies, asked.ip, asked.scheme, headers)
    return RequestHead(asked.method, target, headers, client, scheme)


def client_step(asked: Asked, config: Config) -> Step | None:
    """Return whose address the request has, and who says so; None where nobody says anything of it."""
    headers = Headers(list(asked.headers))
    told = ", ".join(headers.all("x-forwarded-for"))
    if not told:
        return None
    client, scheme, _ = client_told(config.trusted_proxies, asked.ip, asked.scheme, headers)
    if is_within(asked.ip, config.trusted_proxies):
        return Step("client", "yes", f"{client} ({scheme}), as {asked.ip} of trusted_proxies says: {told}")
    expected = "a connection from one of trusted_proxies, or no X-Forwarded-For"
    return Step("client", "unknown", f"{client}; what it says of others is not believed: {told}", expected)


def token_in(pasted: str) -> tuple[str, bool]:
    """Return the token in what somebody pasted, and whether `Bearer` was taken off it: that belongs to the header."""
    token = pasted.strip()
    scheme, _, rest = token.partition(" ")
    return (rest.strip(), True) if scheme.lower() == "bearer" and rest.strip() else (token, False)


def route_of(config: Config, method: str, target: str) -> Route | None:
    """Return the route of a request; None if there is none."""
    try:
        return config.policy.match(split_target(target)[0], method).route
    except Denied:
        return None


def provider_for(claims: Mapping[str, Any], route: Route | None, name: str | None, config: Config) -> Provider:
    """Return whose token the claims would be: the named provider, the one of their issuer, or the route's first.

    Raises `NoProviderError` for a name that the file does not have, or where there is no provider at all.
    """
    if name is not None:
        for provider in config.providers:
            if provider.name == name:
                _refuse_keyed((provider,))
                return provider
        known = ", ".join(provider.name for provider in config.providers) or "none"
        raise NoProviderError(f"the file has no provider {name}; it has {known}")
    providers = route.providers if route is not None and route.providers else config.providers
    if not providers:
        raise NoProviderError("claims were given, and the file has no provider whose they could be")
    providers = tuple(one for one in providers if one.kind != "keys") or _refuse_keyed(providers)
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        return providers[0]
    return next((p for p in providers if p.issuers is not None and p.takes_issuer(issuer, claims)), providers[0])


def _refuse_keyed(providers: Sequence[Provider]) -> tuple[Provider, ...]:
    """Return the providers, unless all of them take keys of machines, which no claims are."""
    if all(provider.kind == "keys" for provider in providers):
        names = ", ".join(provider.name for provider in providers)
        raise NoProviderError(f"claims were given, and {names} takes keys (in a case: `key: NAME`)")
    return tuple(providers)


def _with_token(
    token: str, source: TokenSource, target: str, lines: list[tuple[str, str]]
) -> tuple[str, list[tuple[str, str]]]:
    match source.place:
        case "bearer":
            return target, [*lines, ("Authorization", f"Bearer {token}")]
        case "bare":
            return target, [*lines, ("Authorization", token)]
        case "header":
            return target, [*lines, (source.name, token)]
        case "cookie" | "session":
            return target, [*lines, ("Cookie", f"{source.name}={token}")]
        case "query":
            mark = "&" if "?" in target else "?"
            return f"{target}{mark}{quote(source.name, safe='')}={quote(token, safe='')}", lines
        case "websocket_protocol":
            return target, [*lines, ("Upgrade", "websocket"), ("Sec-WebSocket-Protocol", token)]

"""A request made of a command's words: method, path, headers, a token or claims, a moment."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.commands.call import BadCall
from gateway.config.model import Config
from gateway.policy.model import Headers, RequestHead
from gateway.policy.paths import split_target
from gateway.policy.providers import BEARER, Provider, TokenSource
from gateway.policy.reasons import Denied
from gateway.policy.routes import Route

_METHOD_HINT = "expected GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS"
_MAX_CLAIMS_BYTES = 1024 * 1024


def parse_target(text: str) -> tuple[str, str, str]:
    """Return scheme, host and target of a path, or of a whole address. Raises `BadCall`."""
    if text.startswith(("http://", "https://")):
        scheme, _, rest = text.partition("://")
        host, slash, path = rest.partition("/")
        return scheme, host, slash + path if slash else "/"
    if not text.startswith("/"):
        raise BadCall(f"the path {text!r} does not begin with '/'; expected something like /api/agents")
    return "http", "localhost", text


def parse_method(text: str) -> str:
    """Return a method. Raises `BadCall` for what is none; case counts (RFC 9110 section 9.1)."""
    if not text.isascii() or not text.isalpha():
        raise BadCall(f"{text!r} is no method; {_METHOD_HINT}")
    if text != text.upper():
        raise BadCall(f"{text!r} is no method; did you mean {text.upper()}? Methods are written in capitals")
    return text


def parse_headers(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return header lines of `Name: value`. Raises `BadCall`."""
    found: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadCall(f"--header {line[:40]!r} is no header; expected 'Name: value'")
        found.append((name, value.strip()))
    return found


def parse_moment(text: str | None, now: float) -> float:
    """Return a moment in Unix seconds: ISO 8601 (UTC unless it says else), or the seconds themselves; None is now."""
    if text is None:
        return now
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else _from_iso(text)
    except ValueError:
        raise BadCall(
            f"--at {text!r} is no moment; expected something like 2026-11-21T05:00:00Z, or Unix seconds"
        ) from None


def read_claims(text: str) -> dict[str, Any]:
    """Return the claims of a file, of standard input (`-`), or of JSON written on the spot. Raises `BadCall`."""
    if text.lstrip().startswith("{"):
        where, written = "--claims", text
    else:
        where, written = f"--claims {text}", _read(text)
    try:
        claims = json.loads(written)
    except (ValueError, RecursionError) as problem:
        raise BadCall(f"{where} is no JSON: {problem}") from None
    if not isinstance(claims, dict):
        raise BadCall(f'{where} is JSON, but no object; expected the payload of a token: {{"sub": ...}}')
    return claims


def read_token(text: str) -> str:
    """Return a token, from standard input for `-`. Space around it and a leading `Bearer` are left out."""
    token = (sys.stdin.read(_MAX_CLAIMS_BYTES) if text == "-" else text).strip()
    if not token:
        raise BadCall("--token is empty; expected a token, or - to read one from standard input")
    scheme, _, rest = token.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest.strip() else token


def head_for(
    method: str, address: str, lines: Sequence[tuple[str, str]], client_ip: str, config: Config, token: str | None
) -> RequestHead:
    """Return the head of a request, with the token where its route looks for one first."""
    scheme, host, target = parse_target(address)
    given = list(lines)
    if not any(name.lower() == "host" for name, _ in given):
        given.insert(0, ("Host", host))
    if token is not None:
        route = route_of(config, method, target)
        source = route.providers[0].token_sources[0] if route is not None and route.providers else BEARER
        target, given = _with_token(token, source, target, given)
    return RequestHead(method, target, Headers(given), client_ip, scheme)


def route_of(config: Config, method: str, target: str) -> Route | None:
    """Return the route of a request; None if there is none."""
    try:
        return config.policy.match(split_target(target)[0], method).route
    except Denied:
        return None


def provider_for(claims: dict[str, Any], route: Route | None, name: str | None, config: Config) -> Provider:
    """Return whose token the claims would be: the named provider, the one of their issuer, or the route's first.

    Raises `BadCall` for a name that the file does not have, or where there is no provider at all.
    """
    if name is not None:
        for provider in config.providers:
            if provider.name == name:
                return provider
        known = ", ".join(provider.name for provider in config.providers) or "none"
        raise BadCall(f"the file has no provider {name}; it has {known}")
    providers = route.providers if route is not None and route.providers else config.providers
    if not providers:
        raise BadCall("claims were given, and the file has no provider whose they could be")
    issuer = claims.get("iss")
    return next((p for p in providers if p.issuers is not None and issuer in p.issuers), providers[0])


def _with_token(
    token: str, source: TokenSource, target: str, lines: list[tuple[str, str]]
) -> tuple[str, list[tuple[str, str]]]:
    match source.place:
        case "bearer":
            return target, [*lines, ("Authorization", f"Bearer {token}")]
        case "bare":
            return target, [*lines, ("Authorization", token)]
        case "cookie":
            return target, [*lines, ("Cookie", f"{source.name}={token}")]
        case "query":
            mark = "&" if urlsplit(target).query else "?"
            return f"{target}{mark}{source.name}={token}", lines
        case "websocket_protocol":
            return target, [*lines, ("Upgrade", "websocket"), ("Sec-WebSocket-Protocol", token)]


def _from_iso(text: str) -> float:
    moment = datetime.datetime.fromisoformat(text)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.read(_MAX_CLAIMS_BYTES)
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as problem:
        raise BadCall(f"--claims {name} cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise BadCall(f"--claims {name} is not UTF-8 text") from None

"""How an explanation calls what it came upon: places of tokens, providers, keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.explain.step import shown
from gateway.explain.token import moment_of
from gateway.keys.status import SourceStatus
from gateway.policy.machine_keys import PREFIX, MachineKey
from gateway.policy.providers import Provider, TokenSource, issuers_of
from gateway.policy.words import listed

_MAX_NAMES: Final = 12


def place_of(source: TokenSource) -> str:
    """Return the place of a token as a client writes it."""
    match source.place:
        case "bearer":
            return "Authorization: Bearer TOKEN"
        case "bare":
            return "Authorization: TOKEN"
        case "header":
            return f"the header {source.name}"
        case "cookie":
            return f"the cookie {source.name}"
        case "session":
            return f"the session in the cookie {source.name}"
        case "query":
            return f"the query parameter {source.name}"
        case "websocket_protocol":
            return "Sec-WebSocket-Protocol"


def wanted_by(provider: Provider) -> str:
    """Return what a token must say to be of a provider."""
    if provider.kind == "keys":
        return f"{provider.name} (keys): a key, which begins with {PREFIX}"
    names = issuers_of(provider)
    issuer = f"iss {listed(names)}, " if names else ""
    return f"{provider.name} ({provider.kind}): {issuer}alg {listed(sorted(provider.algorithms))}"


def said_by(key: MachineKey) -> str:
    """Return what the line of a machine's key says, without its hash."""
    several = {name: getattr(key, name) for name in ("roles", "groups", "scopes")}
    rights = [f"{name} {shown(list(values))}" for name, values in several.items() if values]
    end = f"until {moment_of(key.expires_at)}" if key.expires_at is not None else "without an end"
    return ", ".join([f"subject {shown(key.subject)}", *rights, end])


def first_names(names: Sequence[str]) -> str:
    """Return names, no more of them than a line can bear."""
    return ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")


def history_of(status: SourceStatus | None) -> str:
    """Return how old the keys of a source are, and what went wrong last; to be put behind what was found."""
    if status is None:
        return ""
    error = f"; the last fetch failed: {status.last_error}" if status.last_error is not None else ""
    if status.age_seconds is None:
        return f", never fetched{error}"
    kids = ", ".join(map(shown, status.kids)) or "without ids"
    return f", fetched {status.age_seconds:.0f} s ago ({status.state}), its keys are {kids}{error}"

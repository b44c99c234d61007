"""Which pages of other origins may call, and read the responses. Source: Fetch standard, section "CORS protocol"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.config.model import Cors
from gateway.policy.model import Headers, RequestHead
from gateway.policy.onward import Line

# The lines of a head that anything here is said by.
ORIGIN: Final = "origin"
ASKED: Final = (ORIGIN, "access-control-request-method", "access-control-request-headers")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def is_preflight(head: RequestHead) -> bool:
    """True if a browser asks whether a page may send something; it never carries a credential."""
    headers = head.headers
    return head.method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def preflight_lines(cors: Cors, headers: Headers) -> list[Line]:
    """Return the header lines of the 204 that answers a preflight.

    An origin that is not listed gets no permission and no hint; the response still says what it depends on.
    Access-Control-Request-Private-Network is not answered: no page gains a private network through us.
    """
    vary = ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
    lines = _permission(cors, origin_of(headers))
    if not lines:
        return [vary]
    methods = _listed_or_asked(cors.methods, headers.all("access-control-request-method"))
    names = _listed_or_asked(cors.headers, headers.all("access-control-request-headers"))
    if methods:
        lines.append(("Access-Control-Allow-Methods", methods))
    if names:
        lines.append(("Access-Control-Allow-Headers", names))
    return [*lines, ("Access-Control-Max-Age", str(cors.max_age_seconds)), vary]


def cors_lines(cors: Cors, origin: str | None) -> list[Line]:
    """Return the CORS lines of a response, the gateway's own refusals included; `vary_by_origin` completes them."""
    lines = _permission(cors, origin)
    if lines and cors.expose:
        lines.append(("Access-Control-Expose-Headers", ", ".join(cors.expose)))
    return lines


def vary_by_origin(lines: Iterable[Line]) -> list[Line]:
    """Return a response's lines with one Vary that holds Origin, whatever the upstream's says.

    Also where no Origin was sent: a cache must not give that response to a page.
    """
    kept: list[Line] = []
    words: list[str] = []
    for name, value in lines:
        if name.lower() == "vary":
            words += [word for word in (piece.strip(" \t") for piece in value.split(",")) if word]
        else:
            kept.append((name, value))
    if not any(word.lower() in ("origin", "*") for word in words):
        words.append("Origin")
    return [*kept, ("Vary", ", ".join(words))]


def origin_of(headers: Headers) -> str | None:
    """Return the one origin that a head names; None for several as for none."""
    origins = headers.all(ORIGIN)
    return origins[0].strip(" \t") if len(origins) == 1 else None


def _permission(cors: Cors, origin: str | None) -> list[Line]:
    if origin is None:
        return []
    if "*" in cors.origins:
        return [("Access-Control-Allow-Origin", "*")]  # never with credentials: any site could act as the visitor
    # Whole, or within one label: `https://app.example.com.evil.test`. `null` is any sandboxed page.
    if not cors.pages.lists(origin) and origin not in cors.pages:
        return []
    lines = [("Access-Control-Allow-Origin", origin)]
    if cors.credentials:
        lines.append(("Access-Control-Allow-Credentials", "true"))
    return lines


def _listed_or_asked(listed: tuple[str, ...], asked: Sequence[str]) -> str:
    if "*" not in listed:
        return ", ".join(listed)
    # With credentials a browser takes `*` for a name, and it never covers Authorization: say what was asked for.
    words = [word.strip(" \t") for value in asked for word in value.split(",")]
    return ", ".join(word for word in words if _TOKEN.fullmatch(word))

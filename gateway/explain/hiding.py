"""What an explanation never shows: signatures, and whatever stands where a credential stands."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote_plus

from gateway.policy.fields import speaks_of_secret

HIDDEN = "[hidden]"
_SIGNED = re.compile(r"\b(ey[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*\.)[A-Za-z0-9_-]+")  # RFC 7515 section 3.1


def without_signatures(text: str) -> str:
    """Return a text in which every JWS has lost its signature."""
    return _SIGNED.sub(rf"\1{HIDDEN}", text)


def without_credentials(target: str, names: Collection[str]) -> str:
    """Return a request target without the values of query parameters that are, by their name, a credential's.

    `names` are those in which providers look for a token.
    """
    path, mark, query = target.partition("?")
    return path + mark + "&".join(_hide(piece, names) for piece in query.split("&"))


def _hide(piece: str, names: Collection[str]) -> str:
    written, equals, _ = piece.partition("=")
    name = unquote_plus(written)
    return f"{written}={HIDDEN}" if equals and (name in names or speaks_of_secret(name)) else piece

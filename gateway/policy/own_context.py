"""`requestContext`, which tools believe: what of it says who the caller is goes, all else is the caller's own."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Final

from gateway.policy.own_names import is_identity, unknown_shape
from gateway.policy.own_query import Query

NAME: Final = "requestContext"
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")


def identity_keys(value: Any) -> list[str]:
    """Return the keys of a body's `requestContext` that have to go. Raises `Denied` for what is no object."""
    if value is None:
        return []
    if not isinstance(value, dict):
        raise unknown_shape(NAME)
    return [key for key in value if is_identity(key)]


def without_identity(value: Any) -> Any:
    """Return `requestContext` as it goes on. Raises `Denied` for what is no object."""
    gone = identity_keys(value)
    return {key: inner for key, inner in value.items() if key not in gone} if gone else value


def clean_query(query: Query) -> None:
    """Have `requestContext` in a query in one spelling, as JSON, without what says who the caller is.

    Mastra reads JSON, else base64 of JSON, and takes what is neither for nothing: so that goes as well.
    """
    values = query.values(NAME)
    if not values:
        return
    read = _read(values[0]) if len(values) == 1 else None
    query.without((NAME.casefold(),))
    kept = without_identity(read) if isinstance(read, dict) else None
    if kept:
        query.put(NAME, json.dumps(kept, separators=(",", ":")))


def _read(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        pass
    if not _BASE64.fullmatch(text):
        return None
    try:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        return json.loads(base64.b64decode(plain + "=" * (-len(plain) % 4)), parse_constant=_refuse)
    except (ValueError, RecursionError, binascii.Error):
        return None


def _refuse(name: str) -> Any:
    raise ValueError(name)

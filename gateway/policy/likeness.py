"""When two values are one, and when they only may be: what differs in type or spelling alone is undecided."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

Value = str | int | float | bool | None  # a JSON value that a rule can ask for
_LIST: Final = re.compile(
    r"[\s,;|]+"
)  # a text that lists several: OAuth parts scopes by spaces, SAML attributes by commas
_UNSEEN: Final = frozenset({"Cc", "Cf"})


def is_same(value: object, wanted: Value) -> bool | None:
    """Return whether two JSON values are one; None where they differ in type or spelling only.

    `"true"` may well have meant `true`, and `"a,b"` a list: form and SAML attributes are strings. JSON's true is not
    1, as it is in Python; 1 and 1.0 are one number.
    """
    if isinstance(value, str) and isinstance(wanted, str):
        if value == wanted:
            return True
        found, asked = _fold(value), _fold(wanted)
        return None if asked == found or asked in _LIST.split(found) else False
    if _is_number(value) and _is_number(wanted):
        return value == wanted
    if value is None or wanted is None or isinstance(value, bool):
        return value is wanted if type(value) is type(wanted) else None
    return None


def is_alike(text: str, wanted: Iterable[str]) -> bool:
    """True if a text is one of these, or only spelt in another way."""
    return _fold(text) in map(_fold, wanted)


def some_alike(have: Iterable[str], wanted: Iterable[str]) -> bool:
    """True if some of these are wanted in another spelling, or within one text that lists several."""
    folded = {_fold(text) for text in wanted}
    return any(text in folded or not folded.isdisjoint(_LIST.split(text)) for text in map(_fold, have))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fold(text: str) -> str:
    """Return a text as a careless reader compares it: case, white space around it, and Unicode's twins do not count.

    Nor does what nobody sees: controls (C ends a text at NUL), marks of no width, soft hyphens, byte order marks.
    """
    if text.isascii() and text.isprintable():
        return text.strip().lower()
    twins = unicodedata.normalize("NFKC", text)
    return "".join([c for c in twins if c.isspace() or unicodedata.category(c) not in _UNSEEN]).strip().casefold()

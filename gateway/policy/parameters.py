"""Parameters of a query by name, in every spelling that a server reads as that name.

Names may be percent-encoded, and `name[]`, `name[x]` and `[name]` are `name` to Express. Source: WHATWG URL section 5.1
for the spelling, `qs` for the brackets; Hono decodes a name only where it finds `%` or `+`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import Final
from urllib.parse import unquote_plus

_MAX_ESCAPES: Final = 64
_OPENING, _BRACKET = r"(?:\[|%5[Bb])", r"(?:[\[\]]|%5[BbDd])[^&=]*"


def parameter_values(query: str, name: str) -> list[str]:
    """Return the values of the first two parameters of a name, decoded, empty ones too; one of many escapes as it is.

    `query` is empty or begins with `?`.
    """
    found = islice(_pattern(name).finditer(f"&{query[1:]}"), 2)
    return [_decoded(match["value"] or "") for match in found]


def without_parameter(query: str, name: str) -> str:
    """Return a query without the parameters of a name; the others stay byte for byte."""
    left, count = _pattern(name).subn("", f"&{query[1:]}")
    if not count:
        return query
    return f"?{left[1:]}" if left[1:] else ""


def _decoded(value: str) -> str:
    # Whoever encodes what needs no encoding has us decode for nothing; what is left encoded is no token.
    return unquote_plus(value) if value.count("%") <= _MAX_ESCAPES else value


@lru_cache(maxsize=256)
def _pattern(name: str) -> re.Pattern[str]:
    # One pass of the engine, behind each `&`: a loop over the pieces of 30 KiB of `&` costs a stranger nothing and us
    # 30 ms.
    spelled = "".join(_spellings(character) for character in name)
    return re.compile(rf"&{_OPENING}?{spelled}(?:{_BRACKET})?(?:=(?P<value>[^&]*))?(?=&|\Z)")


def _spellings(character: str) -> str:
    encoded = "".join(f"%{_digit(byte >> 4)}{_digit(byte & 15)}" for byte in character.encode())
    plain = r"\+" if character == " " else re.escape(character)
    return f"(?:{plain}|{encoded})"


def _digit(number: int) -> str:
    return f"[{number:X}{number:x}]" if number > 9 else str(number)

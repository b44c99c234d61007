"""Parameters of a query by name, in every spelling that a server reads as that name.

Names may be percent-encoded, and `name[]` or `name[x]` is `name` to Express. Source: WHATWG URL section 5.1 for the
spelling, `qs` for the brackets; Hono decodes a name only where it finds `%` or `+`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from urllib.parse import unquote_plus

_BRACKET = r"(?:\[|%5[Bb])[^&=]*"


def parameter_values(query: str, name: str) -> list[str]:
    """Return the values of the first two parameters of a name, decoded, empty ones too.

    `query` is empty or begins with `?`.
    """
    found = islice(_pattern(name).finditer(f"&{query[1:]}"), 2)
    return [unquote_plus(match["value"] or "") for match in found]


def without_parameter(query: str, name: str) -> str:
    """Return a query without the parameters of a name; the others stay byte for byte."""
    left, count = _pattern(name).subn("", f"&{query[1:]}")
    if not count:
        return query
    return f"?{left[1:]}" if left[1:] else ""


@lru_cache(maxsize=256)
def _pattern(name: str) -> re.Pattern[str]:
    # One pass of the engine, behind each `&`: a loop over the pieces of 30 KiB of `&` costs a stranger nothing and us
    # 30 ms.
    spelled = "".join(_spellings(character) for character in name)
    return re.compile(rf"&{spelled}(?:{_BRACKET})?(?:=(?P<value>[^&]*))?(?=&|\Z)")


def _spellings(character: str) -> str:
    encoded = "".join(f"%{_digit(byte >> 4)}{_digit(byte & 15)}" for byte in character.encode())
    plain = r"\+" if character == " " else re.escape(character)
    return f"(?:{plain}|{encoded})"


def _digit(number: int) -> str:
    return f"[{number:X}{number:x}]" if number > 9 else str(number)

"""Cookies as servers on Node read them, written down again. tests/node compares this with the packages themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_WHITE_SPACE = "\t\n\v\f\r \u00a0\ufeff\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_HONO_NAME = re.compile(r"[!#-:<>-\[\]-~]+")
_OLDER_HONO_NAME = re.compile(r"[A-Za-z0-9_!#$%&'*.^`|~+-]+")
_HONO_VALUE = re.compile(r"[ !#-:<-\[\]-~]*")


def as_node_joins(lines: Iterable[str]) -> str:
    """Return Cookie lines as the one text that Node makes of them; every byte is a character to it."""
    return "; ".join(lines).encode("utf-8", "surrogateescape").decode("latin-1")


def cookie_07(line: str, name: str) -> str | None:
    """Return what npm's `cookie` 0.7 reads, and so Express with cookie-parser: the first of a name, without quotes."""
    found = _first(line, name)
    return None if found is None else _unquoted(found)


def cookie_1(line: str, name: str) -> str | None:
    """Return what npm's `cookie` 1 reads: the first of a name, as it stands."""
    return _first(line, name)


def hono(line: str, name: str) -> str | None:
    """Return what Hono 4.13 reads: the first of a name whose value it likes, without quotes."""
    for part in line.split(";"):
        found, is_pair, value = part.partition("=")
        bare = _unquoted(value.strip(" \t"))
        if is_pair and found.strip(" \t") == name and _HONO_NAME.fullmatch(name) and _HONO_VALUE.fullmatch(bare):
            return bare
    return None


def older_hono(line: str, name: str) -> str | None:
    """Return what Hono 4.6 reads: the last of a name, whatever white space of Unicode is around it."""
    last = None
    for part in line.split(";"):
        found, is_pair, value = part.partition("=")
        bare = _unquoted(value.strip(_WHITE_SPACE))
        if is_pair and found.strip(_WHITE_SPACE) == name and _OLDER_HONO_NAME.fullmatch(name):
            last = bare if _HONO_VALUE.fullmatch(bare) else last
    return last


READERS: dict[str, Callable[[str, str], str | None]] = {
    "cookie 0.7": cookie_07,
    "cookie 1": cookie_1,
    "hono": hono,
    "hono older": older_hono,
}


def _first(line: str, name: str) -> str | None:
    for part in line.split(";"):
        found, is_pair, value = part.partition("=")
        if is_pair and found.strip(" \t") == name:
            return value.strip(" \t")
    return None


def _unquoted(value: str) -> str:
    return value[1:-1] if value[:1] == value[-1:] == '"' else value

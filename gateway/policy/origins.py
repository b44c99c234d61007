"""Origins of pages: some by their whole text, some by a pattern with one `*` within a label of the host."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

STAR: Final = "*"
_MAX_LABEL: Final = 63  # RFC 1035 section 2.3.4


class Origins:
    """Which origins count, made once. Nothing is repaired: a text that is not as browsers write an origin is none.

    `*` alone is no pattern here: whoever takes it for any origin asks for it first. Source: RFC 6454 section 6.2.
    """

    __slots__ = ("_in_lower_case", "_pattern", "_whole", "_written")

    def __init__(self, written: Iterable[str] = ()) -> None:
        self._written = given = tuple(sorted(written))
        self._whole = frozenset(one for one in given if STAR not in one)
        self._in_lower_case = frozenset(one.lower() for one in self._whole)
        patterns = [one for one in given if STAR in one and one != STAR]
        self._pattern = re.compile("|".join(map(_compiled, patterns))) if patterns else None

    def __contains__(self, origin: object) -> bool:
        if origin in self._whole:
            return True
        return self._pattern is not None and isinstance(origin, str) and self._pattern.fullmatch(origin) is not None

    def __repr__(self) -> str:
        return f"Origins({self._written!r})"

    def lists(self, origin: str) -> bool:
        """True for an origin that is listed by its whole text, compared in any case."""
        return origin.lower() in self._in_lower_case


def example_of(written: Iterable[str]) -> str:
    """Return an origin that some of these texts stand for."""
    return min(written).replace(STAR, "example")


def _compiled(pattern: str) -> str:
    """Return the expression of a pattern: `*` is at least one small letter, digit or hyphen, within its label.

    A browser writes a host in lower case and in ASCII, and no label of it begins or ends with a hyphen.
    """
    before, _, behind = pattern.partition(STAR)
    scheme, slashes, labels = before.rpartition("://")
    outer, dot, prefix = labels.rpartition(".")
    start = re.escape(scheme + slashes + outer + dot)
    length = rf"(?!-)(?=[a-z0-9-]{{1,{_MAX_LABEL}}}\.)"
    return rf"(?:{start}{length}{re.escape(prefix)}[a-z0-9-]+{_end(behind)})"


def _end(behind: str) -> str:
    suffix, dot, rest = behind.partition(".")
    return rf"{re.escape(suffix)}(?<!-){re.escape(dot + rest)}"

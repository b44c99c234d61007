"""Mastra's own routes: which permission each asks for, and how a caller is kept to what is their own.

The table lies beside this file, as data: `mastra_routes.tsv`. It is read once, like code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal, cast, get_args

PREFIX: Final = ("api",)  # where Mastra's routes are, unless its `server.apiPrefix` says otherwise
# none: nothing there is anybody's. pin: the owner is set. look_up: Mastra is asked whose it is. close: nobody may.
Way = Literal["none", "pin", "look_up", "close"]
_WAYS: Final = frozenset(get_args(Way))
_EVERY: Final = "ALL"


@dataclass(frozen=True, slots=True)
class Carrier:
    """Where a request names an owner, or a thing that has one: `query.resourceId:owner`.

    `place` is path, query or body; `name` is empty where the body as a whole is of that kind.
    """

    place: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Row:
    """One route of Mastra. `path` is as Mastra writes it, below its prefix: a segment `:name` stands for any one.

    `permission` holds Mastra's names for what a caller must be permitted, of which one is enough; empty: Mastra names
    none. `method` may be `ALL`.
    """

    method: str
    path: str
    permission: tuple[str, ...]
    way: Way
    carriers: tuple[Carrier, ...] = ()

    @property
    def segments(self) -> tuple[str, ...]:
        """The path in segments."""
        return tuple(self.path.strip("/").split("/"))


def row_of(method: str, segments: Sequence[str], prefix: Sequence[str] = PREFIX) -> Row | None:
    """Return the row of Mastra's route that takes a request; None: the table knows none.

    `segments` are those of a canonical path (`paths.Path.segments`). A literal is compared as it stands, as Mastra's
    router does; what a laxer one takes for it (`/Agents`) has no row. HEAD is served as GET.
    """
    depth = len(prefix)
    if tuple(segments[:depth]) != tuple(prefix):
        return None
    below = tuple(segments[depth:])
    asked = "GET" if method == "HEAD" else method
    for taken, literals, row in _by_beginning().get((len(below), *below[:1]), ()):
        if taken in (asked, _EVERY):
            for index, text in literals:  # a loop: compiled, a generator is a list
                if below[index] != text:
                    break
            else:
                return row
    return None


def may_meet(pattern: Sequence[str], whole: Sequence[str]) -> bool:
    """Return whether a pattern covers some path of a row with its prefix; an empty segment of it stands for any."""
    return len(pattern) <= len(whole) and all(
        not own or own == theirs or theirs.startswith(":") for own, theirs in zip(pattern, whole, strict=False)
    )


@cache
def rows() -> tuple[Row, ...]:
    """Return the whole table, in Mastra's order: of two rows that take a path the first one counts."""
    text = files("gateway.policy").joinpath("mastra_routes.tsv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(_row(line) for line in lines[1:])


_Entry = tuple[str, tuple[tuple[int, str], ...], Row]


@cache
def _by_beginning() -> dict[tuple[int | str, ...], list[_Entry]]:
    """Return the rows by how many segments they have and the first, which is a literal in all of them."""
    found: dict[tuple[int | str, ...], list[_Entry]] = {}
    for row in rows():
        first, *others = row.segments
        literals = tuple((at, text) for at, text in enumerate(others, 1) if not text.startswith(":"))
        found.setdefault((len(row.segments), first), []).append((row.method, literals, row))
    return found


def _row(line: str) -> Row:
    method, path, permission, way, carriers = (*line.split("\t"), "")[:5]
    if way not in _WAYS:
        raise ValueError(f"mastra_routes.tsv: found the way {way!r} of {method} {path}")
    permissions = tuple(permission.split("|")) if permission else ()
    return Row(method, path, permissions, cast(Way, way), tuple(map(_carrier, carriers.split())))


def _carrier(word: str) -> Carrier:
    where, _, kind = word.partition(":")
    place, _, name = where.partition(".")
    return Carrier(place, name, kind)

"""A query whose parameters are looked at, removed and put by name, in every spelling that a server reads as that name.

`resource%49d`, `resourceId[]`, `resourceId[x]` and `resource_id` are one name here. Source: WHATWG URL section 5.1 for
the spelling; Mastra makes one JSON text of `name[a]=..&name[b]=..`; `qs` of Express reads the brackets.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote, unquote_plus

from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason


def folded(name: str) -> str:
    """Return a name as it is compared: letters and digits alone, in lower case, without what stands in brackets."""
    bare = name.strip().lstrip("[").partition("[")[0]
    return "".join(filter(str.isalnum, bare)).casefold()


class Query:
    """The parameters of a query in their order; those that are not touched stay byte for byte.

    `query` is empty or begins with `?`.
    """

    def __init__(self, query: str) -> None:
        self._pieces = [(self._name_of(piece), piece) for piece in query[1:].split("&") if piece]

    @staticmethod
    def _name_of(piece: str) -> str:
        return folded(unquote_plus(piece.partition("=")[0]))

    @property
    def names(self) -> frozenset[str]:
        """The folded names that are there."""
        return frozenset(name for name, _ in self._pieces)

    def value(self, name: str) -> str | None:
        """Return the one value of a parameter, decoded; None: it is not there, or empty.

        Raises `Denied` (NOT_OWNER) if it is there twice, or in a spelling that not every server reads.
        """
        wanted = folded(name)
        found = [piece for one, piece in self._pieces if one == wanted]
        if not found:
            return None
        spelt, _, value = found[0].partition("=")
        if len(found) > 1 or unquote_plus(spelt) != name:
            raise Denied(Reason.NOT_OWNER, "a parameter that names what has an owner is there twice, or spelt oddly")
        return unquote_plus(value, errors="strict") if _is_text(value) else _refuse()

    def values(self, name: str) -> list[str]:
        """Return the values of every parameter that may be one of a name, decoded."""
        wanted = folded(name)
        return [unquote_plus(piece.partition("=")[2]) for one, piece in self._pieces if one == wanted]

    def without(self, names: Collection[str]) -> None:
        """Remove every parameter of these folded names."""
        self._pieces = [(name, piece) for name, piece in self._pieces if name not in names]

    def put(self, name: str, value: str) -> None:
        """Have exactly one parameter of a name, with this value, at the end."""
        self.without((folded(name),))
        self._pieces.append((folded(name), f"{name}={quote(value, safe='')}"))

    @property
    def text(self) -> str:
        """The query as it is now, with its `?`; empty if nothing is left."""
        return f"?{'&'.join(piece for _, piece in self._pieces)}" if self._pieces else ""


def _is_text(value: str) -> bool:
    try:
        unquote_plus(value, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _refuse() -> str:
    raise Denied(Reason.NOT_OWNER, "a parameter that names what has an owner is not UTF-8")

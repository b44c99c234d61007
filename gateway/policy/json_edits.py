"""A JSON body read with one reading, and changed in places: everything else stays as it came, byte for byte.

What two parsers could read in two ways is refused: another charset than UTF-8, a byte order mark, two equal keys,
`NaN`. The work is done in C, since a body may have 4.5 MiB, and the loop waits for it; what would take long all the
same (very many values, very deep ones) is refused before it is parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, NoReturn

from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason

# The loop waits 0.1 s for so many values in the worst shape, where 4.5 MiB of them would take a second. 4.5 MiB of
# messages have some ten thousands.
MAX_VALUES: Final = 200_000
MAX_EDITS: Final = 20_000  # that many take as long
MAX_DEPTH: Final = 128  # schemas of tools, the deepest that honest callers send, have some 20
_BOM: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_SIGNS: Final = bytes(set(range(256)) - {ord(","), *_STEPS})
_WIDE: Final = re.compile(rb"[\xf0-\xff]")
_COSTS: Final = ((b",", 32), (b"[", 72), (b"{", 200), (b'"', 40))  # bytes that CPython takes for what each begins
_BETWEEN: Final = re.compile(r"[ \t\n\r,:]*+").match


@dataclass(frozen=True, slots=True)
class Edit:
    """A value for a place: members' names and positions from the top. A member that is not there is added."""

    path: tuple[str | int, ...]
    value: Any


@dataclass(frozen=True, slots=True)
class Drop:
    """A member or element to remove; nothing happens if it is not there."""

    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A body that holds one JSON object. `value` is what Node reads of it: numbers are floats."""

    value: dict[str, Any]
    _body: bytes  # not its text, which may be four times as long: a document waits for what upstreams say

    def __repr__(self) -> str:
        return f"Document({len(self._body)} bytes)"

    def with_edits(self, edits: Sequence[Edit | Drop]) -> bytes:
        """Return the body with these changes, one after another, and not a byte more.

        Raises `Denied`: BODY_MALFORMED where the object or list for a change is missing, BODY_TOO_LARGE for more than
        `MAX_EDITS`; and `ValueError` for a change inside of what another one wrote.
        """
        tree = _Node()
        for edit in edits:
            tree.add(edit)
        if not edits:
            return self._body
        if len(edits) > MAX_EDITS:
            raise Denied(Reason.BODY_TOO_LARGE, f"more than {MAX_EDITS} places of the body would have to be changed")
        text = self._body.decode("utf-8")
        changes = sorted(_changes(text, _after(text, 0), self.value, tree, ""))
        pieces: list[str] = []
        done = 0
        for start, end, new in changes:
            pieces += (text[done:start], new)
            done = end
        return "".join((*pieces, text[done:])).encode("utf-8")


def read_object(body: bytes) -> Document:
    """Return the one JSON object of a body (RFC 8259), as every parser reads it.

    Raises `Denied`: BODY_MALFORMED, or BODY_TOO_LARGE for more than `MAX_VALUES` values.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise _malformed(f"the body is not UTF-8: byte {problem.start}") from None
    if text.startswith(_BOM):
        # Node skips one, RFC 8259 section 8.1 leaves it to each parser.
        raise _malformed("the body begins with a byte order mark")
    check_bounds(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as problem:
        raise _malformed(f"the body is not JSON: {problem.msg} at character {problem.pos}") from None
    if not isinstance(value, dict):
        raise _malformed("the body is not a JSON object")
    return Document(value, body)


def weigh(body: bytes) -> int:
    """Return how many bytes a body and what is read of it take at the most: a bound, from what costs little to count.

    An object takes 40 times the bytes of its text, and a text four times, if one sign in it is from beyond 16 bits.
    """
    is_wide = b"\\u" in body or not (body.isascii() or _WIDE.search(body) is None)
    width = 4 if is_wide else 2 - body.isascii()
    return (1 + width) * len(body) + sum(cost * body.count(sign) for sign, cost in _COSTS)


def _malformed(detail: str) -> Denied:
    return Denied(Reason.BODY_MALFORMED, detail)


def check_bounds(text: str) -> None:
    """Refuse what would take long to parse. Raises `Denied` (BODY_TOO_LARGE, BODY_MALFORMED).

    Counts are exact for JSON; of what is none they only have to be fast.
    """
    # A quote behind a backslash ends no string, one behind two does: without these pairs, all that are left count.
    bare = text.replace("\\\\", "").replace('\\"', "") if "\\" in text else text
    strings = bare.count('"') // 2
    if strings <= MAX_VALUES:
        signs = "".join(bare.split('"')[::2]).encode("utf-8").translate(None, _NO_SIGNS)
        brackets = signs.translate(None, b",")
        if strings + len(signs) - len(brackets) // 2 <= MAX_VALUES:
            if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
                raise _malformed(f"the body is nested more than {MAX_DEPTH} levels deep")
            return
    raise Denied(Reason.BODY_TOO_LARGE, f"the body has more than {MAX_VALUES} names, values and brackets")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # Node keeps the last, others the first. The name is the caller's text, so it is not told.
        raise _malformed("two members of one object have the same name")
    if "__proto__" in members:
        # A member like any other to JSON.parse, and what an object inherits from once it is copied by assignment.
        raise _malformed("a member is named __proto__")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise _malformed(f"the body is not JSON: it holds {name}")


# Floats for all numbers, as in Node: Python's integers refuse more than 4,300 digits, and take long for them.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_int=float, parse_constant=_refuse_constant)
_scan_value: Final = json.JSONDecoder(parse_int=float).raw_decode  # for what was judged already


class _Node:
    """What is changed below one place."""

    __slots__ = ("below", "edit")

    def __init__(self) -> None:
        self.below: dict[str | int, _Node] = {}
        self.edit: Edit | Drop | None = None

    def add(self, edit: Edit | Drop) -> None:
        if not edit.path:
            raise ValueError("the body itself is never replaced")
        node = self
        for step in edit.path:
            if node.edit is not None:
                raise ValueError("a change inside of what another one wrote or removed")
            node = node.below.setdefault(step, _Node())
        node.edit, node.below = edit, {}

    def writes(self) -> bool:
        """Return if something here or below is set, so that there must be a place for it."""
        return isinstance(self.edit, Edit) or any(node.writes() for node in self.below.values())


_Change = tuple[int, int, str]  # from, to, what stands there then


def _changes(text: str, start: int, value: Any, tree: _Node, at: str) -> Iterator[_Change]:
    """Yield what changes in the object or list that begins here. Raises `Denied` if it has no such place."""
    there, drops, added = dict(tree.below), 0, []
    for name, node in tree.below.items():
        if _has(value, name):
            drops += isinstance(node.edit, Drop)
            continue
        if node.writes():
            if not isinstance(node.edit, Edit) or not isinstance(value, dict) or not isinstance(name, str):
                raise _malformed(f"{at or 'the body'} has no place for what is to be changed in it")
            added.append(f"{json.dumps(name)}:{_written(node.edit)}")
        del there[name]
    items: list[tuple[int, int, bool]] = []  # from the name to the value's end, and if it goes; needed where some go
    left = len(there)
    for name, begin, value_begin, end in _items(text, start, isinstance(value, dict)) if there else ():
        if (found := there.get(name)) is not None:
            left -= 1
            if found.edit is None:
                yield from _changes(text, value_begin, value[name], found, f"{at}/{name}")
            elif isinstance(found.edit, Edit):
                yield value_begin, end, _written(found.edit)
        if drops:
            items.append((begin, end, found is not None and isinstance(found.edit, Drop)))
        elif not left:
            break
    yield from _removals(items)
    if added:
        yield start + 1, start + 1, ",".join(added) + ("," if len(value) > drops else "")


def _has(value: Any, name: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(name, int) and 0 <= name < len(value)
    return isinstance(value, dict) and name in value


def _written(edit: Edit) -> str:
    return json.dumps(edit.value, allow_nan=False)


def _items(text: str, start: int, is_object: bool) -> Iterator[tuple[str | int, int, int, int]]:
    """Yield name or position, where the item begins, where its value does, and where that ends."""
    name: str | int = -1
    place = _after(text, start + 1)
    while text[place] not in "]}":
        begin = place
        if is_object:
            name, place = _scan_value(text, place)
            place = _after(text, place)
        else:
            name += 1  # type: ignore[operator]  # a number, in a list
        _, end = _scan_value(text, place)
        yield name, begin, place, end
        place = _after(text, end)


def _removals(items: list[tuple[int, int, bool]]) -> Iterator[_Change]:
    last = max((number for number, (_, _, goes) in enumerate(items) if not goes), default=-1)
    for number, (begin, end, goes) in enumerate(items):
        if goes and number < last:
            yield begin, items[number + 1][0], ""  # with the comma behind it
        elif goes:
            yield items[number - 1][1] if number else begin, end, ""  # with the one before it


def _after(text: str, place: int) -> int:
    """Return where what stands between two tokens ends: white space, a comma, a colon."""
    found = _BETWEEN(text, place)
    return found.end() if found else place

"""Readers made of readers: lists, words that stand beside values, mappings of names that the writer chooses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.config.document import Fields, Items, Node, Text, kind_of
from gateway.config.readers import Mistake, Reader, Schema
from gateway.config.reading import Reading, Unreadable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list; with `or_one` also a single member alone. Empty only with `allow_empty`. No member comes twice."""

    member: Reader[T]
    expected: str
    or_one: bool = False
    allow_empty: bool = False

    def read(self, node: Node, reading: Reading) -> tuple[T, ...]:
        if not isinstance(node, Items):
            if not self.or_one:
                found = f"found {kind_of(node)}, expected a list: [{self.expected}, ...]"
                reading.refuse(node, found)
            return (self.member.read(node, reading),)
        if not node.members and not self.allow_empty:
            reading.refuse(node, f"found an empty list, expected {self.expected}")
        return tuple(self._members(node, reading))

    def schema(self) -> Schema:
        many: Schema = {"type": "array", "items": self.member.schema()}
        if not self.allow_empty:
            many["minItems"] = 1
        return {"anyOf": [self.member.schema(), many]} if self.or_one else many

    def _members(self, node: Items, reading: Reading) -> list[T]:
        values: list[T] = []
        is_broken = False
        for member in node.members:
            try:
                value = self.member.read(member, reading)
            except Unreadable:
                is_broken = True
                continue
            if value in values:
                shown = member.shown if isinstance(member, Text) else "a member"
                reading.add(member.place, f"found {shown} twice in one list")
                is_broken = True
            values.append(value)
        if is_broken:
            raise Unreadable
        return values


def some(member: Reader[T], expected: str) -> ListOf[T]:
    """Return a reader of one value or a list of them."""
    return ListOf(member, expected, or_one=True)


@dataclass(frozen=True, slots=True)
class OrWord(Generic[T]):
    """A bare word that means something by itself (`none`, `auto`), or a value."""

    word: str
    meaning: T
    inner: Reader[T]
    synonyms: tuple[str, ...] = ()
    may_be_quoted: bool = False  # `*` must be, in YAML

    def read(self, node: Node, reading: Reading) -> T:
        if isinstance(node, Text) and (node.style == "plain" or self.may_be_quoted):
            if node.text == self.word:
                return self.meaning
            if node.written and (node.written in self.synonyms):
                reading.refuse(node, f"found {node.shown}, expected a value or the word {self.word}")
        return self.inner.read(node, reading)

    def schema(self) -> Schema:
        return {"anyOf": [{"const": self.word}, self.inner.schema()]}


@dataclass(frozen=True, slots=True)
class MappingOf(Generic[T]):
    """A mapping from names that the writer chooses. What could not be read is in the result as None."""

    value: Reader[T]
    check_name: Callable[[str], None]  # raises Mistake
    expected: str

    def read(self, node: Node, reading: Reading) -> dict[str, T | None]:
        if not isinstance(node, Fields):
            reading.refuse(node, f"found {kind_of(node)}, expected a mapping of {self.expected}")
        found: dict[str, T | None] = {}
        for entry in node.entries:
            found[entry.key.text] = None
            try:
                self.check_name(entry.key.text)
            except Mistake as mistake:
                reading.add(entry.key.place, str(mistake))
            try:
                found[entry.key.text] = self.value.read(entry.value, reading)
            except Unreadable:
                continue
        return found

    def schema(self) -> Schema:
        return {"type": "object", "minProperties": 1, "additionalProperties": self.value.schema()}


def check_name(name: str) -> None:
    """Refuse names that could not be told apart, or would not stand well in logs and metrics."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", name):
        raise Mistake("found a name that is not made of letters, digits, '_', '-' and '.' (at most 63)", says_all=True)

"""Mappings with known keys: one table per mapping, from which it is read, described and documented."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from gateway.config.document import Fields, Node, Place, Text, kind_of
from gateway.config.readers import Reader, Schema
from gateway.config.reading import Reading, Unreadable, nearest
from gateway.policy.words import listed

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Field(Generic[T]):
    """One key: how it is read and what it means. `default` is for people, as the file would write it."""

    name: str
    reader: Reader[T]
    meaning: str
    default: str = ""
    is_required: bool = False


class Values:
    """What one mapping said, by its fields. `place` is the mapping's key, for what is missing."""

    def __init__(
        self, found: Mapping[str, Any], nodes: Mapping[str, Node], place: Place, broken: frozenset[str]
    ) -> None:
        self._found = found
        self.nodes = nodes
        self.place = place
        self.broken = broken  # keys that are there and could not be read

    @overload
    def get(self, field: Field[T]) -> T | None: ...
    @overload
    def get(self, field: Field[T], default: D) -> T | D: ...
    def get(self, field: Field[T], default: D | None = None) -> T | D | None:
        """Return what a key says, or the default."""
        value: T | D | None = self._found.get(field.name, default)
        return value

    def __contains__(self, field: Field[Any]) -> bool:
        return field.name in self.nodes

    def need(self, field: Field[T]) -> T:
        """Return what a key says. Raises `Unreadable` where it could not be read."""
        if field.name not in self._found:
            raise Unreadable
        value: T = self._found[field.name]
        return value

    def node(self, field: Field[Any]) -> Node:
        """Return the value of a key that is there, to point at."""
        return self.nodes[field.name]

    def key_place(self, field: Field[Any]) -> Place:
        """Return the place of a key that is there."""
        return self.nodes[field.name].key_place


@dataclass(frozen=True, slots=True)
class Record:
    """The keys of one mapping. `elsewhere` says where a foreign key belongs, or why there is none."""

    title: str
    fields: tuple[Field[Any], ...]
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def read(self, node: Node, reading: Reading) -> Values:
        """Return what can be read; the rest is in the reading, and `broken` in the result.

        Raises `Unreadable` only for what is no mapping.
        """
        if not isinstance(node, Fields):
            names = listed((f.name for f in self.fields), "and")
            hint = self._meant_by(node)
            reading.refuse(node, f"found {kind_of(node)}, expected a mapping{hint}", f"its keys are {names}")
        known = {f.name: f for f in self.fields}
        found: dict[str, Any] = {}
        nodes: dict[str, Node] = {}
        broken: set[str] = set()
        for entry in node.entries:
            name = entry.key.text
            if name not in known:
                self._refuse_key(name, entry.key.place, reading)
                broken.add(nearest_name(name, known))
                continue
            nodes[name] = entry.value
            try:
                found[name] = known[name].reader.read(entry.value, reading)
            except Unreadable:
                broken.add(name)
        self._check_required(node, {*nodes, *broken}, reading)
        return Values(found, nodes, node.key_place, frozenset(broken))

    def schema(self) -> Schema:
        """Return the JSON Schema of the mapping."""
        properties = {f.name: describe(f) for f in self.fields}
        shape: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
        required = [f.name for f in self.fields if f.is_required]
        return shape | {"required": required} if required else shape

    def _meant_by(self, node: Node) -> str:
        """Return ` (did you mean {url: 'http://mastra:4111'}?)` where a text can only be the value of the one key."""
        required = [f.name for f in self.fields if f.is_required]
        is_shown = isinstance(node, Text) and node.shown == f"'{node.text}'"  # whole, and no secret
        return f" (did you mean {{{required[0]}: {kind_of(node)}}}?)" if is_shown and len(required) == 1 else ""

    def _refuse_key(self, name: str, place: Place, reading: Reading) -> None:
        names = [f.name for f in self.fields]
        reason = self.elsewhere.get(name)
        note = f"expected one of {', '.join(sorted(names))}"
        reading.add(place, f"unknown key{f' ({reason})' if reason else nearest(name, names)}", note)

    def _check_required(self, node: Fields, present: Iterable[str], reading: Reading) -> None:
        there = set(present)
        for wanted in self.fields:
            if wanted.is_required and wanted.name not in there:
                reading.add(node.key_place, f"'{wanted.name}' is missing, expected {wanted.meaning}")


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return the known name that a misspelt one stands for, or the name itself: its key is not missing as well."""
    said = nearest(name, known)
    return said.split("'")[1] if said else name


def describe(field: Field[Any]) -> Schema:
    """Return the JSON Schema of a key's value, with its meaning and default for the editor."""
    about = field.meaning + (f" (default: {field.default})" if field.default else "")
    return {**field.reader.schema(), "description": about}

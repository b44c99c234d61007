"""YAML text to a tree of values that know their place.

Read from the parser's events, so that nothing is guessed: every scalar is text, and what it means is decided by who
reads it (`on`, `12:30` and `010` are never booleans or numbers). An alias stands for what its anchor names, counted in
full, so that none can be expanded into a gigabyte; tags and merge keys are refused: no tag can make an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import yaml

from gateway.config.document import (
    CONSTANT,
    ConfigError,
    Entry,
    Fields,
    Items,
    Node,
    Place,
    Problem,
    Source,
    Style,
    Text,
    holds_secrets,
    names_secret,
)
from gateway.config.events import events_of
from gateway.config.reading import Reading, Unreadable
from gateway.config.substitution import SubstitutionError, substitute
from gateway.config.syntax import explain_syntax

MAX_FILE_BYTES = 1024 * 1024
_MAX_DEPTH = 40
_MAX_NODES = 50_000  # aliases counted as what they stand for
_STYLES: Mapping[str | None, Style] = {"|": "literal", ">": "folded", '"': "quoted", "'": "quoted"}


def decode(file: str, data: bytes) -> str:
    """Return the text of a file. Raises `ConfigError` for one that is too large or not UTF-8."""
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError([Problem(file, 0, 0, "", f"found {len(data)} bytes, expected at most 1 MiB")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        lines = Source(file, data[: problem.start].decode("utf-8")).lines
        found = f"found the byte 0x{data[problem.start]:02x}, expected UTF-8 text"
        raise ConfigError([Problem(file, len(lines), len(lines[-1]) + 1, "", found)]) from None


def parse(text: str, reading: Reading, expected: str = "upstream, providers and routes") -> Fields:
    """Return the file's mapping. Raises `Unreadable` if there is none to go on with; the why is in the reading.

    `expected`: what must be in it, for an empty one.
    """
    root = _Builder(text, reading, expected).build()
    if isinstance(root, Fields):
        return root
    if isinstance(root, Text) and root.is_broken:
        raise Unreadable
    found = "a list" if isinstance(root, Items) else "a single value"
    several = "upstream, providers, routes, ..." if expected.startswith("upstream") else expected
    reading.refuse(root, f"found {found}, expected keys and values: {several}")


class _Builder:
    """Builds the tree from the events of one document."""

    def __init__(self, text: str, reading: Reading, expected: str) -> None:
        self._reading = reading
        self._expected = expected
        self._events = events_of(text)
        self._line = 1  # of the last event, from 1
        self._nodes = 0
        self._deepest = 0
        self._anchors: dict[str, tuple[Node, int, int]] = {}  # the value, how many nodes it is, how deep it goes

    def build(self) -> Node:
        """Return the root. Raises `Unreadable` where there is no tree: no YAML, or an empty file."""
        root: Node | None = None
        while (event := self._next()) is not None:
            place = _place(event, "")
            if root is not None and isinstance(event, yaml.DocumentStartEvent):
                self._reading.add(place, "found a second document ('---'), expected one per file")
                break
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, place, "", depth=0, is_secret=False)
        if root is None or (isinstance(root, Text) and root.is_nothing and not root.is_broken):
            self._reading.add(Place(1, 1, ""), f"the file is empty, expected at least {self._expected}")
            raise Unreadable
        return root

    def _next(self) -> yaml.Event | None:
        """Return the next event. What is no YAML ends the reading with one message."""
        try:
            event: yaml.Event | None = next(self._events, None)
        except yaml.MarkedYAMLError as problem:
            self._reading.source.mask_unparsed()
            mark = problem.problem_mark or problem.context_mark
            line, column = (mark.line, mark.column) if mark else (0, 0)
            shown = self._reading.source.line(line + 1)
            self._reading.add(Place(line + 1, column + 1, ""), explain_syntax(problem, shown))
            raise Unreadable from None
        except (yaml.YAMLError, ValueError, OverflowError):
            # Characters that YAML does not allow, escapes beyond Unicode, version numbers without end.
            self._reading.source.mask_unparsed()
            place = Place(self._line, 1, "")
            self._reading.add(place, "not valid YAML: found a character, an escape or a number that YAML forbids")
            raise Unreadable from None
        if event is not None:
            self._line = _span(event)[1][0] + 1
        return event

    def _node(self, event: yaml.NodeEvent, key_place: Place, path: str, *, depth: int, is_secret: bool) -> Node:
        place = _place(event, path)
        if depth > _MAX_DEPTH:
            self._reading.refuse_at(place, f"nested more than {_MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event, place, key_place, depth, is_secret=is_secret)
        began, above, self._deepest = self._nodes, self._deepest, depth
        self._nodes += 1
        is_broken = self._refuse_tag(event, place)
        node: Node
        match event:
            case yaml.SequenceStartEvent():
                node = Items(place, key_place, self._members(path, depth, is_secret=is_secret))
            case yaml.MappingStartEvent():
                node = Fields(place, key_place, self._entries(path, depth, is_secret=is_secret))
            case yaml.ScalarEvent():
                node = self._text(event, key_place, path, is_broken=is_broken, is_secret=is_secret)
            case _:  # there is no other kind
                raise AssertionError(type(event).__name__)
        if event.anchor is not None:
            self._anchors[event.anchor] = node, self._nodes - began, self._deepest - depth
        self._deepest = max(above, self._deepest)
        return node

    def _aliased(self, event: yaml.AliasEvent, place: Place, key_place: Place, depth: int, *, is_secret: bool) -> Node:
        """Return what an alias stands for. Messages about it name the place of the anchor, where it is written."""
        known = self._anchors.get(event.anchor or "")
        if known is None:
            self._reading.add(place, f"the alias '*{event.anchor}' names no anchor that stands before it")
            return Text(place, key_place, "", "", is_broken=True)
        node, size, height = known
        self._nodes += size
        self._deepest = max(self._deepest, depth + height)
        if self._nodes > _MAX_NODES or depth + height > _MAX_DEPTH:
            # Billion laughs: every alias ten times the one before makes a gigabyte out of a kilobyte.
            self._reading.refuse_at(
                place, f"aliases make more than {_MAX_NODES} values or {_MAX_DEPTH} levels of this file"
            )
        if is_secret and not (isinstance(node, Text) and node.is_secret):
            self._reading.add(place, "a secret cannot be an alias of something that is none; write it here, or ${NAME}")
            return Text(place, key_place, "", "", is_broken=True)
        return replace(node, key_place=key_place)

    def _members(self, path: str, depth: int, *, is_secret: bool) -> tuple[Node, ...]:
        members: list[Node] = []
        while isinstance(event := self._next(), yaml.NodeEvent):
            own = f"{path}[{len(members)}]"
            members.append(self._node(event, _place(event, own), own, depth=depth + 1, is_secret=is_secret))
        return tuple(members)

    def _entries(self, path: str, depth: int, *, is_secret: bool) -> tuple[Entry, ...]:
        entries: dict[str, Entry] = {}
        while isinstance(event := self._next(), yaml.NodeEvent):
            key = self._key(event, path, depth)
            is_hidden = is_secret or (key is not None and (names_secret(key.text) or holds_secrets(key.place.path)))
            value_event = self._next()
            if not isinstance(value_event, yaml.NodeEvent):
                break
            own = key.place if key is not None else _place(event, path)
            value = self._node(value_event, own, own.path, depth=depth + 1, is_secret=is_hidden)
            if key is None:
                continue
            if key.text in entries:
                first = entries[key.text].key.place.line
                self._reading.add(key.place, f"duplicate key (the first is in line {first})")
                continue
            entries[key.text] = Entry(key, value)
        return tuple(entries.values())

    def _key(self, event: yaml.NodeEvent, path: str, depth: int) -> Text | None:
        """Return a key; None, with a message, for one that is no plain or quoted text."""
        place = _place(event, path)
        if isinstance(event, yaml.ScalarEvent):
            own = f"{path}.{event.value}" if path else event.value
            place = _place(event, own)
            if self._refuse_tag(event, place):
                return None
            if event.value == "<<" and not event.style:
                self._reading.add(
                    place, "found a merge key ('<<'), which is not used here (rules have names for reuse)"
                )
                return None
            return Text(place, place, event.value, event.value, _STYLES.get(event.style, "plain"))
        self._node(event, place, path, depth=depth + 1, is_secret=False)
        hint = "(is this ${...} or {capture} inside { }? Put it in quotes)"
        self._reading.add(place, f"found no plain text as a key, expected one {hint}")
        return None

    def _text(self, event: yaml.ScalarEvent, key_place: Place, path: str, *, is_broken: bool, is_secret: bool) -> Text:
        start, end = _span(event)
        place = _place(event, path)
        is_secret = is_secret or event.value.startswith(CONSTANT)
        if is_secret:
            self._reading.source.mask(start, end)
        style = _STYLES.get(event.style, "plain")
        node = Text(place, key_place, event.value, event.value, style, start[0] == end[0], is_secret, is_broken)
        if is_broken or "$" not in event.value:
            return self._checked(node)
        try:
            return self._checked(replace(node, text=substitute(event.value, self._reading.environment)))
        except SubstitutionError as problem:
            # The whole value is the reference: its start. Else the very place of the `$`.
            at = self._reading.place_in(node, problem.offset) if problem.offset else place
            self._reading.add(at, str(problem))
            return replace(node, is_broken=True)

    def _checked(self, node: Text) -> Text:
        if any("\ud800" <= character <= "\udfff" for character in node.text):
            self._reading.add(node.place, "found half a character (a surrogate), expected Unicode text")
            return replace(node, text="", written="", is_broken=True)
        return node

    def _refuse_tag(self, event: yaml.NodeEvent, place: Place) -> bool:
        if getattr(event, "tag", None) is None:
            return False
        # What is tagged may be meant as a secret.
        line, column = _span(event)[0]
        self._reading.source.mask((line, column + 1), (line, len(self._reading.source.line(line + 1))))
        self._reading.add(place, "found a YAML tag ('!'), expected a value without it")
        return True


def _span(event: yaml.Event) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where an event begins and ends: lines and columns from 0."""
    start, end = event.start_mark, event.end_mark
    return ((start.line, start.column), (end.line, end.column)) if start and end else ((0, 0), (0, 0))


def _place(event: yaml.Event, path: str) -> Place:
    line, column = _span(event)[0]
    return Place(line + 1, column + 1, path)

"""Readers of single values. Each reads a value and describes it for the JSON Schema."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from gateway.config.document import Node, Text, kind_of
from gateway.config.reading import Reading, Unreadable, nearest
from gateway.policy.words import listed

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Schema = dict[str, Any]
# `${PORT}` may stand wherever something else than text is expected.
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{"}


class Mistake(ValueError):
    """What is wrong with a text, in words that follow `found 'x'`. `says_all` True: they replace that.

    A part in brackets at their end is the way out, and comes last in the message.
    """

    def __init__(self, words: str = "", *, says_all: bool = False) -> None:
        super().__init__(words)
        self.says_all = says_all

    @property
    def unquoted(self) -> str:
        """The words without those that quote or rewrite the text, which may be what a variable holds."""
        words = str(self).partition("(")[0].strip()
        return "" if "'" in words else words

    def about(self, value: Text, expected: str) -> str:
        """Return the whole message: what was found, what was expected, the way out."""
        if self.says_all:
            return str(self)
        words, bracket, way_out = str(self).partition("(")
        if value.is_replaced:
            words, bracket, way_out = self.unquoted, "", ""
        found = " ".join(part for part in ("found", value.shown, words.strip()) if part)
        return f"{found}, expected {expected}{bracket and ' ('}{way_out}"


class Reader(Protocol[T_co]):
    """Reads one kind of value. `read` raises `Unreadable`, with the why in the reading."""

    def read(self, node: Node, reading: Reading) -> T_co: ...

    def schema(self) -> Schema: ...


@dataclass(frozen=True, slots=True)
class Scalar(Generic[T]):
    """A single value that a function parses, which raises `Mistake`. `expected` says in words what it takes."""

    expected: str
    parse: Callable[[str], T]
    shape: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})

    def read(self, node: Node, reading: Reading) -> T:
        value = text_of(node, reading, self.expected)
        try:
            return self.parse(value.text)
        except Mistake as mistake:
            reading.refuse(value, mistake.about(value, self.expected))

    def schema(self) -> Schema:
        shape = dict(self.shape)
        return shape if shape == {"type": "string"} else {"anyOf": [shape, _VARIABLE]}


def text_of(node: Node, reading: Reading, expected: str) -> Text:
    """Return a value that is a single, non-empty one."""
    if not isinstance(node, Text):
        reading.refuse(node, f"found {kind_of(node)}, expected {expected}")
    if node.is_broken:
        raise Unreadable
    if node.is_nothing:
        reading.refuse(node, f"found nothing, expected {expected}")
    if not node.text.strip():
        why = f" ({node.written} is empty)" if node.written.strip() else ""
        reading.refuse(node, f"found an empty value, expected {expected}{why}")
    return node


def _plain_text(text: str) -> str:
    if any(character < " " or character == "\x7f" for character in text):
        raise Mistake("with a control character")
    return text


def text(expected: str = "text") -> Scalar[str]:
    """Return a reader of any text of one line."""
    return Scalar(expected, _plain_text)


@dataclass(frozen=True, slots=True)
class _Boolean:
    """`true` or `false`, and nothing that YAML 1.1 also takes for it."""

    def read(self, node: Node, reading: Reading) -> bool:
        value = text_of(node, reading, "true or false")
        is_bare = value.style == "plain" or value.is_replaced  # `"${NAME}"` needs its quotes in { }
        if is_bare and value.text in ("true", "false"):
            return value.text == "true"
        if value.text in ("true", "false"):
            reading.refuse(node, f'found the text "{value.text}", expected {value.text} without quotes')
        meant = {"yes": "true", "on": "true", "y": "true", "1": "true", "true": "true"} | dict.fromkeys(
            ("no", "off", "n", "0", "false"), "false"
        )
        hint = meant.get(value.text.lower())
        found = f"found {value.shown}, expected true or false"
        reading.refuse(node, f"{found} (did you mean {hint}?)" if hint else found)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "boolean"}, _VARIABLE]}


BOOLEAN: Reader[bool] = _Boolean()


def integer(low: int, high: int) -> Scalar[int]:
    """Return a reader of a whole number within bounds."""

    def parse(written: str) -> int:
        if not re.fullmatch(r"-?(?:0|[1-9][0-9]{0,15})", written):
            raise Mistake
        if not low <= int(written) <= high:
            raise Mistake
        return int(written)

    return Scalar(f"a whole number from {low} to {high}", parse, {"type": "integer", "minimum": low, "maximum": high})


_UNITS_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNITS_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_MAX_SECONDS = 10 * 365 * 86400
_MAX_BYTES = 1024**4
_END_OF_CALENDAR = 253402300800  # Unix seconds of the first moment after the year 9999


def duration(*, allow_zero: bool = False, at_most_seconds: float = _MAX_SECONDS) -> Scalar[float]:
    """Return a reader of a duration, in seconds."""

    def parse(written: str) -> float:
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([a-zA-Z]*)", written)
        if found is None:
            raise Mistake
        if not found[2]:
            if float(found[1]) == 0 and allow_zero:
                return 0.0
            raise Mistake("without a unit")
        if found[2] not in _UNITS_SECONDS:
            raise Mistake(f"with an unknown unit{nearest(found[2], _UNITS_SECONDS)}")
        seconds = float(found[1]) * _UNITS_SECONDS[found[2]]
        if seconds == 0 and not allow_zero:
            raise Mistake("which is no time at all")
        if seconds > at_most_seconds:
            raise Mistake(f"which is more than {at_most_seconds:g}s")
        return seconds

    return Scalar(
        "a duration such as 500ms, 5s, 10m or 1h",
        parse,
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"},
    )


def size(low_bytes: int = 1, high_bytes: int = _MAX_BYTES) -> Scalar[int]:
    """Return a reader of a size, in bytes."""

    def parse(written: str) -> int:
        found = re.fullmatch(r"([0-9]{1,15})([a-zA-Z]*)", written)
        if found is None:
            raise Mistake
        if found[2] not in _UNITS_BYTES:
            meant = {unit.lower().replace("i", ""): unit for unit in _UNITS_BYTES}.get(found[2].lower())
            meant = meant or {unit[0].lower(): unit for unit in _UNITS_BYTES}.get(found[2].lower()[:1])
            what = "with an unknown unit" if found[2] else "without a unit"
            raise Mistake(f"{what} (did you mean {found[1]}{meant}?)" if meant else what)
        amount = int(found[1]) * _UNITS_BYTES[found[2]]
        if not low_bytes <= amount <= high_bytes:
            raise Mistake(f"which is not between {low_bytes} and {high_bytes} bytes")
        return amount

    return Scalar("a size such as 512B, 64KiB or 10MiB", parse, {"type": "string", "pattern": "^[0-9]+([KMG]i)?B$"})


def moment() -> Scalar[float]:
    """Return a reader of a moment, in Unix seconds: ISO 8601, in UTC unless it says else, or the seconds themselves."""

    def parse(written: str) -> float:
        if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", written):
            seconds = float(written)
        else:
            try:
                found = datetime.datetime.fromisoformat(written)
            except ValueError:
                raise Mistake from None
            seconds = (found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)).timestamp()
        if not 0 <= seconds < _END_OF_CALENDAR:
            raise Mistake("which is before 1970 or after 9999")
        return seconds

    return Scalar("a moment such as 2026-11-21T05:00:00Z, or Unix seconds", parse, {"type": ["string", "number"]})


def one_of(*words: str, meant: Mapping[str, str] | None = None) -> Scalar[str]:
    """Return a reader of one of a few words. `meant`: other words, in lower case, and which of these they stand for."""

    def parse(written: str) -> str:
        if written not in words:
            known = (meant or {}).get(written.lower())
            near = f"(did you mean '{known}'?)" if known is not None else nearest(written, words)
            raise Mistake(near.strip()) if near else Mistake
        return written

    return Scalar(listed(words), parse, {"enum": list(words)})

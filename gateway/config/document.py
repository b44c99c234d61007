"""A YAML document whose every value knows its place, and the lines that a message may show of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

Style = Literal["plain", "quoted", "literal", "folded"]
MASK = "***"
_MAX_SHOWN = 110
# What the YAML reader counts as the end of a line.
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
# What is secret wherever it stands: a password in an address, the secret key of Clerk (or Stripe) or the key of a
# machine in a wrong place.
_SECRET_TEXT = re.compile(r"(?<=://)[^/\s@\"']+(?=@)|\bsk_(?:test|live)_\w+|\bgwk_[\w-]+")
# Whatever a writer may have meant by such a key, its value is not shown.
_SECRET_NAME = re.compile(r"[\w.-]*(?:secret|passw|private|api_?key)[\w.-]*|token", re.IGNORECASE)
_NAMES_A_SECRET = re.compile(
    r"[\"']?[\w-]*(?:secret|passw|private|api[_-]?key|authorization)[\w-]*[\"']?\s*:(?=\s|$)", re.IGNORECASE
)
_SECRET_PLACE = re.compile(r"providers\..+\.jwks\.(?:headers|proxy)|shared\.url", re.DOTALL)
# How a constant for an upstream begins: a credential, most often.
CONSTANT = "text:"
_ONE_VARIABLE = re.compile(rf"\s*([\"']?)(?:{CONSTANT})?\$\{{\w+\}}\1\s*")


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column, both from 1; `path` names the value: `routes./api.allow[0]`."""

    line: int
    column: int
    path: str


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar. `text` is its value after substitution, `written` the one before, which alone may be shown."""

    place: Place
    key_place: Place
    text: str
    written: str
    style: Style = "plain"
    is_single_line: bool = True
    is_secret: bool = False
    is_broken: bool = False  # its mistake is reported already: whoever needs the value stops without a word

    @property
    def is_nothing(self) -> bool:
        """True for `key:` without a value, `~` and `null`."""
        return self.style == "plain" and self.written in ("", "~", "null")

    @property
    def shown(self) -> str:
        """The value as a message may quote it: what a variable holds stays out."""
        if self.is_nothing:
            return "nothing"
        if self.is_secret:
            return "a value that is not shown"
        written = printable(without_secrets(self.written))
        short = written if len(written) <= 60 else written[:57] + "..."
        return f"'{short}'"

    @property
    def is_replaced(self) -> bool:
        """True if a variable is in it: then nothing of `text` may be shown."""
        return self.text != self.written

    def __repr__(self) -> str:
        return f"Text({self.place!r})"  # the value may be a secret


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    key_place: Place
    members: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping and its value."""

    key: Text
    value: Node


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping, in the order of the file; no key comes twice."""

    place: Place
    key_place: Place
    entries: tuple[Entry, ...]

    def get(self, name: str) -> Node | None:
        """Return the value of a key, or None."""
        return next((entry.value for entry in self.entries if entry.key.text == name), None)


Node = Text | Items | Fields


def names_secret(key: str) -> bool:
    """True for a key whose value is hidden in every message, also if it is misspelt (`secrte`)."""
    if key.endswith("_file"):
        return False
    return bool(_SECRET_NAME.fullmatch(key)) or _is_near_secret(key.lower())


def holds_secrets(path: str) -> bool:
    """True for a key whose value is hidden because of where it stands: credentials for a key server, for a store."""
    return _SECRET_PLACE.fullmatch(path) is not None


def _is_near_secret(key: str) -> bool:
    # Longer ones are never as near: 2 * 7 common characters of 7 + 12 are less than 0.75. Keys of routes are long.
    return len(key) < 12 and _is_spelt_like_secret(key)


@lru_cache(maxsize=256)  # a file has the same few keys again and again
def _is_spelt_like_secret(key: str) -> bool:
    return bool(difflib.get_close_matches(key, ("secret", "secrets"), 1, 0.75))


def printable(line: str) -> str:
    """Return a line without what could steer a terminal, end it, turn the direction of writing, or is half a character.

    The one place that says what a line may hold. Whoever prints several lines parts them first: a line break that got
    into a line by way of a key, a token or a file's name would look like one of ours.
    """
    return line if line.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def without_secrets(text: str) -> str:
    """Return a text without what is secret wherever it stands, whatever the key is called."""
    return _SECRET_TEXT.sub(MASK, text)


def kind_of(node: Node) -> str:
    """Return what a value is, in words."""
    match node:
        case Items(members=()):
            return "an empty list"
        case Items():
            return "a list"
        case Fields(entries=()):
            return "an empty mapping"
        case Fields():
            return "a mapping (keys and values)"
        case Text():
            return node.shown


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `line` and `column` count from 1; 0 where the file as a whole is meant."""

    file: str
    line: int
    column: int
    path: str
    message: str
    shown_line: str = ""
    caret: int = 0  # characters before it in `shown_line`
    note: str = ""

    @property
    def headline(self) -> str:
        """The mistake in one line: `gateway.yaml:12:7: routes./api.alow: unknown key (did you mean 'allow'?)`."""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return printable(": ".join(part for part in (where, self.path, self.message) if part))

    def lines(self, width: int = 0) -> list[str]:
        """Return the mistake as it is printed. `width`: columns of the terminal; the caret stays below its line."""
        lines = [self.headline]
        if self.shown_line.strip():
            number = str(self.line)
            shown, caret = clip(self.shown_line, self.caret, width - len(f"  {number} | ") if width else _MAX_SHOWN)
            lines += [f"  {number} | {shown}".rstrip(), f"  {' ' * len(number)} | {' ' * caret}^"]
        if self.note:
            lines.append(f"  {self.note}")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())


class ConfigError(ValueError):
    """A file that cannot be used, with every mistake in it, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.lines()))

    def lines(self, width: int = 0) -> list[str]:
        """Return all that is printed about the file. `width` as in `Problem.lines`."""
        count = "1 mistake" if len(self.problems) == 1 else f"{len(self.problems)} mistakes"
        files = dict.fromkeys(printable(problem.file) for problem in self.problems)
        where = f" in {' and '.join(files)}" if files else ""
        return [*(line for problem in self.problems for line in problem.lines(width)), f"{count}{where}"]


def clip(line: str, caret: int, width: int) -> tuple[str, int]:
    """Return as much of a line as fits, with the caret in it, and how many characters stand before the caret."""
    if len(line) <= width:
        return line, caret
    start = max(0, min(caret - width // 2, len(line) - width))
    return line[start : start + width], caret - start


def _united(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in their order, those that overlap as one: a part of a secret that is hidden hides no other part."""
    united: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if united and start < united[-1][1]:
            united[-1] = united[-1][0], max(end, united[-1][1])
        else:
            united.append((start, end))
    return united


class Source:
    """The lines of a file, as far as they may be shown: no value of a secret ever is."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._text = text
        self._masks: list[tuple[int, int, int, int]] = []

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends. A file without mistakes need not be cut into them."""
        return _LINE_END.split(self._text)

    def line(self, number: int) -> str:
        """Return a line, counted from 1, unmasked; empty where there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def mask(self, first: tuple[int, int], last: tuple[int, int]) -> None:
        """Hide what stands from one (line, column) up to another, both from 0, the second exclusive."""
        self._masks.append((*first, *last))

    def mask_unparsed(self) -> None:
        """Hide whatever could be a secret's value in a text that is no YAML, so that nobody knows where it ends."""
        indent: int | None = None
        for number, line in enumerate(self.lines):
            own_indent = len(line) - len(line.lstrip())
            if indent is not None and (own_indent > indent or not line.strip()):
                self.mask((number, 0), (number, len(line)))
                continue
            indent = None
            match = _NAMES_A_SECRET.search(line)
            if match is None:
                continue
            rest = line[match.end() :].strip()
            self.mask((number, match.end()), (number, len(line)))
            is_open = rest[:1] in ("[", "{", '"', "'") and not rest.endswith(("]", "}", '"', "'"))
            indent = -1 if is_open else own_indent

    def shown(self, line: int, column: int) -> tuple[str, int]:
        """Return a line, masked and clipped, and how many characters of it stand before the column (from 1)."""
        if not 0 < line <= len(self.lines):
            return "", 0
        text, caret = self._masked(line - 1, column - 1)
        text = printable(text.replace("\t", " "))
        text, caret = clip(text, caret, _MAX_SHOWN)
        return text.rstrip(), caret

    def _masked(self, number: int, caret: int) -> tuple[str, int]:
        text = self.lines[number]
        spans = [found.span() for found in _SECRET_TEXT.finditer(text)]
        for first_line, first, last_line, last in self._masks:
            if first_line <= number <= last_line:
                spans.append((first if number == first_line else 0, last if number == last_line else len(text)))
        for start, end in reversed(_united(spans)):
            if end <= start or _ONE_VARIABLE.fullmatch(text[start:end]):
                continue  # the name of a variable is no secret, and helps
            lead = len(text[start:end]) - len(text[start:end].lstrip())
            start += min(lead, end - start - 1)
            text = text[:start] + MASK + text[end:]
            if caret >= end:
                caret += len(MASK) - (end - start)
            elif caret > start:
                caret = start
        return text, max(0, caret)

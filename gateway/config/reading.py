"""One reading of a file: where mistakes are collected, so that all of them come out of one run."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Concatenate, NoReturn, ParamSpec, TypeVar

from gateway.config.document import ConfigError, Node, Place, Problem, Source, Text, printable, without_secrets
from gateway.config.model import Expansion
from gateway.config.typescript import find_typescript

M = TypeVar("M")
T = TypeVar("T")
P = ParamSpec("P")
ReadFile = Callable[[Path], bytes]
_MAX_MOUNTED_BYTES = 1024 * 1024


class Unreadable(Exception):  # no fault of ours: the mistake is in the reading already
    """A value that cannot be used. Whoever needs it stops too, without another message."""


class Reading:
    """What a reading has and finds: the source, the environment, mounted files, problems and warnings."""

    def __init__(
        self, source: Source, environment: Mapping[str, str], folder: Path, read_file: ReadFile = Path.read_bytes
    ) -> None:
        self.source = source
        self.environment = environment
        self.files: list[Path] = []  # those that the file names: secrets, certificates
        self.expansions: list[Expansion] = []  # what presets stand for
        self.judged_by: list[bytes] = []  # what other files say that decisions rest on, and that is no secret
        self._folder = folder
        self._read_file = read_file
        self._problems: dict[Problem, None] = {}  # each once, in the order they were found
        self._warnings: dict[Problem, None] = {}

    def add(self, place: Place, message: str, note: str = "") -> None:
        """Collect a mistake."""
        self._problems.setdefault(self._problem(place, message, note))

    def warn(self, place: Place, message: str) -> None:
        """Collect a warning: the file is valid, and probably not what was meant."""
        self._warnings.setdefault(self._problem(place, message, ""))

    def refuse_at(self, place: Place, message: str, note: str = "") -> NoReturn:
        """Collect a mistake and give its value up."""
        self.add(place, message, note)
        raise Unreadable

    def refuse(self, node: Node, message: str, note: str = "") -> NoReturn:
        """Collect the mistake of a value and give it up. A value that is broken already gets no second message."""
        if isinstance(node, Text) and node.is_broken:
            raise Unreadable
        self.refuse_at(start_of(node), message, note)

    def hide(self, node: Node) -> None:
        """Show nothing of a value in any message: it may be a secret, though its key does not say so."""
        number = node.place.line - 1
        self.source.mask((number, node.place.column - 1), (number, len(self.source.line(node.place.line))))

    def place_in(self, node: Text, offset: int) -> Place:
        """Return the place of a character of a value, counted from 0; the value's own where that is unclear."""
        if node.style == "literal":
            return self._place_in_block(node, offset)
        quote = 1 if node.style == "quoted" else 0
        line = self.source.line(node.place.line)
        begin = node.place.column - 1 + quote
        if not node.is_single_line or line[begin : begin + len(node.written)] != node.written:
            return node.place
        return Place(node.place.line, begin + offset + 1, node.place.path)

    def path_of(self, node: Text) -> Path:
        """Return the path that a value names. A relative one begins at the file's folder."""
        if "\0" in node.text:
            self.refuse(node, "found a character that no path has, expected a file")
        return self._folder / node.text

    def mounted(
        self, node: Text, max_bytes: int = _MAX_MOUNTED_BYTES, *, is_watched: bool = True, if_gone: str = ""
    ) -> tuple[Path, bytes]:
        """Return the path and the bytes of a file that the file names. A relative path begins at the file's folder.

        `if_gone` is what to do where there is no such file.
        """
        path = self.path_of(node)
        try:
            if is_watched:
                self.files.append(path)
            content = self._read_file(path)
        except OSError as problem:
            note = if_gone if isinstance(problem, FileNotFoundError) else ""
            self.refuse(node, f"the file cannot be read: {problem.strerror or type(problem).__name__}", note)
        if len(content) > max_bytes:
            self.refuse(node, f"found a file of {len(content)} bytes, expected at most {max_bytes // 1024**2} MiB")
        return path, content

    def of_file(self, source: Source) -> Reading:
        """Return a reading of a file that this one names, whose mistakes are of their own places; see `adopt`."""
        return Reading(source, self.environment, self._folder, self._read_file)

    def adopt(self, other: Reading) -> None:
        """Take over what was found in another file."""
        self._problems |= dict.fromkeys(map(other._with_line, other._problems))
        self._warnings |= other._warnings
        self.judged_by += other.judged_by

    @property
    def is_clean(self) -> bool:
        """True while no mistake was found."""
        return not self._problems

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings in the order of the file, one line each."""
        return tuple(warning.headline for warning in sorted(self._warnings, key=self._order))

    def error(self) -> ConfigError:
        """Return every mistake, in the order of the file."""
        return ConfigError([self._with_line(problem) for problem in sorted(self._problems, key=self._order)])

    def error_of_typescript(self) -> ConfigError | None:
        """Return the one mistake of a text in which TypeScript was pasted, in place of all that follow from it."""
        found = find_typescript(self.source.lines)
        if found is None:
            return None
        line, column, message = found
        self.source.mask_unparsed()
        return ConfigError([self._with_line(self._problem(Place(line, column, ""), message, ""))])

    def _with_line(self, problem: Problem) -> Problem:
        if problem.file != self.source.file:  # it has its line
            return problem
        # Only now is it known which parts of the line are secrets.
        line, caret = self.source.shown(problem.line, problem.column)
        return replace(problem, shown_line=line, caret=caret)

    def _problem(self, place: Place, message: str, note: str) -> Problem:
        # Keys, file names and parts of values are in them.
        path, words, more = (printable(without_secrets(text)) for text in (place.path, message, note))
        return Problem(self.source.file, place.line, place.column, path, words, note=more)

    def _order(self, problem: Problem) -> tuple[bool, str, int, int]:
        return problem.file != self.source.file, problem.file, problem.line, problem.column

    def _place_in_block(self, node: Text, offset: int) -> Place:
        before = node.written[:offset]
        first = node.place.line + 1
        content = node.written.split("\n")
        indent = self.source.line(first).find(content[0])
        if indent < 0 or not content[0]:
            return node.place
        return Place(first + before.count("\n"), indent + len(before.rpartition("\n")[2]) + 1, node.place.path)


def attempt(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Return what a step gives, or None where it could not: so that the next one can still say what it finds."""
    try:
        return step(*args, **kwargs)
    except Unreadable:
        return None


def attempt_each(
    step: Callable[Concatenate[M, P], T], members: Iterable[M], *args: P.args, **kwargs: P.kwargs
) -> tuple[T, ...]:
    """Return what a step gives for each member; None may be among it. Raises `Unreadable`, after the last was tried."""
    given: list[T] = []
    is_broken = False
    for member in members:
        try:
            given.append(step(member, *args, **kwargs))
        except Unreadable:
            is_broken = True
    if is_broken:
        raise Unreadable
    return tuple(given)


def start_of(node: Node) -> Place:
    """Return where a message about a value points: the value, or its key where there is nothing to point at."""
    return node.key_place if isinstance(node, Text) and node.is_nothing else node.place


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the nearest of the known words, or nothing."""
    by_fold = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_fold, n=1, cutoff=0.6)
    return f" (did you mean '{by_fold[found[0]]}'?)" if found else ""

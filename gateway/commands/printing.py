"""Print for people: colour on a terminal unless NO_COLOR is set, plain text in a pipe.

Whatever a token, a log or a file put into the text, it steers no terminal and always has a form in UTF-8.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from gateway.config.document import ConfigError, printable

_GAP = "  "

Line = tuple[str, str]  # one line and its style, such as `green` or `bold`; empty for none


def print_lines(lines: Iterable[Line]) -> None:
    """Print styled lines. Each is one: a line break within it is shown as a character that cannot be printed."""
    lines = [(printable(text), style) for text, style in lines]
    if not sys.stdout.isatty():
        print("\n".join(text for text, _ in lines))
        return
    console = Console(highlight=False)
    for text, style in lines:
        console.print(Text(text, style=style), soft_wrap=True)


def print_mistakes(mistakes: ConfigError) -> None:
    """Print every mistake of a file: where, the line with a caret below it, and the way out."""
    width = Console().width if sys.stdout.isatty() else 0
    print_lines((line, "" if line.startswith("  ") else "red") for line in mistakes.lines(width))


@contextlib.contextmanager
def progress(words: str) -> Iterator[None]:
    """Say on a terminal that something takes a moment; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(words):
        yield


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, in a pipe as columns parted by two spaces.

    On a terminal that is too narrow for its longest words, each row becomes a list: nothing is cut off.
    """
    rows = [tuple(map(printable, row)) for row in rows]
    if sys.stdout.isatty():
        _draw(headings, rows)
        return
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    print("\n".join(_GAP.join(map(str.ljust, line, widths)).rstrip() for line in lines))


def _draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    console = Console(highlight=False)
    table = Table(*headings)
    for row in rows:
        table.add_row(*map(Text, row))  # Text: the brackets of a route are no markup
    if Measurement.get(console, console.options.update(max_width=10_000), table).minimum <= console.width:
        console.print(table)
        return
    width = max(map(len, headings))
    for row in rows:
        print_lines(
            [("", ""), *((f"{name:<{width}}{_GAP}{cell}", "") for name, cell in zip(headings, row, strict=True))]
        )

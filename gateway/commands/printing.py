"""Print for people: colour on a terminal unless NO_COLOR is set, plain text in a pipe.

Whatever a token, a log or a file put into the text, it steers no terminal and always has a form in UTF-8.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.config.document import ConfigError, printable

_GAP = "  "
_BORDER = " | "  # what rich draws around each cell takes as much

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


def counted(number: int, noun: str) -> str:
    """Return `1 case`, `2 cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


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
    columns = list(zip(headings, *rows, strict=True))
    widths = _widths(columns, console.width - len(_BORDER) * len(columns) - 1)
    if widths is not None:
        table = Table()
        for heading, width in zip(headings, widths, strict=True):
            table.add_column(heading, width=width)
        for row in rows:
            table.add_row(*map(Text, row))  # Text: the brackets of a route are no markup
        console.print(table)
        return
    longest = max(map(len, headings))
    for row in rows:
        fields = (f"{name:<{longest}}{_GAP}{cell}" for name, cell in zip(headings, row, strict=True))
        print_lines([("", ""), *((field, "") for field in fields)])


def _widths(columns: Sequence[Sequence[str]], available: int) -> list[int] | None:
    """Return the width of each column, at least that of its longest word; None where these do not fit.

    Rich by itself would cut a long path off while another column has room to spare.
    """
    # A heading stays on one line: below the first of two would be nothing.
    words = [
        max(cell_len(cells[0]), *(cell_len(word) for cell in cells[1:] for word in cell.split() or [""]))
        for cells in columns
    ]
    wanted = [max(map(cell_len, cells)) for cells in columns]
    spare = available - sum(words)
    if spare < 0:
        return None
    widths = list(words)
    # Whoever wants least is served first; what is left over is parted among the others.
    order = sorted(range(len(columns)), key=lambda index: wanted[index] - words[index])
    for served, index in enumerate(order):
        more = min(wanted[index] - words[index], spare // (len(order) - served))
        widths[index] += more
        spare -= more
    return widths

"""Print for people: colour on a terminal unless NO_COLOR is set, plain text in a pipe.

Whatever a token, a log or a file put into the text, it steers no terminal and always has a form in UTF-8.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.config.document import printable

_GAP = "  "

Line = tuple[str, str]  # a text and its style, such as `green` or `bold`; empty for none


def print_lines(lines: Iterable[Line]) -> None:
    """Print styled lines."""
    lines = [(printable(text), style) for text, style in lines]
    if not sys.stdout.isatty():
        print("\n".join(text for text, _ in lines))
        return
    console = Console(highlight=False)
    for text, style in lines:
        console.print(Text(text, style=style), soft_wrap=True)


@contextlib.contextmanager
def progress(words: str) -> Iterator[None]:
    """Say on a terminal that something takes a moment; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(words):
        yield


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, in a pipe as columns parted by two spaces."""
    rows = [tuple(map(printable, row)) for row in rows]
    if sys.stdout.isatty():
        table = Table(*headings)
        for row in rows:
            table.add_row(*map(Text, row))  # Text: the brackets of a route are no markup
        Console().print(table)
        return
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    print("\n".join(_GAP.join(map(str.ljust, line, widths)).rstrip() for line in lines))

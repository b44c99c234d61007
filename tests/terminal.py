"""A terminal of a given width, and what a command draws on it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).parent.parent
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What is drawn while something takes a moment, and wiped away: nothing else may come between.
SPINNER = re.compile(
    r"\x1b\[\?25l(?:\r|\x1b\[2K|\n|[\u2800-\u28ff] asking [^\n\r\x1b]*)*\x1b\[\?25h\r?\x1b\[1A\x1b\[2K"
)
GATEWAY = (sys.executable, "-m", "gateway")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of somebody at a terminal, who has set neither its width nor its colours."""
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    return {**kept, "PYTHONPATH": str(PROJECT), "TERM": "xterm-256color", **more}


def seen_on_terminal(
    command: Sequence[str],
    columns: int,
    folder: Path,
    variables: Mapping[str, str] | None = None,
    answer: Callable[[str], str | None] = lambda seen: None,
) -> tuple[int, str]:
    """Return the exit status of a command on a terminal, and all that it drew, colours included.

    `answer` is asked after each piece with all that was seen so far, and says what is typed, if anything.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment(**(variables or {}))
    )
    os.close(theirs)
    seen = b""
    with contextlib.closing(os.fdopen(ours, "rb+", buffering=0)) as screen:
        while piece := _read(screen.fileno()):
            seen += piece
            typed = answer(seen.decode(errors="ignore"))
            if typed is not None:
                screen.write(typed.encode())
        status = process.wait(30)
    return status, seen.decode().replace("\r\n", "\n")


def plain(drawn: str) -> str:
    """Return what was drawn as a pipe would have it: no colours; the cells of a table's rows parted by two spaces."""
    lines: list[str] = []
    for line in SPINNER.sub("", COLOUR.sub("", drawn)).split("\n"):
        if line[:1] in ("┏", "┡", "└"):
            continue
        cells = [cell.strip() for cell in re.split("[│┃]", line)[1:-1]] if line[:1] in ("│", "┃") else None
        if cells is not None and not cells[0]:  # a row of several lines
            lines[-1] = "\0".join(
                " ".join(filter(None, pair)) for pair in zip(lines[-1].split("\0"), cells, strict=True)
            )
            continue
        lines.append(line.rstrip() if cells is None else "\0".join(cells))
    return "\n".join(lines).replace("\0", "  ")


def _read(descriptor: int) -> bytes:
    """Return the next piece of what a terminal shows; nothing once the last program on it is gone."""
    try:
        return os.read(descriptor, 65536)
    except OSError as gone:
        if gone.errno == errno.EIO:
            return b""
        raise

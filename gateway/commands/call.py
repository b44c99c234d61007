"""What the commands share: how one is described, the option `-c`, and the two ways to say no."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.document import printable
from gateway.config.env_file import SWITCH

DEFAULT_FILE = Path("gateway.yaml")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: `run` takes the parsed call and returns the exit status. `examples` end its help."""

    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: str = ""


class Refusal(Exception):  # an answer, not a fault: hence the name
    """The answer is no, and why; `more` are further lines. Exit status 1."""

    def __init__(self, why: str, more: Iterable[str] = ()) -> None:
        super().__init__(why)
        self.more = tuple(more)


class BadCall(Exception):
    """The call makes no sense as it stands, and what would. Exit status 2."""


def add_file_option(parser: argparse.ArgumentParser) -> None:
    """Add `-c FILE` and `--no-env-file` to a command's parser, as `parsed.file` and `parsed.env_file`."""
    parser.add_argument(
        "--no-env-file", dest="env_file", action="store_false", help="do not read the variables of .env beside the file"
    )
    parser.add_argument(
        "-c",
        "--config",
        dest="file",
        metavar="FILE",
        type=Path,
        default=DEFAULT_FILE,
        help="the configuration (default: gateway.yaml in the working directory)",
    )


def environment_of(call: argparse.Namespace) -> Mapping[str, str]:
    """Return the environment in which a command reads the file."""
    return os.environ if call.env_file else {**os.environ, SWITCH: "off"}


def require_file(file: Path) -> Path:
    """Return the file if it is there. Raises `BadCall` that says how to get one."""
    if file.is_file():
        return file
    if file.exists():
        raise BadCall(f"{file} is not a file; -c takes one YAML file")
    if file != DEFAULT_FILE:
        raise BadCall(f"{file} is not there")
    raise BadCall(
        "gateway.yaml is not in the working directory. Write one with `gateway init`, name another with -c FILE,"
        " or see it work first: gateway demo"
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean x?)` for the nearest of the known words, or nothing."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""


def say(*lines: str) -> None:
    """Print lines to stderr: what a person should know and a pipe should not get."""
    for line in lines:
        print(printable(line), file=sys.stderr)

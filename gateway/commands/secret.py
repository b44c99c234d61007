"""`gateway secret`: make a random secret once. For the compose file; not in the list of commands."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from gateway.commands.call import Command, Refusal
from gateway.record.subject import keep_once

_SECRET_BYTES = 48


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="where the secret goes, unless something is there already")


def _run(call: argparse.Namespace) -> int:
    """Leave a secret in the file, readable to its owner only; a file that is there stays as it is."""
    file: Path = call.file
    try:
        keep_once(file, secrets.token_urlsafe(_SECRET_BYTES).encode())
    except OSError as problem:
        raise Refusal(f"{file} cannot be written: {problem.strerror}") from problem
    return 0


COMMAND = Command("Write a random secret to a file, unless the file is there.", _add_arguments, _run)

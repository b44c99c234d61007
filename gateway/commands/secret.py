"""`gateway secret`: make a random secret once. For the compose file; not in the list of commands."""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path

from gateway.commands.call import Command, Refusal

_SECRET_BYTES = 48


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="where the secret goes, unless something is there already")


def _run(call: argparse.Namespace) -> int:
    """Leave a secret in the file, readable to its owner only; a file that is there stays as it is."""
    file: Path = call.file
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w", encoding="ascii") as output:
            output.write(secrets.token_urlsafe(_SECRET_BYTES))
        # Linking, not writing in place: the file is there whole or not at all, and never replaced.
        os.link(unfinished, file)
    except FileExistsError:
        return 0
    except OSError as problem:
        raise Refusal(f"{file} cannot be written: {problem.strerror}") from problem
    finally:
        unfinished.unlink(missing_ok=True)
    return 0


COMMAND = Command("Write a random secret to a file, unless the file is there.", _add_arguments, _run)

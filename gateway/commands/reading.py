"""Read a file for a command that is about something else than its mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.commands.call import Refusal
from gateway.config.document import ConfigError
from gateway.config.file import load
from gateway.config.model import Config


def read_file(file: Path, environment: Mapping[str, str]) -> Config:
    """Return what a file says. Raises `Refusal` with all of its mistakes."""
    try:
        return load(file, environment)
    except ConfigError as problem:
        raise Refusal(f"{file} cannot be used", problem.lines()) from problem

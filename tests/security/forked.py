"""A command of the gateway in a process of its own that is forked: to import everything anew takes half a second."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from gateway.commands.main import run_command

_COMMANDS: Final = ("gateway.commands.serve", "gateway.commands.check")
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, *_COMMANDS])


def start(words: list[str], output: Path) -> BaseProcess:
    """Begin a command. What it prints goes to a file; the process's `exitcode` is its exit status."""
    process = _CONTEXT.Process(target=_run, args=(words, output), daemon=True)
    process.start()
    return process


def _run(words: list[str], output: Path) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    sys.exit(run_command(words))

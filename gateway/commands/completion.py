"""`gateway completion`: the script that lets a shell complete commands and options."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab

from gateway.commands.call import Command

_SHELLS = ("bash", "zsh", "fish", "tcsh")
_EXAMPLES = """\
to use it:
  bash   gateway completion bash > ~/.local/share/bash-completion/completions/gateway
  zsh    gateway completion zsh > "${fpath[1]}/_gateway"
  fish   gateway completion fish > ~/.config/fish/completions/gateway.fish
  tcsh   gateway completion tcsh >> ~/.tcshrc
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, help="which shell")


def _run(call: argparse.Namespace) -> int:
    _complete_files(call.whole_parser)
    print(shtab.complete(call.whole_parser, call.shell))
    return 0


def _complete_files(parser: argparse.ArgumentParser) -> None:
    """Let whatever takes a path be completed by the names of files."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for own in action.choices.values():
                _complete_files(own)
        elif action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # how shtab is told


COMMAND = Command("Print the script with which a shell completes this command line.", _add_arguments, _run, _EXAMPLES)

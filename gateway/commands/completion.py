"""`gateway completion`: the script that lets a shell complete commands and options."""

from __future__ import annotations

import argparse

import shtab

from gateway.commands.call import Command

_SHELLS = ("bash", "zsh", "tcsh")
_EXAMPLES = """\
to use it:
  bash   gateway completion bash > ~/.local/share/bash-completion/completions/gateway
  zsh    gateway completion zsh > "${fpath[1]}/_gateway"
  tcsh   gateway completion tcsh >> ~/.tcshrc
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, help="which shell")


def _run(call: argparse.Namespace) -> int:
    print(shtab.complete(call.whole_parser, call.shell))
    return 0


COMMAND = Command("Print the script with which a shell completes this command line.", _add_arguments, _run, _EXAMPLES)

"""The command line: which command, with which arguments, and its exit status.

Exit status 0 is fine, 1 is "no" (a mistake in the file, a port in use), 2 is a call that makes no sense.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import gateway
from gateway.commands.call import BadCall, Command, Refusal

# Each is a module of this package with a `COMMAND`. Those without a summary are for containers, and not listed.
_SUMMARIES = {
    "serve": "run the gateway",
    "check": "print every mistake of a file, or its routes in words",
    "token": "mint a test token for a provider of type jwt",
    "schema": "print the JSON Schema of the file",
    "demo": "run a gateway and a stand-in upstream on loopback, with lines to paste",
    "health": None,
    "secret": None,
    "standin": None,
}


def run_command(arguments: Sequence[str]) -> int:
    """Return the exit status of one call of `gateway`. `arguments` are those after the program's name."""
    parser = _make_parser(arguments[:1])
    try:
        parsed = parser.parse_args(arguments)
    except SystemExit as stop:  # argparse ends the process by itself: 0 after --help, 2 after a bad call
        return stop.code if isinstance(stop.code, int) else 2
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except BadCall as problem:
        print(f"gateway {parsed.command}: {problem}", file=sys.stderr)
        return 2
    except Refusal as problem:
        print(f"gateway {parsed.command}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `gateway schema | head`: the reader has what it wanted. Without this, Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _make_parser(called: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway",
        description="An auth gateway in front of a Mastra server. One YAML file says who may call what.",
        epilog="gateway COMMAND --help says more. Exit status: 0 fine, 1 no, 2 a bad call.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gateway {gateway.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in _SUMMARIES.items():
        # argparse lists a command that has any `help`, even None.
        own = commands.add_parser(name, help=summary) if summary else commands.add_parser(name)
        own.allow_abbrev = False
        if name in called:  # only this one is imported: a health check need not load a whole server
            command: Command = importlib.import_module(f"gateway.commands.{name}").COMMAND
            own.description = command.description
            command.add_arguments(own)
            own.set_defaults(run=command.run)
    return parser

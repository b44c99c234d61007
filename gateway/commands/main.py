"""The command line: which command, with which arguments, and its exit status.

Exit status 0 is fine, 1 is "no" (a mistake in the file, a port in use), 2 is a call that makes no sense.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import gateway
from gateway.commands.call import BadCall, Command, Refusal, nearest, say
from gateway.record.build import build, outdated

# Each is a module of this package with a `COMMAND`. Those without a summary are for containers, and not listed.
_SUMMARIES = {
    "init": "ask four questions and write a gateway.yaml",
    "serve": "run the gateway",
    "check": "print every mistake of a file, or its routes in words",
    "explain": "say why a request gets its answer, and what to do about it",
    "test": "ask the cases beside the rules, and what a change would change",
    "report": "sum a log: who was refused, or would be, and by which rule",
    "token": "mint a test token for a provider of type jwt",
    "key": "make a key for a machine, and its line for keys_file",
    "compile": "print the configuration of nginx, Envoy or another engine in front",
    "schema": "print the JSON Schema of the file",
    "demo": "run a gateway and a stand-in for Mastra, with lines to paste",
    "completion": "print the script with which a shell completes commands",
    "health": None,
    "secret": None,
    "standin": None,
}


_EPILOG = """\
first steps:
  gateway demo                             see it work, with nothing else at hand
  gateway init                             write a gateway.yaml for your own server
  gateway check && gateway serve           run it
  gateway explain GET /api/agents --token TOKEN
                                           why is somebody refused?

gateway COMMAND --help shows examples. Exit status: 0 fine, 1 no, 2 a bad call.
"""


def run_command(arguments: Sequence[str]) -> int:
    """Return the exit status of one call of `gateway`. `arguments` are those after the program's name."""
    if not arguments:
        say(*_what_there_is())
        return 2
    # Only the one that is called is imported: a health check need not load a whole server.
    parser = make_parser(tuple(_SUMMARIES) if arguments[:1] == ["completion"] else arguments[:1])
    try:
        parsed, unknown = parser.parse_known_args(arguments)
        if unknown:
            raise _CallError(_about_unknown(parsed, unknown))
    except SystemExit as stop:  # argparse ends the process by itself after --help and --version
        return stop.code if isinstance(stop.code, int) else 2
    except _CallError as problem:
        say(str(problem))
        return 2
    for source in outdated()[:1]:
        ways = "'make compiled' builds them anew, 'make pure' takes them away"
        say(f"gateway: what runs is compiled from other sources, first {source}: {ways}")
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except BadCall as problem:
        say(f"gateway {parsed.command}: {problem}")
        return 2
    except Refusal as problem:
        say(f"gateway {parsed.command}: {problem}", *problem.more)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `gateway schema | head`: the reader has what it wanted. Without this, Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _what_there_is() -> list[str]:
    """Return the commands of people, a line each: for a call that names none."""
    commands = [f"  {name:<10}  {summary}" for name, summary in _SUMMARIES.items() if summary]
    return [
        "gateway: say which command",
        *commands,
        "gateway COMMAND --help shows examples, gateway --help the first steps.",
    ]


class _CallError(Exception):
    """A call that cannot be read, in one line with the way out."""


def _about_unknown(parsed: argparse.Namespace, unknown: Sequence[str]) -> str:
    """Return what to say of words that the command does not know, in place of argparse's, which forgets the command."""
    word = next((one for one in unknown if one.startswith("-")), unknown[0])
    if not word.startswith("-") and "-c" in parsed.options and Path(word).suffix in (".yaml", ".yml"):
        return f"gateway {parsed.command}: the file is named by -c (did you mean gateway {parsed.command} -c {word}?)"
    what = "option" if word.startswith("-") else "argument"
    near = nearest(word.partition("=")[0], parsed.options)
    return f"gateway {parsed.command}: unknown {what} {word}{near} (gateway {parsed.command} --help says more)"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a call in one line; the whole usage is for --help."""

    def error(self, message: str) -> NoReturn:
        """Raise `_CallError`."""
        unknown = re.search(r"invalid choice: '([^']*)'", message)
        if unknown is not None and "COMMAND" in message:
            known = [name for name, summary in _SUMMARIES.items() if summary]
            message = (
                f"there is no command {unknown[1]}{nearest(unknown[1], known)}; the commands are {', '.join(known)}"
            )
        raise _CallError(f"{self.prog}: {message} ({self.prog} --help says more)")


def make_parser(called: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of the whole command line. Only the commands in `called` take arguments of their own."""
    parser = _Parser(
        prog="gateway",
        description="An auth gateway in front of a Mastra server. One YAML file says who may call what.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gateway {gateway.__version__} ({build()})")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in _SUMMARIES.items():
        # argparse lists a command that has any `help`, even None.
        own = commands.add_parser(name, help=summary) if summary else commands.add_parser(name)
        own.allow_abbrev = False
        if name in called:
            command: Command = importlib.import_module(f"gateway.commands.{name}").COMMAND
            own.description, own.epilog = command.description, command.examples
            own.formatter_class = argparse.RawDescriptionHelpFormatter
            command.add_arguments(own)
            options = [option for action in own._actions for option in action.option_strings]
            own.set_defaults(run=command.run, whole_parser=parser, options=options)
    return parser

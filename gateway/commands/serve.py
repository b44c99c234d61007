"""`gateway serve`: run the gateway of a file until it is told to stop."""

from __future__ import annotations

import argparse

from gateway.commands.call import Command, add_file_option, environment_of, require_file
from gateway.processes.run import serve

_EXAMPLES = """\
examples:
  gateway serve                                  gateway.yaml of the working directory
  gateway serve -c /etc/gateway.yaml --log-format text
  kill -HUP PID                                  read the file again (a changed file is seen by itself)
"""


def _run(call: argparse.Namespace) -> int:
    """Serve, and return the exit status: 0 after a drain, 1 if the file or a port stood in the way."""
    return serve(require_file(call.file), environment_of(call), call.log_format)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file_option(parser)
    parser.add_argument(
        "--log-format",
        choices=("json", "text"),
        help="json for machines, text for people (default: as in the file, json)",
    )


COMMAND = Command(
    "Run the gateway of a file. SIGHUP or a changed file: read it again. SIGTERM: drain, then end.",
    _add_arguments,
    _run,
    _EXAMPLES,
)

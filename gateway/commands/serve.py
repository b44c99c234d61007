"""`gateway serve`: run the gateway of a file until it is told to stop."""

from __future__ import annotations

import argparse
import os

from gateway.commands.call import Command, add_file_option, require_file
from gateway.server.run import serve


def _run(call: argparse.Namespace) -> int:
    """Serve, and return the exit status: 0 after a drain, 1 if the file or a port stood in the way."""
    file = require_file(call.file)
    return serve(file, os.environ)


COMMAND = Command(
    "Run the gateway of a file. SIGHUP or a changed file: read it again. SIGTERM: drain, then end.",
    add_file_option,
    _run,
)

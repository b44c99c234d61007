"""One of several processes on one port.

python -m gateway.processes.worker FILE SOCKET FORMAT [NUMBER]

Its state is asked for on SOCKET; FORMAT is that of the log; NUMBER, if given, the descriptor on which engines ask.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from typing import cast

from gateway.config.document import ConfigError
from gateway.config.file import load
from gateway.config.model import LogFormat
from gateway.processes.process import run_process
from gateway.record.logs import start_logging

_log = logging.getLogger("gateway.server")
SUBJECT_KEY_FILE = "subject.key"  # beside the socket
_TURNS_FILE = "log.turns"


def main(path: Path, state: Path, log_format: LogFormat, asked_on: int | None = None) -> int:
    """Run one worker, and return its exit status."""
    start_logging(log_format, state.with_name(_TURNS_FILE))
    try:
        config = load(path, os.environ)
    except ConfigError as mistakes:
        for problem in mistakes.problems:
            _log.error("%s", problem)
        return 1
    subject_key = state.with_name(SUBJECT_KEY_FILE).read_bytes()
    held = None if asked_on is None else socket.socket(fileno=asked_on)
    return run_process(path, os.environ, config, subject_key, str(state), held)


if __name__ == "__main__":
    descriptor = int(sys.argv[4]) if len(sys.argv) > 4 else None
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), cast(LogFormat, sys.argv[3]), descriptor))

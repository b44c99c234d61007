"""One of several processes on one port.

python -m gateway.server.worker FILE SOCKET FORMAT      its state is asked for on SOCKET; FORMAT is that of the log
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import cast

from gateway.config.document import ConfigError
from gateway.config.file import load
from gateway.config.model import LogFormat
from gateway.server.logs import start_logging
from gateway.server.process import run_process

_log = logging.getLogger("gateway.server")
SUBJECT_KEY_FILE = "subject.key"  # beside the socket
_TURNS_FILE = "log.turns"


def main(path: Path, socket: Path, log_format: LogFormat) -> int:
    """Run one worker, and return its exit status."""
    start_logging(log_format, socket.with_name(_TURNS_FILE))
    try:
        config = load(path, os.environ)
    except ConfigError as mistakes:
        for problem in mistakes.problems:
            _log.error("%s", problem)
        return 1
    subject_key = socket.with_name(SUBJECT_KEY_FILE).read_bytes()
    return run_process(path, os.environ, config, subject_key, str(socket))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), cast(LogFormat, sys.argv[3])))

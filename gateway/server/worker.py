"""One of several processes on one port.

python -m gateway.server.worker FILE SOCKET      its state is asked for on SOCKET
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from gateway.config.document import ConfigError
from gateway.config.file import load
from gateway.server.logs import start_logging
from gateway.server.process import run_process

_log = logging.getLogger("gateway.server")


def main(path: Path, socket: str) -> int:
    """Run one worker, and return its exit status."""
    start_logging()
    try:
        config = load(path, os.environ)
    except ConfigError as mistakes:
        for problem in mistakes.problems:
            _log.error("%s", problem)
        return 1
    return run_process(path, os.environ, config, socket)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))

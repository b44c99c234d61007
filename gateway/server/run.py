"""`gateway serve`: the file read, then one process or several."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.config.document import ConfigError
from gateway.config.file import load
from gateway.server.logs import start_logging
from gateway.server.process import run_process
from gateway.server.workers import run_workers

_log = logging.getLogger("gateway.server")


def serve(path: Path, environment: Mapping[str, str]) -> int:
    """Run the gateway of a file until SIGTERM or SIGINT, and return the exit status: 0, or 1 if it could not start."""
    start_logging()
    try:
        config = load(path, environment)
    except ConfigError as mistakes:
        for problem in mistakes.problems:
            print(problem, file=sys.stderr)  # noqa: T201  # the command's own answer
        return 1
    for warning in config.warnings:
        _log.warning("%s", warning)
    if config.workers > 1:
        return run_workers(path, environment, config)
    return run_process(path, environment, config)

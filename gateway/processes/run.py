"""`gateway serve`: the file read, then one process or several."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gateway.config.document import ConfigError
from gateway.config.file import load
from gateway.config.model import LogFormat
from gateway.processes.process import run_process
from gateway.processes.workers import run_workers
from gateway.record.audit import check_writable
from gateway.record.logs import start_logging
from gateway.record.subject import installation_key

_log = logging.getLogger("gateway.server")


def serve(path: Path, environment: Mapping[str, str], log_format: LogFormat | None = None) -> int:
    """Run the gateway of a file until SIGTERM or SIGINT, and return the exit status: 0, or 1 if it could not start.

    `log_format` wins over the file's.
    """
    try:
        config = load(path, environment)
    except ConfigError as mistakes:
        for problem in mistakes.problems:
            print(problem, file=sys.stderr)  # noqa: T201  # the command's own answer
        return 1
    if log_format is not None:
        config = replace(config, log=replace(config.log, format=log_format))
    start_logging(config.log.format)
    for warning in config.warnings:
        _log.warning("%s", warning)
    subject_key = config.log.subject_secret
    if subject_key is None:
        subject_key, why = installation_key(environment)
        if why:
            _log.warning("the key that subjects are hashed with lives as long as this process: %s", why)
    if config.audit is not None:
        try:
            check_writable(config.audit)  # here: workers that each find it so would be started again for ever
        except OSError as problem:
            print(f"gateway serve: {problem}", file=sys.stderr)  # noqa: T201  # the command's own answer
            return 1
    if config.workers > 1:
        return run_workers(path, environment, config, subject_key)
    return run_process(path, environment, config, subject_key)

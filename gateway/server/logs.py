"""Where log lines go: to stdout, one JSON object each, without holding anybody up."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import queue
import sys
import time
from logging.handlers import QueueHandler, QueueListener


def start_logging() -> None:
    """Lines go to stdout from a thread of their own: a slow reader of the log must not hold up requests.

    The queue is bounded; when it is full, lines are dropped rather than memory filled.
    """
    log = logging.getLogger("gateway")
    if log.handlers:
        return
    stream = logging.StreamHandler(sys.stdout)
    stream.setFormatter(_JsonLines())
    lines: queue.Queue[logging.LogRecord] = queue.Queue(maxsize=10_000)
    handler = _DroppingHandler(lines)
    log.setLevel(logging.INFO)
    log.propagate = False
    for name in ("gateway", "asyncio", "aiohttp"):
        logging.getLogger(name).addHandler(handler)
    listener = QueueListener(lines, stream)
    listener.start()
    atexit.register(listener.stop)  # the last lines are the ones that tell why


class _JsonLines(logging.Formatter):
    """Every line is one JSON object: a request's as it is, all else with its level and text."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == "gateway.access":
            return record.getMessage()
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return json.dumps({"time": moment, "level": record.levelname.lower(), "event": record.getMessage()})


class _DroppingHandler(QueueHandler):
    """Drops a record when the queue is full, without a word on stderr for each."""

    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)

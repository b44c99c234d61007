"""Where log lines go: to stdout, one JSON object each or text for people, without holding anybody up."""

from __future__ import annotations

import atexit
import json
import logging
import os
import queue
import sys
import time
from logging.handlers import QueueHandler, QueueListener
from typing import Any

from gateway.config.model import LogFormat

ACCESS = "gateway.access"
_MAX_LINES = 10_000
_RED, _YELLOW, _DIM, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
_SHOWN_APART = frozenset({"time", "method", "path", "status", "code", "detail", "total_ms", "decision", "request_id"})


class _Output:
    """What was started, once for the process."""

    formatter: _Lines | None = None
    dropped = 0


def start_logging(log_format: LogFormat = "json") -> None:
    """Lines go to stdout from a thread of their own: a slow reader of the log must not hold up requests.

    The queue is bounded; when it is full, lines are dropped and counted rather than memory filled.
    """
    if _Output.formatter is not None:
        _Output.formatter.log_format = log_format
        return
    stream = logging.StreamHandler(sys.stdout)
    _Output.formatter = _Lines(log_format, has_colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    stream.setFormatter(_Output.formatter)
    lines: queue.Queue[logging.LogRecord] = queue.Queue(maxsize=_MAX_LINES)
    handler = _DroppingHandler(lines)
    log = logging.getLogger("gateway")
    log.setLevel(logging.INFO)
    log.propagate = False
    for name in ("gateway", "asyncio", "aiohttp"):
        logging.getLogger(name).addHandler(handler)
    listener = QueueListener(lines, stream)
    listener.start()
    atexit.register(listener.stop)  # the last lines are the ones that tell why


def lines_dropped() -> int:
    """Return how many lines nobody read fast enough, since the start."""
    return _Output.dropped


class _Lines(logging.Formatter):
    """Every record is one line: a request's by its fields, all else with its level and text."""

    def __init__(self, log_format: LogFormat, *, has_colour: bool) -> None:
        super().__init__()
        self.log_format = log_format
        self._has_colour = has_colour

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        is_json = self.log_format == "json"
        if isinstance(record.msg, dict):
            return json.dumps(record.msg) if is_json else self._request(record.msg)
        moment = time.gmtime(record.created)
        level, event = record.levelname.lower(), record.getMessage()
        if is_json:
            return json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", moment), "level": level, "event": event})
        text = f"{time.strftime('%H:%M:%S', moment)} {level:<7} {event}"
        return self._coloured(text, _RED if record.levelno >= logging.ERROR else _YELLOW if level == "warning" else "")

    def _request(self, fields: dict[str, Any]) -> str:
        """Return a request's line for people: when, how it ended, what, why, and the rest as it is called."""
        moment, status = fields["time"][11:19], fields["status"]
        why = " ".join(_printable(fields[name]) for name in ("code", "detail") if name in fields)
        rest = " ".join(f"{name}={_printable(value)}" for name, value in fields.items() if name not in _SHOWN_APART)
        asked = f"{_printable(fields['method'])} {_printable(fields['path'])}"
        said = f"{moment} {status} {asked}  {f'{why}  ' if why else ''}{fields['total_ms']:g} ms"
        colour = _RED if status >= 500 else _YELLOW if "code" in fields or "would_deny" in fields else ""
        return f"{self._coloured(said, colour)} {self._coloured(rest, _DIM)}"

    def _coloured(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if colour and self._has_colour else text


class _DroppingHandler(QueueHandler):
    """Drops a record when the queue is full, without a word on stderr for each."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return the record: a request's fields become text in the other thread."""
        return record if isinstance(record.msg, dict) else super().prepare(record)

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put the record into the queue, or count it."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            _Output.dropped += 1


def _printable(value: object) -> str:
    # A client's path must not steer the terminal of whoever reads the log.
    text = str(value)
    return text if text.isprintable() else ascii(text)[1:-1]

"""Where log lines go: to stdout, one JSON object each or text for people, without holding anybody up."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import logging
import os
import queue
import sys
import time
from collections.abc import Callable
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import Any, TextIO

from gateway.config.model import LogFormat
from gateway.record.batches import Batches
from gateway.record.outcome import Outcome, log_fields, log_line

ACCESS = "gateway.access"
_access_log = logging.getLogger(ACCESS)
_MAX_LINES = 50_000  # that wait to be written: some 30 MB
_RED, _YELLOW, _DIM, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
_SHOWN_APART = frozenset({"time", "method", "path", "status", "code", "detail", "total_ms", "decision", "level"})


class _Output:
    """What was started, once for the process."""

    formatter: _Lines | None = None
    access: Batches | None = None
    dropped = 0


def start_logging(log_format: LogFormat = "json", turns: Path | None = None) -> None:
    """Lines go to stdout from a thread of their own: a slow reader of the log must not hold up requests.

    The queue is bounded; when it is full, lines are dropped and counted rather than memory filled. Several processes
    that write to one stdout take turns by locking the file `turns`.
    """
    if _Output.formatter is not None:
        _Output.formatter.log_format = log_format
        if _Output.access is not None:
            _Output.access.line_of = _Output.formatter.line_of()
        return
    stream = _Stream(sys.stdout, turns)
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
    _Output.access = Batches(_Output.formatter.line_of(), _Handover(lines, stream).give)
    atexit.register(listener.stop)  # the last lines are the ones that tell why
    atexit.register(_Output.access.flush)  # before that: what is registered last is called first


def write_access(outcome: Outcome, hash_subject: Callable[[str | None], str | None]) -> None:
    """Log one request that has ended."""
    if _Output.access is not None:
        _Output.access.write(outcome, hash_subject(outcome.subject))
    elif _access_log.isEnabledFor(logging.INFO):
        _access_log.info(log_fields(outcome, hash_subject(outcome.subject)))


def lines_dropped() -> int:
    """Return how many lines nobody read fast enough, since the start."""
    return _Output.dropped


class _Stream(logging.StreamHandler[TextIO]):
    """Writes in the thread of its own, one batch after the other; `turns` is a file by which workers take turns.

    What is longer than a pipe takes whole (POSIX PIPE_BUF) would else be torn by the lines of the others.
    """

    def __init__(self, stream: TextIO, turns: Path | None) -> None:
        super().__init__(stream)
        self.written_lines = 0  # of requests
        self._turns = None if turns is None else turns.open("ab")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or a batch of lines."""
        if self._turns is None:
            super().emit(record)
        else:
            with contextlib.suppress(OSError):  # a torn line is better than none
                fcntl.flock(self._turns, fcntl.LOCK_EX)  # ends with its process, however that ends
            super().emit(record)
            with contextlib.suppress(OSError):
                fcntl.flock(self._turns, fcntl.LOCK_UN)
        if record.name == ACCESS:
            self.written_lines += record.lineno


class _Lines(logging.Formatter):
    """Every record is one line: a request's by its fields, all else with its level and text."""

    def __init__(self, log_format: LogFormat, *, has_colour: bool) -> None:
        super().__init__()
        self.log_format = log_format
        self._has_colour = has_colour

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        is_json = self.log_format == "json"
        if record.name == ACCESS:
            return str(record.msg)  # lines already
        moment = time.gmtime(record.created)
        level, event = record.levelname.lower(), record.getMessage()
        if is_json:
            return json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", moment), "level": level, "event": event})
        text = f"{time.strftime('%H:%M:%S', moment)} {level:<7} {event}"
        return self._coloured(text, _RED if record.levelno >= logging.ERROR else _YELLOW if level == "warning" else "")

    def line_of(self) -> Callable[[Outcome, str | None], str]:
        """Return what makes the lines of requests, as the format is now."""
        if self.log_format == "json":
            return log_line
        return lambda outcome, subject_hash: self.request(log_fields(outcome, subject_hash))

    def request(self, fields: dict[str, Any]) -> str:
        """Return a request's line for people: when, how it ended, what, why, and the rest as it is called."""
        moment, status = fields["time"][11:19], fields["status"]
        why = " ".join(_printable(fields[name]) for name in ("code", "detail") if name in fields)
        rest = " ".join(
            f"{name}={_quoted(_printable(value))}" for name, value in fields.items() if name not in _SHOWN_APART
        )
        asked = f"{_printable(fields['method'])} {_printable(fields['path'])}"
        said = f"{moment} {status} {asked}  {f'{why}  ' if why else ''}{fields['total_ms']:g} ms"
        colour = _RED if status >= 500 else _YELLOW if "code" in fields or "would_deny" in fields else ""
        return f"{self._coloured(said, colour)} {self._coloured(rest, _DIM)}"

    def _coloured(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if colour and self._has_colour else text


class _Handover:
    """Gives the lines of requests to the thread that writes; what nobody reads fast enough is dropped and counted."""

    def __init__(self, lines: queue.Queue[logging.LogRecord], stream: _Stream) -> None:
        self._lines, self._stream = lines, stream
        self._given_lines = 0  # each counter has one thread that writes it: no lock

    def give(self, waiting: list[str]) -> None:
        """Give away a batch."""
        if self._given_lines - self._stream.written_lines > _MAX_LINES:
            _Output.dropped += len(waiting)
            return
        # As the number of its line in the source a batch has that of its lines.
        record = logging.LogRecord(ACCESS, logging.INFO, "", len(waiting), "\n".join(waiting), None, None)
        try:
            self._lines.put_nowait(record)
            self._given_lines += len(waiting)
        except queue.Full:
            _Output.dropped += len(waiting)


class _DroppingHandler(QueueHandler):
    """Drops a record when the queue is full, without a word on stderr for each."""

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put the record into the queue, or count it."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            _Output.dropped += 1


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text


def _printable(value: object) -> str:
    # A client's path must not steer the terminal of whoever reads the log.
    text = str(value)
    return text if text.isprintable() else ascii(text)[1:-1]

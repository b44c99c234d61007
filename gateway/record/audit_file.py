"""The file of an audit: whole lines at its end, by several processes at once, whatever becomes of it meanwhile."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.config.audit import why_no_file
from gateway.config.document import printable

_log = logging.getLogger("gateway.server")
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MODE: Final = 0o600
_LOOK_SECONDS: Final = 1.0


class AuditFile:
    """One file, followed by its name. `now` gives seconds that only grow. Nothing here waits for a disk: no fsync.

    `error` is why the last line could not be written; None: it was, or none was tried.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self.path = path
        self.error: str | None = None
        self._now = now
        self._descriptor: int | None = None
        self._identity = (0, 0)
        self._looked_at = 0.0
        self._is_retired = self._is_torn = False

    def __del__(self) -> None:
        self._close()

    def open(self) -> None:
        """Open the file, or make it, for its owner alone. Raises `OSError`, with words for people in `strerror`."""
        what = why_no_file(self.path)
        if what is not None:
            raise OSError(0, f"found {what}, expected a regular file")
        descriptor = os.open(self.path, _FLAGS, _MODE)
        found = os.fstat(descriptor)
        self._close()
        self._descriptor, self._identity, self._looked_at = descriptor, (found.st_dev, found.st_ino), self._now()

    def retire(self) -> None:
        """Keep the file open no longer: requests that began with it may still have something to write."""
        self._is_retired = True
        self._close()

    def follow(self) -> None:
        """Have the next line look whether the name still stands for the same file."""
        self._looked_at = float("-inf")

    def append(self, line: bytes) -> bool:
        """Write a line, which ends in a line feed, by one write(2). False if not all of it is there: see `error`."""
        try:
            descriptor = self._ready()
            written = self._append(descriptor, line)
        except OSError as problem:
            self.error = problem.strerror or type(problem).__name__
            self._close()  # the next line begins anew
            return False
        if self._is_retired:
            self._close()
        self.error = None if written == len(line) else "only a part of the line was taken: the disk or a quota is full"
        return self.error is None

    def _ready(self) -> int:
        """Return the descriptor of what the name stands for now: somebody may have renamed the file (logrotate)."""
        descriptor, now = self._descriptor, self._now()
        if descriptor is not None and now - self._looked_at < _LOOK_SECONDS:
            return descriptor
        if descriptor is not None:
            self._looked_at = now
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(self.path)
                if (found.st_dev, found.st_ino) == self._identity:
                    return descriptor
        self.open()
        assert self._descriptor is not None  # noqa: S101  # `open` raises else
        return self._descriptor

    def _append(self, descriptor: int, line: bytes) -> int:
        """Write a line; where it landed behind half a one, once more: that had no room, or its writer was killed.

        Where it landed O_APPEND says only afterwards. To look before would be in vain: half a line that is there may be
        one that another process is about to finish.
        """
        begin = b""
        # By ourselves: that need not be found out. Still there unless another process has ended it, or cut the file.
        if self._is_torn and not _ends_a_line(descriptor, os.fstat(descriptor).st_size):
            begin = b"\n"
        written = os.write(descriptor, begin + line) - len(begin)
        if written == len(line):
            start = os.lseek(descriptor, 0, os.SEEK_CUR) - written - len(begin)
            if not begin and not _ends_a_line(descriptor, start):
                written = os.write(descriptor, line)
        self._is_torn = written != len(line)
        return written

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # of a network's disk, perhaps: the line before counted already
                os.close(descriptor)


def _ends_a_line(descriptor: int, size: int) -> bool:
    return size == 0 or os.pread(descriptor, 1, size - 1) in (b"\n", b"")  # b"": truncated meanwhile


class AuditState:
    """What has become of lines since the start, over all reloads. `failing_since` is Unix seconds."""

    def __init__(self) -> None:
        self.lines = {"written": 0, "lost": 0}
        self.failing_since: float | None = None
        self.last_error: str | None = None
        self._lost_before = 0

    def note(self, file: AuditFile, *, is_written: bool) -> None:
        """Count a line; the log hears when it begins to fail, and when it is over."""
        self.lines["written" if is_written else "lost"] += 1
        if is_written and self.failing_since is not None:
            lost = self.lines["lost"] - self._lost_before
            _log.warning("audit: %s is written again; lines lost: %d", printable(str(file.path)), lost)
            self.failing_since = self.last_error = None
        elif not is_written:
            self.last_error = file.error
            if self.failing_since is None:
                self.failing_since, self._lost_before = time.time(), self.lines["lost"] - 1
                _log.error("audit: %s cannot be written: %s", printable(str(file.path)), file.error)

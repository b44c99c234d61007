"""A Unix socket to listen on, at a path where an earlier process may have left its own."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

# Who may reach the folder may ask: what is answered is no more than the public port tells the same token.
_MODE = 0o666


class SocketFile:
    """A socket that listens at a path, from `open` to `close`, which removes the path unless another's is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def open(self, backlog: int) -> None:
        """Listen. A socket that a process left there goes; raises `OSError` where one listens, or another file is."""
        try:
            _make_way(self._path)
            self.listening.bind(str(self._path))
            self._path.chmod(_MODE)
            self._identity = _identity_of(self._path)
            self.listening.listen(backlog)
            self.listening.setblocking(False)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Listen no more."""
        self.listening.close()
        with contextlib.suppress(OSError):
            if self._identity is not None and _identity_of(self._path) == self._identity:
                self._path.unlink()


def _identity_of(path: Path) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _make_way(path: Path) -> None:
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, "something else than a socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()  # nobody listens any more
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

"""The folder that a master and its workers share: sockets, the key that hashes subjects, whose turn it is to log.

It must not outlive them, a killed master's neither: a key lies in it. The master holds a lock as long as it lives,
which the system lets go however it ends, and which tells masters in other containers apart (process ids do not).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "gateway-"
_LOCK = "master.lock"


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Make a folder for the length of a block; those of masters that are gone are removed first."""
    remove_left_behind(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        held = os.open(folder / f"{_LOCK}.new", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            (folder / f"{_LOCK}.new").rename(folder / _LOCK)  # under its name it was always locked
            yield folder
        finally:
            os.close(held)


def remove_left_behind(parent: Path) -> None:
    """Remove the folders of our own user whose master is gone."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and _is_left_behind(entry):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_left_behind(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        if not entry.is_dir(follow_symlinks=False) or entry.stat(follow_symlinks=False).st_uid != os.geteuid():
            return False
        held = os.open(Path(entry.path) / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(held)
        return True
    return False  # somebody holds it, or it is no folder of a master

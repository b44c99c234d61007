"""Node for tests that need it: a binary that is new enough, with the packages of a folder's lock file installed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest


def node_with(folder: Path, purpose: str) -> str:
    """Return the path of a Node binary, with the packages of a folder installed. Skips the test without Node."""
    found = _find_node(purpose)
    _install(folder)
    return found


def mark_below(folder: Path, items: list[pytest.Item]) -> None:
    """Mark the tests of a folder as those that need Node."""
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.node)
            item.add_marker(pytest.mark.timeout(240))


def give_up(why: str) -> NoReturn:
    """Skip, or fail where GATEWAY_REQUIRE_NODE=1 says that these tests must run (.ci/run)."""
    if os.environ.get("GATEWAY_REQUIRE_NODE") == "1":
        pytest.fail(why)
    pytest.skip(why)


def _find_node(purpose: str) -> str:
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        give_up(f"needs Node 20 or later with npm on PATH, {purpose}: found none")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    number = re.match(r"v(\d+)\.", version)
    if number is None or int(number[1]) < 20:
        give_up(f"needs Node 20 or later, {purpose}: {found} is {version or 'broken'}")
    return found


def _install(folder: Path) -> None:
    """Install the packages of the lock file; does nothing if they are there."""
    lock, mark = folder / "package-lock.json", folder / "node_modules" / ".installed"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # several runs of the tests may begin at once
        if mark.exists() and mark.read_bytes() == lock.read_bytes():
            return
        command = ["npm", "ci", "--ignore-scripts"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"npm ci: {done.stderr[-3000:]}"
        mark.write_bytes(lock.read_bytes())

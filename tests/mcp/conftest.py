"""The MCP SDK on both sides of the gateway: needs Node 20+, and skips with a message without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.nodejs import mark_below, node_with
from tests.processes import process

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_below(HERE, items)


@pytest.fixture(scope="session")
def node() -> str:
    """Return the Node binary, with the packages of this folder installed."""
    return node_with(HERE, "to run the MCP SDK")


@contextmanager
def peer(node: str, script: str, folder: Path) -> Iterator[int]:
    """Run one of this folder's servers for the length of a block; yields its port."""
    log = folder / f"{script}.log"
    with process([node, str(HERE / script)], log, lambda: log.read_text().strip().isdigit()):
        yield int(log.read_text())

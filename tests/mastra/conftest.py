"""A real Mastra server behind the gateway, and its real client: need Node 20+, and skip with a message without it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nodejs import node_with
from tests.processes import free_port, process, status_of

HERE = Path(__file__).parent
GUIDE_SECRET = "supersecretdevkeythatishs256safe!"
CLIENT_SECONDS = 120

StartMastra = Callable[..., contextlib.AbstractContextManager[str]]
RunNode = Callable[..., dict[str, Any]]


@contextlib.contextmanager
def mastra_server(node: str, folder: Path, **settings: str) -> Iterator[str]:
    """Run Mastra for the length of a block, its log in `folder`; gives its address. Settings: see `server.mjs`."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    environment = {"PORT": str(port), "MASTRA_JWT_SECRET": GUIDE_SECRET, **settings}
    command = [node, str(HERE / "server.mjs")]
    with process(command, folder / "mastra.log", lambda: status_of(f"{address}/health") == 200, environment):
        yield address


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.mastra)
            item.add_marker(pytest.mark.timeout(240, func_only=True))  # not the installing of packages


@pytest.fixture(scope="session")
def node() -> str:
    """Return the Node binary, with the packages of this folder installed."""
    return node_with(HERE, "to run a real Mastra server")


@pytest.fixture(scope="session")
def start_mastra(node: str, tmp_path_factory: pytest.TempPathFactory) -> StartMastra:
    """Return a function that runs Mastra for the length of a block and gives its address."""

    @contextlib.contextmanager
    def start(**settings: str) -> Iterator[str]:
        with mastra_server(node, tmp_path_factory.mktemp("mastra"), **settings) as address:
            yield address

    return start


@pytest.fixture(scope="session")
def mastra(start_mastra: StartMastra) -> Iterator[str]:
    """A Mastra without auth of its own, for the whole run."""
    with start_mastra(AUTH="none") as address:
        yield address


@pytest.fixture(scope="session")
def run_node_once(node: str) -> RunNode:
    """Return `run_node`, for what is the same for all tests."""
    return _runner(node)


@pytest.fixture
def run_node(node: str) -> RunNode:
    """Return a function that runs one of this folder's scripts and gives the JSON it prints."""
    return _runner(node)


def _runner(node: str) -> RunNode:

    def run(script: str, *arguments: str, **environment: str) -> dict[str, Any]:
        command = [node, str(HERE / script), *arguments]
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=CLIENT_SECONDS
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return dict(json.loads(done.stdout))

    return run


def arrivals(upstream: str) -> list[dict[str, Any]]:
    """Return the requests that reached this Mastra, its own refusals included."""
    with urllib.request.urlopen(f"{upstream}/rig/arrivals", timeout=5) as answer:
        return list(json.load(answer))

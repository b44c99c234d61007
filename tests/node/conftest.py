"""Hono and Express behind the gateway: need Node 20+, and skip with a message without it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.nodejs import mark_below, node_with
from tests.processes import gateway_process, process

HERE = Path(__file__).parent
FRAMEWORKS = ("hono", "honoOlder", "express", "express4")
SCRIPT_SECONDS = 60

RunScript = Callable[[str, Any], Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_below(HERE, items)


@pytest.fixture(scope="session")
def node() -> str:
    """Return the Node binary, with the packages of this folder installed."""
    return node_with(HERE, "to run Hono and Express")


@pytest.fixture(scope="session")
def run_script(node: str) -> RunScript:
    """Return a function that gives one of this folder's scripts a value, and returns the one it prints."""

    def run(script: str, given: Any) -> Any:
        command, text = [node, str(HERE / script)], json.dumps(given)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SCRIPT_SECONDS)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def upstreams(node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Run every framework; give the port of each."""
    log = tmp_path_factory.mktemp("node") / "servers.log"
    with process([node, str(HERE / "servers.mjs")], log, lambda: b"\n" in log.read_bytes()):
        line = re.search(r"^\{.*\}$", log.read_text(), re.MULTILINE)
        assert line is not None, log.read_text()
        yield json.loads(line[0])


@pytest.fixture(scope="session")
def gateways(upstreams: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Run a gateway in front of each framework; give its public port."""
    text, folder = (HERE / "gateway.yaml").read_text(), tmp_path_factory.mktemp("gateways")
    with ExitStack() as stack:
        ports = {}
        for name, port in upstreams.items():
            environment = {"UPSTREAM": f"http://127.0.0.1:{port}"}
            url, _ = stack.enter_context(gateway_process(text, folder / name, environment))
            ports[name] = int(url.rpartition(":")[2])
        yield ports

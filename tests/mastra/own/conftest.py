"""Real servers whose things have owners, and the scripts that reach for them."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import free_port, process, status_of

HERE = Path(__file__).parent
CALLERS_SECRET = "callers-JwX2mZ8qT4vB6nL1cR9yK5pS3dF7gH0a"
MASTRA_SECRET = "mastras-Qw7eR2tY9uI4oP1aS6dF8gH3jK5lZ0xC"
KINDS = ("none", "jwt", "mapped")
ATTACK_SECONDS = 850

Found = dict[str, Any]


@pytest.fixture(scope="session")
def mastras(node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Real servers by what they do about callers (see `server.mjs`), for the whole run; gives their addresses."""
    ports = {kind: free_port() for kind in KINDS}
    urls = {kind: f"http://127.0.0.1:{port}" for kind, port in ports.items()}
    environment = {"PORTS": json.dumps(ports), "MASTRA_JWT_SECRET": MASTRA_SECRET}
    log = tmp_path_factory.mktemp("own") / "mastra.log"
    last = urls[KINDS[-1]]
    with process([node, str(HERE / "server.mjs")], log, lambda: status_of(f"{last}/health") == 200, environment):
        yield urls


def attack(node: str, kind: str, upstream: str, *names: str, **environment: str) -> Found:
    """Run the probes (those with these names, or all); return what each got: {name: {through, said, ...}}."""
    settings = {"AUTH": kind, "UPSTREAM": upstream, "BASE_URL": upstream, "MASTRA_SECRET": MASTRA_SECRET, **environment}
    command = [node, str(HERE / "attack.mjs")]
    own = {**os.environ, "SECRET": MASTRA_SECRET, "NAMES": json.dumps(names), **settings}
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=ATTACK_SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["broken"] == {}
    return dict(found["probes"])


def calls(node: str, kind: str, upstream: str, **environment: str) -> Found:
    """Do everything that a client does with what is its own; return {operation: {statuses, shape}}."""
    settings = {"AUTH": kind, "UPSTREAM": upstream, "BASE_URL": upstream, "SECRET": MASTRA_SECRET, **environment}
    command = [node, str(HERE / "calls.mjs")]
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=ATTACK_SECONDS
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="session")
def own_calls(node: str, mastras: dict[str, str]) -> Callable[[str, str], Found]:
    """Return a function that gives what some of a client's own calls give at a server, without a gateway."""
    return functools.cache(lambda kind, part: calls(node, kind, mastras[kind], PART=part))

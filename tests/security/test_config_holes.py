"""Files that would be holes: `gateway serve` does not start, says where the mistake is, and exits with 1 (P-CONFIG)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.security.casebook import Case, cases
from tests.security.forge import HS_SECRET
from tests.security.judge import Reached
from tests.security.tally import Tally

CASES = cases("config")
Run = subprocess.CompletedProcess[str]


def file_of(spec: dict[str, Any]) -> str:
    """Return the text of a case's file."""
    if "text" in spec:
        return str(spec["text"])
    provider = {"type": "jwt", "secret": HS_SECRET, **spec.get("provider", {}), **spec.get("change", {})}
    route = {"provider": "jobs", "allow": "authenticated", **spec.get("route", {})}
    file: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "providers": {"jobs": _present(provider)},
        "routes": spec.get("routes", {"/api": _present(route)}),
    }
    if "upstream" in spec:
        file["upstreams"] = {"default": {"url": "http://127.0.0.1:1", **_present(spec["upstream"])}}
    else:
        file["upstream"] = "http://127.0.0.1:1"
    return json.dumps(file | spec.get("top", {}))


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _present(value) if isinstance(value, dict) else value
        for name, value in members.items()
        if value != "<absent>"
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Run]]]:
    """Every file given to a gateway of its own, two at a time."""
    folder = tmp_path_factory.mktemp("holes")
    with ThreadPoolExecutor(2) as pool:
        yield {case.id: pool.submit(_serve, folder / f"{number}.yaml", case) for number, case in enumerate(CASES)}


def _serve(file: Path, case: Case) -> Run:
    file.write_text(file_of(case.spec))
    # A good file is only checked: the same reading, and it ends by itself.
    command = [sys.executable, "-m", "gateway", "serve" if case.is_attack else "check", "-c", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(runs: dict[str, Future[Run]], tally: Tally, case: Case) -> None:
    with tally.of(case):
        try:
            run = runs[case.id].result()
        except subprocess.TimeoutExpired:
            raise Reached("the gateway started") from None
        said = run.stdout + run.stderr
        if not case.is_attack:
            assert run.returncode == 0, said
            return
        assert run.returncode == 1, said
        assert re.search(r"\.yaml:\d+:\d+: ", said), f"no place: {said}"
        assert case.spec["says"] in said, said
        assert "Traceback" not in said
        assert HS_SECRET not in said

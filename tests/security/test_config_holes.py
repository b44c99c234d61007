"""Files that would be holes: `gateway serve` does not start, says where the mistake is, and exits with 1 (P-CONFIG)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests.keyserver import private_pem
from tests.minting import b64
from tests.security.casebook import Case, cases
from tests.security.forge import HS_SECRET, jwk, key_named
from tests.security.forked import start
from tests.security.judge import Reached
from tests.security.tally import Tally

CASES = cases("config")


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


def _content(said: str) -> bytes:
    """Return what a file of a case holds; `pem of NAME` and `jwk of NAME` are keys of the cases, whole ones."""
    kind, _, name = said.partition(" of ")
    if kind == "pem":
        return private_pem(key_named(name))
    if kind == "jwk":
        key = key_named(name)
        secret = key if isinstance(key, bytes) else key.private_numbers().d.to_bytes(256, "big")
        member = "k" if isinstance(key, bytes) else "d"
        return json.dumps({"keys": [jwk("rsa2"), {**jwk(name), member: b64(secret)}]}).encode()
    return said.encode("latin-1")


class Runs:
    """A gateway for each file; while one is waited for, that of the next case starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[str, BaseProcess] = {}

    def of(self, case: Case) -> tuple[int, str]:
        """Return exit status and output of a case's gateway. Raises `TimeoutError` if it does not end."""
        number = CASES.index(case)
        for one in CASES[number : number + 2]:
            if one.id not in self._started:
                self._started[one.id] = self._start(one)
        process = self._started.pop(case.id)
        process.join(30)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError
        return process.exitcode, (self._folder_of(case) / "printed").read_text()

    def close(self) -> None:
        """End what still runs."""
        for process in self._started.values():
            process.kill()

    def _folder_of(self, case: Case) -> Path:
        return self._folder / str(CASES.index(case))

    def _start(self, case: Case) -> BaseProcess:
        folder = self._folder_of(case)
        folder.mkdir(exist_ok=True)
        file = folder / "gateway.yaml"
        file.write_text(file_of(case.spec))
        for name, content in case.spec.get("files", {}).items():
            (folder / name).write_bytes(_content(content))
        # A good file is only checked: the same reading, and it ends by itself.
        return start(["serve" if case.is_attack else "check", "-c", str(file)], folder / "printed")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Every file given to a gateway of its own."""
    made = Runs(tmp_path_factory.mktemp("holes"))
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(runs: Runs, tally: Tally, case: Case) -> None:
    with tally.of(case):
        try:
            status, said = runs.of(case)
        except TimeoutError:
            raise Reached("the gateway started") from None
        if not case.is_attack:
            assert status == 0, said
            return
        assert status == 1, said
        assert re.search(r"\.yaml:\d+:\d+: ", said), f"no place: {said}"
        assert case.spec["says"] in said, said
        assert "Traceback" not in said
        assert HS_SECRET not in said

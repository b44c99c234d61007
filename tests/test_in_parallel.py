"""Tests in several workers of pytest-xdist: who measures is alone, no port is given twice, and every count arrives."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.alone import turn
from tests.conftest import pytest_testnodedown
from tests.processes import free_port
from tests.security.casebook import Case
from tests.security.figures import FIGURES, Figures
from tests.security.judge import Reached

ROOT = Path(__file__).parents[1]
ATTACK, CONTROL = Case("load.a", "load", True, {}), Case("load.b", "load", False, {})


def is_open(file: Path, kind: int) -> bool:
    """Return whether a lock of this kind is to be had at once."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@pytest.fixture
def door(tmp_path: Path) -> Path:
    (tmp_path / "door").touch()
    return tmp_path / "door"


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "room").touch()
    return tmp_path / "room"


def test_others_come_in_while_nobody_wants_the_room_alone(door: Path, room: Path) -> None:
    with turn(alone=False, door=door, room=room), turn(alone=False, door=door, room=room):
        assert is_open(door, fcntl.LOCK_EX) and not is_open(room, fcntl.LOCK_EX)
    assert is_open(room, fcntl.LOCK_EX)


def test_nobody_comes_in_to_who_is_alone(door: Path, room: Path) -> None:
    with turn(alone=True, door=door, room=room):
        assert not is_open(room, fcntl.LOCK_SH)
    assert is_open(room, fcntl.LOCK_EX)


def test_who_waits_to_be_alone_is_passed_by_nobody(door: Path, room: Path) -> None:
    came_in = threading.Event()

    def measure() -> None:
        with turn(alone=True, door=door, room=room):
            came_in.set()

    measuring = threading.Thread(target=measure)
    with turn(alone=False, door=door, room=room):
        measuring.start()
        while is_open(door, fcntl.LOCK_EX):  # until the thread holds it, which it does as long as we are inside
            pass
        assert not came_in.is_set()
    measuring.join()
    assert came_in.is_set()


@pytest.mark.parametrize("worker", [0, 1, 2])
def test_each_worker_has_ports_of_its_own(worker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", f"gw{worker}")
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    assert {(free_port() - 20_000) % 3 for _ in range(20)} == {worker}


def test_figures_of_all_workers_are_added_up() -> None:
    total = Figures()
    for number in range(2):
        own = Figures()
        own.reports.append(f"line {number}")
        with own.tally.of(ATTACK), own.tally.of(CONTROL):
            pass
        with pytest.raises(Reached), own.tally.of(Case(f"load.through-{number}", "load", True, {})):
            raise Reached("it was served")
        total.add(json.loads(json.dumps(own.packed())))
    assert list(total.lines()) == [
        "line 0",
        "line 1",
        "4 attacks tried, 2 reached the upstream (load 4)",
        "2 controls: what is honest passes",
        "REACHED: load.through-0",
        "REACHED: load.through-1",
    ]


def test_figures_that_a_worker_took_with_it_are_said_to_be_missing() -> None:
    figures = Figures()
    pytest_testnodedown(
        SimpleNamespace(config=SimpleNamespace(stash={FIGURES: figures}), gateway=SimpleNamespace(id=7))
    )
    assert [line.partition(":")[0] for line in figures.lines()] == ["INCOMPLETE"]


@pytest.mark.slow
def test_two_workers_count_as_many_attacks_as_one_process() -> None:
    def closing_lines(workers: int) -> list[str]:
        options = ["-W", "error", "-q", "-p", "no:cacheprovider", "-n", str(workers), "--dist", "load"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment["GATEWAY_TEST_TURNS"] = "off"
        command = [sys.executable, "-m", "pytest", *options, "tests/security/test_load.py"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        return re.findall(r"(?m)^\d+ (?:attacks|controls|passed).*?(?= in |$)", done.stdout)

    assert len(once := closing_lines(0)) == 3
    assert closing_lines(2) == once


def clock_at_import(text: str) -> list[int]:
    """Return the lines that ask a clock for the time as soon as the module is read."""
    found, todo = [], list(ast.iter_child_nodes(ast.parse(text)))
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef(body=later) | ast.AsyncFunctionDef(body=later):
                todo += [part for part in ast.iter_child_nodes(node) if part not in later]
                continue
            case ast.Lambda():
                continue
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time"))):
                found.append(node.lineno)
        todo += ast.iter_child_nodes(node)
    return found


def test_no_module_makes_a_token_that_expires_before_its_turn_comes() -> None:
    # All modules are read before the first test runs, and a run of all takes longer than 600 seconds.
    assert clock_at_import("import time\nX = time.time() + 600\ndef f(now=time.time()): return time.time()") == [3, 2]
    tests = [path for path in sorted((ROOT / "tests").rglob("*.py")) if "node_modules" not in path.parts]
    asked = {str(path.relative_to(ROOT)): clock_at_import(path.read_text(encoding="utf-8")) for path in tests}
    assert {path for path, lines in asked.items() if lines} == {"tests/minting.py"}

"""The order of the packages, held: who reads from the top never meets a name that is explained further down."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway

ROOT = Path(gateway.__file__).parent
LAYERS = (
    "policy", "config", "keys", "stores", "record", "http1", "proxy", "transport", "explain", "server", "endpoints",
    "engines", "processes", "commands",
)  # fmt: skip
PURE = (*sorted((ROOT / "policy").glob("*.py")), ROOT / "proxy" / "headers.py", ROOT / "proxy" / "cors.py")
# A machine is told of events, and tells what to do: neither loop nor socket nor clock.
NO_IO = sorted((ROOT / "proxy").glob("*.py"))
IO_MODULES = frozenset({"aiohttp", "asyncio", "socket", "select", "time"})
IMPURE_MODULES = frozenset({"aiohttp", "asyncio", "time", "os", "logging"})
# A longer file has grown a second subject, most often. Of these each has one, and cut in half it would be read twice.
MAX_LINES = 300
LONGER = {
    "proxy/exchange.py": 475,  # one machine: each event, and what follows from it
    "transport/client.py": 375,  # all that can happen to one client's connection
}
MODULES = sorted(ROOT.rglob("*.py"))


def _id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                yield "a relative import"


def _rank(layer: str) -> int:
    return LAYERS.index(layer)


def _layer(path: Path) -> str | None:
    """Return the package that a module is in; None for `gateway/__init__.py` and `gateway/__main__.py`."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else None


def test_every_package_is_a_layer() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/*.py")}
    assert packages == set(LAYERS)


def test_tests_lie_in_the_same_rooms() -> None:
    # What is of no one package lies in a room of its own; beside them only what is about the whole tree.
    others = {"bench", "better_auth", "browser", "deploy", "docs", "field", "fuzz", "login", "mastra", "mcp", "node"}
    rooms = {path.parent.name for path in (ROOT.parent / "tests").glob("*/test_*.py")}
    assert rooms <= set(LAYERS) | others | {"security"}


def test_the_gateway_lists_its_packages_from_the_bottom_up() -> None:
    assert re.findall(r"^    (\w+)  ", gateway.__doc__ or "", re.MULTILINE) == list(LAYERS)


@pytest.mark.parametrize("package", LAYERS)
def test_package_lists_each_of_its_modules_once(package: str) -> None:
    folder = ROOT / package
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    page = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    order = page.partition("In reading order:")[2] or page
    named = [name for name in re.findall(r"`(\w+)`", order) if name in modules]
    assert sorted(named) == sorted(modules), "one place for each module: no more, no less"


@pytest.mark.parametrize("path", [path for path in MODULES if _layer(path)], ids=_id)
def test_module_imports_only_from_its_own_layer_and_those_below(path: Path) -> None:
    own = _layer(path)
    assert own is not None
    names = list(_imports(path))
    assert "a relative import" not in names
    ours = [name.split(".") for name in names if name.split(".")[0] == "gateway"]
    layers = {parts[1] for parts in ours if len(parts) > 1}
    above = {layer for layer in layers & set(LAYERS) if _rank(layer) > _rank(own)}
    assert not above, f"{_id(path)} imports from above: {', '.join(sorted(above))}"


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_module_takes_no_private_name_of_aiohttp(path: Path) -> None:
    # Fifteen were needed once, to undo what a gateway must not do: docs/decisions/0015.
    names = [name for name in _imports(path) if name.split(".")[0] == "aiohttp"]
    assert [name for name in names if any(part.startswith("_") for part in name.split("."))] == []


@pytest.mark.parametrize("path", PURE, ids=_id)
def test_pure_module_imports_no_io_and_no_clock(path: Path) -> None:
    tops = {name.split(".")[0] for name in _imports(path)}
    assert not tops & IMPURE_MODULES


@pytest.mark.parametrize("path", NO_IO, ids=_id)
def test_what_is_done_to_a_message_is_done_without_io(path: Path) -> None:
    allowed = {"socket", "ssl"} if path.name == "unreachable.py" else set()  # it names their exceptions
    assert not ({name.split(".")[0] for name in _imports(path)} & IO_MODULES) - allowed


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_module_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGER.get(_id(path), MAX_LINES)


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_module_imports_nothing_for_the_type_checker_only(path: Path) -> None:
    assert "TYPE_CHECKING" not in path.read_text(encoding="utf-8")


def test_start_imports_nothing_that_is_seldom_asked() -> None:
    seldom = ("prometheus_client", "gateway.explain.explain", "opentelemetry", "rich")
    script = f"import sys, gateway.processes.run; print([name for name in {seldom} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

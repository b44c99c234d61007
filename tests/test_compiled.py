"""What is written so that it can be compiled: rules of which each was once a fault that only the compiled code had."""

from __future__ import annotations

import ast
import builtins
import os
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import gateway
from gateway.record.build import COMPILED, build, compiled_sources, outdated, shared_object_of

ROOT = Path(gateway.__file__).parent
SOURCES = compiled_sources()
# Bases without a dictionary and weak references of their own: `__slots__ = ()`, or made by the compiler's own typing.
HARMLESS_BASES = {"asyncio.Protocol", "Generic", "Enum"}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _classes(path: Path) -> Iterator[ast.ClassDef]:
    yield from (node for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef))


def _id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


NAMES = {one.name for path in SOURCES for one in _classes(path)}


def test_every_module_of_the_list_is_there_and_built_alike() -> None:
    assert [path for path in SOURCES if not path.exists()] == []
    built = [path for path in SOURCES if shared_object_of(path)]
    assert len(built) == (len(SOURCES) if build() == "compiled" else 0)
    assert set(COMPILED) <= {path.name for path in ROOT.iterdir()}


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_class_has_no_base_that_is_not_compiled(path: Path) -> None:
    # Its weak references would never be cleared, and the collector would crash on them: found in `logging`'s classes.
    for one in _classes(path):
        for base in one.bases:
            name = ast.unparse(base).partition("[")[0]
            known = getattr(builtins, name, None)
            is_exception = isinstance(known, type) and issubclass(known, BaseException)
            assert name in NAMES | HARMLESS_BASES or is_exception, f"{one.name} inherits from {name}"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_enum_has_no_constructor_of_its_own(path: Path) -> None:
    for one in _classes(path):
        if any(ast.unparse(base) == "Enum" for base in one.bases):
            own = [part.name for part in one.body if isinstance(part, ast.FunctionDef)]
            assert "__init__" not in own, f"{one.name}: it could not even be imported"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_class_with_a_base_cannot_be_called(path: Path) -> None:
    # `__call__` puts a field in front of all the others; of a base without it every field was read one place beside.
    for one in _classes(path):
        if [base for base in one.bases if ast.unparse(base).partition("[")[0] in NAMES]:
            own = [part.name for part in one.body if isinstance(part, ast.FunctionDef)]
            assert "__call__" not in own, one.name


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_two_kinds_of_exception_have_two_names(path: Path) -> None:
    # One variable has one type: the second `except` would raise a TypeError.
    for function in ast.walk(_tree(path)):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        kinds: dict[str, set[str]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and node.name and node.type is not None:
                kinds.setdefault(node.name, set()).add(ast.unparse(node.type))
        assert [name for name, several in kinds.items() if len(several) > 1] == [], function.name


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_hot_record_has_a_written_constructor(path: Path) -> None:
    # A generated one stays interpreted. Frozen records are made when a file is read, and seldom after.
    for one in _classes(path):
        for decorator in one.decorator_list:
            said = ast.unparse(decorator)
            if said.startswith("dataclass(slots=True") and one.name not in MADE_SELDOM:
                assert "init=False" in said, f"{one.name}: write its constructor, or say that it is made seldom"


MADE_SELDOM = {"ConnectionLimits", "Entry", "Reachability", "_Name", "_Slot"}


def _may_be_none(owner: ast.ClassDef) -> set[str]:
    """Return the attributes of a class that may be None."""
    told = [node for node in ast.walk(owner) if isinstance(node, ast.AnnAssign)]
    optional = [node for node in told if "None" in ast.unparse(node.annotation).split(" | ")]
    return {ast.unparse(node.target).removeprefix("self.") for node in optional}


def _read_again(function: ast.FunctionDef, names: set[str]) -> Iterator[str]:
    """Yield attributes that were set or tested, and are read again behind a call of anybody's method.

    What the type checker knows of `self.x` it still believes behind a call that changes it.
    """
    calls = {
        one.lineno for one in ast.walk(function) if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute)
    }
    known = {(name, line) for node in ast.walk(function) for name, line in _what_is_known(node, names)}
    for read in ast.walk(function):
        if isinstance(read, ast.Attribute) and isinstance(read.ctx, ast.Load) and ast.unparse(read.value) == "self":
            before = [line for name, line in known if name == read.attr and line < read.lineno]
            if before and any(max(before) < line < read.lineno for line in calls):
                yield f"self.{read.attr} of line {max(before)}, read in line {read.lineno}"


def _what_is_known(node: ast.AST, names: set[str]) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Assign) and ast.unparse(node.value) != "None":
        told = {ast.unparse(target) for target in node.targets}
        yield from ((name, node.lineno) for name in names if f"self.{name}" in told)
    elif isinstance(node, ast.If) and isinstance(node.body[-1], (ast.Return, ast.Raise, ast.Continue)):
        parts = (
            node.test.values if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.Or) else [node.test]
        )
        told = {ast.unparse(part) for part in parts}
        yield from ((name, node.test.lineno) for name in names if f"self.{name} is None" in told)


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_what_was_set_or_tested_is_not_read_again_behind_a_call(path: Path) -> None:
    for owner in _classes(path):
        names = _may_be_none(owner)
        for function in owner.body:
            if isinstance(function, ast.FunctionDef):
                assert list(_read_again(function, names)) == [], f"{function.name}: read it into a variable first"


@pytest.mark.parametrize(
    "body",
    [
        "if self.x is None or self.is_over:\n        return\n    self.read()\n    if self.x is not None:\n        pass",
        "other = self.x = Exchange()\n    other.begin()\n    return self.x is other",
    ],
)
def test_rule_finds_what_broke_every_request(body: str) -> None:
    (owner,) = ast.parse(f"class A:\n  x: int | None\n  def act(self):\n    {body}").body
    assert isinstance(owner, ast.ClassDef) and isinstance(owner.body[1], ast.FunctionDef)
    assert len(list(_read_again(owner.body[1], _may_be_none(owner)))) == 1


def test_source_that_is_newer_than_its_shared_object_is_named(tmp_path: Path) -> None:
    root = tmp_path / "gateway"
    for source in compiled_sources(root):
        source.parent.mkdir(parents=True, exist_ok=True)
        source.touch()
    assert outdated(root) == []
    (tmp_path / "pyproject.toml").touch()
    assert outdated(root) == [], "pure: nothing shadows anything"
    suffix = EXTENSION_SUFFIXES[0]
    for source in compiled_sources(root):
        source.with_name(source.stem + suffix).touch()
    assert outdated(root) == []
    edited = compiled_sources(root)[3]
    ahead = edited.stat().st_mtime + 60
    os.utime(edited, (ahead, ahead))
    assert outdated(root) == [edited]
    gone = compiled_sources(root)[5]
    gone.with_name(gone.stem + suffix).unlink()
    assert set(outdated(root)) == {edited, gone}

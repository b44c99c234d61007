"""The page on security names policies and tests that exist, and every one of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
POLICIES = set(re.findall(r"^\| `(P-[A-Z0-9]+)`", PAGE, re.MULTILINE))
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize(("file", "name"), TESTS, ids=[name for _, name in TESTS])
def test_promise_names_a_test_that_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_policy_of_the_cases_is_explained_and_each_explained_one_has_cases() -> None:
    cases = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests/security/cases").glob("*.yaml"))
    assert set(re.findall(r"policy: (P-[A-Z0-9]+)", cases)) == POLICIES


def test_every_promise_has_a_test() -> None:
    promises = PAGE.partition("## Promises and their tests")[2].partition("\n## ")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ")][2:]
    assert rows and all(re.search(r"\| `tests/[\w/]+\.py::\w+`( |,|$)", row) for row in rows)

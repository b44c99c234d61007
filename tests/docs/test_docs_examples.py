"""What the pages say is true: links lead somewhere, every metric and log field has its row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gateway.record.exposition import families
from gateway.record.metrics import Gauges, Metrics

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(page for name in ("docs", "deploy") for page in sorted((ROOT / name).rglob("*.md"))),
]
OPERATIONS = (ROOT / "docs" / "reference" / "operations.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


# Whoever copies a file runs into the first variable that nobody told of.
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_variables_of_a_file_are_told_of_beside_it(page: Path) -> None:
    text = page.read_text()
    files = re.findall(r"^```yaml\n(# \S+\.yaml\n.*?)^```$", text, re.DOTALL | re.MULTILINE)
    told = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    needed = {name for file in files for name in re.findall(r"(?<!\$)\$\{(\w+)\}", file)}
    assert not {name for name in needed if f"`{name}`" not in told}


def test_every_metric_has_a_row() -> None:
    for family in families(Metrics(), Gauges()):
        assert f"`{family.name}" in OPERATIONS, family.name


def test_every_log_field_has_a_row() -> None:
    tree = ast.parse((ROOT / "gateway" / "record" / "outcome.py").read_text())
    function = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "log_fields")
    table = next(node for node in ast.walk(function) if isinstance(node, ast.Dict))
    names = [str(key.value) for key in table.keys if isinstance(key, ast.Constant)]
    assert len(names) > 15
    for name in names:
        assert f"`{name}`" in OPERATIONS, name

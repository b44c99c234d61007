"""What the pages show is true: files load, links lead somewhere, every metric and log field has its row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gateway.config.file import load_text
from gateway.server.metrics import Gauges, Metrics

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPERATIONS = (ROOT / "docs" / "reference" / "operations.md").read_text()
ENVIRONMENT = {
    "MASTRA_JWT_SECRET": "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA",
    "CALLERS_SECRET": "another one: Zx81aiPh7aish2eeF0wohYe",
    "CLERK_JWKS_URI": "https://clerk.example.com/.well-known/jwks.json",
    "AUTH0_DOMAIN": "tenant.eu.auth0.com",
    "AUTH0_AUDIENCE": "https://mastra",
}


def whole_files() -> list[tuple[str, str]]:
    blocks = []
    for page in PAGES:
        for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)):
            if re.search(r"(?m)^routes:", text) and re.search(r"(?m)^upstreams?:", text):
                blocks.append((f"{page.relative_to(ROOT)}-{number}", text))
    return blocks


@pytest.mark.parametrize("text", [text for _, text in whole_files()], ids=[name for name, _ in whole_files()])
def test_every_whole_file_of_the_pages_loads(text: str) -> None:
    assert load_text(text, "page.yaml", ENVIRONMENT).policy.routes


def test_there_are_pages_with_files() -> None:
    assert {name.rpartition("-")[0] for name, _ in whole_files()} >= {
        "README.md",
        "docs/guides/auth0.md",
        "docs/guides/clerk.md",
        "docs/guides/mastra-jwt.md",
    }


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_metric_has_a_row() -> None:
    for family in Metrics().families(Gauges()):
        assert f"`{family.name}" in OPERATIONS, family.name


def test_every_log_field_has_a_row() -> None:
    tree = ast.parse((ROOT / "gateway" / "server" / "outcome.py").read_text())
    function = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "log_fields")
    table = next(node for node in ast.walk(function) if isinstance(node, ast.Dict))
    names = [key.value for key in table.keys if isinstance(key, ast.Constant)]
    assert len(names) > 15
    for name in names:
        assert f"`{name}`" in OPERATIONS, name

"""The chart's page and its comments name every value, with the default that it has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.deploy.chart import CHART

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
WHOLE = ("resources.requests", "resources.limits")  # a row each, not one for each amount


def leaves(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value with the path of its name."""
    for name, value in values.items():
        path = before + name
        if isinstance(value, dict) and value and path not in WHOLE:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def test_page_has_every_value_with_its_default() -> None:
    rows = re.findall(r"(?m)^\| `([^`]+)` \| .+ \| `([^`]+)` \|$", (CHART / "README.md").read_text())
    assert {name: json.loads(default) for name, default in rows} == dict(leaves(VALUES))


def test_schema_knows_every_value_and_no_other() -> None:
    def names(schema: dict[str, Any], before: str = "") -> Iterator[str]:
        for name, part in schema["properties"].items():
            inner = part.get("properties")
            if inner and before + name not in WHOLE:
                yield from names(part, f"{before}{name}.")
            else:
                yield before + name

    assert set(names(SCHEMA)) == {name for name, _ in leaves(VALUES)} | {"global"}

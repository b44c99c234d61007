"""What the chart refuses to render, and what it says then: a value that is wrong must not become a running pod."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.chart import CHART, refusal, requires, template, with_values
from tests.deploy.render import values_schema

needs_helm = requires("helm")
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
REFUSED: dict[str, dict[str, list[str]]] = yaml.safe_load((Path(__file__).parent / "refused.yaml").read_text())
# Free names: variables, annotations, labels; what Helm hands to every chart.
OPEN = {"env", "texts", "global"}


def objects_of(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each part of the schema that is about an object."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield place, schema
        for key, part in schema.items():
            yield from objects_of(part, place if key in ("properties", "definitions") else f"{place}.{key}")


def test_schema_takes_no_name_that_it_does_not_know() -> None:
    own = {**SCHEMA, "definitions": {n: p for n, p in SCHEMA["definitions"].items() if not n.startswith("config")}}
    found = dict(objects_of(own, ""))
    assert len(found) > 15
    assert {
        place.split(".")[-1] for place, part in found.items() if part.get("additionalProperties") is not False
    } == OPEN


def test_schema_of_the_gateways_file_is_what_the_gateway_says() -> None:
    assert (CHART / "values.schema.json").read_text() == values_schema(), "make kubernetes writes it anew"


def cases(kind: str) -> list[Any]:
    return [pytest.param(*case, marks=needs_helm, id=what) for what, case in REFUSED[kind].items()]


@pytest.mark.parametrize(("value", "said"), cases("values"))
def test_wrong_value_is_refused(value: str, said: str) -> None:
    assert said in refusal("--set", value)


@pytest.mark.parametrize(("lines", "said"), cases("files"))
def test_file_that_cannot_be_run_here_is_refused(lines: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(lines + "\nupstream: http://mastra:4111\nroutes: {/x: {public: true}}\n")
    assert said in refusal("--set-file", f"config={file}")


@pytest.mark.parametrize("_", [pytest.param(None, marks=needs_helm, id="helm")])
def test_map_is_refused_where_text_would_be(_: None) -> None:
    assert "config.admin: found 127.0.0.1:9090" in refusal(
        *with_values("small"), "--set", "config.admin=127.0.0.1:9090"
    )
    assert "admin: :9191" in template(*with_values("small"))

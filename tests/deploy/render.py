"""Writes what is made of something else: `make kubernetes`.

The part of the chart's schema that is about the gateway's file is that of `gateway schema`; `deploy/kubernetes` is the
chart with its default values. Tests hold that both are what would be written.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.config.schema import json_schema
from tests.deploy.chart import CHART, NAME, RENDERED, by_template, run

_SCHEMA = CHART / "values.schema.json"
_HEAD = "# Made by `make kubernetes` out of deploy/chart, with its default values.\n"


def values_schema() -> str:
    """Return the chart's schema, with the schema of the gateway's file as it is now."""
    schema = json.loads(_SCHEMA.read_text())
    own = {name: part for name, part in schema["definitions"].items() if not name.startswith("config")}
    schema["definitions"] = {**own, **_file_definitions()}
    return json.dumps(schema, indent=2) + "\n"


def _file_definitions() -> dict[str, Any]:
    # Draft 7 is the youngest that every Helm 3 reads.
    text = json.dumps({key: part for key, part in json_schema().items() if key not in ("$schema", "title")})
    file = json.loads(
        text.replace('"#/$defs/', '"#/definitions/config.').replace('"dependentRequired"', '"dependencies"')
    )
    parts = file.pop("$defs")
    return {"config": file, **{f"config.{name}": part for name, part in parts.items()}}


def rendered() -> dict[str, str]:
    """Return the files of `deploy/kubernetes` that the chart makes. Raises `RuntimeError` with what Helm says."""
    done = run("helm", "template", NAME, str(CHART))
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return {name: _HEAD + text for name, text in by_template(done.stdout).items()}


def main() -> None:
    """Write all of it."""
    _SCHEMA.write_text(values_schema())
    for name, text in rendered().items():
        (RENDERED / name).write_text(text)


if __name__ == "__main__":
    main()

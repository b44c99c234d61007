"""The chart as Helm renders it, and the programs that check it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "deploy" / "chart"
RENDERED = PROJECT / "deploy" / "kubernetes"
VALUES = Path(__file__).parent / "values"
NAME = "mastra-gateway"  # of the release that `deploy/kubernetes` is made of
_TOOLS = PROJECT / ".venv" / "deploy" / "bin"  # what `make deploy-check` installs
_IS_REQUIRED = os.environ.get("GATEWAY_REQUIRE_DEPLOY") == "1"
_SOURCE = re.compile(r"(?m)^---\n# Source: \S+/templates/(\S+)\n")


def found(name: str) -> str | None:
    """Return the path of a program: the locked one first, then one on PATH."""
    return shutil.which(name, path=str(_TOOLS)) or shutil.which(name)


def requires(*names: str) -> list[pytest.MarkDecorator]:
    """Skip where a program is missing, unless GATEWAY_REQUIRE_DEPLOY=1 says that it must run (`make deploy-check`)."""
    missing = [name for name in names if found(name) is None]
    skip = pytest.mark.skipif(bool(missing) and not _IS_REQUIRED, reason=f"not installed: {', '.join(missing)}")
    return [pytest.mark.deploy, skip]


def run(program: str, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of the programs in the project's folder; the caller looks at its status."""
    return subprocess.run(
        [found(program) or program, *arguments],
        cwd=PROJECT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "HELM_NO_PLUGINS": "1"},
    )


def template(*arguments: str, namespace: str = "agents") -> str:
    """Return what Helm renders. Fails the test with what Helm says if it refuses."""
    done = run("helm", "template", NAME, str(CHART), "--namespace", namespace, *arguments)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


@cache
def rendered_with(name: str) -> str:
    """Return what Helm renders with one of the files of values, once for all tests."""
    return template(*with_values(name))


def refusal(*arguments: str) -> str:
    """Return what Helm says when it refuses to render. Fails the test if it does not."""
    done = run("helm", "template", NAME, str(CHART), *arguments)
    assert done.returncode != 0, "rendered"
    return done.stderr


def with_values(name: str) -> tuple[str, ...]:
    """Return the arguments for one of the files in `values`; `default` is none."""
    return () if name == "default" else ("--values", str(VALUES / f"{name}.yaml"))


def objects(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return rendered objects by kind and name. Fails the test if two have both."""
    by_name: dict[tuple[str, str], dict[str, Any]] = {}
    for one in yaml.safe_load_all(text):
        if one is not None:
            key = one["kind"], one["metadata"]["name"]
            assert key not in by_name, key
            by_name[key] = one
    return by_name


def by_template(text: str) -> dict[str, str]:
    """Return what was rendered, parted by the template's file that it came from."""
    parts = _SOURCE.split(text)[1:]
    files: dict[str, list[str]] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        files.setdefault(name, []).append(body.strip("\n") + "\n")
    return {name: joined(bodies) for name, bodies in files.items()}


def joined(bodies: Iterable[str]) -> str:
    """Return several documents as one text."""
    return "---\n".join(bodies)

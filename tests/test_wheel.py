"""The wheel, as somebody meets it who never saw this repository: built, installed where nothing else is, and run."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest

import gateway
from tests.processes import free_port, process, status_of

PROJECT = Path(gateway.__file__).parent.parent
CONFIG = """\
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
upstream: http://127.0.0.1:9
providers:
  jobs: {{type: jwt, secret: kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-wheel}}
routes:
  /api: {{provider: jobs, allow: authenticated}}
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(*command: str | Path, cwd: Path) -> str:
    """Return what a command prints. It sees nothing of this checkout, be it by its folder or by a variable."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with sdist and wheel; the wheel is made of the sdist, so nothing is missing in that either."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, PROJECT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `bin` of a fresh environment that holds the wheel and what the lock file pins, nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    pip: list[str | Path] = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
    ]
    run(*pip, "install", "--require-hashes", "-r", PROJECT / "requirements.lock", cwd=folder)
    (wheel,) = built.glob("*.whl")
    run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    run(*pip, "check", cwd=folder)  # what the wheel asks for is there, in the versions that it asks for
    return folder / "bin"


def test_metadata_and_readme_are_what_a_registry_takes(built: Path) -> None:
    files = sorted(built.iterdir())
    assert [file.name.partition("-")[0] for file in files] == ["mastra_auth_gateway"] * 2
    assert run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=built).count("PASSED") == 2


def test_command_is_there_and_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert "serve" in run(installed / "gateway", "--help", cwd=tmp_path)
    where = run(installed / "python", "-c", "import gateway; print(gateway.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_file_is_checked_and_its_schema_is_printed(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG.format(port=8080, admin=9090))
    assert "/api" in run(installed / "gateway", "check", cwd=tmp_path)
    assert '"$schema"' in run(installed / "gateway", "schema", cwd=tmp_path)


def test_it_brings_the_table_of_mastra_routes_along(installed: Path, tmp_path: Path) -> None:
    script = "from gateway.policy.mastra_routes import rows; print(len(rows()))"
    lines = (PROJECT / "gateway" / "policy" / "mastra_routes.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if not line.startswith("#")][1:]
    assert run(installed / "python", "-c", script, cwd=tmp_path).strip() == str(len(rows))


def test_it_serves_and_brings_its_page_along(installed: Path, tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    (tmp_path / "gateway.yaml").write_text(CONFIG.format(port=port, admin=admin))
    ready = f"http://127.0.0.1:{admin}/readyz"
    command = [str(installed / "gateway"), "serve"]
    with process(command, tmp_path / "log", lambda: status_of(ready) == 200, cwd=tmp_path):
        assert status_of(f"http://127.0.0.1:{port}/api/agents") == 401
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/", timeout=5) as page:
            assert page.read() == (PROJECT / "gateway" / "endpoints" / "status.html").read_bytes()

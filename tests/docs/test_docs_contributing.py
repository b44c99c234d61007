"""What CONTRIBUTING.md tells to write, and which test asks for it, exists under that name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL))))
FILES: dict[str, list[Path]] = {}
for file in sorted(path for folder in ("gateway", "config", "docs") for path in (ROOT / folder).rglob("*.*")):
    FILES.setdefault(file.name, []).append(file)
FILES.setdefault("pyproject.toml", []).append(ROOT / "pyproject.toml")
CODE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "gateway").rglob("*.py")))


@pytest.mark.parametrize(
    "named", [one for one in QUOTED if re.fullmatch(r"[\w/*.-]+\.(py|md|json|yaml|toml)(::\w+)?", one)]
)
def test_file_is_there_and_so_is_the_test_in_it(named: str) -> None:
    path, _, test = named.partition("::")
    found = [*ROOT.glob(path), *(ROOT / "gateway").glob(path)] if "/" in path else list(FILES.get(path, ()))
    assert found, f"{path} is not there"
    assert not test or any(f"def {test}(" in one.read_text(encoding="utf-8") for one in found)


@pytest.mark.parametrize(
    "name", [one for one in QUOTED if re.fullmatch(r"_[a-z_]+|_?[A-Z][A-Z_]{2,}|[a-z]+_[a-z_]+", one)]
)
def test_name_is_in_the_code(name: str) -> None:
    assert re.search(rf"\b{re.escape(name)}\b", CODE)


def test_commands_are_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", PAGE, re.MULTILINE)) <= targets

"""The TypeScript of the pages, as Mastra's own packages understand it: an option that is called otherwise is seen."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.mastra.conftest import HERE

ROOT = HERE.parents[1]
# What stands around a block in somebody's app.
AROUND = """
import { MastraClient } from '@mastra/client-js';
import { MastraJwtAuth } from '@mastra/auth';
declare const session: { getToken(): Promise<string | null> };
declare function getAccessTokenSilently(): Promise<string>;
"""
OPTIONS = "--noEmit --strict --skipLibCheck --target es2022 --module es2022 --moduleResolution bundler"


def blocks() -> dict[str, str]:
    """Return the pages' TypeScript, each with a name of its own."""
    found = {}
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for block in re.finditer(r"^```ts\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
            is_part = re.match(r"\w+: ", block[1]) is not None  # a key of an object
            found[f"{page.stem}-{block.start()}"] = f"export const part = {{ {block[1]} }}" if is_part else block[1]
    return found


def compiled(node: str, folder: Path, written: dict[str, str]) -> str:
    """Return what the compiler says of these blocks: nothing, if it understands them all."""
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    for name, text in written.items():
        (folder / f"{name}.ts").write_text(AROUND + text)
    command = [node, "node_modules/typescript/bin/tsc", *OPTIONS.split(), *(f"{name}.ts" for name in written)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False).stdout


def test_typescript_of_the_pages_compiles(node: str, tmp_path: Path) -> None:
    written = blocks()
    assert len(written) > 6
    assert compiled(node, tmp_path, written) == ""


@pytest.mark.parametrize("wrong", ["fetsh: withToken", "header: {}"])
def test_option_that_there_is_not_is_seen(wrong: str, node: str, tmp_path: Path) -> None:
    text = (
        f"const withToken = fetch; export const client = new MastraClient({{ baseUrl: 'http://localhost', {wrong} }});"
    )
    assert "does not exist in type 'ClientOptions'" in compiled(node, tmp_path, {"page": text})

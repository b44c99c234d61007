"""Every YAML and every shell block of the pages is run, in order, as somebody would who follows the page.

A YAML block that begins with `# NAME.yaml` becomes that file. A shell block runs in a folder with these files, a
stand-in upstream, and `gateway` on its path; one that says `gateway serve` stays up until the page ends. What a `text`
block behind it shows is all that is printed, byte for byte; `...` in it stands for what varies within a line, and on a
line of its own for lines that the page leaves out. What people read at a terminal is drawn there as well, 80 and 120
columns wide. Ports are other ones: nothing on the machine is in the way.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config.cases import load_cases
from gateway.config.document import ConfigError
from gateway.config.file import load_text
from tests.keyserver import public_pem
from tests.minting import claims_of, mint, rsa_key
from tests.processes import free_port, process, status_of
from tests.secrecy import leaks_in
from tests.terminal import environment, plain, seen_on_terminal

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SECRET = "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-docs"
ENVIRONMENT = {
    "MASTRA_JWT_SECRET": SECRET,
    "CALLERS_SECRET": "another one: Zx81aiPh7aish2eeF0wohYe",
    "SUBJECT_SECRET": "a third one: jIe7ohngeiVaePh6ohSh4ai",
    "CLERK_JWKS_URI": "https://clerk.example.com/.well-known/jwks.json",
    "OIDC_CLIENT_SECRET": "fourth: thai5ahquee3ohMe7iyeiDae",
    "SESSION_SECRET": "a fifth one: Quoh8eiNgeic4eiHa1ieth",
    "REDIS_PASSWORD": "sixth-ooJ0ahdiethoo1Eith3i",
    "AUTH0_DOMAIN": "tenant.eu.auth0.com",
    "AUTH0_AUDIENCE": "https://mastra",
}
# Run by another test, since they take long or are about this very repository.
ELSEWHERE = {"make demo": "tests/commands/test_demo.py", "make test": "the run that this test is part of"}
SERVER = re.compile(r"gateway serve[^\n&|;]*")
FOR_PEOPLE = re.compile(r"(gateway (check|explain|test)\b[^\n|]*(\|\| true)?\n)+")
WIDTHS = (80, 120)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    kind: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    name = str(page.relative_to(ROOT))
    return [
        Block(name, text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
YAML = [block for block in BLOCKS if block.kind == "yaml"]
WITH_SHELL = [
    page for page in PAGES if any(b.kind == "sh" and b.text.strip() not in ELSEWHERE for b in blocks_of(page))
]


def test_no_block_escapes() -> None:
    assert {block.kind for block in BLOCKS} <= {"yaml", "sh", "text", "ts", "js", "json", ""}
    assert len(YAML) > 15 and len(WITH_SHELL) > 6
    for block in BLOCKS:
        if block.kind == "":
            assert not re.match(r"\s*(\$|curl|gateway |make )", block.text), (
                f"{block.page}:{block.line} is a shell block"
            )


@pytest.mark.parametrize("block", YAML, ids=lambda block: f"{block.page}:{block.line}")
def test_yaml_is_a_file_that_loads_or_a_part_of_one(block: Block, tmp_path: Path) -> None:
    keys = set(yaml.safe_load(block.text))
    if "jobs" in keys or "services" in keys:
        return  # another program's file
    if keys == {"tests"}:
        (tmp_path / "cases.yaml").write_text(block.text)
        assert load_cases(tmp_path / "cases.yaml", ENVIRONMENT)
        return
    text = block.text
    if not keys & {"upstream", "upstreams"}:
        text += "\nupstream: http://localhost:4111\n"
    if "routes" not in keys:
        text += "\nroutes: {/x: {public: true}}\n"
    try:
        load_text(text, "page.yaml", ENVIRONMENT, read_file=_mounted)
    except ConfigError as problem:
        pytest.fail(f"{block.page}:{block.line}\n{problem}")


def _mounted(path: Path) -> bytes:
    """Return what a file that a block names could hold."""
    match path.suffix:
        case ".pem":
            return public_pem(rsa_key())
        case ".crt":
            return b"-----BEGIN CERTIFICATE-----"
        case ".yaml":
            return b""
    return SECRET.encode()


class Reader:
    """Somebody who follows a page in a folder of their own."""

    def __init__(self, page: str, folder: Path, upstream: int) -> None:
        self._folder = folder
        self._ports = {"4111": str(upstream), "8080": str(free_port()), "9090": str(free_port())}
        bin_folder = folder.parent / "bin"
        bin_folder.mkdir()
        command = bin_folder / "gateway"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
        command.chmod(0o755)
        now = time.time()
        token = mint(
            claims_of(iss="https://clerk.example.com", iat=now, exp=now + 60, aud=..., email=...), rsa_key(), "RS256"
        )
        named = {name: value for name, value in ENVIRONMENT.items() if name in page}  # what a page needs, it names
        self._environment = environment(**named) | {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GATEWAY_STATE_DIR": str(folder.parent / "state"),
            "MASTRA_JWT_TOKEN": mint({"sub": "a"}, SECRET.encode()),
            "TOKEN": mint({"sub": "a"}, SECRET.encode()),
            "CLERK_TOKEN": token,
        }  # fmt: skip
        self._kept = folder.parent / "variables"
        self._kept.write_text("")
        self._servers = contextlib.ExitStack()
        self._log = folder / "gateway.log"
        self._log.write_text("".join(json.dumps(line) + "\n" for line in LOG))

    def write(self, name: str, text: str) -> None:
        """Make a file of a YAML block; with ports of our own."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = self._moved(text)
        if name == "gateway.yaml":
            text = (
                "".join(
                    f"{key}: 127.0.0.1:{self._ports[port]}\n"
                    for key, port in (("listen", "8080"), ("admin", "9090"))
                    if not re.search(rf"(?m)^{key}:", text)
                )
                + text
            )
        path.write_text(text)

    def run(self, block: Block) -> str:
        """Run a shell block; returns what it prints. Variables live on to the next one."""
        server = SERVER.fullmatch(block.text.strip())
        if server is not None:
            self._serve(server[0].split()[1:])
            return ""
        script = self._script(block) + f'set | grep -E "^(TOKEN|STRANGER)=" > "{self._kept}" || true\n'
        done = subprocess.run(
            ["bash", "-c", script], cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, (
            f"{block.page}:{block.line} ends with {done.returncode}\n{done.stdout}{done.stderr}"
        )
        for made in self._folder.glob("*.yaml"):
            made.write_text(self._moved(made.read_text()))
        return self._back(done.stdout)

    def see(self, block: Block, columns: int) -> str:
        """Run a shell block once more on a terminal; returns what a pipe would have of what is drawn there."""
        _, drawn = seen_on_terminal(["bash", "-c", self._script(block)], columns, self._folder, self._environment)
        return self._back(plain(drawn))

    def close(self) -> None:
        """Stop what was started."""
        self._servers.close()

    def _script(self, block: Block) -> str:
        return f'set -eu\n. "{self._kept}"\n{self._moved(block.text)}\n'

    def _serve(self, arguments: list[str]) -> None:
        log = self._folder / "gateway.log"
        ready = f"http://127.0.0.1:{self._ports['9090']}/healthz"
        self._servers.enter_context(
            process(
                [sys.executable, "-m", "gateway", *arguments],
                log,
                lambda: status_of(ready) == 200,
                {**self._environment},
                cwd=self._folder,
            )
        )

    def _moved(self, text: str) -> str:
        for shown, own in self._ports.items():
            text = re.sub(rf"(?<=:){shown}\b", own, text)
        return text

    def _back(self, text: str) -> str:
        for shown, own in self._ports.items():
            text = text.replace(own, shown)
        return text


LOG = [
    {"decision": "allow", "method": "GET", "path": "/api/agents", "route": "/api", "provider": "staff", "subject": s,
     "would_deny": "access_denied", "rule": "allow[0]", "status": 200, "time": "2026-11-21T05:00:00Z"}
    for s in ("1", "2")
]  # fmt: skip


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "gateway", "standin", "--port", str(port)]
    log = tmp_path_factory.mktemp("standin") / "log"
    with process(command, log, lambda: status_of(f"http://127.0.0.1:{port}/health") == 200, {"PYTHONPATH": str(ROOT)}):
        yield port


# Pages that take seconds each; the quick run follows the tutorial and the others.
_SLOW = frozenset({"find-out-why.md", "studio.md", "ci.md", "try-a-rule-out.md"})


def _pages() -> list[Any]:
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks[page.name in _SLOW]) for page in WITH_SHELL]


@pytest.mark.timeout(240)  # a page is a dozen starts of the gateway, and some are drawn twice more
@pytest.mark.parametrize("page", _pages())
def test_page_can_be_followed(page: Path, tmp_path: Path, standin: int) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    reader = Reader(page.read_text(), folder, standin)
    printed = ""
    shell: Block | None = None
    try:
        for block in blocks_of(page):
            named = re.match(r"# (\S+\.yaml)\n", block.text)
            if block.kind == "yaml" and named is not None:
                reader.write(named[1], block.text)
            elif block.kind == "sh" and block.text.strip() not in ELSEWHERE:
                printed, shell = reader.run(block), block
                assert not [leak for leak in leaks_in(printed) if "TOKEN" not in block.text]
            elif block.kind == "text":
                compare(block, printed)
                if shell is not None and FOR_PEOPLE.fullmatch(shell.text):
                    for columns in WIDTHS:
                        compare(block, reader.see(shell, columns), is_squeezed=True)
    finally:
        reader.close()


def compare(block: Block, printed: str, *, is_squeezed: bool = False) -> None:
    """Compare a sample with what was printed. Squeezed: how far a table's columns stand apart does not count."""
    shown = block.text
    if is_squeezed:
        shown, printed = (re.sub(r"(?<=\S) {2,}", "  ", text) for text in (shown, printed))
    lines = [
        r"(?:.*\n)*?" if line == "...\n" else re.escape(line).replace(r"\.\.\.", ".*?")
        for line in shown.splitlines(keepends=True)
    ]
    ended = printed if printed.endswith("\n") else printed + "\n"  # the body of an answer has no line end
    assert re.fullmatch("".join(lines), ended), f"{block.page}:{block.line} shows\n{shown}\nprinted was\n{printed}"

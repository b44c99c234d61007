"""What commands print, byte for byte: in a pipe, and on terminals of 80 and 120 columns.

The samples of the pages are compared in `test_docs_blocks.py`; here is what no page shows whole.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.terminal import COLOUR, GATEWAY, environment, plain, seen_on_terminal

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
SECRET = "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-printed"
WIDTHS = [80, 120]
FILE = """\
listen: 127.0.0.1:8080
upstream: http://localhost:4111

providers:
  jobs: {type: jwt, secret: "${MASTRA_JWT_SECRET}"}

rules:
  company: {email_domain: yourcompany.com}
routes:
  /api:
      provider: jobs
      alow: company
"""
GOOD = FILE.replace("alow", "allow")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(FILE)
    return tmp_path


def piped(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*GATEWAY, *arguments], cwd=folder, env=environment(MASTRA_JWT_SECRET=SECRET), capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def drawn(folder: Path, columns: int, *arguments: str) -> tuple[int, str]:
    return seen_on_terminal([*GATEWAY, *arguments], columns, folder, {"MASTRA_JWT_SECRET": SECRET})


def sample_of_a_mistake() -> str:
    """Return what the reference shows of a file with a mistake."""
    found = re.search(r"^```text\n(gateway\.yaml:.*?)^```$", REFERENCE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_mistakes_come_in_a_pipe_as_the_reference_shows_them(folder: Path) -> None:
    assert piped(folder, "check") == (1, sample_of_a_mistake(), "")
    headline = "gateway token: gateway.yaml cannot be used\n"
    assert piped(folder, "token") == (1, "", headline + sample_of_a_mistake())


@pytest.mark.parametrize("columns", WIDTHS)
def test_mistakes_come_on_a_terminal_as_in_a_pipe_but_for_the_colour(columns: int, folder: Path) -> None:
    status, seen = drawn(folder, columns, "check")
    assert (status, COLOUR.sub("", seen)) == (1, sample_of_a_mistake())
    assert "\x1b[31mgateway.yaml:12:7" in seen


@pytest.mark.parametrize("columns", [*WIDTHS, 30])
def test_caret_stands_below_what_it_means_however_narrow_the_terminal(columns: int, folder: Path) -> None:
    others = ", ".join(f"{{email_domain: {name}.com}}" for name in "abcd")
    long = f"  company: {{any: [{others}, {{emial: ann@yourcompany.com}}]}}"
    (folder / "gateway.yaml").write_text(GOOD.replace("  company: {email_domain: yourcompany.com}", long))
    _, seen = drawn(folder, columns, "check")
    lines = COLOUR.sub("", seen).split("\n")
    shown, caret = lines[1], lines[2]
    assert len(shown) <= columns and caret.endswith("^")
    assert shown[caret.index("^") :].startswith("emial"[: columns - caret.index("^")])


def test_nothing_that_is_no_line_of_ours_becomes_one(folder: Path) -> None:
    """A key, a file's name or an argument with a line break in it cannot write a line that looks like ours."""
    (folder / "gateway.yaml").write_text(FILE.replace("alow", '"al\\nok"'))
    status, out, _ = piped(folder, "check")
    assert status == 1 and "al�ok: unknown key" in out
    (folder / "a\nb.yaml").write_text(FILE)
    assert "a�b.yaml:12:7" in piped(folder, "check", "-c", "a\nb.yaml")[1]
    assert piped(folder, "check", "-c", "no\nsuch.yaml")[2] == "gateway check: no�such.yaml is not there\n"


def test_check_in_words_is_a_table_everywhere(folder: Path) -> None:
    (folder / "gateway.yaml").write_text(GOOD)
    expected = (
        "gateway.yaml: no mistakes\n\n"
        "route  tokens of  who may pass                        upstream\n"
        "/api   jobs       company (email at yourcompany.com)  default\n"
    )
    assert piped(folder, "check") == (0, expected, "")
    squeezed = re.sub(" {2,}", "  ", expected)
    for columns in WIDTHS:
        assert drawn(folder, columns, "check")[0] == 0
        assert plain(drawn(folder, columns, "check")[1]) == squeezed


@pytest.mark.parametrize("columns", [60, *WIDTHS])
def test_table_cuts_no_word_off_and_fits(columns: int, folder: Path) -> None:
    allow = "allow: {any: [company, {role: administrator}]}"
    (folder / "gateway.yaml").write_text(f"{GOOD}  POST /api/agents/{{agent}}/stream: {{provider: jobs, {allow}}}\n")
    _, seen = drawn(folder, columns, "check")
    seen = COLOUR.sub("", seen)
    for word in ("/api/agents/{agent}/stream", "yourcompany.com)", "administrator", "upstream", "default"):
        assert word in seen
    assert "\N{HORIZONTAL ELLIPSIS}" not in seen
    is_table = columns >= 80
    assert ("\N{BOX DRAWINGS LIGHT VERTICAL}" in seen) is is_table
    assert not is_table or max(len(line) for line in seen.split("\n")) <= columns


@pytest.mark.parametrize("columns", WIDTHS)
def test_warnings_come_each_on_a_line_of_its_own(columns: int, folder: Path) -> None:
    (folder / "gateway.yaml").write_text(
        GOOD.replace("printed", "").replace("type: jwt,", "type: jwt, expiry: optional,")
    )
    for text in (piped(folder, "check")[1], plain(drawn(folder, columns, "check")[1])):
        lines = text.split("\n")
        assert lines[:2] == ["gateway.yaml: no mistakes", ""]
        assert lines[2].startswith("warning: gateway.yaml:5:") and lines[3] == "" and lines[4].startswith("route")


LOG = [
    {
        "decision": "deny", "method": "GET", "path": "/api/agents/weatherAgent/stream",
        "route": "POST /api/agents/{agent}",
        "provider": "customers", "subject": "1", "code": "audience_mismatch", "rule": "allow[0]", "status": 401,
        "time": "2026-11-21T05:00:00.123Z",
    },
]  # fmt: skip


@pytest.mark.parametrize("columns", WIDTHS)
def test_report_shows_every_code_whole_however_narrow(columns: int, folder: Path) -> None:
    (folder / "log").write_text("".join(json.dumps(line) + "\n" for line in LOG))
    status, seen = drawn(folder, columns, "report", "log")
    assert status == 0
    seen = COLOUR.sub("", seen)
    for value in LOG[0].values():
        if value not in ("deny", "1", 401, "GET"):
            assert str(value) in seen, f"cut or broken: {value}"
    assert all(len(line) <= columns for line in seen.split("\n"))
    if columns == 80:
        assert seen == (
            "1 request, 0 let in; 0 other lines\n"
            "\n"
            "would be refused (enforce: false): 0\n"
            "\n"
            "refused: 1\n"
            "\n"
            "requests  1\n"
            "callers   1\n"
            "route     POST /api/agents/{agent}\n"
            "provider  customers\n"
            "code      audience_mismatch\n"
            "rule      allow[0]\n"
            "last      2026-11-21T05:00:00.123Z\n"
            "such as   GET /api/agents/weatherAgent/stream\n"
        )

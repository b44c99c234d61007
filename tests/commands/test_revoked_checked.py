"""`gateway check --revoked`: a list is looked at before it takes the place of the one in force."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.commands.main import run_command
from tests.configuring import SECRET

FILE = f"""\
upstream: http://localhost:4111
providers:
  people: {{type: jwt, secret: {SECRET}}}
routes:
  /api: {{provider: people, allow: authenticated}}
"""


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    (tmp_path / "gateway.yaml").write_text(FILE)
    return ["check", "-c", str(tmp_path / "gateway.yaml"), "--revoked", str(tmp_path / "next.yaml")]


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "0 entries"), ("revoked: [{sub: ann}]", "1 entry"), ("revoked: [{sub: ann}, {jti: x}]", "2 entries")],
)
def test_list_without_mistakes(
    text: str, said: str, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "next.yaml").write_text(text)
    assert run_command(asked) == 0
    assert f"next.yaml: no mistakes, {said}\n" in capsys.readouterr().out
    assert run_command([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["revoked"]["entries"] == int(said.split()[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("revoked: [{sbu: HUSH}]", "next.yaml:1:12: revoked[0].sbu: unknown key (did you mean 'sub'?)"),
        ("revoked: [{sub: HUSH, provider: jobs}]", "next.yaml:1:33: revoked[0].provider: unknown provider 'jobs'"),
        (None, "next.yaml: the file cannot be read: No such file or directory"),
    ],
)
def test_list_with_a_mistake_is_told_and_names_nobody(
    text: str | None, said: str, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "next.yaml").write_text(text)
    assert run_command(asked) == 1
    printed = "".join(capsys.readouterr())
    assert said in printed and "HUSH" not in printed
    assert run_command([*asked, "--json"]) == 1
    printed = capsys.readouterr().out
    assert json.loads(printed)["ok"] is False and "HUSH" not in printed

"""The first minutes with the command line: init, help, completion, and what a wrong call gets."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.commands.main import _SUMMARIES, run_command

COMMANDS = [name for name, summary in _SUMMARIES.items() if summary]
FLAGS = {
    "jwt": [],
    "clerk": ["--issuer", "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k"],
    "auth0": ["--issuer", "tenant.eu.auth0.com", "--audience", "https://api.example.com"],
    "oidc": ["--issuer", "https://login.example.com", "--audience", "mastra"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MASTRA_JWT_SECRET", raising=False)
    return tmp_path


@pytest.mark.parametrize("domain", [[], ["--email-domain", "yourcompany.com"]], ids=["anybody", "company"])
@pytest.mark.parametrize("kind", FLAGS)
def test_init_writes_a_file_that_passes_check_and_its_own_cases(
    kind: str, domain: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["init", "--type", kind, *FLAGS[kind], *domain]) == 0
    assert "gateway.yaml is written, and has no mistakes" in capsys.readouterr().out
    assert run_command(["check"]) == 0
    assert "warning" not in capsys.readouterr().out
    assert run_command(["test", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["cases"]) == (4 if domain else 3)
    assert (folder / "gateway.yaml").read_text().count("#") > 6, "it explains itself"


def test_init_asks_four_questions_on_a_terminal(folder: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "init"],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "COLUMNS": "200"},
    )  # fmt: skip
    os.close(theirs)
    answers = iter(
        [b"http://mastra:4111\n", b"nobody\n", b"auth0\n", b"t.eu.auth0.com https://api.example.com\n", b"a.com\n"]
    )
    seen = b""
    while b"Next:" not in seen:
        seen += os.read(ours, 65536)
        if re.search(rb"[\]?)] $", seen):
            os.write(ours, next(answers))
            seen += b"\n"
    assert process.wait(30) == 0
    os.close(ours)
    assert next(answers, None) is None
    text = (folder / "gateway.yaml").read_text()
    for part in (
        "upstream: http://mastra:4111",
        "domain: t.eu.auth0.com",
        "audience: https://api.example.com",
        "a.com",
    ):
        assert part in text


def test_init_makes_a_secret_once_and_takes_a_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["init", "--type", "jwt"]) == 0
    made = (folder / "mastra-jwt.secret").read_bytes()
    assert run_command(["init", "--type", "jwt", "--force"]) == 0
    assert (folder / "mastra-jwt.secret").read_bytes() == made
    assert made.decode() not in capsys.readouterr().out
    assert run_command(["token"]) == 0
    monkeypatch.setenv("MASTRA_JWT_SECRET", "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA")
    assert run_command(["init", "--type", "jwt", "-c", "other.yaml"]) == 0
    assert "secret: ${MASTRA_JWT_SECRET}" in (folder / "other.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        ([], 2, "--type is missing, expected one of jwt, clerk, auth0, oidc"),
        (["--type", "saml"], 2, "invalid choice"),
        (["--type", "clerk"], 2, "--issuer is missing"),
        (["--type", "auth0", "--issuer", "a.auth0.com"], 2, "--audience is missing"),
        (["--type", "clerk", "--issuer", "nonsense"], 2, "expected pk_live_... or pk_test_..."),
        (["--type", "oidc", "--issuer", "http://evil.example", "--audience", "x"], 2, "gives a file with a mistake"),
        (["--type", "oidc", "--issuer", "https://a\nroutes: {}", "--audience", "x"], 2, "gives a file with a mistake"),
        ([*("--type", "auth0"), *FLAGS["auth0"], "--email-domain", "a@b"], 2, "gives a file with a mistake"),
        (["--type", "jwt", "--upstream", "ftp://x"], 2, "gives a file with a mistake"),
        (["--type", "jwt", "-c", "there.yaml"], 1, "is there already; --force writes over it"),
        ([*("--type", "auth0"), *FLAGS["auth0"], "-c", "no/such/folder.yaml"], 1, "cannot be written"),
    ],
)
def test_init_that_cannot_is_told_in_one_line_and_writes_nothing(
    arguments: list[str], status: int, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "there.yaml").write_text("mine")
    assert run_command(["init", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and expected in captured.err
    assert not (folder / "gateway.yaml").exists() and (folder / "there.yaml").read_text() == "mine"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_is_wrong_with_a_call_in_one_line(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([command, "--nonsense"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith(f"gateway {command}: ") and f"gateway {command} --help" in captured.err


def test_misspelt_option_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", "--jsn"]) == 2
    assert "unknown option --jsn (did you mean --json?)" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_for_and_shows_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "examples:\n  " in out or "to use it:" in out
    assert max(map(len, out.splitlines())) <= 130


def test_serve_without_a_file_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve"]) == 2
    said = capsys.readouterr().err
    for way in ("gateway init", "-c FILE", "gateway demo"):
        assert way in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_every_command_and_its_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["completion", shell]) == 0
    script = capsys.readouterr().out
    for command in COMMANDS:
        assert command in script
    for option in ("against", "claims", "log-format"):
        assert option in script


def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    ask = 'source ./script; COMP_WORDS=(gateway exp); COMP_CWORD=1; COMP_LINE="gateway exp"; COMP_POINT=11; '
    ask += '_shtab_gateway gateway exp gateway; echo "${COMPREPLY[@]}"'
    result = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.stdout.split() == ["explain"], result.stderr

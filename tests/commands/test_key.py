"""`gateway key`: a key, once, and the line that makes it count."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.commands.main import run_command
from gateway.config.file import load
from gateway.policy.machine_keys import digest_of, fault_of
from tests.secrecy import keep_secret


def made(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert run_command(["key", *arguments]) == 0
    key, line = capsys.readouterr().out.splitlines()
    return keep_secret(key), line


def test_line_is_of_the_key_and_says_what_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--subject", "it's: {a}", "--role", "ops", "--role", "12", "--scope", "mcp:use", "--group", "no")
    key, line = made(capsys, "nightly", *options, "--expires", "2099-01-01")
    assert fault_of(key) is None and key not in line
    (tmp_path / "keys.yaml").write_text(f"{line}\n")
    (tmp_path / "gateway.yaml").write_text(
        "upstream: http://localhost:4111\nproviders: {w: {type: keys, keys_file: keys.yaml}}\n"
        "routes: {/api: {provider: w, allow: authenticated}}\n"
    )
    (one,) = load(tmp_path / "gateway.yaml", {}).providers[0].machine_keys
    assert (one.name, one.digest, one.subject) == ("nightly", digest_of(key), "it's: {a}")
    assert (one.roles, one.scopes, one.groups, one.expires_at) == (("ops", "12"), ("mcp:use",), ("no",), 4070908800.0)


def test_every_key_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert made(capsys, "a")[0] != made(capsys, "a")[0]


def test_json_has_the_key_its_name_and_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["key", "worker", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    digest = digest_of(keep_secret(said["key"])).hex()
    assert said["name"] == "worker" and said["line"] == f"worker: {{hash: {digest}, subject: worker}}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a b"], "gateway key: NAME: found a name that is not made of letters"),
        (["a", "--expires", "soon"], "gateway key: --expires soon: found no moment; expected a day such as 2027-01-01"),
        (["a", "--expires", "2020-01-01"], "gateway key: --expires 2020-01-01: it has passed"),
        ([], "gateway key: the following arguments are required: NAME"),
    ],
)
def test_bad_call_says_so_and_makes_no_key(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["key", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(said)

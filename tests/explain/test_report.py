"""`gateway report`: the sums of a log that the gateway itself wrote."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.main import run_command
from gateway.explain.report import MAX_CALLERS, sum_log
from tests.minting import SECRET, mint
from tests.processes import served

FILE = f"""
upstream: http://127.0.0.1:9
providers: {{jobs: {{type: jwt, secret: {SECRET.decode()}, expiry: optional}}}}
rules: {{admins: {{role: admin, enforce: false}}}}
routes:
  /tried: {{provider: jobs, allow: authenticated, enforce: false}}
  /rule: {{provider: jobs, allow: admins}}
  /api: {{provider: jobs, allow: {{role: admin}}}}
"""


def ask(port: int, path: str, token: str | None) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    with pytest.raises(urllib.error.HTTPError):  # 502 where it passes: nothing listens there
        urllib.request.urlopen(request, timeout=10)


def test_report_of_a_real_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(FILE, tmp_path) as gateway:
        for subject in ("ann", "bob", "bob"):
            ask(gateway.port, "/rule/x", mint({"sub": subject, "roles": ["dev"]}))
            ask(gateway.port, "/api", mint({"sub": subject, "roles": ["dev"]}))
        ask(gateway.port, "/tried", None)
        ask(gateway.port, "/tried", mint({"sub": "ann"}, b"another secret of thirty-two byte"))
    assert run_command(["report", str(gateway.log), "--json"]) == 0
    groups = {
        (g["kind"], g["route"], g["code"], g["rule"]): (g["requests"], g["callers"])
        for g in json.loads(capsys.readouterr().out)["groups"]
    }
    assert groups[("refused", "/api", "access_denied", "allow[0]")] == (3, "2")
    assert groups[("would be refused", "/rule", "access_denied", "admins")] == (3, "2")
    assert groups[("would be refused", "/tried", "token_missing", "-")] == (1, "0")
    assert groups[("would be refused", "/tried", "signature_invalid", "-")] == (1, "0"), "no identity of a bad token"
    assert groups[("refused", "/rule", "upstream_unreachable", "-")] == (3, "2"), "what passed met no upstream here"


LINES: list[dict[str, Any]] = [
    {"decision": "allow", "path": "/a", "method": "GET", "status": 200},
    {
        "decision": "allow", "path": "/a", "method": "GET", "route": "/a", "would_deny": "access_denied",
        "rule": "admins", "subject": "1", "time": "2026-11-21T05:00:00Z",
    },
    {
        "decision": "allow", "path": "/a/b", "method": "PUT", "route": "/a", "would_deny": "access_denied",
        "rule": "admins", "subject": "2", "time": "2026-11-21T04:00:00Z",
    },
    {"decision": "deny", "path": "/x", "method": "GET", "code": "no_route"},
]  # fmt: skip


def lines_in(lines: list[str]) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO("\n".join(lines).encode()))


def test_what_would_be_refused_is_summed_by_rule(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", lines_in([*map(json.dumps, LINES), "no JSON", '{"event": 1}']))
    assert run_command(["report", "--would-deny"]) == 0
    out = capsys.readouterr().out
    assert "4 requests, 3 let in; 2 other lines" in out
    assert "would be refused (enforce: false): 2" in out
    row = next(line for line in out.splitlines() if line.startswith("2 "))
    assert row.split()[:2] == ["2", "2"] and "admins" in row and "2026-11-21T05:00:00Z" in row
    assert "no_route" not in out


def test_sums_are_bounded() -> None:
    lines = (json.dumps(LINES[1] | {"subject": str(number)}) for number in range(MAX_CALLERS + 5))
    (group,) = sum_log(lines).groups
    assert (group.count, group.caller_count) == (MAX_CALLERS + 5, f"{MAX_CALLERS}+")


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["missing.log"], 2, "missing.log cannot be read"),
        (["--nothing"], 2, "--help says more"),
        (["/dev/null"], 1, "found no request in 0 lines; expected the gateway's JSON log (`--log-format json`)"),
    ],
)
def test_bad_call_is_told(arguments: list[str], status: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", *arguments]) == status
    assert expected in capsys.readouterr().err

"""What `gateway check` says of `own`: in a few lines, and whole with `--json`; and what a drafted file offers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.commands.main import run_command
from gateway.policy.mastra_routes import rows
from tests.configuring import SECRET

FILE = f"""\
upstreams:
  mastra: {{url: "http://localhost:4111", own: {{by: subject}}}}
  plain: {{url: "http://localhost:4112"}}
providers:
  people: {{type: jwt, secret: {SECRET}}}
routes:
  /api: {{provider: people, allow: authenticated, upstream: mastra}}
  /api/logs: {{provider: people, allow: {{role: admin}}, upstream: mastra, own: false}}
  /plain: {{provider: people, allow: authenticated, upstream: plain}}
"""


def test_check_says_whose_is_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE)
    assert run_command(["check", "-c", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "mastra: things belong to the caller's subject; of Mastra's 416 routes below /api" in printed
    assert "  own: false on /api/logs: callers there have to do with everybody's things" in printed
    assert "plain: things" not in printed
    assert run_command(["check", "-c", str(file), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["own"]
    assert report.keys() == {"mastra"} and len(report["mastra"]["routes"]) == len(rows())
    assert report["mastra"]["own_false"] == ["/api/logs"]


def test_check_says_where_only_the_path_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE.replace("by: subject", "by: nobody"))
    assert run_command(["check", "-c", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "mastra: nothing has an owner; of Mastra's 416 routes below /api\n  302 are about what the path" in printed
    assert "  own: false on /api/logs: there query and body may name another" in printed
    assert run_command(["check", "-c", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["own"]["mastra"]["by"] == "nobody"


def test_explain_says_what_goes_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE.replace("by: subject", "by: nobody"))
    asked = ["explain", "-c", str(file), "POST", "/api/agents/open/generate?agentId=other", "--claims"]
    claims = '{"sub": "ann", "exp": 9999999999}'
    assert run_command([*asked, claims, "--body", '{"agentId": "other", "messages": "hi"}']) == 0
    printed = capsys.readouterr().out
    assert "yes own         none: what the path names counts, whatever query and body say\n" in printed
    assert 'yes target      /api/agents/open/generate\n      yes body        {"messages": "hi"}' in printed
    file.write_text(
        FILE.replace("own: {by: subject}", "").replace(", own: false", "").replace("/api/logs", "/api/agents/open")
    )
    assert run_command([*asked, claims]) == 1
    printed = capsys.readouterr().out
    assert "NO  route       the query says 'agentid', which the path says otherwise" in printed
    assert "400 target_ambiguous" in printed and "the one of the path." in printed


def test_check_says_nothing_where_nothing_is_owned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE.replace(", own: {by: subject}", "").replace(", own: false", ""))
    assert run_command(["check", "-c", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["own"] == {}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (
            '{"threadId": "t1"}',
            0,
            "look-up     GET /api/memory/threads/t1   (expected: an answer that says: the caller's)",
        ),
        ('{"threadId": 5}', 1, "403 not_owner"),
    ],
)
def test_explanation_shows_what_would_be_asked(
    body: str, status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE)
    asked = ["explain", "POST", "/api/memory/threads", "-c", str(file), "--provider", "people", "--claims", "{}"]
    assert run_command([*asked, "--body", body]) == status
    assert said in capsys.readouterr().out


def test_drafted_file_offers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["init", "--type", "jwt"]) == 0
    capsys.readouterr()
    drafted = (tmp_path / "gateway.yaml").read_text()
    offered = "\n".join(
        line.removeprefix("#") for line in drafted.splitlines() if line.startswith(("#upstreams", "#  mastra"))
    )
    assert "own: {by: subject}" in offered
    (tmp_path / "gateway.yaml").write_text(
        "\n".join(line for line in drafted.splitlines() if not line.startswith("upstream:")) + f"\n{offered}\n"
    )
    assert run_command(["check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["own"].keys() == {"mastra"}

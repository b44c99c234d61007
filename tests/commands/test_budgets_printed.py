"""What `gateway check` says of budgets: in a few lines, and with `--json`."""

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
budgets:
  person: {{per: subject, streams: 3, requests: 60/1m}}
  team: {{per: "claim:team", requests: 500/90s}}
  guesses: {{per: ip, failures: 30/10m}}
  spare: {{per: client, streams: 1}}
routes:
  /api: {{provider: people, allow: authenticated, budget: [person, team]}}
  POST /chat: {{provider: people, allow: authenticated, budget: person}}
"""
ALLOWED = """\
  person, per subject: 3 streams at once, 60 requests within 1m; on /api, POST /chat
  team, per claim:team: 500 requests within 90s; on /api
  guesses, per ip: 30 answers 401 within 10m, then 429 on every route; in the memory of each process
  spare, per client: 1 stream at once; on no route
"""
REDIS = "redis://:hush-hush@redis:6379/0"


@pytest.mark.parametrize(
    ("shared", "where"),
    [
        ("", "in the memory of each process"),
        (
            f'shared: {{url: "{REDIS}"}}',
            "together in redis://redis:6379/0; while that is down, each process counts for itself",
        ),
        (
            f'shared: {{url: "{REDIS}", if_down: refuse}}',
            "together in redis://redis:6379/0; while that is down, what would be counted is refused",
        ),
    ],
)
def test_check_says_what_may_be_used_up_and_where_that_is_counted(
    shared: str, where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(f"{FILE}{shared}\n")
    assert run_command(["check", "-c", str(file)]) == 0
    printed = capsys.readouterr().out
    assert f"\nbudgets, counted {where}\n{ALLOWED}" in printed
    assert "no route uses the budget 'spare'" in printed and "hush" not in printed


def test_check_gives_budgets_to_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(f'{FILE}shared: {{url: "{REDIS}"}}\n')
    assert run_command(["check", "-c", str(file), "--json"]) == 0
    printed = capsys.readouterr().out
    budgets = json.loads(printed)["budgets"]
    assert list(budgets) == ["person", "team", "guesses", "spare"] and "hush" not in printed
    assert budgets["person"] == {
        "per": "subject",
        "streams": 3,
        "requests": {"count": 60, "seconds": 60.0},
        "failures": None,
        "counted_in": "redis://redis:6379/0",
        "routes": ["/api", "POST /chat"],
    }
    assert (budgets["guesses"]["counted_in"], budgets["guesses"]["routes"]) == ("memory", None)


def test_check_says_nothing_where_nothing_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("upstream: http://localhost:4111\nroutes: {/: {public: true}}\n")
    assert run_command(["check", "-c", str(file)]) == 0
    assert "budgets" not in capsys.readouterr().out

"""`gateway test`: cases beside the rules, what none covers, and what another file would decide differently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gateway.commands.main import run_command
from gateway.explain.replay import read_log, replay
from tests.configuring import SECRET, mistakes, read

FILE = f"""\
upstream: http://localhost:4111
providers:
  people: {{type: clerk, jwks_uri: "https://a.com/jwks", issuer: "https://a.com", authorized_parties: ["https://a.b"]}}
  jobs: {{type: jwt, secret: {SECRET}}}
rules:
  company: {{email_domain: yourcompany.com}}
routes:
  /api: {{provider: [people, jobs], allow: company}}
  /api/agents/{{agent}}:
    provider: jobs
    allow: [{{when: agent in claims.agents}}, {{role: admin, not: {{ip: 10.0.0.0/8}}}}]
    deny: {{claim: {{suspended: true}}}}
  /tried: {{provider: jobs, allow: {{role: admin}}, enforce: false}}
  GET /health: {{public: true}}
"""
CASES = """\
tests:
  - {request: GET /health, expect: allow}
  - {request: GET /api/x, expect: token_missing}
  - {request: GET /api/x, claims: {email: ann@yourcompany.com}, expect: allow}
  - {request: POST /api/x, provider: jobs, claims: {email: ann@yourcompany.com}, expect: allow}
  - name: strangers
    request: GET /api/x
    claims: {email: ann@evil.example}
    expect: access_denied
  - {request: GET /api/x, claims: {azp: "https://evil.example"}, expect: authorized_party_mismatch}
  - {request: GET /api/x, claims: {exp: 1800000000}, at: 2027-01-15T08:00:10Z, expect: token_expired}
  - {request: GET /api/x, claims: {sub: null}, expect: claim_invalid}
  - {request: GET /api/agents/a1, claims: {agents: [a1], suspended: false}, expect: allow}
  - {request: GET /api/agents/a2, claims: {agents: [a1], suspended: false}, expect: deny}
  - {request: GET /api/agents/a2, claims: {roles: [admin], suspended: false}, expect: allow}
  - {request: GET /api/agents/a2, claims: {roles: [admin], suspended: false}, ip: 10.1.2.3, expect: deny}
  - {request: GET /api/agents/a2, claims: {roles: [admin], suspended: true}, expect: denied_by_rule}
  - {request: GET /tried, claims: {roles: [dev]}, expect: allow, would_deny: access_denied}
  - {request: GET /tried, claims: {roles: [admin]}, expect: allow}
  - {request: GET /nowhere, expect: no_route}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gateway.yaml").write_text(FILE + CASES)
    return tmp_path


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = run_command(["test", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_every_case_is_as_expected_and_everything_is_covered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ask(capsys, "--require-coverage")
    assert [case for case in said["cases"] if not case["ok"]] == []
    assert said["coverage"] == {"tried": 10, "of": 10, "gaps": []}
    assert status == 0


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("expect: access_denied", "expect: allow", "access_denied"),
        ("expect: token_missing", "expect: access_denied", "token_missing"),
        ("expect: allow, would_deny: access_denied", "expect: allow, would_deny: token_expired", "allow"),
        ("expect: deny}", "expect: allow}", "access_denied"),
    ],
)
def test_case_that_comes_out_differently_fails_with_its_place(
    old: str, new: str, found: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "gateway.yaml").write_text(FILE + CASES.replace(old, new, 1))
    status, said = ask(capsys)
    (failed,) = [case for case in said["cases"] if not case["ok"]]
    assert (status, failed["found"]) == (1, found)
    file, line, column = failed["where"].split(":")
    assert (
        file == "gateway.yaml"
        and "request:" in (FILE + CASES).splitlines()[int(line)] + (FILE + CASES).splitlines()[int(line) - 1]
    )
    assert int(column) > 1


@pytest.mark.parametrize(
    ("removed", "gap"),
    [
        ("GET /health", "route GET /health: no case"),
        ("suspended: true}, expect", "route /api/agents/{agent}, deny[0]: claim suspended is true: holds in no case"),
        ("10.1.2.3", "route /api/agents/{agent}, allow[1]: address in 10.0.0.0/8: holds in no case"),
        ("would_deny", "route /tried, allow[0]: role admin: holds in every case"),
    ],
)
def test_what_no_case_covers_is_named(removed: str, gap: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = "\n".join(line for line in CASES.splitlines() if removed not in line) + "\n"
    (folder / "gateway.yaml").write_text(FILE + kept)
    status, said = ask(capsys, "--require-coverage")
    assert gap in said["coverage"]["gaps"]
    assert status == 1
    assert ask(capsys)[0] == 0


def test_rule_that_no_good_token_reaches_is_not_covered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gateway.yaml").write_text(FILE + "tests: [{request: GET /api/x, expect: token_missing}]\n")
    assert "route /api, allow company: no case gets as far as this rule" in ask(capsys)[1]["coverage"]["gaps"]


def test_against_shows_exactly_the_decisions_that_one_rule_changes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wider = FILE.replace("email_domain: yourcompany.com", "email_domain: [yourcompany.com, evil.example]")
    (folder / "old.yaml").write_text(wider)
    _, said = ask(capsys, "--against", "old.yaml")
    assert said["changes"] == [{"name": "strangers", "old": "allow", "new": "access_denied"}]
    (folder / "old.yaml").write_text(FILE)
    assert ask(capsys, "--against", "old.yaml")[1]["changes"] == []


def test_against_a_file_that_lacks_the_provider_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "old.yaml").write_text(FILE.replace("jobs", "work"))
    changes = {change["old"] for change in ask(capsys, "--against", "old.yaml")[1]["changes"]}
    assert changes == {"impossible"}


def test_cases_of_other_files_are_asked_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gateway.yaml").write_text(FILE)
    (folder / "cases.yaml").write_text(CASES)
    status, said = ask(capsys, "cases.yaml")
    assert (status, len(said["cases"])) == (0, 16)
    assert said["cases"][0]["where"] == "cases.yaml:2:5"


def test_junit_is_what_a_ci_reads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gateway.yaml").write_text(
        FILE + CASES.replace("name: strangers", 'name: "<&>"').replace("no_route", "deny", 1)
    )
    assert run_command(["test", "--junit", "results.xml"]) == 0
    (folder / "gateway.yaml").write_text(FILE + CASES.replace("expect: access_denied", "expect: allow"))
    assert run_command(["test", "--junit", "results.xml"]) == 1
    suite = ElementTree.parse(folder / "results.xml").getroot()[0]  # noqa: S314  # our own file
    assert (suite.get("tests"), suite.get("failures")) == ("16", "1")
    failure = suite.find("testcase[@name='strangers']/failure")
    assert failure is not None and failure.get("message") == "expected allow, found access_denied"
    assert "FAIL  strangers: expected allow, found access_denied" in capsys.readouterr().out


LOG = [
    {"decision": "allow", "method": "GET", "path": "/health", "client_ip": "192.0.2.1"},
    {"decision": "allow", "method": "GET", "path": "/api/x", "client_ip": "192.0.2.1", "provider": "people"},
    {"decision": "allow", "method": "GET", "path": "/api/y", "client_ip": "192.0.2.1", "provider": "people"},
    {"decision": "deny", "code": "token_expired", "method": "GET", "path": "/api/x", "client_ip": "192.0.2.1"},
    {"decision": "deny", "code": "no_route", "method": "GET", "path": "/x", "client_ip": "192.0.2.1"},
]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("", "", [], id="same"),
        pytest.param(
            "GET /health: {public: true}",
            "/health: {provider: jobs, allow: authenticated}",
            [("allow (GET /health)", "a token is needed (/health)", 1)],
            id="no-longer-public",
        ),
        pytest.param(
            "email_domain: yourcompany.com",
            "email_domain: b.com",
            [("allow (/api)", "unknown (/api)", 2)],
            id="another-rule",
        ),
        pytest.param(
            "[people, jobs], allow: company",
            "jobs, allow: company",
            [("allow (/api)", "issuer_mismatch (/api)", 2)],
            id="provider-gone",
        ),
        pytest.param("allow: company", "allow: authenticated", [], id="rule-that-always-holds"),
        pytest.param(
            "allow: company",
            "allow: company, deny: {method: GET}",
            [("allow (/api)", "denied_by_rule (/api)", 2)],
            id="rule-about-the-request",
        ),
        pytest.param(
            "allow: company", "allow: {ip: 10.0.0.0/8}", [("allow (/api)", "access_denied (/api)", 2)], id="address"
        ),
        pytest.param(
            "allow: company",
            "allow: {ip: 10.0.0.0/8}, enforce: false",
            [
                ("allow (/api)", "allow (would be access_denied) (/api)", 2),
                ("token_expired (/api)", "allow (would be token_expired) (/api)", 1),
            ],
            id="observed",
        ),
        pytest.param(
            "allow: company",
            "allow: {when: '!has(claims.x)'}",
            [("allow (/api)", "unknown (/api)", 2)],
            id="cel-about-claims-is-never-guessed",
        ),
        pytest.param(
            "/tried:", "/x:", [("no_route (no route)", "allow (would be a token is needed) (/x)", 1)], id="new-route"
        ),
    ],
)
def test_log_is_asked_again_and_only_what_is_certain_is_told(
    old: str, new: str, expected: list[tuple[str, str, int]]
) -> None:
    requests, skipped = read_log([*map(json.dumps, LOG), '{"event": "x"}', "no JSON"])
    assert (len(requests), skipped) == (5, 2)
    changes, asked = replay(requests, read(FILE), read(FILE.replace(old, new, 1) if old else FILE))
    assert [(change.old, change.new, change.count) for change in changes] == expected
    assert asked == 5


def test_log_is_asked_by_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gateway.log").write_text("\n".join(map(json.dumps, LOG)))
    (folder / "old.yaml").write_text(
        FILE.replace("GET /health: {public: true}", "/health: {provider: jobs, allow: authenticated}")
    )
    status, said = ask(capsys, "--against", "old.yaml", "--log", "gateway.log")
    assert status == 0
    assert [(change["new"], change["count"]) for change in said["replayed"]] == [("allow (GET /health)", 1)]
    assert run_command(["test", "--against", "old.yaml", "--log", "gateway.log"]) == 0
    assert "1 of 5 requests of the log change, or may" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("{request: GET /api}", "'expect' is missing"),
        ("{expect: allow}", "'request' is missing"),
        ("{request: /api, expect: allow}", "expected a method and a path"),
        ("{request: GET /api, expect: alow}", "did you mean 'allow'?"),
        ("{request: GET /api, expect: acces_denied}", "did you mean 'access_denied'?"),
        ("{request: GET /api, expect: allow, claim: {}}", "unknown key (did you mean 'claims'?)"),
        ("{request: GET /api, expect: allow, claims: [1]}", "expected names and values"),
        ("{request: GET /api, expect: allow, at: soon}", "expected a moment"),
        ("{request: GET /api, expect: allow, headers: {'a b': c}}", "header"),
    ],
)
def test_mistakes_in_a_case_have_their_place(case: str, expected: str) -> None:
    (found,) = mistakes(FILE + f"tests:\n  - {case}\n")
    assert expected in found
    assert found.startswith("16:")


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--log", "x"], 2, "expected --against OLD beside it"),
        (["missing.yaml"], 2, "missing.yaml is not there"),
        (["--against", "missing.yaml"], 2, "missing.yaml is not there"),
        (["--against", "gateway.yaml", "--log", "missing"], 2, "--log missing cannot be read"),
        (["--junit", "/nowhere/x.xml"], 1, "cannot be written"),
        (["bad.yaml"], 1, "bad.yaml:1:1: test: unknown key (did you mean 'tests'?)"),
    ],
)
def test_bad_call_is_told(
    arguments: list[str], status: int, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.yaml").write_text("test: []\n")
    assert run_command(["test", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == "" and expected in captured.err


def test_file_without_cases_says_how_to_write_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gateway.yaml").write_text(FILE)
    assert run_command(["test"]) == 1
    assert "write some under `tests:`" in capsys.readouterr().err

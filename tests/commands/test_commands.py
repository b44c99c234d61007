"""The command line, as a person or a script calls it: what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest

import gateway
from gateway.commands.main import run_command
from gateway.commands.mint import mint_token
from gateway.record.build import build

SECRET = "kJ4v9QzT2mX7bW1cR8yL5nP3sD6fG0hA-tests"
PROJECT = Path(gateway.__file__).parent.parent
CONFIGS = sorted((PROJECT / "config").glob("*.yaml"))
ENVIRONMENT = {
    "MASTRA_JWT_SECRET": SECRET,
    "CLERK_PUBLISHABLE_KEY": "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k",  # clerk.example.com$
    "AUTH0_DOMAIN": "tenant.eu.auth0.com",
    "AUTH0_AUDIENCE": "https://agents.example.com",
    "OIDC_ISSUER": "https://login.example.com",
    "OIDC_AUDIENCE": "mastra",
}
FILE = """\
upstream: http://127.0.0.1:4111
providers:
  jobs:
    type: jwt
    secret: ${MASTRA_JWT_SECRET}
    issuer: https://jobs.example.com
    audience: mastra
    email_claim: https://example.com/email
  staff: {type: auth0}
routes:
  GET /health: {public: true}
  /api: {provider: [jobs, staff], allow: {email_domain: yourcompany.com}}
  POST /api/agents/{agent}/stream:
    provider: staff
    allow: [{role: admin}, {scope: [agents:run, agents:read]}]
    deny: {claim: {suspended: true}}
    websocket: true
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory of the command under test, with a good `gateway.yaml`."""
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "gateway.yaml").write_text(FILE, encoding="utf-8")
    return tmp_path


# --- the call itself ---


def test_help_lists_the_commands_of_people_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    out = capsys.readouterr().out
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("    ") and line.strip()}
    assert {"serve", "check", "token", "schema", "demo"} <= listed
    assert not {"health", "secret", "standin"} & listed


@pytest.mark.parametrize(
    "command", ["serve", "check", "token", "schema", "compile", "demo", "health", "secret", "standin"]
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([command, "--help"]) == 0
    assert f"gateway {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["sever"], id="unknown-command"),
        pytest.param(["check", "--jsn"], id="unknown-option"),
        pytest.param(["check", "--js"], id="abbreviated-option"),
        pytest.param(["check", "gateway.yaml"], id="file-without-c"),
        pytest.param(["check", "-c", "missing.yaml"], id="file-not-there"),
        pytest.param(["check", "-c", "."], id="folder"),
        pytest.param(["serve", "-c", "missing.yaml"], id="serve-file-not-there"),
        pytest.param(["token", "--claims", "{"], id="claims-no-json"),
        pytest.param(["token", "--claims", "[1]"], id="claims-no-object"),
        pytest.param(["token", "--expires", "soon"], id="expires-no-time"),
        pytest.param(["token", "--provider", "nobody"], id="unknown-provider"),
        pytest.param(["demo", "--port", "70000"], id="no-port"),
        pytest.param(["compile", "apache"], id="unknown-engine"),
        pytest.param(["compile", "nginx", "--listen", "80:80:80"], id="listen-no-address"),
        pytest.param(["compile", "nginx", "--decisions", "unix:socket"], id="decisions-no-path"),
    ],
)
def test_bad_call_is_status_2_with_a_message(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gateway") and captured.err.count("\n") == 1


def test_misspelt_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["sever"]) == 2
    assert "there is no command sever (did you mean serve?)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "check", "token"])
def test_missing_default_file_says_the_way_out(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command([command]) == 2
    message = capsys.readouterr().err
    assert "gateway.yaml" in message
    assert "-c FILE" in message
    assert "gateway demo" in message


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"gateway {gateway.__version__} ({build()})\n"


def test_shared_objects_of_other_sources_are_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gateway.commands.main.outdated", lambda: [Path("gateway/a.py"), Path("gateway/b.py")])
    assert run_command(["schema"]) == 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "first gateway/a.py" in said and "'make pure'" in said


def test_reader_that_leaves_early_causes_no_traceback() -> None:
    # A pipe nobody reads is what `gateway schema | head -1` becomes.
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "gateway", "schema"],
            stdout=writing, stderr=subprocess.PIPE, text=True, cwd=PROJECT, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert result.stderr == ""
    assert result.returncode == 1


def test_health_check_loads_no_server() -> None:
    # It runs every few seconds in a container with little memory.
    code = "import sys; from gateway.commands.main import run_command; run_command(['health', '--port', '1']);"
    result = subprocess.run(
        [sys.executable, "-c", code + "print('aiohttp' in sys.modules, 'jwt' in sys.modules)"],
        capture_output=True, text=True, cwd=PROJECT, check=True,
    )  # fmt: skip
    assert result.stdout == "False False\n"


# --- check ---


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_files_of_the_config_folder_have_no_mistake(
    config: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "jwt"
    secret.write_text(SECRET, encoding="utf-8")
    copy = tmp_path / config.name
    # The compose file's secret is in a volume.
    copy.write_text(config.read_text(encoding="utf-8").replace("/run/gateway/jwt", str(secret)), encoding="utf-8")
    assert run_command(["check", "-c", str(copy)]) == 0, capsys.readouterr()
    assert "/api" in capsys.readouterr().out


def test_check_prints_the_routes_in_the_order_they_are_tried(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check"]) == 0
    out = capsys.readouterr().out
    first, second = out.index("POST /api/agents/{agent}/stream"), out.index("GET /health")
    assert first < second
    assert "\x1b" not in out
    assert "role admin; or scopes agents:run and agents:read; never claim suspended is true, WebSocket" in out
    assert "email at yourcompany.com" in out
    assert "everybody, without a token" in out


def test_check_prints_every_mistake_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "gateway.yaml"
    file.write_text(FILE.replace("upstream:", "upstraem:").replace("type: auth0", "type: auth1"), encoding="utf-8")
    assert run_command(["check"]) == 1
    out = capsys.readouterr().out
    assert "gateway.yaml:1:1" in out
    assert "gateway.yaml:9:" in out
    assert SECRET not in out


def test_check_gives_json_for_machines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["mistakes"] == []
    stream = next(route for route in report["routes"] if route["route"] == "POST /api/agents/{agent}/stream")
    assert stream["providers"] == ["staff"]
    assert stream["allow"] == ["role admin", "scopes agents:run and agents:read"]
    assert stream["websocket"] is True
    assert stream["upstream"] == "default"
    assert any(route["public"] for route in report["routes"])


def test_check_gives_mistakes_as_json_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gateway.yaml").write_text(FILE.replace("upstream:", "upstraem:"), encoding="utf-8")
    assert run_command(["check", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert (report["mistakes"][0]["line"], report["mistakes"][0]["column"]) == (1, 1)
    assert "upstraem" in report["mistakes"][0]["message"] + report["mistakes"][0]["path"]


def test_check_never_prints_a_secret(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["check"], ["check", "--json"]):
        assert run_command(arguments) == 0
        captured = capsys.readouterr()
        assert SECRET not in captured.out + captured.err


def test_everyday_file_gives_no_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", "-c", str(PROJECT / "config" / "gateway.yaml")]) == 0
    assert "warning" not in capsys.readouterr().out


def test_what_the_everyday_file_offers_can_be_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (PROJECT / "config" / "gateway.yaml").read_text()
    taken, count = re.subn(r"(?m)^( *)# (?=(own|budgets|streams|revoked_file|audit): )", r"\1", text)
    (folder / "revoked.yaml").write_text("")
    (folder / "gateway.yaml").write_text(
        taken.replace("    allow: company\n", "    allow: company\n    budget: person\n")
    )
    assert (run_command(["check"]), count) == (0, 5)
    printed = capsys.readouterr().out
    assert "mastra: things belong" in printed and "person, per subject" in printed and "audit in" in printed


def see_on_terminal(folder: Path, **environment: str) -> str:
    """Return what `gateway check` draws on a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.run(
            [sys.executable, "-m", "gateway", "check", "-c", str(folder / "gateway.yaml")],
            stdout=theirs, cwd=PROJECT, check=True,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "160", **environment},
        )  # fmt: skip
        assert process.returncode == 0
        return os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_check_draws_a_table_in_colour_on_a_terminal(folder: Path) -> None:
    green = "\x1b[32m"
    seen = see_on_terminal(folder)
    assert green in seen
    assert "│" in seen
    seen = see_on_terminal(folder, NO_COLOR="1")
    assert green not in seen
    assert "│" in seen


# --- schema ---


def test_schema_is_a_json_schema_with_the_files_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "$schema" in schema
    assert {"upstream", "upstreams", "providers", "routes", "rules", "cors", "listen"} <= set(schema["properties"])


# --- token ---


def decode(token: str, secret: str = SECRET, algorithm: str = "HS256", **options: Any) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token, secret, algorithms=[algorithm], audience="mastra", issuer="https://jobs.example.com", **options
    )
    return claims


def test_token_is_one_that_its_provider_accepts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = int(time.time())
    assert run_command(["token", "--sub", "me", "--email", "me@yourcompany.com", "--expires", "5m"]) == 0
    out = capsys.readouterr().out
    assert out == out.strip() + "\n"  # TOKEN=$(gateway token)
    claims = decode(out.strip())
    assert claims["sub"] == "me"
    assert claims["https://example.com/email"] == "me@yourcompany.com"
    assert before + 300 <= claims["exp"] <= int(time.time()) + 300


def test_token_takes_claims_that_win_and_null_removes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["token", "--claims", '{"sub": "other", "role": "admin", "iat": null}']) == 0
    claims = decode(capsys.readouterr().out.strip())
    assert (claims["sub"], claims["role"]) == ("other", "admin")
    assert "iat" not in claims


def test_token_without_expiry_says_when_the_provider_refuses_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["token", "--expires", "never"]) == 0
    captured = capsys.readouterr()
    assert "exp" not in decode(captured.out.strip())
    assert "expiry: optional" in captured.err


def test_token_gives_json_for_machines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["token", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["provider"] == "jobs"
    assert decode(answer["token"]) == answer["claims"]


def test_token_of_somebody_elses_signature_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["token", "--provider", "staff"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "auth0" in captured.err


def test_token_asks_which_provider_when_there_are_several(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = FILE.replace(
        "  staff: {type: auth0}",
        "  staff: {type: auth0}\n"
        f"  other: {{type: jwt, secret: {SECRET[::-1] * 2}, algorithms: [HS512], issuer: https://b.com}}",
    ).replace("[jobs, staff]", "[jobs, staff, other]")
    (folder / "gateway.yaml").write_text(two, encoding="utf-8")
    assert run_command(["token"]) == 2
    assert "jobs, other" in capsys.readouterr().err
    assert run_command(["token", "--provider", "other"]) == 0
    assert jwt.get_unverified_header(capsys.readouterr().out.strip())["alg"] == "HS512"


def test_token_of_a_file_without_shared_secret_says_where_tokens_come_from(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["token", "-c", str(PROJECT / "config" / "minimal.yaml")]) == 1
    assert "Auth0" in capsys.readouterr().err


def test_token_of_a_file_with_mistakes_prints_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gateway.yaml").write_text(FILE.replace("upstream:", "upstraem:"), encoding="utf-8")
    assert run_command(["token"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "gateway.yaml:1:1" in captured.err


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_minted_token_verifies_elsewhere(algorithm: str) -> None:
    secret = SECRET.encode() * 2  # PyJWT warns of keys that are shorter than the digest
    token = mint_token({"sub": "é", "n": [1, None]}, secret, algorithm)
    assert jwt.decode(token, secret, algorithms=[algorithm]) == {"sub": "é", "n": [1, None]}


# --- secret, health ---


def test_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "jwt"
    assert run_command(["secret", str(file)]) == 0
    made = file.read_bytes()
    assert len(made) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert run_command(["secret", str(file)]) == 0
    assert file.read_bytes() == made
    assert list(tmp_path.iterdir()) == [file]


def test_secrets_differ(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run_command(["secret", str(tmp_path / name)]) == 0
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_secret_that_cannot_be_written_is_a_clear_no(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["secret", str(tmp_path / "missing" / "jwt")]) == 1
    assert "cannot be written" in capsys.readouterr().err


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def admin_port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Health)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_health_is_the_admin_ports_answer(admin_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["health", "--port", str(admin_port)]) == 0
    assert run_command(["health", "--port", str(admin_port), "--path", "/readyz"]) == 1
    assert "503" in capsys.readouterr().err


def test_health_of_a_port_where_nothing_listens_is_no(admin_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["health", "--port", "1"]) == 1
    assert "nothing" in capsys.readouterr().err

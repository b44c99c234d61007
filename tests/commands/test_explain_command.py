"""`gateway explain`, as somebody calls it who wants to know why."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.main import run_command
from tests.jwks import serving_keys
from tests.minting import SECRET, claims_of, mint, rsa_key

FILE = """\
upstream: http://127.0.0.1:4111
providers:
  people: {{type: clerk, jwks_uri: "{keys}", issuer: "https://clerk.example.com"}}
  jobs: {{type: jwt, secret: "{secret}"}}
routes:
  GET /health: {{public: true}}
  /api: {{provider: people, allow: {{email_domain: yourcompany.com}}}}
  /jobs: {{provider: jobs, allow: {{role: admin}}}}
"""


def write(folder: Path, keys: str = "http://127.0.0.1:1/jwks") -> None:
    (folder / "gateway.yaml").write_text(FILE.format(keys=keys, secret=SECRET.decode()))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


@pytest.fixture
def jwks_uri() -> Iterator[str]:
    with serving_keys() as address:
        yield address


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = run_command(["explain", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_clerk_token_without_email_is_explained_by_one_command(
    folder: Path, capsys: pytest.CaptureFixture[str], jwks_uri: str
) -> None:
    write(folder, jwks_uri)
    now = time.time()
    token = mint(
        {"iss": "https://clerk.example.com", "sub": "user_1", "iat": now - 600, "exp": now - 540},
        rsa_key(),
        "RS256",
        kid="k1",
    )
    assert run_command(["explain", "GET", "/api/agents", "--token", token]) == 1
    out = capsys.readouterr().out
    assert "401 token_expired" in out
    assert "Clerk's session tokens live 60 s" in out
    assert 'Customize session token, add {"email": "{{user.primary_email_address}}"}' in out
    assert "kid k1, fetched 0 s ago (fresh)" in out
    assert "\x1b" not in out and token.rpartition(".")[2] not in out


def test_token_comes_from_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = mint(claims_of(roles=["admin"], exp=time.time() + 60, iat=time.time()))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"  Bearer {token}\n".encode())))
    status, said = ask(capsys, "GET", "/jobs", "--token", "-")
    assert (status, said["decision"]) == (0, "allow")


def test_bearer_before_the_token_is_taken_off_and_said_with_what_the_gateway_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = mint(claims_of(roles=["admin"], exp=time.time() + 60, iat=time.time()))
    status, said = ask(capsys, "GET", "/jobs", "--token", f"Bearer {token}")
    assert (status, said["decision"]) == (0, "allow")
    note = "`Bearer` was taken off what was given as the token, since it belongs to the header."
    assert said["advice"] == [f"{note} A client that has it in its token sends it twice, and gets 401 token_malformed."]
    status, said = ask(capsys, "GET", "/jobs", "--header", f"Authorization: Bearer Bearer {token}")
    assert (status, said["code"]) == (1, "token_malformed"), "as it was said"
    assert ask(capsys, "GET", "/jobs", "--token", token)[1]["advice"] == []
    assert "gets in all the same" in ask(capsys, "GET", "/health", "--token", f"bearer {token}")[1]["advice"][0]


@pytest.mark.parametrize(
    ("claims", "code"),
    [('{"roles": ["admin"]}', None), ('{"roles": ["dev"]}', "access_denied"), ('{"exp": 1}', "token_expired")],
)
def test_claims_are_tried_without_a_token_or_a_network(
    claims: str, code: str | None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = ask(capsys, "GET", "/jobs", "--provider", "jobs", "--claims", claims)
    assert (status, said["code"]) == (0 if code is None else 1, code)


def test_claims_of_a_key_servers_provider_need_no_key_server(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims = '{"email": "ann@yourcompany.com"}'
    assert ask(capsys, "GET", "/api", "--provider", "people", "--claims", claims)[0] == 0


@pytest.mark.parametrize(("more", "is_said"), [((), True), (("--provider", "jobs"), False)])
def test_claims_that_lack_what_all_tokens_have_are_told_how_to_get_it(
    more: tuple[str, ...], is_said: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = "{}" if not more else '{"exp": "soon"}'
    status, said = ask(capsys, "GET", "/jobs", "--claims", given, *more)
    assert (status, said["code"]) == (1, "claim_invalid")
    note = "The claims were taken for all of the token. `--provider jobs` fills in: sub, iat, exp."
    assert (said["advice"][0] == note) is is_said


def test_claims_without_provider_are_taken_as_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "claims.json").write_text('{"iss": "https://clerk.example.com", "email": "ann@yourcompany.com"}')
    status, said = ask(capsys, "GET", "/api", "--claims", "claims.json")
    assert (status, said["code"]) == (1, "claim_invalid")


def test_moment_can_be_another(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims = '{"sub": "x", "roles": ["admin"], "iat": 1800000000, "exp": 1800000060}'
    for at, code in [("1800000010", None), ("2027-01-15T08:00:30Z", None), ("2027-01-15T09:00:00", "token_expired")]:
        assert ask(capsys, "GET", "/jobs", "--claims", claims, "--at", at)[1]["code"] == code


def test_whole_address_header_and_ip_are_understood(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ask(capsys, "GET", "https://gw.example.com/health?x=1", "--header", "X-A: b", "--ip", "10.0.0.1")
    assert (status, said["outcome"]) == (0, "passes to default (http://127.0.0.1:4111) as GET /health?x=1")


@pytest.mark.parametrize(
    ("connected", "told", "status", "client"),
    [
        ("10.0.0.7", "6.6.6.6, 203.0.113.9", 0, "yes 203.0.113.9 (https), as 10.0.0.7 of trusted_proxies says"),
        ("10.0.0.7", "203.0.113.9, 6.6.6.6, 10.9.9.9", 1, "yes 6.6.6.6 (https), as 10.0.0.7 of trusted_proxies says"),
        ("10.0.0.7", "nobody", 1, "yes unknown (https), as 10.0.0.7 of trusted_proxies says: nobody"),
        ("203.0.113.9", "6.6.6.6", 0, "unknown 203.0.113.9; what it says of others is not believed: 6.6.6.6"),
        ("198.51.100.2", "203.0.113.9", 1, "unknown 198.51.100.2; what it says of others is not believed"),
        ("203.0.113.9", "", 0, ""),
    ],
)
def test_client_is_who_a_trusted_proxy_says(
    folder: Path, capsys: pytest.CaptureFixture[str], connected: str, told: str, status: int, client: str
) -> None:
    (folder / "gateway.yaml").write_text(
        "upstream: http://127.0.0.1:4111\ntrusted_proxies: [10.0.0.0/8]\n"
        f"providers: {{jobs: {{type: jwt, secret: '{SECRET.decode()}'}}}}\n"
        "routes: {/api: {provider: jobs, allow: [{ip: 203.0.113.0/24}]}}\n"
    )
    lines = ["--header", f"X-Forwarded-For: {told}", "--header", "X-Forwarded-Proto: https"] if told else []
    arguments = ["GET", "/api", "--ip", connected, *lines, "--provider", "jobs", "--claims", '{"sub": "a"}']
    found, said = ask(capsys, *arguments)
    assert found == status
    first = said["steps"][0]
    shown = f"{first['verdict']} {first['found']}" if first["name"] == "client" else ""
    assert shown.startswith(client) and bool(shown) == bool(client)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["GET"], "found a method without a path, expected both"),
        (["get", "/api"], "did you mean GET?"),
        (["G3T", "/api"], "is no method"),
        (["GET", "api"], "does not begin with '/'"),
        (["GET", "/api", "--token", "x", "--claims", "{}"], "expected one of them"),
        (["GET", "/api", "--provider", "jobs"], "expected --claims beside it"),
        (["GET", "/api", "--claims", "{"], "--claims is no JSON"),
        (["GET", "/api", "--claims", "missing.json"], "cannot be read: No such file"),
        (["GET", "/api", "--claims", "list.json"], "is JSON, but no object"),
        (["GET", "/api", "--claims", "{}", "--provider", "nobody"], "no provider nobody; it has people, jobs"),
        (["GET", "/api", "--token", " "], "--token is empty"),
        (["GET", "/api", "--header", "nonsense"], "expected 'Name: value'"),
        (["GET", "/api", "--at", "tomorrow"], "is no moment"),
        (["GET", "/api", "-c", "missing.yaml"], "missing.yaml is not there"),
    ],
)
def test_bad_call_gets_one_clear_line(
    arguments: list[str], expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "list.json").write_text("[]")
    assert run_command(["explain", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert expected in captured.err


@pytest.mark.parametrize(
    ("given", "found"), [("/api/agents", "a path without a method"), ("GET", "a method without a path")]
)
def test_half_a_request_is_told_what_is_missing(given: str, found: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["explain", given]) == 2
    assert capsys.readouterr().err == (
        f"gateway explain: found {found}, expected both: gateway explain GET /api/agents\n"
    )

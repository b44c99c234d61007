"""A type of provider is data in several tables; each type is in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from gateway.commands import draft
from gateway.commands.main import run_command
from gateway.config.presets import PRESETS as OF_ISSUERS
from gateway.config.provider_fields import KINDS, RECORDS, TYPES
from gateway.policy.providers import PRESETS, Kind
from tests.configuring import SECRET

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
SMALLEST = {
    "jwt": f"secret: {SECRET}",
    "clerk": "jwks_uri: https://clerk.example.com/.well-known/jwks.json",
    "auth0": "domain: tenant.eu.auth0.com, audience: mastra",
    "oidc": "issuer: https://login.example.com, audience: mastra",
    "google": "audience: 123-abc.apps.googleusercontent.com",
    "entra": "tenant: 11111111-2222-4333-8444-555555555555, audience: api://mastra",
    "okta": "domain: yourcompany.okta.com",
    "keycloak": "url: http://localhost:8080, realm: corp, audience: mastra",
    "cognito": "user_pool: eu-west-1_Ab12Cd34E, client: 4h57kq9example",
    "supabase": "project: abcdefghijklmnopqrst",
    "firebase": "project: your-project-1234",
    "workos": "client_id: client_01HXYZ",
    "better_auth": "url: http://localhost:3000",
    "keys": "keys_file: keys.yaml",
}


def test_every_type_is_in_every_table() -> None:
    assert set(KINDS) == set(get_args(Kind)) == set(PRESETS)
    assert set(TYPES) == set(KINDS) | set(OF_ISSUERS) == set(RECORDS) == set(SMALLEST)
    assert set(TYPES) - {"keys"} == set(draft.TYPES)  # a file that begins with machines is written by hand


@pytest.mark.parametrize("kind", TYPES)
def test_page_says_of_every_type_what_it_needs(kind: str) -> None:
    assert f"\n- **{kind}** " in PAGE


@pytest.mark.parametrize("kind", TYPES)
def test_smallest_provider_of_every_type_is_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys.yaml").write_text("")
    (tmp_path / "gateway.yaml").write_text(
        f"upstream: http://localhost:4111\nproviders: {{p: {{type: {kind}, {SMALLEST[kind]}}}}}\n"
        "routes: {/api: {provider: p, allow: {email_domain: example.com}}}\n"
    )
    assert run_command(["check"]) == 0, capsys.readouterr().err
    # Who wants a test token hears where this type's come from.
    assert run_command(["token"]) == (0 if kind == "jwt" else 1)

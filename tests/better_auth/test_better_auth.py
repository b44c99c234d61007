"""A real better-auth issues the tokens, and the gateway runs with the preset of it."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.better_auth.conftest import HERE, BetterAuth, Start
from tests.issuers.world import DATA
from tests.processes import gateway_process


def configured(upstream: str, url: str, more: str = "") -> str:
    return (
        f"upstream: {upstream}\n"
        f"providers: {{people: {{type: better_auth, url: '{url}'{more}}}}}\n"
        "routes:\n"
        "  /any: {provider: people, allow: authenticated}\n"
        "  /api: {provider: people, allow: {email_domain: yourcompany.com}}\n"
    )


def ask(address: str, path: str, token: str) -> tuple[int, str]:
    request = urllib.request.Request(address + path, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as refusal:
        said = refusal.read()
        # What has no JSON comes from the upstream: it was let through.
        return refusal.code, json.loads(said)["code"] if b'"code"' in said else ""


@pytest.fixture(scope="module")
def gateway(issuer: BetterAuth, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway whose upstream is better-auth itself, which answers 404 there."""
    folder = tmp_path_factory.mktemp("gateway")
    with gateway_process(configured(issuer.origin, issuer.url), folder) as (address, _):
        yield address


def members(token: str, part: int) -> dict[str, Any]:

    text = token.split(".")[part]
    return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


def test_tokens_pass_and_emails_count_once_they_are_verified(issuer: BetterAuth, gateway: str) -> None:
    cookie = issuer.sign_up("ann@yourcompany.com")
    token = issuer.token(cookie)
    assert ask(gateway, "/any/x", token) == (404, "")  # from the upstream
    assert ask(gateway, "/api/x", token) == (403, "access_denied")
    issuer.verify("ann@yourcompany.com")
    assert ask(gateway, "/api/x", issuer.token(cookie)) == (404, "")


def test_stranger_does_not_pass(issuer: BetterAuth, gateway: str) -> None:
    cookie = issuer.sign_up("mallory@evil.example")
    issuer.verify("mallory@evil.example")
    assert ask(gateway, "/api/x", issuer.token(cookie)) == (403, "access_denied")


def test_session_token_is_no_token(issuer: BetterAuth, gateway: str) -> None:
    session = issuer.sign_up("bob@yourcompany.com").partition("=")[2]
    assert ask(gateway, "/any/x", session.partition(".")[0]) == (401, "token_malformed")


def test_token_of_another_better_auth_is_refused(start: Start, gateway: str) -> None:
    with start() as other:
        assert ask(gateway, "/any/x", other.token(other.sign_up("a@yourcompany.com"))) == (401, "issuer_mismatch")


def test_another_algorithm_is_a_key_of_the_file(start: Start, tmp_path: Path) -> None:
    with start(ALGORITHM="ES256") as issuer:
        token = issuer.token(issuer.sign_up("ann@yourcompany.com"))
        with gateway_process(configured(issuer.origin, issuer.url, ", algorithms: [ES256]"), tmp_path) as (address, _):
            assert ask(address, "/any/x", token) == (404, "")


def test_base_path_of_its_own_is_followed(start: Start, tmp_path: Path) -> None:
    with start(BASE="/accounts") as issuer:
        token = issuer.token(issuer.sign_up("ann@yourcompany.com"))
        with gateway_process(configured(issuer.origin, issuer.url), tmp_path) as (address, _):
            assert ask(address, "/any/x", token) == (404, "")


def test_stand_in_has_the_shape_of_the_real_one(issuer: BetterAuth) -> None:
    token = issuer.token(issuer.sign_up("carol@yourcompany.com"))
    shape = DATA["better_auth"]["tokens"]["person"]
    assert set(members(token, 0)) == set(shape["header"])
    assert set(members(token, 1)) | {"image"} == {*shape["claims"], "iat", "exp"}
    with urllib.request.urlopen(f"{issuer.url}/api/auth/jwks", timeout=20) as answer:
        published = json.load(answer)
    (known,) = DATA["better_auth"]["published"].values()
    assert {name for key in published["keys"] for name in key} == {*known["keys"][0], "x"}


def test_lock_file_names_no_registry() -> None:
    text = (HERE / "package-lock.json").read_text()
    assert '"resolved"' not in text
    packages = json.loads(text)["packages"]
    assert [name for name, one in packages.items() if name and "integrity" not in one] == []

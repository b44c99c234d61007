"""Facts that a token says in another way than a rule asks: under another name, several in one text, in milliseconds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.explain.test_claim_causes import ISSUER, advice, oidc
from tests.minting import NOW, b64, claims_of, mint, rsa_key


@pytest.mark.parametrize(
    ("claims", "rule", "written"),
    [
        ({"cognito:groups": ["ops"]}, "{group: ops}", "groups_claim: cognito:groups"),
        ({"https://corp.example/roles": ["admin"]}, "{role: admin}", "roles_claim: https://corp.example/roles"),
        ({"user_role": "admin"}, "{role: admin}", "roles_claim: user_role"),
        ({"app.permissions": ["run"]}, "{permission: run}", "permissions_claim: app.permissions"),
    ],
)
def test_fact_that_stands_under_another_name(claims: dict[str, Any], rule: str, written: str) -> None:
    assert f"write `{written}` on the provider" in oidc(rule, **claims)
    name, _, claim = written.partition(": ")
    assert "if these are meant" not in oidc(rule, f'audience: app, {name}: "{claim}x"', **claims), "it has a name"


@pytest.mark.parametrize(
    "claims",
    [{"groups2": ["ops"]}, {"x:groups": {"ops": True}}, {"x:groups": []}, {"user_metadata": {"groups": ["ops"]}}],
)
def test_what_is_no_list_of_the_fact_is_not_advised(claims: dict[str, Any]) -> None:
    # What stands in `user_metadata` the user wrote: a rule that believes it would be a hole.
    assert "if these are meant" not in oidc("{group: ops}", **claims)


@pytest.mark.parametrize(
    ("text", "mark"), [("editor admin", " "), ("admin,editor", ","), ("a; editor", ";"), ("a|editor", "|")]
)
def test_several_roles_in_one_text(text: str, mark: str) -> None:
    assert f'write `roles_separator: "{mark}"`' in oidc("{role: editor}", roles=text)
    assert "roles_separator" not in oidc("{role: editor}", roles=text.replace("editor", "editors"))
    assert "roles_separator" not in oidc("{role: editor}", 'audience: app, roles_separator: "/"', roles=text)


def test_organization_that_stands_under_another_name() -> None:
    assert "as `organization_claim: tid`" in oidc("{organization: t1}", tid="t1")
    assert "name its claim by `organization_claim`." in oidc("{organization: t1}")
    assert "organization_claim" not in oidc("{organization: t1}", "audience: app, organization_claim: org", tid="t1")
    assert "organization_claim" not in oidc("{organization: t1}", org_id="t2")


def test_client_that_stands_under_another_name() -> None:
    assert "as `client_claim: applicationId`" in oidc("{client: c1}", applicationId="c1")
    assert "client_claim" not in oidc("{client: c1}", "audience: app, client_claim: x", applicationId="c1")


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_times_in_milliseconds(name: str) -> None:
    late: dict[str, Any] = {name: NOW * 1000}
    said = oidc("authenticated", **late)
    assert f"{name} counts milliseconds" in said and "clocks" not in said
    late[name] = NOW + 100
    assert "clocks" in oidc("authenticated", **late)


@pytest.mark.parametrize(
    ("written", "found", "is_told"),
    [
        ("http://keycloak:8080/realms/corp", "http://localhost:8080/realms/corp", True),
        ("http://127.0.0.1:8080/realms/corp", "https://sso.example.com/realms/corp", True),
        ("http://localhost:8080/realms/corp", "http://localhost:9090/realms/corp", True),
        ("http://keycloak:8080/realms/corp", "http://localhost:8080/realms/other", False),
        ("https://sso.example.com/realms/corp", "https://evil.example.net/realms/corp", False),
    ],
)
def test_issuer_by_its_name_inside(written: str, found: str, is_told: bool) -> None:
    token = mint(claims_of(iss=found, aud="app"), rsa_key(), "RS256", kid="k1")
    provider = f'type: oidc, issuer: "{written}", allow_http: true, audience: app, jwks_uri: "{ISSUER}/keys"'
    assert ("only the host differs" in advice(provider, "authenticated", token)) is is_told


def test_encrypted_token_of_auth0_is_one_without_an_audience() -> None:
    header = b64('{"alg":"dir","enc":"A256GCM","iss":"https://corp.eu.auth0.com/"}')
    token = f"{header}..{b64(b'i' * 12)}.{b64(b'c' * 40)}.{b64(b't' * 16)}"
    provider = "type: auth0, domain: corp.eu.auth0.com, audience: api"
    said = advice(provider, "authenticated", token)
    assert "no audience was asked for" in said and "cookie" not in said

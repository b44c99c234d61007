"""Tokens that are made of a few claims, for `explain` and `test`: with all that the provider asks for, they count."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.explain.issuer import StandInIssuer, complete_claims, put_claim
from gateway.policy.claims import principal_of
from gateway.policy.token import parse_token
from gateway.policy.verify import check_claims, check_signature
from tests.config.test_config_providers import provider
from tests.minting import NOW

OIDC = "type: oidc, issuer: https://idp.example.com, jwks_uri: https://idp.example.com/keys, audience: x"
CLERK = "type: clerk, issuer: https://clerk.example.com"


@pytest.mark.parametrize(
    "written",
    [
        OIDC,
        f"{OIDC}, client: [web, job]",
        f"{OIDC}, client: web, client_claim: /app/id, subject_claim: /app/user",
        f"{OIDC}, client: x, client_claim: aud",
        f"{OIDC}, max_lifetime: 1m",
        f"{OIDC}, max_lifetime: 500ms",
        f"{OIDC}, required_claims: [email, /realm_access/roles, /realm_access/more, /list/0]",
        f"{OIDC}, email_verified: required, email_claim: /user/email, email_verified_claim: /user/ok",
        f"{OIDC}, email_verified: required, email_claim: emails",
        f"{OIDC}, algorithms: [Ed25519]",
        f"{CLERK}, accept: oauth, authorized_parties: https://app.example.com",
        f"{CLERK}, accept: machine",
        f"{CLERK}, accept: template",
        f"{CLERK}, accept: [machine, oauth]",
        f"{CLERK}, accept: [session, oauth]",
    ],
)
def test_completed_token_counts(written: str) -> None:
    them = provider(f"{{{written}}}")
    given: dict[str, Any] = {}
    put_claim(given, them.email_claim or "email", "ann@corp.example")
    issuer = StandInIssuer()
    token = parse_token(issuer.token(complete_claims(them, given, NOW), them))
    check_claims(token, them, NOW)
    assert them.key_source is not None
    check_signature(token, issuer.find(them.key_source, "stand-in", token.algorithm, NOW))
    assert principal_of(token.claims, them).email == "ann@corp.example"


def test_what_is_given_stays_as_it_is() -> None:
    them = provider(f"{{{OIDC}, client: web, required_claims: [plan], email_verified: required}}")
    given = {"azp": "evil", "plan": None, "email": "a@b.test", "email_verified": False}
    claims = complete_claims(them, given, NOW)
    assert (claims["azp"], claims["email_verified"], "plan" in claims) == ("evil", False, False)


def test_claim_is_put_beside_what_is_there() -> None:
    claims: dict[str, Any] = {"a": {"x": 1}, "b": 7}
    for name, value in [("/a/y", 2), ("/b/c", 3), ("/l/0", 4), ("https://example.com/d", 5)]:
        put_claim(claims, name, value)
    assert claims == {"a": {"x": 1, "y": 2}, "b": {"c": 3}, "l": [4], "https://example.com/d": 5}

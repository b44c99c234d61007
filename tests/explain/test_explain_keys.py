"""What an explanation says about issuers of many tenants, keys in files, and key servers that cannot be had."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.explain.explain import explain
from gateway.explain.issuer import StandInIssuer, complete_claims
from gateway.explain.request import provider_for
from gateway.explain.step import Explanation
from gateway.keys.status import SourceStatus
from gateway.policy.decision import Allow, Deny, decide
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, RequestHead
from gateway.policy.providers import KeySource
from tests.configuring import read
from tests.keyserver import private_key, public_pem, to_jwk
from tests.minting import NOW, claims_of, mint, rsa_key

TENANT = "11111111-2222-4333-8444-555555555555"
FILES = {
    "jwks.json": json.dumps({"keys": [to_jwk(private_key("file"), "f1")]}).encode(),
    "one.pem": public_pem(rsa_key()),
    "two.pem": public_pem(private_key("two", "P-256")),
}
CONFIG = read(
    """
    upstream: http://localhost:4111
    providers:
      tenants: {type: oidc, issuer: "https://login.example/{tid}/v2.0", audience: none}
      list: {type: oidc, issuer: [https://accounts.google.com, https://b.example], audience: none}
      file: {type: oidc, issuer: https://file.example, audience: none, jwks_file: jwks.json}
      pem: {type: oidc, issuer: https://pem.example, audience: none, public_key_files: [two.pem, one.pem],
            algorithms: [RS256, ES384]}
    routes:
      /tenants: {provider: tenants, allow: authenticated}
      /list: {provider: list, allow: authenticated}
      /file: {provider: file, allow: authenticated}
      /pem: {provider: pem, allow: authenticated}
    """,
    {},
    FILES,
)


class Told(Keys):
    """A key store that has rsa_key() as k1 everywhere, or tells why there is no key."""

    def __init__(self, missing: NoKey | None = None, error: str | None = None) -> None:
        self.missing, self.error = missing, error

    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        if source.keys is not None:
            return source.keys.find(kid, algorithm) or NoKey(fetch_may_help=False, is_outage=False)
        return self.missing or Key("k1", frozenset({"RS256"}), rsa_key().public_key(), "t1")

    def status_of(self, source: KeySource) -> SourceStatus:
        label = ", ".join(source.files) or str(source.issuer)
        kids = tuple(sorted(source.keys.kids)) if source.keys is not None else ("k1",)
        return SourceStatus(label, "fresh", kids, 1.0, None, False, 1, 1, self.error, None)


def explained(path: str, claims: dict[str, Any], keys: Told | None = None, **how: Any) -> Explanation:
    token = mint(
        claims_of(**{"aud": ..., **claims}), how.pop("key", rsa_key()), how.pop("alg", "RS256"), **{"kid": "k1", **how}
    )
    head = RequestHead(
        "GET", path, Headers([("Host", "a"), ("Authorization", f"Bearer {token}")]), "192.0.2.1", "https"
    )
    keys = keys or Told()
    found = explain(CONFIG.policy, keys, head, NOW, keys.status_of)
    decision = decide(CONFIG.policy, keys, head, NOW, may_fetch=False)
    assert isinstance(decision, Allow | Deny)
    code = decision.reason.code if isinstance(decision, Deny) else None
    assert (found.decision, found.code) == ("allow" if code is None else "deny", code), "it says what is decided"
    return found


def advice(found: Explanation) -> str:
    return " ".join(found.advice)


def step(found: Explanation, name: str) -> str:
    return next(f"{one.verdict}: {one.found} ({one.expected})" for one in found.steps if one.name == name)


def tenant(name: str = TENANT, **changes: Any) -> dict[str, Any]:
    return {"iss": f"https://login.example/{name}/v2.0", "tid": name, **changes}


def test_template_is_named_with_what_it_takes() -> None:
    found = explained("/tenants", tenant())
    assert step(found, "provider").startswith(f"yes: tenants (oidc): iss is https://login.example/{TENANT}/v2.0")
    assert "iss https://login.example/{tid}/v2.0, alg RS256" in step(found, "provider")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tid": "other"}, "tid is 'other', and iss has"),
        ({"tid": ...}, "tid is missing"),
        ({"tid": ["x"]}, "tid is no text"),
    ],
)
def test_claim_that_does_not_agree_is_shown_with_what_iss_has(changes: dict[str, Any], said: str) -> None:
    found = explained("/tenants", tenant(**changes))
    assert found.code == "issuer_mismatch"
    assert said in step(found, "provider") and said in advice(found)
    assert "Each claim in the braces of https://login.example/{tid}/v2.0 must be in the token" in advice(found)


def test_issuer_of_another_form_is_told_the_template() -> None:
    found = explained("/tenants", tenant(iss="https://sts.example/x/"))
    assert "https://login.example/{tid}/v2.0" in advice(found)


@pytest.mark.parametrize(
    ("stranger", "said"),
    [
        ("the 100 issuers of `max_issuers` are there, and this is another", "raise it, if this one is a customer's"),
        ("the issuer has no keys: found status 404, expected 200", "There is no such issuer as"),
    ],
)
def test_stranger_is_told_why(stranger: str, said: str) -> None:
    found = explained("/tenants", tenant(), Told(NoKey(False, False, stranger)))
    assert found.code == "issuer_mismatch"
    assert stranger in step(found, "key") and said in advice(found)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("the server's certificate was not accepted, expected a valid one", "name that as `ca_file` on the provider"),
        ("found a map of key ids to X.509 certificates (PEM)", "Write the address of the JWKS as `jwks_uri`"),
        ("found a redirect to https://b.example, expected the keys at https://a.example", "write it as `jwks_uri`"),
        ("the proxy http://proxy:3128 answered 407, expected 200", "the proxy's user and password into `jwks.proxy`"),
        ("cannot connect to the proxy http://proxy:3128 (Connection refused)", "Check `jwks.proxy`"),
        ("found status 401, expected 200", "`jwks.headers`, or `jwks.token_file`"),
        ("found status 403, expected 200", "`jwks.headers`, or `jwks.token_file`"),
        ("found status 401, expected 200 (credentials go to https://b.example only)", "the keys as `jwks_uri`"),
        ("`token_file` cannot be read, expected a token in it", "the file holds the token alone"),
        (
            "discovery's document names another issuer: found 'https://login.microsoftonline.com/{tenantid}/v2.0', ...",
            "write `issuer: https://login.microsoftonline.com/{tid}/v2.0` for tokens of every tenant",
        ),
        ("discovery's document names another issuer: found 'https://x'", "Write `issuer` exactly as the document"),
        ("no complete answer within 5 s", "Check the address, DNS"),
    ],
)
def test_keys_that_cannot_be_had_are_told_with_the_way_out(error: str, said: str) -> None:
    found = explained("/list", {"iss": "https://b.example"}, Told(NoKey(False, True), error))
    assert found.code == "keys_unavailable"
    assert error in advice(found) and said in advice(found)


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ("ca_file: ca.crt", "certificate was not accepted", "`ca_file` must hold the authority"),
        ("jwks: {headers: {X-Key: x}}", "found status 401, expected 200", "does not take the credential"),
        ("jwks: {proxy: 'http://u:p@proxy:1'}", "the proxy http://proxy:1 answered 407", "does not take the user and"),
    ],
)
def test_advice_never_names_what_the_file_has_already(more: str, error: str, said: str) -> None:
    config = read(
        f"""
        upstream: http://localhost:4111
        providers: {{p: {{type: oidc, issuer: https://b.example, audience: none, {more}}}}}
        routes: {{/x: {{provider: p, allow: authenticated}}}}
        """,
        {},
        {"ca.crt": b"-----BEGIN CERTIFICATE-----"},
    )
    token = mint(claims_of(iss="https://b.example", aud=...), rsa_key(), "RS256", kid="k1")
    head = RequestHead("GET", "/x", Headers([("Authorization", f"Bearer {token}")]), "192.0.2.1", "https")
    keys = Told(NoKey(False, True), error)
    assert said in advice(explain(config.policy, keys, head, NOW, keys.status_of))


@pytest.mark.parametrize("issuer", ["accounts.google.com", "b.example"])
def test_issuer_without_a_scheme_is_told_that_both_are_written(issuer: str) -> None:
    found = explained("/list", {"iss": issuer})
    assert f"Write `issuer: [https://{issuer}, {issuer}]`" in advice(found)


def test_key_of_a_file_that_the_token_does_not_name() -> None:
    assert "The key k1 is not among those of jwks.json" in advice(explained("/file", {"iss": "https://file.example"}))


def test_keys_in_turn_are_counted() -> None:
    found = explained("/pem", {"iss": "https://pem.example"}, kid=None)
    assert step(found, "key") == "yes: 1 for RS256, tried in turn (a key of two.pem, one.pem)"
    assert step(found, "signature") == "yes: verifies ()"
    found = explained("/pem", {"iss": "https://pem.example"}, key=private_key("other"))
    assert found.code == "signature_invalid"
    found = explained("/pem", {"iss": "https://pem.example"}, key=private_key("p384", "P-384"), alg="ES384")
    assert found.code == "key_unknown"
    assert "No key in two.pem, one.pem is for ES384" in advice(found)


# Claims in place of a token.


@pytest.mark.parametrize("path", ["/tenants", "/list", "/file", "/pem"])
def test_stand_in_signs_for_every_provider(path: str) -> None:
    issuer = StandInIssuer()
    provider = next(one for one in CONFIG.providers if one.name == path[1:])
    token = issuer.token(complete_claims(provider, {}, NOW), provider)
    head = RequestHead("GET", path, Headers([("Authorization", f"Bearer {token}")]), "192.0.2.1", "https")
    assert isinstance(decide(CONFIG.policy, issuer, head, NOW, may_fetch=False), Allow)


def test_claims_that_are_given_fill_the_template_and_pick_its_provider() -> None:
    provider = next(one for one in CONFIG.providers if one.name == "tenants")
    claims = complete_claims(provider, {"tid": "t1"}, NOW)
    assert (claims["iss"], claims["tid"]) == ("https://login.example/t1/v2.0", "t1")
    assert provider_for(claims, None, None, CONFIG) is provider
    assert "iss" not in complete_claims(provider, {"tid": 5}, NOW)

"""Presets of well-known issuers: what they stand for, what counts before it, and what does not go with them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.main import run_command
from gateway.config.expansion import expand
from gateway.config.model import Config
from gateway.config.presets import PRESETS
from gateway.config.provider_fields import RECORDS
from gateway.policy.providers import Provider
from tests.configuring import full, mistakes, read

TENANT = "11111111-2222-4333-8444-555555555555"
OTHER = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
GOOGLE = "type: google, audience: app"


def whole(provider: str, rule: str = "authenticated") -> str:
    return (
        "upstream: http://localhost:4111\n"
        f"providers: {{them: {{{provider}}}}}\nroutes: {{/api: {{provider: them, allow: {rule}}}}}\n"
    )


def loaded(provider: str, environment: Mapping[str, str] | None = None, rule: str = "authenticated") -> Config:
    return read(whole(provider, rule), environment)


def provider_of(provider: str, environment: Mapping[str, str] | None = None) -> Provider:
    return loaded(provider, environment).providers[0]


def keys_of(provider: Provider) -> str | None:
    (source,) = provider.key_sources()
    return source.jwks_uri


def test_preset_is_read_as_the_provider_that_it_stands_for() -> None:
    """But for what no key of the file says, `type: oidc` with the printed lines is the same provider."""
    config = loaded("type: keycloak, url: https://sso.example.com, realm: corp, audience: app")
    (expansion,) = config.expansions
    lines = ", ".join(f"{name}: [{', '.join(values)}]" for name, values in expansion.says)
    lines = re.sub(r"(?<!algorithms: )\[([^,\]]+)\]", r"\1", lines)
    written = provider_of(f"type: oidc, audience: app, {lines}")
    assert expansion.claims == (("typ", ("Bearer",)),)
    assert config.providers[0].expected_claims == (("typ", frozenset({"Bearer"})),)
    without = {name: getattr(config.providers[0], name) for name in Provider.__dataclass_fields__}
    for name in ("expected_claims", "has_conditions", "parties", "pages"):  # the last two are objects, made of others
        del without[name]
    for name, value in without.items():
        assert getattr(written, name) == value, name


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (f"{GOOGLE}, hosted_domain: [a.example, b.example]",
         {"issuers": {"https://accounts.google.com", "accounts.google.com"}, "organization_claim": "hd",
          "expected_claims": (("hd", frozenset({"a.example", "b.example"})),)}),
        (GOOGLE, {"expected_claims": ()}),
        (f"type: entra, tenant: {TENANT.upper()}, audience: app",
         {"issuers": {f"https://login.microsoftonline.com/{TENANT}/v2.0", f"https://sts.windows.net/{TENANT}/"},
          "organization_claim": "tid", "email_verified_claim": "xms_edov", "requires_verified_email": True}),
        (f"type: entra, tenant: [{TENANT}, {OTHER}], audience: app",
         {"issuers": {f"https://login.microsoftonline.com/{tenant}/v2.0" for tenant in (TENANT, OTHER)}
          | {f"https://sts.windows.net/{tenant}/" for tenant in (TENANT, OTHER)}}),
        ("type: okta, domain: corp.okta.com", {"audiences": {"api://default"}, "client_claims": ("cid",)}),
        ("type: okta, domain: corp.okta.com, authorization_server: aus1, audience: x",
         {"issuers": {"https://corp.okta.com/oauth2/aus1"}, "audiences": {"x"}}),
        ("type: keycloak, url: https://sso.example.com/auth/, realm: corp, audience: x",
         {"issuers": {"https://sso.example.com/auth/realms/corp"}, "roles_claim": "/realm_access/roles"}),
        ("type: cognito, user_pool: us-gov-west-1_Ab12, client: [a, b]",
         {"issuers": {"https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_Ab12"}, "audiences": None,
          "clients": {"a", "b"}, "client_claims": ("client_id",),
          "expected_claims": (("token_use", frozenset({"access"})),)}),
        ("type: cognito, user_pool: eu-west-1_Ab12, client: [a, b], token_use: id",
         {"audiences": {"a", "b"}, "clients": {"a", "b"}, "client_claims": ("aud",)}),
        ("type: supabase, project: abcd",
         {"issuers": {"https://abcd.supabase.co/auth/v1"}, "algorithms": {"ES256", "RS256"},
          "expected_claims": (("role", frozenset({"authenticated"})),)}),
        ("type: supabase, url: http://127.0.0.1:54321", {"issuers": {"http://127.0.0.1:54321/auth/v1"}}),
        ("type: firebase, project: p-1", {"audiences": {"p-1"}, "organization_claim": "/firebase/tenant"}),
        ("type: workos, client_id: client_1",
         {"issuers": {"https://api.workos.com/user_management/client_1", "https://api.workos.com"}, "audiences": None}),
        ("type: better_auth, url: http://localhost:3000",
         {"issuers": {"http://localhost:3000"}, "audiences": {"http://localhost:3000"}, "algorithms": {"EdDSA"},
          "email_verified_claim": "emailVerified"}),
        # What better-auth writes is the origin, as JavaScript has it: tests/better_auth.
        ("type: better_auth, url: https://App.example.com:443/accounts/",
         {"issuers": {"https://app.example.com"}, "audiences": {"https://app.example.com"}}),
    ],
)  # fmt: skip
def test_what_a_preset_stands_for(written: str, expected: dict[str, Any]) -> None:
    provider = provider_of(written)
    assert provider.kind == "oidc"
    for name, value in expected.items():
        assert getattr(provider, name) == value, name


def test_any_tenant_is_a_template_and_the_tokens_own() -> None:
    provider = provider_of("type: entra, tenant: any, audience: app")
    assert provider.issuers == frozenset()
    assert [one.text for one in provider.issuer_templates] == [
        "https://login.microsoftonline.com/{tid}/v2.0",
        "https://sts.windows.net/{tid}/",
    ]
    assert keys_of(provider) == "https://login.microsoftonline.com/common/discovery/v2.0/keys"


def test_keys_of_one_tenant_are_its_own_and_of_several_those_of_all() -> None:
    one = f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys"
    assert keys_of(provider_of(f"type: entra, tenant: {TENANT}, audience: app")) == one
    assert keys_of(provider_of(f"type: entra, tenant: [{TENANT}], audience: app")) == one
    several = provider_of(f"type: entra, tenant: [{TENANT}, {OTHER}], audience: app")
    assert keys_of(several) == "https://login.microsoftonline.com/common/discovery/v2.0/keys"


@pytest.mark.parametrize(
    ("more", "name", "value"),
    [
        ("issuer: https://own.example.com", "issuers", {"https://own.example.com"}),
        ("algorithms: [ES256]", "algorithms", {"ES256"}),
        ("email_verified: if_present", "requires_verified_email", False),
        ("organization_claim: /corp/id", "organization_claim", "/corp/id"),
        ("subject_claim: email", "subject_claim", "email"),
        ("client: [web]", "clients", {"web"}),
    ],
)
def test_what_the_file_says_counts_before_the_preset(more: str, name: str, value: Any) -> None:
    assert getattr(provider_of(f"{GOOGLE}, {more}"), name) == value
    key = more.partition(":")[0]
    assert key not in dict(loaded(f"{GOOGLE}, {more}").expansions[0].says), "it is not told as the preset's"


def test_other_places_of_keys_take_the_place_of_the_presets() -> None:
    provider = provider_of(f"{GOOGLE}, jwks_uri: http://127.0.0.1:1/keys")
    assert keys_of(provider) == "http://127.0.0.1:1/keys"
    jwks = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})
    text = whole("type: better_auth, url: http://localhost:3000, jwks_file: keys.json")
    (source,) = read(text, {}, {"keys.json": jwks.encode()}).providers[0].key_sources()
    assert source.jwks_uri is None and source.keys is not None


@pytest.mark.parametrize(
    ("written", "variable", "held", "issuer"),
    [
        ("type: supabase", "SUPABASE_URL", "https://abcd.supabase.co", "https://abcd.supabase.co/auth/v1"),
        ("type: better_auth", "BETTER_AUTH_URL", "http://localhost:3000", "http://localhost:3000"),
        ("type: workos", "WORKOS_CLIENT_ID", "client_1", "https://api.workos.com/user_management/client_1"),
    ],
)
def test_variable_of_the_issuers_own_tools_is_read(written: str, variable: str, held: str, issuer: str) -> None:
    assert issuer in (provider_of(written, {variable: held}).issuers or ())
    assert f"{variable} is not set" in mistakes(whole(written))[0]
    (said,) = mistakes(whole(written), {variable: "no address {"})
    assert variable in said and "no address" not in said
    shown = str(loaded(written, {variable: held}).expansions)
    assert f"${{{variable}}}" in shown.replace(repr(held), "")


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("http://localhost:3000", "http://localhost:3000/api/auth/jwks"),
        ("http://localhost:3000/", "http://localhost:3000/api/auth/jwks"),
        ("http://localhost:3000/api/auth", "http://localhost:3000/api/auth/jwks"),
        ("http://localhost:3000/auth/", "http://localhost:3000/auth/jwks"),
    ],
)
def test_keys_of_better_auth_are_below_its_base_path(url: str, keys: str) -> None:
    assert keys_of(provider_of(f"type: better_auth, url: {url}")) == keys


def test_variable_under_the_name_of_a_framework_is_named() -> None:
    (said,) = mistakes(whole("type: supabase"), {"VITE_SUPABASE_URL": "https://abcd.supabase.co"})
    assert "SUPABASE_URL is not set (VITE_SUPABASE_URL is: write ${VITE_SUPABASE_URL})" in said


def test_file_counts_before_the_environment() -> None:
    provider = provider_of("type: supabase, project: abcd", {"SUPABASE_URL": "https://other.example.com"})
    assert provider.issuers == frozenset({"https://abcd.supabase.co/auth/v1"})


def test_value_of_a_variable_is_in_no_message() -> None:
    text = whole('type: keycloak, url: "${URL}", realm: corp, audience: app')
    (said,) = mistakes(text, {"URL": "http://hidden.example"})
    assert "providers.them.url: found an http address that is not loopback" in said
    assert "hidden" not in full(text, {"URL": "http://hidden.example"})
    config = loaded('type: cognito, user_pool: "${POOL}", client: a', {"POOL": "eu-west-1_Hidden"})
    assert "Hidden" not in str([config.expansions[0].says]) and "(region of ${POOL})" in str(config.expansions[0].says)


MISTAKES = [
    ("type: google", "'audience' is missing, expected your OAuth client id"),
    ("type: google, audience: none", "audience: found none, which does not go with this type: Google signs tokens for"),
    (f"{GOOGLE}, hosted_domain: '@a.example'", "hosted_domain: found '@a.example' with an '@'"),
    (f"{GOOGLE}, algorithms: [HS256]", "found HS256, expected RS256, ES256, EdDSA or their kind"),
    (f"{GOOGLE}, tenant: x", "unknown key (it belongs to type entra)"),
    ("type: entra, audience: app", "'tenant' is missing, expected the tenant's id"),
    ("type: entra, tenant: common, audience: app", "(did you mean 'any'?)"),
    ("type: entra, tenant: organizations, audience: app", "(did you mean 'any'?)"),
    ("type: entra, tenant: consumers, audience: app", "9188040d-6c67-4c5b-b112-36a304b66dad"),
    ("type: entra, tenant: corp.onmicrosoft.com, audience: app", "which is a domain: tokens have"),
    ("type: entra, tenant: 11111111, audience: app", "found '11111111', expected a tenant id"),
    (f"type: entra, tenant: [any, {TENANT}], audience: app", "tenant[0]: found 'any', expected a tenant id"),
    ("type: entra, tenant: any, audience: app, email_verified: if_present", "which does not go with this type: of any"),
    ("type: okta, domain: https://corp.okta.com/oauth2", "(did you mean 'corp.okta.com'?)"),
    ("type: okta, domain: corp-admin.okta.com", "which is that of Okta's admin console, expected"),
    ("type: okta, domain: corp.okta.com, authorization_server: aus1", "'audience' is missing, expected the"),
    ("type: okta, domain: corp.okta.com, authorization_server: a/b", "authorization_server: found 'a/b', expected"),
    ("type: keycloak, url: https://sso.example.com, audience: x", "'realm' is missing"),
    ("type: keycloak, url: https://sso.example.com, realm: corp", "'audience' is missing, expected what an"),
    ("type: keycloak, url: https://sso.example.com, realm: a/b, audience: x", "realm: found 'a/b'"),
    ("type: keycloak, url: 'https://sso.example.com/{tid}', realm: a, audience: x", "with a brace"),
    ("type: keycloak, url: 'https://sso.example.com?x', realm: a, audience: x", "with a query or fragment"),
    ("type: cognito, user_pool: Ab12, client: a", "expected a user pool id such as eu-west-1_Ab12Cd34E"),
    ("type: cognito, user_pool: eu-west-1_Ab12", "'client' is missing, expected the clients whose tokens count"),
    ("type: cognito, user_pool: eu-west-1_Ab12, client: a, token_use: refresh", "expected access or id"),
    ("type: supabase, project: abcd, url: https://a.example", "found project and url, expected one of them"),
    ("type: supabase, project: https://abcd.supabase.co", "(an address stands in 'url')"),
    ("type: supabase, project: abcd, email_verified_claim: /user_metadata/x", "which users write themselves"),
    ("type: supabase, project: abcd, roles_claim: user_metadata", "expected one that they cannot change"),
    ("type: supabase, url: https://abcd.supabase.co/auth/v1", "(did you mean 'https://abcd.supabase.co'?)"),
    ("type: keycloak, url: https://sso.example.com/realms/corp, realm: corp, audience: x",
     "(did you mean 'https://sso.example.com'?)"),
    ("type: firebase, project: p-1, audience: none", "Firebase signs tokens for every application with the same keys"),
    ("type: firebase, project: P 1", "project: found 'P 1', expected a project id"),
    ("type: workos, client_id: a/b", "client_id: found 'a/b', expected a client id"),
    ("type: better_auth, url: http://app.example.com", "found an http address that is not loopback"),
    ("type: better_auth, url: app.example.com", "(did you mean 'https://app.example.com'?)"),
    ("type: oidc, realm: x, issuer: https://a.example, audience: x", "unknown key (it belongs to type keycloak)"),
]  # fmt: skip


@pytest.mark.parametrize(
    "written",
    [
        *(f"tenant: {tenant}, audience: x, type: entra"
          for tenant in ("Common", "ANY", "'*'", "'{tid}'", "''", "[]", f"{TENANT[:-1]}", f"'{TENANT}/v2.0'",
                         f"'{TENANT}@evil.example'", f'"{TENANT}\\n"')),
        *(f"type: supabase, project: abcd, {key}: {name}"
          for key in ("roles_claim", "groups_claim", "email_claim", "email_verified_claim", "organization_claim",
                      "permissions_claim", "subject_claim", "client_claim", "scopes_claim")
          for name in ("user_metadata", "/user_metadata/x", "/user_metadata/x/y")),
        "type: keycloak, audience: x, realm: r, url: 'https://u:p@sso.example.com'",
        "type: keycloak, audience: x, realm: '{tid}', url: https://sso.example.com",
        "type: okta, domain: 'a.okta.com/x'",
        "type: okta, domain: a.okta.com, authorization_server: ../x, audience: x",
        "type: cognito, client: c, user_pool: evil_A",
        "type: supabase, project: a.b",
        "type: better_auth, url: 'file:///etc'",
    ],
)  # fmt: skip
def test_what_would_lead_elsewhere_is_refused(written: str) -> None:
    assert len(mistakes(whole(written))) == 1


@pytest.mark.parametrize(("written", "expected"), MISTAKES)
def test_mistake_is_told_once_and_at_its_place(written: str, expected: str) -> None:
    (said,) = mistakes(whole(written))
    assert expected in said
    assert re.match(r"2:\d+: providers\.them", said)


def test_all_mistakes_of_a_preset_come_out_of_one_run() -> None:
    said = mistakes(whole("type: cognito, user_pool: x, token_use: y, bogus: z"))
    assert len(said) == 4  # and the client is missing


def test_every_row_is_written_in_words_of_the_file() -> None:
    keys = {field.name for field in RECORDS["oidc"].fields}
    for name, row in PRESETS.items():
        own = {one.key.name for one in row.parameters} | {also for one in row.parameters for also in one.also}
        for words in row.words:
            assert set(words.says) <= keys, name
            told = [text for said in words.says.values() for text in ((said,) if isinstance(said, str) else said)]
            braces = {brace for text in (*told, *words.claims.values()) for brace in re.findall(r"\{(\w+)\}", text)}
            assert braces <= own | {"tid"}, name
        assert set(row.either) <= own and set(row.needs) <= keys


def test_two_tenants_on_one_route_are_told_apart_and_a_preset_from_its_own_words() -> None:
    def routed(other: str) -> list[str]:
        return mistakes(
            "upstream: http://localhost:4111\n"
            f"providers: {{a: {{type: entra, tenant: {TENANT}, audience: x}}, b: {{{other}}}}}\n"
            "routes: {/api: {provider: [a, b], allow: authenticated}}\n"
        )

    assert routed(f"type: entra, tenant: {OTHER}, audience: x") == []
    assert routed(f"type: entra, tenant: {TENANT}, audience: y") != []
    assert routed("type: entra, tenant: any, audience: y") != []


@pytest.mark.parametrize(
    ("provider", "rule", "warnings"),
    [
        (GOOGLE, "authenticated", ["everybody with a Google account has a token of 'them' that counts"]),
        (GOOGLE, "{email_domain: corp.example}", []),
        (f"{GOOGLE}, hosted_domain: corp.example", "authenticated", []),
        ("type: entra, tenant: any, audience: x", "authenticated", ["everybody with an account of Microsoft"]),
        (f"type: entra, tenant: {TENANT}, audience: x", "authenticated", []),
        (f"type: entra, tenant: {TENANT}, audience: x", "{email_domain: a.example}", ["xms_edov"]),
        (f"type: entra, tenant: {TENANT}, audience: x, email_claim: upn", "{email_domain: a.example}", []),
        ("type: cognito, user_pool: eu-west-1_A, client: a", "{email_domain: a.example}", ["'token_use: id'"]),
        ("type: cognito, user_pool: eu-west-1_A, client: a, token_use: id", "{email_domain: a.example}", []),
        ("type: workos, client_id: c", "{email_domain: a.example}", ["JWT template"]),
        ("type: okta, domain: corp.okta.com", "{email_domain: a.example}", ["'email_claim: sub'"]),
        ("type: supabase, project: abcd", "{email_domain: a.example}", []),
    ],
)
def test_warnings(provider: str, rule: str, warnings: list[str]) -> None:
    found = loaded(provider, rule=rule).warnings
    assert len(found) == len(warnings), found
    assert all(expected in said for expected, said in zip(warnings, found, strict=True))


def test_check_says_what_a_preset_stands_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(whole(f"{GOOGLE}, hosted_domain: corp.example"))
    assert run_command(["check", "-c", str(file)]) == 0
    assert (
        "them: google stands for type oidc with\n"
        "  issuer: [https://accounts.google.com, accounts.google.com]\n"
    ) in (printed := capsys.readouterr().out)  # fmt: skip
    assert "  and the claim hd is corp.example in every token\n" in printed
    assert run_command(["check", "-c", str(file), "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["presets"].values()
    assert said["type"] == "google" and said["claims"] == {"hd": ["corp.example"]}
    assert said["stands_for"]["jwks_uri"] == ["https://www.googleapis.com/oauth2/v3/certs"]


def test_nothing_but_expansion_knows_a_preset() -> None:
    # The decision never hears of Google: what a row says is an ordinary provider.
    policy = Path(expand.__code__.co_filename).parents[1] / "policy"
    names = re.compile(rf"\b({'|'.join(PRESETS)})\b")
    code = {path.name: names.findall(path.read_text(encoding="utf-8")) for path in policy.glob("*.py")}
    assert {name: found for name, found in code.items() if found} == {}

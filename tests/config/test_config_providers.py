"""Four presets, one record: what each makes of its keys and of the environment, and what it refuses."""

from __future__ import annotations

import base64

import pytest

from gateway.policy.providers import BEARER, KeySource, Provider, TokenSource
from tests.configuring import ALL_TYPES, SECRET, file_with, full, mistakes, read

OTHER_SECRET = "Zk3vQm8xT1pLr6yWb9nHc4sJd7fGa2eU"


def publishable_key(host: str, kind: str = "test") -> str:
    return f"pk_{kind}_" + base64.b64encode(f"{host}$".encode()).decode()


PUBLISHABLE = publishable_key("happy-cat-1.clerk.accounts.dev")


def provider(
    written: str, environment: dict[str, str] | None = None, mounted: dict[str, bytes] | None = None
) -> Provider:
    text = file_with(
        providers=f"providers: {{p: {written}}}", routes="routes: {/api: {provider: p, allow: authenticated}}"
    )
    return read(text, environment, mounted).providers[0]


def told(written: str, environment: dict[str, str] | None = None, mounted: dict[str, bytes] | None = None) -> list[str]:
    text = file_with(
        providers=f"providers: {{p: {written}}}", routes="routes: {/api: {provider: p, allow: authenticated}}"
    )
    return mistakes(text, environment, mounted)


def test_jwt_preset() -> None:
    found = provider(f"{{type: jwt, secret: {SECRET}}}")
    assert (found.name, found.kind, found.algorithms) == ("p", "jwt", frozenset({"HS256"}))
    assert [key.material for key in found.secrets] == [SECRET.encode()]
    assert (found.issuers, found.audiences, found.key_source, found.requires_expiry) == (None, None, None, True)


def test_jwt_with_every_key() -> None:
    found = provider(
        f"""{{type: jwt, secrets: [{SECRET * 2}, "{OTHER_SECRET * 2}"], algorithms: [HS256, HS512], expiry: optional,
        issuer: [a, b], audience: x, leeway: 0s, subject_claim: uid, email_claim: mail, email_verified: required,
        roles_claim: r, groups_claim: g, token_from: [bare, {{query: token}}, websocket_protocol]}}"""
    )
    assert len(found.secrets) == 2
    assert (found.issuers, found.audiences, found.leeway_seconds) == (frozenset({"a", "b"}), frozenset({"x"}), 0.0)
    assert (found.requires_expiry, found.requires_verified_email) == (False, True)
    assert (found.subject_claim, found.email_claim, found.roles_claim, found.groups_claim) == ("uid", "mail", "r", "g")
    assert found.token_sources == (
        TokenSource("bare"),
        TokenSource("query", "token"),
        TokenSource("websocket_protocol"),
    )


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MASTRA_JWT_SECRET": SECRET, "JWT_AUTH_SECRET": OTHER_SECRET}, SECRET),
        ({"JWT_AUTH_SECRET": OTHER_SECRET}, OTHER_SECRET),
        ({"MASTRA_JWT_SECRET": "", "JWT_AUTH_SECRET": OTHER_SECRET}, OTHER_SECRET),
    ],
)
def test_jwt_secret_comes_from_the_environment_as_in_mastra(environment: dict[str, str], expected: str) -> None:
    assert provider("{type: jwt}", environment).secrets[0].material == expected.encode()


def test_secret_of_a_file_loses_only_its_line_break() -> None:
    found = provider("{type: jwt, secret_file: jwt}", mounted={"jwt": f" {SECRET} \n".encode()})
    assert found.secrets[0].material == f" {SECRET} ".encode()


def test_secret_of_mastras_guide_is_taken() -> None:
    assert provider("{type: jwt, secret: supersecretdevkeythatishs256safe!}").secrets


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("short", "found 5 bytes, expected at least 32 (RFC 7518 section 3.2)"),
        ("a" * 40, "found one character repeated"),
        ("your-256-bit-secret-your-256-bit-secret", "found a well-known placeholder"),
        ("-----BEGIN PUBLIC KEY-----MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A", "found a key or certificate"),
    ],
)
@pytest.mark.parametrize("way", ["file", "variable", "environment", "mounted"])
def test_weak_secret_is_refused_wherever_it_comes_from(secret: str, expected: str, way: str) -> None:
    found = {
        "file": lambda: told(f"{{type: jwt, secret: '{secret}'}}"),
        "variable": lambda: told('{type: jwt, secret: "${S}"}', {"S": secret}),
        "environment": lambda: told("{type: jwt}", {"MASTRA_JWT_SECRET": secret}),
        "mounted": lambda: told("{type: jwt, secret_file: s}", mounted={"s": secret.encode()}),
    }[way]()
    assert len(found) == 1
    assert expected in found[0]
    assert secret not in found[0]


@pytest.mark.parametrize(("algorithm", "least"), [("HS384", 48), ("HS512", 64)])
@pytest.mark.parametrize("way", ["file", "environment"])
def test_secret_is_as_long_as_its_longest_hash(algorithm: str, least: int, way: str) -> None:
    secret = (SECRET * 2)[: least - 1]  # RFC 7518 section 3.2; Wycheproof json_web_key 11 and 12
    written = {"file": f"{{type: jwt, secret: {secret}", "environment": "{type: jwt"}[way]
    found = told(f"{written}, algorithms: [HS256, {algorithm}]}}", {"MASTRA_JWT_SECRET": secret})
    assert len(found) == 1
    assert f"found HS256 and {algorithm} beside a short secret: found {least - 1} bytes" in found[0]
    assert secret not in found[0]
    assert not told(f"{{type: jwt, secret: {secret}x, algorithms: [HS256, {algorithm}]}}")


def test_auth0_preset() -> None:
    found = provider("{type: auth0, domain: Tenant.eu.auth0.com, audience: [https://api, b]}")
    assert found.issuers == frozenset({"https://tenant.eu.auth0.com/"})
    assert found.audiences == frozenset({"https://api", "b"})
    assert found.key_source == KeySource(None, "https://tenant.eu.auth0.com/.well-known/jwks.json")
    assert (found.algorithms, found.types, found.token_sources) == (
        frozenset({"RS256"}),
        frozenset({"jwt", "at+jwt"}),
        (BEARER,),
    )


def test_auth0_takes_several_issuers_and_another_address_of_keys() -> None:
    found = provider("{type: auth0, issuer: [https://a/, https://b/], jwks_uri: https://a/keys, audience: x}")
    assert found.issuers == frozenset({"https://a/", "https://b/"})
    assert found.key_source == KeySource(None, "https://a/keys")


def test_auth0_takes_domain_and_audience_from_the_environment() -> None:
    found = provider("{type: auth0}", {"AUTH0_DOMAIN": "t.auth0.com", "AUTH0_AUDIENCE": "x"})
    assert (found.issuers, found.audiences) == (frozenset({"https://t.auth0.com/"}), frozenset({"x"}))


def test_clerk_needs_only_a_publishable_key() -> None:
    found = provider(f"{{type: clerk, publishable_key: {PUBLISHABLE}}}")
    assert found.issuers == frozenset({"https://happy-cat-1.clerk.accounts.dev"})
    assert found.key_source == KeySource(None, "https://happy-cat-1.clerk.accounts.dev/.well-known/jwks.json")
    assert (found.algorithms, found.types, found.clerk_kinds) == (
        frozenset({"RS256"}),
        frozenset({"jwt"}),
        frozenset({"session"}),
    )
    assert (found.audiences, found.authorized_parties) == (None, None)


def test_clerk_publishable_key_without_padding_is_read() -> None:
    found = provider(f"{{type: clerk, publishable_key: {publishable_key('clerk.example.com', 'live').rstrip('=')}}}")
    assert found.issuers == frozenset({"https://clerk.example.com"})


@pytest.mark.parametrize(
    ("written", "environment", "issuer", "keys"),
    [
        pytest.param(
            "jwks_uri: https://c.example/.well-known/jwks.json",
            {},
            "https://c.example",
            "https://c.example/.well-known/jwks.json",
            id="origin-of-jwks-uri",
        ),
        pytest.param(
            "jwks_uri: https://C.example:443/k, issuer: https://i.example",
            {},
            "https://i.example",
            "https://C.example:443/k",
            id="issuer-beside-jwks-uri",
        ),
        pytest.param(
            "issuer: https://i.example", {}, "https://i.example", "https://i.example/.well-known/jwks.json", id="issuer"
        ),
        pytest.param(
            f"jwks_uri: https://api.clerk.com/v1/jwks, publishable_key: {PUBLISHABLE}",
            {},
            "https://happy-cat-1.clerk.accounts.dev",
            "https://api.clerk.com/v1/jwks",
            id="backend-api-and-key",
        ),
        pytest.param(
            "leeway: 5s",
            {"CLERK_JWKS_URI": "https://c.example/k"},
            "https://c.example",
            "https://c.example/k",
            id="environment-uri",
        ),
        pytest.param(
            "leeway: 5s",
            {"CLERK_PUBLISHABLE_KEY": PUBLISHABLE, "CLERK_SECRET_KEY": "sk_test_x"},
            "https://happy-cat-1.clerk.accounts.dev",
            "https://happy-cat-1.clerk.accounts.dev/.well-known/jwks.json",
            id="environment-key",
        ),
        pytest.param(
            f"publishable_key: {PUBLISHABLE}",
            {"CLERK_JWKS_URI": "https://other.example/k"},
            "https://happy-cat-1.clerk.accounts.dev",
            "https://happy-cat-1.clerk.accounts.dev/.well-known/jwks.json",
            id="file-before-environment",
        ),
        pytest.param(
            "issuer: https://i.example",
            {"CLERK_JWKS_URI": "https://c.example/k"},
            "https://i.example",
            "https://c.example/k",
            id="issuer-of-the-file-and-uri-of-the-environment",
        ),
        pytest.param(
            "jwks_uri: https://c.example/k",
            {"CLERK_PUBLISHABLE_KEY": PUBLISHABLE},
            "https://c.example",
            "https://c.example/k",
            id="uri-of-the-file-before-key-of-the-environment",
        ),
    ],
)
def test_clerk_addresses(written: str, environment: dict[str, str], issuer: str, keys: str) -> None:
    found = provider(f"{{type: clerk, {written}}}", environment)
    assert found.issuers == frozenset({issuer})
    assert found.key_source == KeySource(None, keys)


def test_clerk_with_every_key() -> None:
    found = provider(
        f"""{{
        type: clerk, publishable_key: {PUBLISHABLE}, azp: if_present,
        authorized_parties: [https://app.example.com], origins: https://admin.example.com,
        accept: [session, template], token_from: [bearer, {{cookie: __session}}]
        }}"""
    )
    assert found.authorized_parties == frozenset({"https://app.example.com"})
    assert found.requires_authorized_party is False
    assert found.clerk_kinds == {"session", "template"}
    assert found.token_sources == (BEARER, TokenSource("cookie", "__session"))
    assert found.origins == {"https://app.example.com", "https://admin.example.com"}


def test_oidc_finds_its_keys_by_discovery() -> None:
    found = provider("{type: oidc, issuer: https://login.example.com/, audience: mastra}")
    assert found.issuers == frozenset({"https://login.example.com/"})
    assert found.key_source == KeySource("https://login.example.com/", None)


def test_oidc_with_every_key() -> None:
    found = provider(
        """{type: oidc, issuer: [accounts.example.com, https://b], audience: none, jwks_uri: http://keys.internal/k,
        allow_http: true, algorithms: [RS256, ES256, EdDSA],
        jwks: {ttl: 4s, stale_if_error: 0s, timeout: 2s, cooldown: 1s, max_size: 64KiB}}"""
    )
    assert found.audiences is None
    assert found.algorithms == {"RS256", "ES256", "EdDSA"}
    assert found.key_source == KeySource(None, "http://keys.internal/k", True, 4.0, 0.0, 2.0, 1.0, 65536)


def test_audience_that_is_called_none_is_written_in_quotes() -> None:
    assert provider('{type: oidc, issuer: https://i, audience: "none"}').audiences == frozenset({"none"})


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.9.9.9", "localhost", "[::1]:1"])
def test_http_is_taken_on_loopback(host: str) -> None:
    assert provider(f"{{type: oidc, issuer: 'http://{host}', audience: x}}").issuers == frozenset({f"http://{host}"})


@pytest.mark.parametrize(
    "written",
    [
        "{type: oidc, issuer: http://idp.internal, audience: x}",
        "{type: oidc, issuer: HTTP://idp.internal, audience: x}",
        "{type: oidc, issuer: http://10.0.0.1, audience: x}",
        "{type: oidc, issuer: http://localhost.evil.example, audience: x}",
        "{type: oidc, issuer: http://127.0.0.1.evil.example, audience: x}",
        "{type: oidc, issuer: https://i, jwks_uri: http://keys.internal/k, audience: x}",
        "{type: clerk, jwks_uri: http://clerk.internal/k}",
        "{type: auth0, domain: t.auth0.com, jwks_uri: http://t.internal/k, audience: x}",
    ],
)
def test_http_is_refused_elsewhere_unless_asked_for(written: str) -> None:
    found = told(written)
    assert len(found) == 1
    assert "found an http address that is not loopback, expected https://... ('allow_http: true'" in found[0]
    assert not told(written[:-1] + ", allow_http: true}")


CLERK = f"type: clerk, publishable_key: {PUBLISHABLE}"
OIDC = "type: oidc, issuer: https://i, audience: x"
MISTAKES = [
    ("{}", f"'type' is missing, expected {ALL_TYPES}"),
    ("[]", "expected a provider: {type: jwt}"),
    ("{typ: jwt}", "unknown key (did you mean 'type'?)"),
    ("{type: cas}", f"found 'cas', expected {ALL_TYPES}"),
    ("{type: auth}", "(did you mean 'auth0'?)"),
    ("{type: jwt}", "no secret is given, and neither MASTRA_JWT_SECRET nor JWT_AUTH_SECRET is set"),
    ("{type: jwt, secret: ''}", "found an empty value"),
    (f"{{type: jwt, secret: {SECRET}, secrets: [{SECRET}]}}", "found secret and secrets, expected one of them"),
    ("{type: jwt, secrets: []}", "found an empty list"),
    (f"{{type: jwt, secrets: [{SECRET}, {SECRET}]}}", "found a value that is not shown twice in one list"),
    ("{type: jwt, secret_file: gone}", "the file cannot be read: No such file or directory"),
    # Key confusion: CVE-2016-5431, CVE-2022-29217, CVE-2026-39999.
    (f"{{type: jwt, secret: {SECRET}, algorithms: [HS256, RS256]}}", "found HS256 beside RS256, expected one family"),
    (f"{{type: jwt, secret: {SECRET}, algorithms: RS256}}", "found RS256, expected HS256, HS384 or HS512"),
    (f"{{{OIDC}, algorithms: [HS256]}}", "found HS256, expected RS256, ES256"),
    (f"{{{OIDC}, algorithms: [RS256, HS256]}}", "found HS256 beside RS256"),
    (f"{{{OIDC}, algorithms: [none]}}", "which is a token without a signature"),
    (f"{{{OIDC}, algorithms: [None]}}", "which is a token without a signature"),
    (f"{{{OIDC}, algorithms: []}}", "found an empty list"),
    (f"{{{OIDC}, algorithms: [RS265]}}", "(did you mean 'RS256'?)"),
    (f"{{{OIDC}, algorithms: [ES256K]}}", "expected an algorithm such as"),
    (f"{{type: jwt, secret: {SECRET}, domain: x}}", "unknown key (it belongs to type auth0, okta)"),
    (f"{{type: jwt, secret: {SECRET}, jwks_uri: https://x}}", "unknown key (it belongs to type clerk, auth0, oidc)"),
    (f"{{{OIDC}, secret: {SECRET}}}", "unknown key (it belongs to type jwt)"),
    (f"{{{OIDC}, expiry: optional}}", "unknown key (it belongs to type jwt)"),
    (f"{{{CLERK}, secret_key: sk_test}}", "no secret of Clerk is needed: leave it out"),
    ("{type: clerk}", "the instance is unknown, expected 'publishable_key' or 'jwks_uri'"),
    ("{type: clerk, publishable_key: pk_test_x}", "found no publishable key"),
    ("{type: clerk, publishable_key: sk_test_aGFwcHkk}", "found no publishable key"),
    (f"{{type: clerk, publishable_key: {publishable_key('a b')}}}", "found no publishable key"),
    (f"{{type: clerk, publishable_key: {publishable_key('evil.example/')}}}", "found no publishable key"),
    ("{type: clerk, jwks_uri: https://api.clerk.com/v1/jwks}", "found the address of Clerk's Backend API"),
    ("{type: clerk, jwks_uri: clerk.example.com}", "without a scheme"),
    (f"{{{CLERK}, azp: if_present}}", "found azp without 'authorized_parties'"),
    (f"{{{CLERK}, authorized_parties: [app.example.com]}}", "expected an origin"),
    (f"{{{CLERK}, authorized_parties: []}}", "found an empty list"),
    (f"{{{CLERK}, accept: [sessions]}}", "(did you mean 'session'?)"),
    (f"{{{CLERK}, origins: https://a.example}}", "found origins without a cookie"),
    ("{type: auth0, audience: x}", "'domain' is missing and AUTH0_DOMAIN is not set"),
    ("{type: auth0, domain: t.auth0.com}", "'audience' is missing and AUTH0_AUDIENCE is not set"),
    ("{type: auth0, domain: t.auth0.com, audience: none}", "found none, expected the API's identifier"),
    ("{type: auth0, domain: https://t.auth0.com/, audience: x}", "with a scheme"),
    ("{type: auth0, domain: https://t.auth0.com/, audience: x}", "(did you mean 't.auth0.com'?)"),
    ("{type: auth0, domain: t.auth0.com/x, audience: x}", "with a path or user"),
    ("{type: auth0, domain: t.auth0.com/, audience: x}", "(did you mean 't.auth0.com'?)"),
    ("{type: auth0, domain: https://t.auth0.com/oauth, audience: x}", "(did you mean 't.auth0.com'?)"),
    ("{type: auth0, domain: 't.auth0.com:99999', audience: x}", "with a port that cannot be"),
    ("{type: oidc, audience: x}", "'issuer' is missing"),
    ("{type: oidc, issuer: https://i}", "'audience' is missing"),
    ("{type: oidc, issuer: https://i, audience: []}", "found an empty list"),
    ("{type: oidc, issuer: login.example.com, audience: x}", "found an issuer without a scheme"),
    ("{type: oidc, issuer: 'https://i?x', audience: x}", "found an issuer with a query or fragment"),
    (f"{{{OIDC}, leeway: 11m}}", "which is more than 600s"),
    (f"{{{OIDC}, jwks: {{ttl: 0s}}}}", "which is no time at all"),
    (f"{{{OIDC}, jwks: {{tll: 1s}}}}", "unknown key (did you mean 'ttl'?)"),
    (f"{{{OIDC}, jwks: 5m}}", "expected a mapping"),
    (
        f"{{{OIDC}, token_from: body}}",
        "expected bearer, bare, websocket_protocol, {header: NAME}, {cookie: NAME} or {query: NAME}",
    ),
    (f"{{{OIDC}, token_from: cookie}}", "found 'cookie' without a name, expected {cookie: NAME}"),
    (f"{{{OIDC}, token_from: [barer]}}", "(did you mean 'bearer'?)"),
    (f"{{{OIDC}, token_from: {{body: X}}}}", "found the keys body"),
    (f"{{{OIDC}, token_from: header}}", "found 'header' without a name, expected {header: NAME}"),
    (f"{{{OIDC}, token_from: {{header: 'a b'}}}}", "with a character that no header name has"),
    (f"{{{OIDC}, token_from: {{header: X_Token}}}}", "expected a name of letters, digits and '-' alone"),
    (f"{{{OIDC}, token_from: {{header: X.Token}}}}", "expected a name of letters, digits and '-' alone"),
    (f"{{{OIDC}, token_from: {{header: authorization}}}}", "expected the word bearer (or bare"),
    *(
        (f"{{{OIDC}, token_from: [bearer, {{header: {name}}}]}}", "which has a meaning of its own")
        for name in (
            "Cookie",
            "Host",
            "Connection",
            "Proxy-Authorization",
            "X-Forwarded-Access-Token",
            "X-Gateway-Token",
            "Origin",
            "X-Request-Id",
            "Sec-WebSocket-Protocol",
            "X-Playground-Access",
            "X-Clerk-Auth-Token",
            "Content-Type",
            "TE",
            "traceparent",
            "X-Real-IP",
            "Set-Cookie",
            "x_forwarded_for",
            "Upgrade",
            "Transfer-Encoding",
        )
    ),
    (f"{{{OIDC}, token_from: {{cookie: a, query: b}}}}", "found the keys cookie, query"),
    (f"{{{OIDC}, token_from: {{cookie: 'a b'}}}}", "which no cookie can be called"),
    (f"{{{OIDC}, token_from: {{query: 'a&b'}}}}", "which no query parameter can be called"),
    (f"{{{OIDC}, token_from: [bearer, bearer]}}", "twice in one list"),
    (f"{{{OIDC}, email_verified: true}}", "expected required or if_present"),
    (f"{{{OIDC}, subject_claim: []}}", "found an empty list"),
]


@pytest.mark.parametrize("kind", ["test", "live"])
def test_secret_key_of_clerk_in_the_publishable_ones_place_is_named_and_not_shown(kind: str) -> None:
    key = f"sk_{kind}_h7unter2HUNTER2hunter2"
    said = full(file_with(providers=f"providers: {{jobs: {{type: clerk, publishable_key: {key}}}}}"))
    assert "found no publishable key but Clerk's secret one, which is not needed, expected the publishable key" in said
    assert "h7unter2" not in said and "publishable_key: ***" in said
    found = mistakes(file_with(providers="providers: {jobs: {type: clerk}}"), {"CLERK_PUBLISHABLE_KEY": key})
    assert found[0].partition(": ")[2].startswith("providers.jobs: CLERK_PUBLISHABLE_KEY: found no publishable key but")
    anywhere = full(file_with(providers=f"providers: {{jobs: {{type: clerk, jwks_uri: {key}, domian: '{key}'}}}}"))
    assert anywhere and "h7unter2" not in anywhere


@pytest.mark.parametrize(("written", "expected"), MISTAKES)
def test_mistake_in_a_provider_is_told(written: str, expected: str) -> None:
    found = told(written)
    assert len(found) == 1, found
    assert expected in found[0]
    assert "providers.p" in found[0]


@pytest.mark.parametrize(
    ("written", "environment", "expected"),
    [
        (
            "{type: auth0}",
            {"AUTH0_DOMAIN": "https://x", "AUTH0_AUDIENCE": "x"},
            "AUTH0_DOMAIN: found a value with a scheme",
        ),
        ("{type: clerk}", {"CLERK_JWKS_URI": "x"}, "CLERK_JWKS_URI: found a value"),
        ("{type: clerk}", {"CLERK_PUBLISHABLE_KEY": "x"}, "CLERK_PUBLISHABLE_KEY: found no publishable key"),
        ("{type: clerk}", {"CLERK_JWKS_URI": "http://c.internal/k"}, "found an http address that is not loopback"),
    ],
)
def test_mistake_in_the_environment_names_its_variable(
    written: str, environment: dict[str, str], expected: str
) -> None:
    found = told(written, environment)
    assert len(found) == 1
    assert expected in found[0]


def test_independent_mistakes_of_a_provider_are_told_together() -> None:
    found = told("{type: oidc, algorithms: [HS256], issuer: http://x.internal, leway: 5s}")
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "providers.p",
        "providers.p.algorithms",
        "providers.p.issuer",
        "providers.p.leway",
    ]


@pytest.mark.parametrize("name", ["'a b'", "-x", "''", "a/b", "x" * 64])
def test_name_that_does_not_stand_well_in_logs_is_refused(name: str) -> None:
    found = mistakes(file_with(providers=f"providers: {{jobs: {{type: jwt, secret: {SECRET}}}, {name}: {{{OIDC}}}}}"))
    assert "found a name that is not made of letters" in found[0]

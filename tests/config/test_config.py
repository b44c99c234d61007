"""A whole file: the examples of the product's page, every mistake in one run, and no other exception, ever."""

from __future__ import annotations

import base64
import string
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.config.document import ConfigError
from gateway.config.file import load, load_text
from gateway.config.model import Address, Config, Cors, Limits
from gateway.config.parse import decode
from gateway.policy.fields import Verdict
from gateway.policy.upstreams import Fact, Identity, Upstream
from tests.configuring import SECRET, file_with, full, mistakes, no_file, read

ENVIRONMENT = {
    "AUTH0_DOMAIN": "tenant.eu.auth0.com",
    "AUTH0_AUDIENCE": "https://api.example.com",
    "MASTRA_JWT_SECRET": SECRET,
    "CLERK_JWKS_URI": "https://clerk.example.com/.well-known/jwks.json",
    "CLERK_PUBLISHABLE_KEY": "pk_test_" + base64.b64encode(b"happy-cat-1.clerk.accounts.dev$").decode(),
    "OIDC_ISSUER": "https://login.example.com",
    "OIDC_AUDIENCE": "mastra",
}
SMALLEST = """
    upstream: http://localhost:4111
    providers:
      staff: {type: auth0}                 # AUTH0_DOMAIN, AUTH0_AUDIENCE from the environment
    routes:
      /api:
        provider: staff
        allow: {email_domain: yourcompany.com}
"""
EVERYTHING = """
    listen: 0.0.0.0:8080
    # tls: {certificate_file: /run/secrets/tls.crt, key_file: /run/secrets/tls.key}
    admin: 127.0.0.1:9090
    workers: 1
    trusted_proxies: []
    limits: {header_size: 32KiB, header_timeout: 10s, body_size: 5MiB, body_idle_timeout: 30s}
    strip_headers: [Remote-User, X-User-*]

    upstreams:
      mastra:
        url: ${MASTRA_URL:-http://mastra:4111}
        connect_timeout: 5s
        response_timeout: 190s
        idle_timeout: 5m
        encoded_slash: keep
        identity:
          authorization: sign
          secret: ${MASTRA_JWT_SECRET}
          ttl: 60s
          claims: [sub, email, org]
          headers:
            X-Auth-Subject: subject
            X-Auth-Email: email
            X-Auth-Plan: claim:https://example.com/plan

    providers:
      jobs:
        type: jwt
        secret: ${MASTRA_JWT_SECRET}
        algorithms: [HS256]
        expiry: optional
      people:
        type: clerk
        jwks_uri: ${CLERK_JWKS_URI}
        authorized_parties: [https://app.example.com]
        token_from: [bearer, {cookie: __session}]
      staff:
        type: auth0
        domain: ${AUTH0_DOMAIN}
        audience: ${AUTH0_AUDIENCE}
        email_claim: https://example.com/email
      partners:
        type: oidc
        issuer: https://login.example.com
        audience: mastra
        algorithms: [RS256, ES256, EdDSA]
        leeway: 5s
        jwks: {ttl: 10m, stale_if_error: 1h, timeout: 5s, cooldown: 30s, max_size: 1MiB}

    rules:
      company:
        email_domain: [yourcompany.com, yourcompany.co.uk]
      operators:
        any:
          - {role: admin}
          - {permission: [agents:run, agents:read]}

    routes:
      /api:
        provider: [staff, people, jobs]
        allow: company
      /api/agents/{agent}/stream:
        provider: people
        allow:
          - when: agent in claims.agents
      POST,DELETE /api/memory:
        provider: staff
        allow: [operators]
        deny: {claim: {suspended: true}}
      /api/mcp: {provider: partners, allow: authenticated}
      /browser: {provider: staff, allow: company, websocket: true}
      GET /docs: {public: true}

    cors:
      origins: [https://app.example.com, http://localhost:3000]
      credentials: true
"""


def test_smallest_file_of_the_product_page_is_read() -> None:
    config = read(SMALLEST, ENVIRONMENT)
    assert config.upstreams == (Upstream("default", "http://localhost:4111"),)
    assert config.policy.routes[0].providers[0].issuers == frozenset({"https://tenant.eu.auth0.com/"})
    assert (config.listen, config.admin) == (Address("0.0.0.0", 8080), Address("127.0.0.1", 9090))
    assert (config.workers, config.tls, config.cors, config.drain_timeout_seconds) == (1, None, None, 30.0)
    assert config.drain_delay_seconds == 0.0
    assert config.limits == Limits()


def test_whole_file_of_the_product_page_is_read() -> None:
    config = read(EVERYTHING, ENVIRONMENT)
    assert config.limits == Limits(32 * 1024, 10.0, 5 * 1024 * 1024, 30.0)
    assert config.strip_headers == ("remote-user", "x-user-*")
    assert config.cors == Cors(frozenset({"https://app.example.com", "http://localhost:3000"}), credentials=True)
    assert config.upstreams == (
        Upstream(
            "mastra",
            "http://mastra:4111",
            keeps_encoded_slash=True,
            identity=Identity(
                "sign",
                SECRET.encode(),
                60.0,
                ("sub", "email", "org"),
                (
                    ("X-Auth-Subject", Fact("subject")),
                    ("X-Auth-Email", Fact("email")),
                    ("X-Auth-Plan", Fact("https://example.com/plan", is_claim=True)),
                ),
            ),
        ),
    )
    assert [provider.name for provider in config.providers] == ["jobs", "people", "staff", "partners"]
    assert [route.key for route in config.policy.routes] == [
        "/api",
        "/api/agents/{agent}/stream",
        "POST,DELETE /api/memory",
        "/api/mcp",
        "/browser",
        "GET /docs",
    ]


def test_ten_mistakes_give_ten_messages_with_their_places() -> None:
    found = mistakes(
        """\
        listen: 8080
        upstreams:
          mastra:
            url: http://mastra:4111/api
            conect_timeout: 5s
        providers:
          jobs: {type: jwt, secret: ${NOT_SET}}
          staff:
            type: auth0
            domain: https://tenant.eu.auth0.com
            audience: x
        rules:
          company: {email_domain: "@yourcompany.com"}
        routes:
          /api:
            provider: staf
            alow: company
          /api/mcp: {provider: staff, allow: []}
          /docs/: {public: true}
        """.replace("${NOT_SET}", '"${NOT_SET}"')
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["1:9", "listen"],
        ["4:10", "upstreams.mastra.url"],
        ["5:5", "upstreams.mastra.conect_timeout"],
        ["7:29", "providers.jobs.secret"],
        ["10:13", "providers.staff.domain"],
        ["13:27", "rules.company.email_domain"],
        ["16:15", "routes./api.provider"],
        ["17:5", "routes./api.alow"],
        ["18:38", "routes./api/mcp.allow"],
        ["19:3", "routes./docs/"],
    ]


def test_provider_that_cannot_be_read_is_not_unknown_as_well() -> None:
    text = file_with(
        providers="providers: {staff: {type: auth0, domain: 'https://x', audience: y}}",
        routes="routes: {/api: {provider: staff, allow: authenticated}}",
    )
    assert len(mistakes(text)) == 1


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        pytest.param({"upstream": ""}, "1:1: no upstream is named", id="no-upstream"),
        pytest.param(
            {"upstream": "upstrem: http://x"}, "1:1: upstrem: unknown key (did you mean 'upstream'?)", id="typo"
        ),
        pytest.param(
            {"upstreams": "upstreams: {a: {url: http://x}}"}, "1:1: upstream: found upstream and upstreams", id="both"
        ),
        pytest.param({"routes": ""}, "1:1: 'routes' is missing", id="no-routes"),
        pytest.param({"routes": "routes: {}"}, "3:9: routes: found an empty mapping", id="empty-routes"),
        pytest.param({"routes": "routes:"}, "3:1: routes: found nothing", id="routes-of-nothing"),
        pytest.param({"providers": "providers: []"}, "2:12: providers: found an empty list", id="providers-list"),
        pytest.param({"providers": "provders: {}"}, "2:1: provders: unknown key", id="providers-typo"),
        pytest.param({"providers": ""}, "2:27: routes./api.provider: unknown provider 'jobs'", id="no-providers"),
    ],
)
def test_missing_or_misspelt_section_gives_one_message(sections: dict[str, str], expected: str) -> None:
    found = mistakes(file_with(**sections))
    assert len(found) == 1
    assert found[0].startswith(expected)


# Who can put a page where the star stands? Of hosts of pages everybody, and in what is registered, too.
ORIGIN_MISTAKES = [
    *(
        (origin, "with a '*' in the name that is registered")
        for origin in (
            "https://*.com",
            "https://*.co.uk",
            "https://app-*.com",
            "https://app-*.co.uk",
            "https://a.app-*.com.au",
            "https://*.kawasaki.jp",
            "https://app-*.kawasaki.jp",
            "https://app.*",
            "https://*",
            "https://app-*-corp.com",
            "https://10.0.0.*",
            "https://*.corp",
            "http://localhos*",
        )
    ),
    *(
        (origin, "where anybody can have one")
        for origin in (
            "https://*.vercel.app",
            "https://app-*.vercel.app",
            "https://*-corp.vercel.app",
            "https://*.netlify.app",
            "https://*.github.io",
            "https://*.pages.dev",
            "https://*.herokuapp.com",
            "https://*.web.app",
            "https://*.us-east-1.elb.amazonaws.com",
            "https://*.s3.amazonaws.com",
            "https://*.run.app",
            "https://app-*.eu.ngrok.io",
            "https://*.Vercel.App",
        )
    ),
    ("https://*-*.example.com", "with more than one '*'"),
    ("https://*.*.example.com", "with more than one '*'"),
    ("https://*.example.com/", "did you mean 'https://*.example.com'? Origins have no closing"),
    ("https://*.example.com/x", "expected an origin"),
    ("https://*.example.com.", "with a dot at the end of its host"),
    ("https://user@*.example.com", "expected an origin"),
    ("https://a.example.com:*", "with a host or port that cannot be"),
    ("*://a.example.com", "expected an origin"),
    ("https://\u00e9*.example.com", "in no label of plain ASCII"),
    ("https://xn--*.example.com", "in no label of plain ASCII"),
    ("https://*_.example.com/*", "expected an origin"),
    ("chrome-extension://*", "a scheme whose hosts nobody registers"),
    ("capacitor://*.example.com", "a scheme whose hosts nobody registers"),
    ("https://[::*]", "with a"),
]
SERVER_MISTAKES = [
    (
        "listen: 8080",
        "found '8080', expected host:port, such as 0.0.0.0:8080, [::1]:8080 or :8080 (did you mean ':8080'?)",
    ),
    ("listen: localhost", "expected host:port"),
    ("listen: ::1:8080", "(an IPv6 address stands in [ ])"),
    ("listen: '[::1]'", "expected host:port"),
    ("listen: a b:80", "with a host that is no name and no address"),
    ("listen: 300.1.1.1:80", "with a host that is no name and no address"),
    ("listen: 0.0.0.0:65536", "with a port over 65535"),
    ("listen: [a]", "found a list, expected host:port"),
    ("listen:", "found nothing"),
    ("listen: 0.0.0.0:9090", "listen and admin are both on port 9090"),
    ("admin: off", "found 'off', expected a value or the word none"),
    ("admin: ''", "found an empty value"),
    ("workers: 0", "expected a whole number from 1 to 256"),
    ("workers: 010", "expected a whole number from 1 to 256"),
    ("workers: 2.5", "expected a whole number from 1 to 256"),
    ("drain_delay: 5", "found '5' without a unit"),
    ("drain_delay: -5s", "expected a duration such as 500ms, 5s, 10m or 1h"),
    ("drain_timeout: 30", "found '30' without a unit"),
    ("drain_timeout: 30 s", "expected a duration"),
    ("drain_timeout: 1d", "with an unknown unit"),
    ("drain_timeout: 1S", "with an unknown unit, expected a duration such as 500ms, 5s, 10m or 1h (did you mean 's'?)"),
    ("drain_timeout: -1s", "expected a duration"),
    ("drain_timeout: 999999999h", "which is more than"),
    ("trusted_proxies: [10.0.0.1/8]", "with bits set beyond its length, expected a network such as 10.0.0.0/8"),
    ("trusted_proxies: [10.0.0.1/8]", "(did you mean '10.0.0.0/8'?)"),
    ("trusted_proxies: [proxy.internal]", "expected a network such as 10.0.0.0/8"),
    ("trusted_proxies: [10.0.0.0/8, 10.0.0.0/8]", "twice in one list"),
    ("limits: {body_size: 5MB}", "found '5MB' with an unknown unit"),
    ("limits: {body_size: 5MB}", "(did you mean 5MiB?)"),
    ("limits: {body_size: 5}", "found '5' without a unit"),
    ("limits: {header_size: 10B}", "which is not between 1024 and 1048576 bytes"),
    ("limits: {header_timeout: 0s}", "which is no time at all"),
    ("limits: {boddy_size: 5MiB}", "unknown key (did you mean 'body_size'?)"),
    ("limits: 5MiB", "expected a mapping"),
    ("strip_headers: ['*']", "which would remove every header"),
    ("strip_headers: [X-*-A]", "with a '*' that is not at the end"),
    ("strip_headers: [Host]", "which the gateway itself needs"),
    ("strip_headers: [Cont*]", "which the gateway itself needs"),
    ("strip_headers: [Authorization]", "'authorization: strip' under 'identity'"),
    ("strip_headers: [X User]", "with a character that no header name has"),
    ("cors: {credentials: true}", "'origins' is missing"),
    ("cors: {origins: []}", "found an empty list"),
    ("cors: {origins: ['*'], credentials: true}", "found credentials with origins '*'"),
    ("cors: {origins: ['*', 'https://a.example']}", "found '*' beside others"),
    ("cors: {origins: ['https://a.example/']}", "(did you mean 'https://a.example'?"),
    *((f"cors: {{origins: ['{origin}']}}", why) for origin, why in ORIGIN_MISTAKES),
    ("cors: {origins: [app.example.com]}", "expected an origin such as https://app.example.com"),
    ("cors: {origins: ['null']}", "which every sandboxed page has"),
    (
        "cors: {origins: ['https://a.example'], credentials: 'true'}",
        'found the text "true", expected true without quotes',
    ),
    (
        "cors: {origins: ['https://a.example'], credentials: on}",
        "found 'on', expected true or false (did you mean true?)",
    ),
    ("cors: {origins: ['https://a.example'], methods: [get]}", "(did you mean 'GET'?)"),
    ("cors: {origins: ['https://a.example'], methods: [TRACE]}", "which the gateway refuses on every route"),
    ("tls: {certificate_file: crt}", "'key_file' is missing"),
    (
        "tls: {certificate_file: crt, key_file: gone}",
        "tls.key_file: the file cannot be read: No such file or directory",
    ),
    ("tls: {certificate_file: key, key_file: key}", "expected a PEM file with a certificate"),
    ("tls: {certificate_file: crt, key_file: crt}", "expected a PEM file with a private key"),
    ("upstream: mastra:4111", "without a scheme"),
    ("upstream: mastra.internal", "without a scheme"),
    ("upstream: mastra:4111", "(did you mean 'http://mastra:4111'?)"),
    ("upstream: localhost:4111", "(did you mean 'http://localhost:4111'?)"),
    ("upstream: 127.0.0.1:4111", "(did you mean 'http://127.0.0.1:4111'?)"),
    ("upstream: mastra.internal", "(did you mean 'https://mastra.internal'?)"),
    ("upstream: ftp://mastra", "with another scheme than http and https"),
    ("upstream: http://u:p@mastra", "with a user or password"),
    ("upstream: http://mastra/api", "with a path or query"),
    ("upstream: http://mastra?x", "with a path or query"),
    ("upstream: http://mastra:99999", "with a host or port that cannot be"),
    ("upstream: http://", "without a host"),
    ("upstream: 'http://ma stra'", "with a space"),
    ("upstream: http://mastra:0", "with a port that cannot be"),
]
FILES = {
    "crt": b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
    "s": SECRET.encode(),
    "key": b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
}


@pytest.mark.parametrize(("section", "expected"), SERVER_MISTAKES)
def test_mistake_about_the_gateway_itself_is_told(section: str, expected: str) -> None:
    name = section.partition(":")[0]
    found = mistakes(file_with(**{name: section}), mounted=FILES)
    assert len(found) == 1, found
    assert expected in found[0]
    assert f": {name}" in found[0]


def test_server_keys_are_read() -> None:
    config = read(
        file_with(
            rest="""
            listen: "[::1]:8443"
            admin: none
            workers: auto
            drain_delay: 1500ms
            drain_timeout: 1.5m
            trusted_proxies: [10.0.0.0/8, 192.0.2.1, "fd00::/8"]
            limits: {body_size: none, header_size: 64KiB}
            strip_headers: x_user_*
            tls: {certificate_file: crt, key_file: key}
            cors: {origins: HTTPS://App.Example.com:443, max_age: 10m, expose: []}
            """
        ),
        mounted=FILES,
    )
    assert (config.listen, config.admin) == (Address("::1", 8443), None)
    assert config.workers >= 1
    assert (config.drain_delay_seconds, config.drain_timeout_seconds) == (1.5, 90.0)
    assert config.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32"), ip_network("fd00::/8"))
    assert (config.limits.body_bytes, config.limits.header_bytes) == (None, 65536)
    assert config.strip_headers == ("x-user-*",)
    assert config.tls is not None
    assert config.tls.key_file.name == "key"
    assert config.cors == Cors(frozenset({"https://app.example.com"}), expose=(), max_age_seconds=600)
    assert [path.name for path in config.sources] == ["crt", "key"]


@pytest.mark.parametrize(
    ("written", "address"),
    [
        (":8080", Address("0.0.0.0", 8080)),
        ("localhost:0", Address("localhost", 0)),
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
    ],
)
def test_listen_addresses(written: str, address: Address) -> None:
    assert read(file_with(rest=f"listen: {written}")).listen == address


def test_numbers_and_booleans_may_come_from_variables() -> None:
    config = read(
        file_with(rest='workers: ${WORKERS}\ncors: {origins: "*", credentials: "${NO}"}'),
        {"WORKERS": "3", "NO": "false"},
    )
    assert config.workers == 3
    assert config.cors is not None
    assert config.cors.origins == {"*"}


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("https://app-*-corp.vercel.app", "https://app-*-corp.vercel.app"),
        ("HTTPS://App-*.Example.com:443", "https://app-*.example.com"),
        ("https://*.example.co.uk:8443", "https://*.example.co.uk:8443"),
        ("https://*.m\u00fcnchen.de", "https://*.xn--mnchen-3ya.de"),
        ("https://*.corp.vercel.app", "https://*.corp.vercel.app"),
        ("https://eu.*.example.com", "https://eu.*.example.com"),
        ("http://*.localhost:3000", "http://*.localhost:3000"),
        ("https://*.cluster.corp", "https://*.cluster.corp"),
    ],
)
def test_an_origin_may_have_one_star_where_nobody_else_can_have_a_page(written: str, read_as: str) -> None:
    config = read(file_with(rest=f'cors: {{origins: ["{written}", "https://app.example.com"]}}'))
    assert config.cors is not None
    assert config.cors.origins == {read_as, "https://app.example.com"}
    is_shared = written.endswith("-corp.vercel.app")
    assert [w for w in config.warnings if "anybody's to take" in w] == [
        "gateway.yaml:4:7: cors: names under vercel.app are anybody's to take, also such that"
        " https://app-*-corp.vercel.app stands for: list what you can"
    ] * is_shared


def test_origins_of_providers_take_a_star_too() -> None:
    providers = (
        "providers: {jobs: {type: clerk, issuer: 'https://i.example', jwks_uri: 'https://i.example/k',"
        " authorized_parties: ['https://a-*-b.vercel.app'], origins: ['https://*.example.com'],"
        " token_from: [bearer, {cookie: __session}]}}"
    )
    config = read(file_with(providers=providers))
    (provider,) = config.providers
    assert "https://x.example.com" in provider.pages and "https://a-1-b.vercel.app" in provider.pages
    assert "https://a-1-b.vercel.app" in provider.parties and "https://x.example.com" not in provider.parties
    assert [w.partition(": ")[2][:43] for w in config.warnings] == ["providers.jobs.authorized_parties: names un"]


UPSTREAM_MISTAKES = [
    ("{}", "'url' is missing"),
    ("http://x", "expected a mapping"),
    ("{url: http://x, ca_file: crt}", "found ca_file with an http address"),
    ("{url: https://x, ca_file: key}", "expected a PEM file with a certificate"),
    ("{url: http://x, encoded_slash: true}", "found 'true', expected refuse or keep"),
    ("{url: http://x, identity: {authorization: sing}}", "(did you mean 'sign'?)"),
    ("{url: http://x, identity: {authorization: sign}}", "'authorization: sign' needs a secret"),
    ("{url: http://x, identity: {authorization: sign, secret: short}}", "found 5 bytes, expected at least 32"),
    (f"{{url: http://x, identity: {{secret: {SECRET}}}}}", "'secret' is for 'authorization: sign' only"),
    ("{url: http://x, identity: {ttl: 5s}}", "'ttl' is for 'authorization: sign' only"),
    (
        f"{{url: http://x, identity: {{authorization: sign, secret: {SECRET}, secret_file: s}}}}",
        "found secret and secret_file",
    ),
    (
        f"{{url: http://x, identity: {{authorization: sign, secret: {SECRET}, claims: [exp]}}}}",
        "which the gateway sets",
    ),
    (f"{{url: http://x, identity: {{authorization: sign, secret: {SECRET}, claims: []}}}}", "found an empty list"),
    (
        f"{{url: http://x, identity: {{authorization: sign, secret: {SECRET}, claims: [/a/id, /b/id]}}}}",
        "two claims would both be named 'id' in the signed token",
    ),
    (f"{{url: http://x, identity: {{authorization: sign, secret: {SECRET}, claims: [/a~b]}}}}", "no JSON Pointer"),
    ("{url: http://x, identity: {headers: {X-A: 'claim:/a~b'}}}", "no JSON Pointer"),
    ("{url: http://x, identity: {headers: [X-A]}}", "expected header names"),
    ("{url: http://x, headers: [X-A]}", "expected header names, each with a constant"),
    ("{url: http://x, headers: {X-A: hunter2}}", "found a value without 'text:', expected text:VALUE"),
    ("{url: http://x, headers: {X-A: [hunter2]}}", "found a list, expected text:VALUE"),
    ("{url: http://x, headers: {X-A: }}", "found nothing, expected text:VALUE"),
    ("{url: http://x, headers: {X-A: 'text:'}}", "found nothing behind 'text:' (is the variable empty?)"),
    ("{url: http://x, headers: {X-A: 'text:  '}}", "found nothing behind 'text:'"),
    ("{url: http://x, headers: {X-A: 'text:hunter2 '}}", "a space at an end"),
    ('{url: http://x, headers: {X-A: "text:hunter2\\r\\nX-B: c"}}', "found a control character"),
    ("{url: http://x, headers: {X-A: 'text:hunter2\u00e9'}}", "a character outside ASCII"),
    (f"{{url: http://x, headers: {{X-A: 'text:{'hunter2' * 1200}'}}}}", "found 8400 characters, expected at most 8192"),
    ("{url: http://x, headers: {Authorization: 'text:hunter2'}}", "Cloud Run reads X-Serverless-Authorization"),
    ("{url: http://x, headers: {Cookie: 'text:hunter2'}}", "Cookie cannot be a constant"),
    ("{url: http://x, headers: {Upgrade: 'text:hunter2'}}", "is hop-by-hop"),
    ("{url: http://x, headers: {X-Forwarded-User: 'text:hunter2'}}", "has a meaning of its own"),
    ("{url: http://x, headers: {X-A: 'text:hunter2', x.a: 'text:b'}}", "are one header to many servers"),
    (
        "{url: http://x, headers: {X-A: 'text:hunter2'}, identity: {headers: {x_a: email}}}",
        "found x_a and the constant X-A",
    ),
    ("{url: http://x, identity: {headers: {X-A: 'text:hunter2\u00e9'}}}", "a character outside ASCII"),
    ("{url: http://x, identity: {headers: {X-A: mail}}}", "(did you mean 'email'?)"),
    ("{url: http://x, identity: {headers: {X-A: 'claim:'}}}", "without a claim's name"),
    ("{url: http://x, identity: {headers: {X A: email}}}", "with a character that no header name has"),
    ("{url: http://x, identity: {headers: {X-A: email, x_a: subject}}}", "are one header to many servers"),
    # CVE-2026-34986 and its kind: what names the connection or the caller must not come from a claim.
    *(
        (f"{{url: http://x, identity: {{headers: {{{name}: email}}}}}}", "is hop-by-hop")
        for name in (
            "Connection",
            "connection",
            "Keep-Alive",
            "Proxy_Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Expect",
            "Proxy",  # becomes HTTP_PROXY in CGI programs: CVE-2016-5385
            "proxy.authorization",
            "HTTP2-Settings",
        )
    ),
    *(
        (f"{{url: http://x, identity: {{headers: {{{name}: email}}}}}}", "cannot carry an identity")
        for name in ("Host", "cookie", "AUTHORIZATION")
    ),
    *(
        (f"{{url: http://x, identity: {{headers: {{{name}: email}}}}}}", "has a meaning of its own")
        for name in (
            "Content-Length",
            "Content_Type",
            "X-Forwarded-For",
            "Sec-WebSocket-Key",
            "X-Real-IP",
            "x.forwarded.user",
            "X-Request-Id",
            "X-Clerk-Auth-Status",
            "X-Mastra-Dev-Playground",
            "X-Mastra-Client-Type",
            "X-HTTP-Method-Override",
            "X-Original-URL",
            "True-Client-IP",
            "traceparent",
            "Access-Control-Allow-Origin",
            "Referer",
            "X-Playground-Access",
        )
    ),
    ("{url: http://x, studio: true}", "expected"),
    ("{url: http://x, studio: {}}", "'allow' is missing, expected who may use Studio"),
    ("{url: http://x, studio: {allow: []}}", "found an empty list, which is no rule"),
    ("{url: http://x, studio: {allow: nobody}}", "unknown rule 'nobody'"),
    ("{url: http://x, studio: {allow: {email_domain: x.com, enforce: false}}}", "found 'enforce: false'"),
    ("{url: http://x, studio: {allow: authenticated, deny: {role: x}}}", "unknown key"),
]


@pytest.mark.parametrize(("written", "expected"), UPSTREAM_MISTAKES)
def test_mistake_about_an_upstream_is_told(written: str, expected: str) -> None:
    found = mistakes(file_with(upstream="", upstreams=f"upstreams: {{mastra: {written}}}"), mounted=FILES)
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize("written", [one for one, _ in UPSTREAM_MISTAKES if "hunter2" in one])
@pytest.mark.parametrize("key", ["url: http://x", "url: http://x, retries: 1"])
def test_no_message_shows_a_constant(written: str, key: str) -> None:
    assert "hunter2" not in full(
        file_with(upstream="", upstreams=f"upstreams: {{mastra: {written.replace('url: http://x', key)}}}")
    )


def test_constants_are_read_from_both_places_and_shown_in_none() -> None:
    headers = 'headers: {X-Upstream-Key: "text:${KEY}", X-Other: "text:a b"}'
    identity = 'identity: {headers: {X-Auth-Email: email, X-Third: "text:c", X-Fourth: "claim:text:d"}}'
    text = file_with(upstream="", upstreams=f"upstreams: {{mastra: {{url: http://x, {headers}, {identity}}}}}")
    config = read(text, {"KEY": "text:hunter2"})
    (upstream,) = config.upstreams
    assert upstream.constants == (("X-Upstream-Key", "text:hunter2"), ("X-Other", "a b"), ("X-Third", "c"))
    assert upstream.identity.headers == (("X-Auth-Email", Fact("email")), ("X-Fourth", Fact("text:d", is_claim=True)))
    assert "hunter2" not in repr(config)
    for name in ("x_upstream.key", "X-Third", "X-Auth-Email"):
        assert config.policy.header_rules.verdict_of(name) is Verdict.DROP


def test_what_a_variable_holds_never_makes_a_constant() -> None:
    identity = "identity: {headers: {X-A: '${FACT}'}}"
    text = file_with(upstream="", upstreams=f"upstreams: {{mastra: {{url: http://x, {identity}}}}}")
    assert "or text:VALUE" in mistakes(text, {"FACT": "text:hunter2"})[0]
    text = file_with(upstream="", upstreams="upstreams: {mastra: {url: http://x, headers: {X-A: '${KEY}'}}}")
    assert "without 'text:'" in mistakes(text, {"KEY": "text:hunter2"})[0]


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"strip_headers": "strip_headers: [X-Edge]"}, "'strip_headers' takes it away from every request"),
        ({"strip_headers": "strip_headers: [x-e*]"}, "'strip_headers' takes it away from every request"),
        (
            {"upstream": "", "upstreams": "upstreams: {m: {url: http://x, headers: {x_edge: 'text:a'}}}"},
            "the gateway alone says it, to the upstream 'm'",
        ),
        (
            {"upstream": "", "upstreams": "upstreams: {m: {url: http://x, identity: {headers: {X-Edge: email}}}}"},
            "the gateway alone says it, to the upstream 'm'",
        ),
    ],
)
def test_a_header_in_which_no_token_could_arrive_is_refused(section: dict[str, str], why: str) -> None:
    providers = f"providers: {{jobs: {{type: jwt, secret: {SECRET}, token_from: [bearer, {{header: X-Edge}}]}}}}"
    (found,) = mistakes(file_with(providers=providers, **section))
    assert "providers.jobs.token_from: no token can come in the header x-edge" in found
    assert why in found


def test_upstream_url_comes_out_in_one_form() -> None:
    text = file_with(upstream="upstream: HTTP://Mastra.Example:80/")
    assert read(text).upstreams[0].url == "http://mastra.example"
    text = file_with(upstream="upstream: http://[0:0::1]:4111")
    assert read(text).upstreams[0].url == "http://[::1]:4111"


def test_secret_file_is_read_and_watched() -> None:
    identity = "identity: {authorization: sign, secret_file: /run/secrets/jwt}"
    text = file_with(upstream="", upstreams=f"upstreams: {{mastra: {{url: http://x, {identity}}}}}")
    config = read(text, mounted={"jwt": SECRET.encode() + b"\r\n"})
    assert config.upstreams[0].identity.secret == SECRET.encode()
    assert config.sources == (Path("/run/secrets/jwt"),)


def test_file_is_read_with_paths_beside_it(tmp_path: Path) -> None:
    (tmp_path / "jwt").write_text(SECRET + "\n")
    file = tmp_path / "gateway.yaml"
    file.write_text(file_with(providers="providers: {jobs: {type: jwt, secret_file: jwt}}"))
    config = load(file, {})
    assert config.sources == (file, tmp_path / ".env", tmp_path / "jwt"), "all that a change of counts"


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the file cannot be read: No such file or directory"):
        load(tmp_path / "gone.yaml", {})
    with pytest.raises(ConfigError, match="the file cannot be read: Is a directory"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "config").glob("*.yaml")), ids=lambda path: path.name
)
def test_file_that_comes_with_the_gateway_is_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert load_text(text, path.name, ENVIRONMENT, read_file=lambda _: SECRET.encode())


WORDS = st.sampled_from(
    [
        *(
            [
                "listen",
                "admin",
                "workers",
                "limits",
                "upstream",
                "upstreams",
                "providers",
                "rules",
                "routes",
                "cors",
                "tls",
                "jobs",
                "staff",
            ]
        ),
        *(
            [
                "type",
                "jwt",
                "clerk",
                "auth0",
                "oidc",
                "secret",
                "secrets",
                "issuer",
                "audience",
                "jwks",
                "algorithms",
                "HS256",
                "RS256",
                "none",
            ]
        ),
        *(
            [
                "allow",
                "deny",
                "public",
                "true",
                "false",
                "provider",
                "/api",
                "/a/{x}",
                "{x}",
                "any",
                "all",
                "not",
                "when",
                "email_domain",
            ]
        ),
        *(
            [
                "example.com",
                "claim",
                "role",
                "authenticated",
                "company",
                "url",
                "http://x",
                "https://y:1",
                "5s",
                "5MiB",
                "${X}",
                "${Y:-z}",
            ]
        ),
        *(
            [
                "$$",
                "${",
                "&",
                "*",
                "!",
                "|",
                ">",
                "'",
                '"',
                "#",
                "%",
                "-",
                ":",
                "?",
                ",",
                "[",
                "]",
                "{",
                "}",
                "---",
                "...",
                "<<",
                "null",
                "~",
                "010",
                "1e3",
                "@",
                "\\",
                "0.0.0.0:80",
            ]
        ),
        *(["user.email", "claims.x==1", "10.0.0.0/8", "identity", "headers", "sign", "X-A"]),
    ]
)
SPACES = st.sampled_from(["", " ", " ", ": ", ": ", "\n", "\n  ", "\n    ", "\n- ", ", ", "\t", "\r\n"])
SOUP = st.lists(st.tuples(WORDS, SPACES), max_size=40).map(lambda pairs: "".join(w + s for w, s in pairs))
LINES = EVERYTHING.splitlines()


@st.composite
def damaged_files(draw: st.DrawFn) -> str:
    """The whole file with a few values replaced, lines dropped, or characters put in."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        number = draw(st.integers(0, len(lines) - 1))
        head, colon, _ = lines[number].partition(":")
        replacement = draw(st.one_of(SOUP, st.text(alphabet=string.printable, max_size=12), st.text(max_size=6)))
        lines[number] = draw(
            st.sampled_from([head + colon + " " + replacement, replacement, "", lines[number] + replacement])
        )
    return "\n".join(lines)


def _is_read_or_refused(text: str) -> None:
    try:
        config = load_text(text, "f", ENVIRONMENT | {"X": "{a: b}", "SURROGATE": "\udcff"}, read_file=no_file)
    except ConfigError as error:
        assert error.problems
        assert str(error)
        assert SECRET not in str(error)
    else:
        assert isinstance(config, Config)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(SOUP, st.text(), st.text(alphabet=string.printable)))
@example("a: \ud800")
@example("\x00")
@example("routes: {? : }")
@example("? ? ? : : :")
@example("listen: ${SURROGATE}")
@example("upstream: http://[::1%25x]")
@example("upstream: http://[v1.x]/")
@example("upstream: 'http://xn--/'")
@example("upstream: 'http://\u2100.example'")
@example("providers: {a: {type: oidc, audience: x, issuer: 'https://['}}")
@example("providers: {a: {type: clerk, publishable_key: pk_test_\u00e9}}")
@example('providers: {a: {type: jwt, secret_file: "\\0"}}')
def test_every_text_is_a_configuration_or_a_list_of_mistakes(text: str) -> None:
    _is_read_or_refused(text)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged_files())
def test_every_damaged_file_is_a_configuration_or_a_list_of_mistakes(text: str) -> None:
    _is_read_or_refused(text)


@settings(max_examples=200, deadline=None)
@given(st.binary())
def test_all_bytes_are_text_or_refused(data: bytes) -> None:
    try:
        text = decode("f", data)
    except ConfigError:
        return
    _is_read_or_refused(text)

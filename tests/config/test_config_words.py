"""Warnings about valid files, and configurations in plain English."""

from __future__ import annotations

import base64

import pytest

from gateway.config.describe import Row, describe
from tests.configuring import SECRET, file_with, read

KEY = "pk_test_" + base64.b64encode(b"x.clerk.accounts.dev$").decode()
PROVIDERS = f"""
    providers:
      jobs: {{type: jwt, secret: {SECRET}}}
      staff: {{type: auth0, domain: t.auth0.com, audience: x}}
      named: {{type: auth0, domain: n.auth0.com, audience: x, email_claim: https://example.com/email}}
      people: {{type: clerk, publishable_key: {KEY}}}
"""
ALL_USED = "/used: {provider: [jobs, staff, named, people], allow: authenticated}"


def warnings(routes: str, **sections: str) -> list[str]:
    text = file_with(providers=PROVIDERS, routes=f"routes:\n  {ALL_USED}\n{routes}", **sections)
    return [line.removeprefix("gateway.yaml:") for line in read(text).warnings]


@pytest.mark.parametrize(
    "others",
    ["/open/api: {provider: jobs, allow: authenticated}", "POST /open/api: {provider: jobs, allow: authenticated}"],
    ids=["all-methods", "the-public-one's-methods"],
)
def test_methods_that_another_route_guards_are_not_open(others: str) -> None:
    public = "POST /open: {public: true}"
    found = warnings(f"  GET /open/api: {{provider: jobs, allow: authenticated}}\n  {others}\n  {public}")
    assert not any("only these methods" in line for line in found)


def test_clean_file_has_no_warning() -> None:
    assert warnings("  /api: {provider: jobs, allow: {email_domain: yourcompany.com}}") == []


def test_way_to_an_email_does_not_shut_out_who_logs_in() -> None:
    # A claim that is named counts in place of `email`, which is what ID tokens call it.
    route = "  /api: {provider: staff, allow: {email_domain: a.com}}"
    login = f"{{provider: staff, client_id: i, session: {{secret: {SECRET}x}}, public_url: 'http://localhost'}}"
    (of_tokens,) = warnings(route)
    (of_login,) = warnings(route, login=f"login: {login}")
    assert "then name it: 'email_claim:" in of_tokens
    assert "a login has it" in of_login and "and no 'email_claim'" in of_login


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        pytest.param(
            "/api: {provider: staff, allow: {email_domain: a.com}}",
            "access tokens of Auth0 ('staff') carry none by default",
            id="auth0-email",
        ),
        pytest.param(
            "/api: {provider: people, allow: {any: [{not: {email: x@a.com}}]}}",
            "session tokens of Clerk ('people') carry none by default",
            id="clerk-email-deep",
        ),
        pytest.param(
            "/api: {provider: people, allow: authenticated, deny: {when: user.email == 'a'}}",
            "session tokens of Clerk ('people') carry none by default",
            id="clerk-email-in-an-expression",
        ),
        pytest.param(
            "/used/docs: {public: true}",
            "routes./used/docs: public, below the guarded route '/used'",
            id="public-below",
        ),
        pytest.param("GET /used: {public: true}", "public, below the guarded route '/used'", id="public-method"),
        pytest.param(
            "GET /open/api: {provider: jobs, allow: authenticated}\n  /open: {public: true}",
            "only these methods are guarded: others reach '/open', which is public",
            id="public-behind",
        ),
        pytest.param(
            "/api: {provider: jobs, allow: authenticated, enforce: false}",
            "refusals are only logged",
            id="not-enforced",
        ),
        pytest.param(
            "/api: {provider: jobs, allow: {email_domain: gmail.com}}",
            "anybody can have an email of gmail.com",
            id="gmail",
        ),
        pytest.param(
            "POST /api: {provider: jobs, allow: authenticated, websocket: true}",
            "no WebSocket can come in",
            id="websocket",
        ),
        pytest.param(
            "/api/a: {provider: jobs, allow: authenticated, exact: true}\n  /: {public: true}",
            "what lies below it is public by '/'",
            id="exact-below-public",
        ),
        pytest.param(
            "/api: {provider: jobs, allow: authenticated, deny: {when: request.path.startsWith('/api/admin')}}",
            "refuses by request.path",
            id="deny-by-path-in-an-expression",
        ),
        pytest.param(
            "/api: {provider: jobs, allow: {not: {when: request.path == '/api/x'}}}",
            "refuses by request.path",
            id="not-by-path-in-an-expression",
        ),
        pytest.param(
            "/api: {provider: jobs, allow: authenticated, deny: {when: claims.suspended == true}}",
            "refuses by comparing a claim",
            id="deny-by-claim-in-an-expression",
        ),
        pytest.param(
            "/api: {provider: jobs, allow: {path: /other, role: x}}",
            "a path that is not below this route",
            id="elsewhere",
        ),
    ],
)
def test_route_that_is_probably_not_meant_is_warned_about(route: str, expected: str) -> None:
    found = warnings(f"  {route}")
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize(
    "route",
    [
        "/api/a: {provider: jobs, allow: authenticated, exact: true}\n  /: {provider: jobs, allow: authenticated}",
        "/api/a: {provider: jobs, allow: authenticated, exact: true}\n  /b: {public: true}",
        "/api: {provider: jobs, allow: {when: request.path == '/api/x'}, deny: {path: /api/y}}",
        "/api: {provider: jobs, allow: authenticated, deny: {when: has(claims.suspended) && claims.suspended}}",
    ],
)
def test_what_is_meant_is_not_warned_about(route: str) -> None:
    assert warnings(f"  {route}") == []


def test_secret_that_both_callers_and_the_gateway_sign_with_is_warned_about() -> None:
    text = file_with(
        upstream=f"upstreams: {{m: {{url: http://m, identity: {{authorization: sign, secret: {SECRET}}}}}}}",
        providers=f"providers: {{q: {{type: jwt, secret: {SECRET}}}}}",
        routes="routes: {/api: {provider: q, allow: authenticated}}",
    )
    [found] = read(text).warnings
    assert "the upstream 'm' are signed with" in found and "a secret of its own" in found and SECRET not in found
    assert not read(text.replace(f"jwt, secret: {SECRET}", f"jwt, secret: {SECRET}2")).warnings


def test_head_is_among_what_get_covers_in_every_warning() -> None:
    guard = "{provider: jobs, allow: authenticated}"
    hole = warnings(f"  GET /a: {guard}\n  HEAD /a/b: {{public: true}}")
    assert any("public, below the guarded route 'GET /a'" in line for line in hole)
    assert warnings(f"  GET /a/b: {guard}\n  HEAD /a: {{public: true}}") == [], (
        "HEAD /a/b is guarded by the one for GET"
    )
    both = warnings(f"  GET,HEAD /a: {guard}\n  GET /a/{{x}}: {guard}\n  /a: {guard[:-1]}, exact: true}}")
    assert any("no request can reach this route" in line for line in both)


def test_email_claim_ends_the_warning_about_emails() -> None:
    assert warnings("  /api: {provider: named, allow: {email_domain: a.com}}") == []


@pytest.mark.parametrize(
    ("below", "has_exact", "is_hidden"),
    [
        pytest.param("GET,HEAD /a/{x}", True, True, id="both-taken"),
        pytest.param("/a/{x}", True, True, id="by-any-method"),
        pytest.param("GET /a/b", True, False, id="only-one-below"),
        pytest.param("HEAD /a/{x}", True, False, id="other-methods-below"),
        pytest.param("GET /a/{x}", False, False, id="its-own-path-is-left"),
    ],
)
def test_route_that_no_request_can_reach_is_warned_about(below: str, has_exact: bool, is_hidden: bool) -> None:
    guard = "provider: jobs, allow: authenticated"
    routes = f"  GET /a: {{{guard}}}\n  '{below}': {{{guard}}}\n"
    if has_exact:
        routes += f"  /a: {{{guard}, exact: true}}\n"
    assert any("no request can reach this route" in line for line in warnings(routes)) == is_hidden


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (f"{{type: jwt, secret: {SECRET}, expiry: optional}}", "providers.q.expiry: tokens without exp count forever"),
        (f"{{type: jwt, secret: {SECRET}, leeway: 2m}}", "providers.q.leeway: tokens count 120 s beyond their end"),
        (f"{{type: clerk, publishable_key: {KEY}, token_from: {{cookie: __session}}}}", "without 'authorized_parties'"),
        (f"{{type: jwt, secret: {SECRET}, issuer: mastra-gateway}}", "they never count"),
        (
            f"{{type: clerk, publishable_key: {KEY}, jwks_uri: https://api.clerk.com/v1/jwks}}",
            "Clerk's Backend API gives keys only to a secret key",
        ),
    ],
)
def test_provider_that_is_probably_not_meant_is_warned_about(provider: str, expected: str) -> None:
    text = file_with(
        providers=f"providers: {{q: {provider}}}", routes="routes: {/api: {provider: q, allow: authenticated}}"
    )
    found = read(text).warnings
    assert len(found) == 1, found
    assert expected in found[0]


def test_what_nothing_uses_is_warned_about() -> None:
    text = file_with(
        upstream="",
        upstreams="upstreams: {a: {url: http://a}, b: {url: http://b}}",
        providers=f"providers: {{jobs: {{type: jwt, secret: {SECRET}}}, spare: {{type: jwt, secret: {SECRET}}}}}",
        rules="rules: {x: {role: x}, y: x}",
        routes="routes: {/api: {provider: jobs, allow: authenticated, upstream: a}}",
    )
    said = " ".join(read(text).warnings)
    for name in ("the upstream 'b'", "the provider 'spare'", "the rule 'x'", "the rule 'y'"):
        assert name in said


def test_believing_everybody_is_warned_about() -> None:
    assert "everybody" in warnings("", rest="trusted_proxies: [0.0.0.0/0]")[0]


def test_warning_has_its_place() -> None:
    text = file_with(providers=f"providers:\n  jobs:\n    type: jwt\n    secret: {SECRET}\n    expiry: optional")
    assert read(text).warnings[0].startswith("gateway.yaml:6:13: providers.jobs.expiry: ")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("authenticated", "any token that counts"),
        ("{email_domain: [b.com, a.com]}", "email at a.com or b.com"),
        ("{email_domain: a.com, include_subdomains: true}", "email at a.com or below"),
        ("{email: a@b.com}", "email is a@b.com"),
        ("{subject: x}", "subject is x"),
        ("{organization: [o, p]}", "organization is o or p"),
        ("{client: c}", "client is c"),
        ("{role: [a, b, c]}", "role a, b or c"),
        ("{group: g}", "group g"),
        ("{scope: [a, b]}", "scopes a and b"),
        ("{permission: p}", "permission p"),
        ("{claim: {plan: [pro, 1, true, null, '']}}", 'claim plan is pro, 1, true, null or ""'),
        ("{method: GET}", "method GET"),
        ("{path: [/a, /b/c]}", "path under /a or /b/c"),
        ("{ip: 10.0.0.0/8}", "address in 10.0.0.0/8"),
        ("{when: 'claims.a   == 1'}", "when claims.a == 1"),
        ("{role: a, group: g}", "role a and group g"),
        ("{any: [{role: a}, {role: b, group: g}]}", "role a or (role b and group g)"),
        ("{not: {role: a, group: g}}", "not (role a and group g)"),
        ("team", "team (role t)"),
        ("[{role: a}, {role: b}]", "role a; or role b"),
    ],
)
def test_rule_in_words(rule: str, expected: str) -> None:
    config = read(
        file_with(routes=f"routes: {{/api: {{provider: jobs, allow: {rule}}}}}", rules="rules: {team: {role: t}}")
    )
    assert describe(config) == [Row("/api", "jobs", expected, "default")]


def test_routes_in_words_most_specific_first() -> None:
    routes = """
    routes:
      /: {public: true}
      /api: {provider: jobs, allow: authenticated, deny: [{role: x}, {role: y}], enforce: false}
      /api/{x}: {provider: jobs, allow: authenticated, websocket: true}
      /api/a: {provider: jobs, allow: authenticated, exact: true}
      GET /api/a: {provider: jobs, allow: authenticated}
    """
    rows = describe(read(file_with(routes=routes)))
    assert [(row.key, row.who) for row in rows] == [
        ("/api/a exactly", "any token that counts"),
        ("GET /api/a", "any token that counts"),
        ("/api/{x}", "any token that counts, WebSocket"),
        ("/api", "any token that counts; never role x; nor role y (only logged, not enforced)"),
        ("/", "everybody, without a token"),
    ]

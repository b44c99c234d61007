"""Mistakes in `login:`, each at its place with what was expected; and what a good one becomes."""

from __future__ import annotations

import pytest

from gateway.config.login import LOGIN_RECORD
from tests.configuring import SECRET, mistakes, read

GOOD = f"""
upstream: http://localhost:4111
providers:
  staff: {{type: oidc, issuer: https://idp.example.com, audience: api}}
  jobs: {{type: jwt, secret: {SECRET}}}
login:
  provider: staff
  client_id: gw
  session: {{secret: {SECRET[::-1]}}}
  public_url: https://agents.example.com
routes:
  /: {{provider: [staff, jobs], allow: authenticated, login: true}}
"""


def _login(**changes: str) -> str:
    """Return the file with other lines in `login`."""
    text = GOOD
    for name, value in changes.items():
        lines = [line for line in text.splitlines() if not line.startswith(f"  {name}:")]
        lines.insert(lines.index("login:") + 1, f"  {name}: {value}")
        text = "\n".join(line for line in lines if value or not line.startswith(f"  {name}:"))
    return text


def test_what_a_login_becomes() -> None:
    config = read(GOOD)
    login = config.policy.login
    assert login is not None
    assert (login.cookie, login.is_secure, login.prefix) == ("__Host-gateway", True, "/api")
    assert login.redirect_uri == "https://agents.example.com/api/auth/sso/callback"
    assert login.scopes == ("openid", "email", "profile")
    assert login.id_tokens.audiences == frozenset({"gw"})
    assert (login.seal.max_age_seconds, login.seal.idle_seconds) == (43200, 3600)
    [staff, jobs] = config.providers
    assert [source.place for source in staff.token_sources] == ["bearer", "session"]
    assert [source.place for source in jobs.token_sources] == ["bearer"]
    assert "https://agents.example.com" in staff.origins
    own = [route.key for route in config.policy.routes if route.own]
    assert own == [
        "GET /api/auth/sso/login", "GET /api/auth/sso/callback", "POST /api/auth/logout", "POST /api/auth/refresh",
        "POST /api/auth/backchannel-logout",
    ]  # fmt: skip


def test_a_login_on_loopback_has_a_cookie_that_browsers_keep_there() -> None:
    login = read(_login(public_url="http://localhost:8080")).policy.login
    assert login is not None
    assert (login.cookie, login.is_secure) == ("gateway", False)


def test_a_login_shows_no_secret() -> None:
    login = read(_login(client_secret="hush-hush-hush-hush-hush")).policy.login
    assert login is not None
    assert login.client_secret == "hush-hush-hush-hush-hush"
    assert "hush" not in repr(login)


def test_a_secret_of_a_file_loses_its_line_break() -> None:
    text = _login(client_secret_file="client", session="{secret_file: seal}")
    login = read(text, mounted={"client": b"hush\n", "seal": SECRET.encode() + b"\n"}).policy.login
    assert login is not None
    assert login.client_secret == "hush"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"provider": "staf"}, "login.provider: unknown provider 'staf' (did you mean 'staff'?)"),
        ({"provider": "jobs"}, "login.provider: found a provider of type jwt, at which nobody logs in"),
        ({"provider": ""}, "login: 'provider' is missing"),
        ({"client_id": ""}, "login: 'client_id' is missing"),
        ({"session": ""}, "login: 'session' is missing"),
        ({"public_url": ""}, "login: 'public_url' is missing"),
        ({"session": "{max_age: 1h}"}, "login.session: no secret is given, expected 'secret_file' (or 'secret')"),
        ({"session": "{secret: short}"}, "login.session.secret:"),
        (
            {"session": "{secret: wohYeequ8aish4ahQuoo4aiPh7aish2eeF0, secret_file: client}"},
            "found secret and secret_file",
        ),
        ({"session": "{secret_file: missing}"}, "login.session.secret_file:"),
        ({"client_secret": "a", "client_secret_file": "client"}, "found client_secret and client_secret_file"),
        ({"client_secret_file": "missing"}, "login.client_secret_file:"),
        ({"public_url": "http://agents.example.com"}, "found an http address that is not loopback, expected https://"),
        ({"public_url": "https://*.example.com"}, "found a pattern, expected one address"),
        ({"public_url": "https://agents.example.com/path"}, "login.public_url:"),
        ({"public_url": "https://agents.example.com/"}, "login.public_url:"),
        ({"public_url": "capacitor://localhost"}, "found an address of capacitor, expected https://"),
        ({"scopes": "[email]"}, "login.scopes: found no 'openid', without which there is no ID token"),
        ({"scopes": '["openid email"]'}, "with a character that no scope has"),
        ({"scopes": "[]"}, "login.scopes:"),
        ({"cookie": "x"}, "login.cookie: unknown key"),
        ({"session": "{secret: X, cookie: 'a b'}"}, "which no cookie can be called"),
        ({"session": "{secret: X, cookie: 'a;b'}"}, "which no cookie can be called"),
        ({"session": "{secret: X, max_age: 31d}"}, "login.session.max_age:"),
        ({"session": "{secret: X, idle: 0s}"}, "login.session.idle:"),
        (
            {"session": "{secret: X, cookie: __Host-a}", "public_url": "http://localhost:8080"},
            "found a cookie that browsers keep over https only, on http://localhost:8080",
        ),
        (
            {"session": "{secret: X, cookie: __secure-a}", "public_url": "http://localhost:8080"},
            "found a cookie that browsers keep over https only",
        ),
    ],
)
def test_a_mistake_is_told_at_its_place(changes: dict[str, str], message: str) -> None:
    changes = {name: value.replace("secret: X", f"secret: {SECRET}") for name, value in changes.items()}
    found = mistakes(_login(**changes), mounted={"client": b"hush" * 9})
    assert any(message in one for one in found), found
    assert len(found) == 1, found
    assert not any(SECRET in one for one in found)


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("issuer: [https://a.example.com, https://b.example.com], audience: api", "several issuers"),
        ("issuer: https://idp.example.com, audience: api, token_from: [{cookie: __Host-gateway}]", "__Host-gateway"),
    ],
)  # fmt: skip
def test_a_provider_that_cannot_log_in(provider: str, message: str) -> None:
    text = GOOD.replace("issuer: https://idp.example.com, audience: api", provider)
    assert any(message in one for one in mistakes(text)), mistakes(text)


def test_login_true_without_a_login() -> None:
    text = GOOD[: GOOD.index("login:")] + GOOD[GOOD.index("routes:") :]
    assert any("found 'login: true', and the file has no 'login:'" in one for one in mistakes(text))


def test_login_true_on_a_route_of_others() -> None:
    found = mistakes(GOOD.replace("provider: [staff, jobs]", "provider: jobs"))
    assert any("nobody who logs in could pass this route" in one for one in found), found


@pytest.mark.parametrize("route", ["{public: true, login: true}", "{optional: staff, login: true}"])
def test_login_true_where_everybody_gets_in(route: str) -> None:
    found = mistakes(GOOD.replace("{provider: [staff, jobs], allow: authenticated, login: true}", route))
    assert any("found 'login' on" in one for one in found), found


@pytest.mark.parametrize("key", ["GET /api/auth/sso/login", "POST /api/auth/logout", "GET,POST /api/auth/sso/callback"])
def test_a_route_at_an_address_of_the_gateways_own(key: str) -> None:
    found = mistakes(f"{GOOD}  {key}: {{public: true}}\n")
    assert any("the gateway itself answers" in one for one in found), found


@pytest.mark.parametrize("key", ["/api/auth", "POST /api/auth/sso/login", "/api/auth/sso", "/api/{any}"])
def test_a_route_beside_the_gateways_own_is_no_mistake(key: str) -> None:
    config = read(f"{GOOD}  {key}: {{public: true}}\n")
    assert config.policy.find("/api/auth/sso/login", "GET")[2].route.own == "login"


def test_every_key_of_a_login_is_tried_here() -> None:
    assert {field.name for field in LOGIN_RECORD.fields} == {
        "provider", "client_id", "client_secret", "client_secret_file", "scopes", "session", "public_url",
    }  # fmt: skip

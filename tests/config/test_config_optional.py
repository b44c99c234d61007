"""`optional: PROVIDER` on a route: what it stands for, and what cannot stand beside it."""

from __future__ import annotations

import pytest

from gateway.config.describe import describe
from tests.configuring import SECRET, file_with, mistakes, read

PROVIDERS = f"""
providers:
  jobs: {{type: jwt, secret: {SECRET}}}
  staff: {{type: oidc, issuer: https://a.example.com, audience: x}}
"""


def file_of(body: str) -> str:
    return file_with(
        providers=PROVIDERS, routes=f"routes: {{/api: {{provider: jobs, allow: authenticated}}, /me: {{{body}}}}}"
    )


@pytest.mark.parametrize(("written", "names"), [("staff", ["staff"]), ("[jobs, staff]", ["jobs", "staff"])])
def test_route_is_public_and_has_providers(written: str, names: list[str]) -> None:
    config = read(file_of(f"optional: {written}"))
    [route] = [one for one in config.policy.routes if one.key == "/me"]
    assert route.public and route.provider_names == tuple(names)
    [row] = [row for row in describe(config) if row.key == "/me"]
    assert (row.providers, row.who) == (", ".join(names), "everybody, with or without a token")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("optional: nobody", "unknown provider 'nobody'"),
        ("optional: []", "found an empty list, expected the name of a provider"),
        ("optional: [jobs, jobs]", "found the provider 'jobs' twice"),
        ("optional: jobs, public: true", "found 'public' beside 'optional', expected one of them"),
        ("optional: jobs, allow: authenticated", "found 'allow' on a route with 'optional', which lets everybody in"),
        ("optional: jobs, provider: staff", "found 'provider' on a route with 'optional'"),
        ("optional: jobs, deny: {role: x}", "found 'deny' on a route with 'optional'"),
        ("optional: jobs, enforce: false", "found 'enforce' on a route with 'optional'"),
        ("optional: jobs, mcp: true", "found 'mcp' on a route with 'optional'"),
    ],
)
def test_what_cannot_stand_beside(body: str, expected: str) -> None:
    found = mistakes(file_of(body))
    assert len(found) == 1 and expected in found[0], found


def test_check_warns_of_one_below_a_guarded_route() -> None:
    text = file_with(
        providers=PROVIDERS, routes="routes: {/api: {provider: jobs, allow: authenticated}, /api/me: {optional: jobs}}"
    )
    assert any("public, below the guarded route '/api'" in warning for warning in read(text).warnings)

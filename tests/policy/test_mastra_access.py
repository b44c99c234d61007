"""What Studio is told of a caller: what the routes of the file let pass, whatever their rules go by."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.claims import principal_of
from gateway.policy.mastra_access import MastraAccess
from gateway.policy.model import Headers, RequestHead
from tests.configuring import BASE, SECRET, read
from tests.minting import NOW

OTHER = f"providers: {{jobs: {{type: jwt, secret: {SECRET}}}, others: {{type: jwt, secret: {SECRET}x}}}}"
HEAD = RequestHead("GET", "/api/auth/me", Headers([("X-Team", "red")]), "192.0.2.7", "https")


def told(routes: str, **claims: Any) -> set[str]:
    """Return what a caller with these claims is told, whose token is of the provider `jobs`."""
    policy = read("\n".join([BASE["upstream"], OTHER, f"routes: {{{routes}}}"])).policy
    provider = next(one for route in policy.routes for one in route.providers if one.name == "jobs")
    principal = principal_of({"sub": "ann", "iat": NOW, **claims}, provider)
    return set(MastraAccess(policy).permissions(principal, HEAD, NOW))


GUARDED = "/api: {provider: jobs, allow: authenticated}"


@pytest.mark.parametrize(
    ("routes", "claims", "has", "has_not"),
    [
        pytest.param(GUARDED, {}, {"*"}, {"agents:*"}, id="all"),
        pytest.param(
            "/api/agents: {provider: jobs, allow: authenticated}",
            {},
            {"agents:execute"},
            {"*", "logs:read"},
            id="one-prefix",
        ),
        pytest.param(
            "/api/logs: {provider: jobs, allow: authenticated}",
            {},
            {"logs:*"},
            {"*", "agents:read"},
            id="whole-resource",
        ),
        pytest.param(
            "GET /api/memory: {provider: jobs, allow: authenticated}",
            {},
            {"memory:read"},
            {"memory:*", "memory:write"},
            id="method",
        ),
        pytest.param(
            "/api/logs: {provider: jobs, allow: {role: x}}, " + GUARDED,
            {},
            {"agents:*"},
            {"*", "logs:read", "logs:*"},
            id="another-rule",
        ),
        pytest.param(
            "/api/logs: {provider: jobs, allow: {role: x}}, " + GUARDED,
            {"roles": ["x"]},
            {"*"},
            set(),
            id="another-rule-met",
        ),
        pytest.param(
            "/api: {provider: jobs, allow: authenticated, deny: {mastra: logs:read}}",
            {},
            {"agents:*"},
            {"*", "logs:*"},
            id="denied",
        ),
        pytest.param(
            "/api/logs: {provider: others, allow: authenticated}, " + GUARDED,
            {},
            {"agents:*"},
            {"logs:*"},
            id="other-provider",
        ),
        pytest.param(
            "/api/logs: {public: true}, /x: {provider: jobs, allow: authenticated}",
            {},
            {"logs:*"},
            {"agents:read"},
            id="public",
        ),
        pytest.param("/api/logs: {optional: jobs}", {}, {"logs:*"}, {"agents:read"}, id="optional"),
        pytest.param(
            "/api/logs: {provider: jobs, allow: {role: x}, enforce: false}", {}, {"logs:*"}, set(), id="only-logged"
        ),
        pytest.param(
            "/api/logs: {provider: jobs, allow: {role: x, enforce: false}}",
            {},
            {"logs:*"},
            set(),
            id="rule-only-logged",
        ),
        pytest.param(
            "/api/logs: {provider: jobs, allow: {fresh: {within: 10m}}}",
            {"auth_time": NOW - 9999},
            {"logs:*"},
            set(),
            id="login-would-do",
        ),
        pytest.param(
            "/api/logs: {provider: jobs, allow: {scope: x}}", {"scope": "y"}, set(), {"logs:*", "logs:read"}, id="scope"
        ),
        pytest.param("/api/logs: {provider: jobs, allow: {ip: 192.0.2.0/24}}", {}, {"logs:*"}, set(), id="address"),
        pytest.param(
            "/api/logs: {provider: jobs, allow: {when: \"request.headers['x-team'] == 'red'\"}}",
            {},
            {"logs:*"},
            set(),
            id="header",
        ),
        pytest.param(
            "/api/agents/weatherAgent: {provider: jobs, allow: authenticated}",
            {},
            {"agents:execute"},
            {"*"},
            id="one-agent",
        ),
        pytest.param(
            "/api: {provider: jobs, allow: {path: /api/agents/weatherAgent}}",
            {},
            {"agents:execute"},
            {"memory:read"},
            id="path-in-a-rule",
        ),
        pytest.param(
            "/api: {provider: jobs, allow: {mastra: [agents:execute:weatherAgent]}}",
            {},
            {"agents:execute"},
            {"agents:read"},
            id="permission-of-one",
        ),
        pytest.param(
            "'/api/agents/{agent}': {provider: jobs, allow: {when: agent in claims.agents}}",
            {},
            {"agents:execute"},
            {"memory:read"},
            id="depends-on-the-id",
        ),
        pytest.param(
            "/api: {provider: jobs, allow: {when: 'request.path.startsWith(\"/api/agents/a/\")'}}",
            {},
            {"*"},
            set(),
            id="depends-on-the-path",
        ),
    ],
)
def test_permissions_are_those_that_the_routes_grant(
    routes: str, claims: dict[str, Any], has: set[str], has_not: set[str]
) -> None:
    found = told(routes, **claims)
    assert has <= found and has_not.isdisjoint(found), sorted(found)


def test_what_is_closed_to_owners_is_not_told() -> None:
    upstreams = "upstreams: {mastra: {url: 'http://localhost:4111', own: {by: subject}}}"
    routes = f"routes: {{{GUARDED}, /api/datasets: {{provider: jobs, allow: authenticated, own: false}}}}"
    policy = read("\n".join([upstreams, BASE["providers"], routes])).policy
    principal = principal_of({"sub": "ann", "iat": NOW}, policy.routes[0].providers[0])
    found = set(MastraAccess(policy).permissions(principal, HEAD, NOW))
    assert {"datasets:*", "agents:*", "memory:*"} <= found
    assert {"*", "vector:read", "vector:*", "stored-agents:write"}.isdisjoint(found)


@pytest.mark.parametrize(
    ("rule", "is_kept"),
    [
        ("{mastra: viewer}", True),
        ("{fresh: {within: 10m}}", True),
        ("{when: 'request.method == \"GET\"'}", True),
        ("{ip: 192.0.2.0/24}", False),
        ("{any: [{role: x}, {not: {ip: 192.0.2.0/24}}]}", False),
        ("{when: 'request.ip == \"192.0.2.7\"'}", False),
    ],
)
def test_what_is_the_callers_own_is_found_once(rule: str, is_kept: bool) -> None:
    # A colleague who asks again and again costs some milliseconds of everybody's time each.
    routes = f"routes: {{/api: {{provider: jobs, allow: {rule}}}}}"
    policy = read("\n".join([BASE["upstream"], BASE["providers"], routes])).policy
    principal = principal_of({"sub": "ann", "role": "viewer", "auth_time": NOW}, policy.routes[0].providers[0])
    access = MastraAccess(policy)
    first = access.permissions(principal, HEAD, NOW)
    assert (":mastra" in principal.kept) == is_kept
    assert access.permissions(principal, HEAD, NOW) == first
    elsewhere = RequestHead("GET", "/api/auth/me", Headers([]), "198.51.100.1", "https")
    assert (access.permissions(principal, elsewhere, NOW) == first) == is_kept

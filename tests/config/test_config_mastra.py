"""`mastra:` as it is written: roles, permissions, and what no route of Mastra can ever meet."""

from __future__ import annotations

import pytest

from gateway.config.schema import json_schema
from gateway.policy.mastra_roles import MastraPermission, MastraRole
from gateway.policy.rules import AllOf, HasAny, Not, Rule
from tests.configuring import SECRET, file_with, mistakes, only_route, read

ROLE = (
    "expected a role of Mastra's (viewer, member, admin or owner), or permissions such as [agents:execute, memory:read]"
)
PERMISSION = "expected a permission of Mastra's such as agents:execute, agents:*, '*:read' or agents:read:weatherAgent"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("viewer", MastraRole("viewer")),
        ("owner", MastraRole("owner")),
        ("agents:execute", MastraPermission(("agents:execute",))),
        ("[agents:execute, memory:read]", MastraPermission(("agents:execute", "memory:read"))),
        ("'*'", MastraPermission(("*",))),
        ("['*:read', agents:*]", MastraPermission(("*:read", "agents:*"))),
        ("stored:write", MastraPermission(("stored:write",))),
        ("stored-agents:share", MastraPermission(("stored-agents:share",))),
        ("agents:read:weatherAgent", MastraPermission(("agents:read:weatherAgent",))),
        ("'agents:*:a:b'", MastraPermission(("agents:*:a:b",))),
        ("'*:execute:x'", MastraPermission(("*:execute:x",))),
    ],
)
def test_role_or_permissions(written: str, expected: Rule) -> None:
    assert only_route(f"{{mastra: {written}}}").allow == (expected,)


def test_it_stands_beside_other_conditions() -> None:
    rules = "allow: {role: support, mastra: agents:read}, deny: {not: {mastra: viewer}}"
    (route,) = read(file_with(routes=f"routes: {{/api: {{provider: jobs, {rules}}}}}")).policy.routes
    assert route.allow == (AllOf((HasAny("roles", frozenset({"support"})), MastraPermission(("agents:read",)))),)
    assert route.deny == (Not(MastraRole("viewer")),)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Viewer", f"found 'Viewer', {ROLE} (did you mean 'viewer'?)"),
        ("editor", f"found 'editor', {ROLE}"),
        ("agents", f"found 'agents', {ROLE} (did you mean 'agents:*'?)"),
        ("{role: viewer}", f"found a mapping (keys and values), {ROLE}"),
        ("[]", f"found an empty list, {PERMISSION}"),
        (
            "agents:run",
            f"found 'agents:run' which no route of Mastra asks for, {PERMISSION} (did you mean 'agents:*'?)",
        ),
        ("[agents:excute]", "which no route of Mastra asks for, expected a permission"),
        ("[agents:excute]", "(did you mean 'agents:execute'?)"),
        ("'*:reads'", "(did you mean '*:read'?)"),
        ("'*:*'", "which no route of Mastra asks for"),
        ("agents:publish", "which no route of Mastra asks for"),
        ("[viewer]", "found 'viewer' which is a role"),
        ("[viewer, agents:read]", "(it stands alone, and greater ones are meant as well: 'mastra: viewer')"),
        ("'agents:read:'", "with nothing behind the last colon, expected a permission"),
        ("memory:read:t1", "with an id, which no path of memory has"),
        ("agents:run:x", "which no route of Mastra asks for"),
        ("[agents:read, agents:read]", "twice in one list"),
    ],
)
def test_what_no_route_asks_for_is_a_mistake(written: str, expected: str) -> None:
    text = file_with(routes=f"routes: {{/api: {{provider: jobs, allow: {{mastra: {written}}}}}}}")
    assert any(expected in line for line in mistakes(text)), mistakes(text)


def test_claim_of_the_role_is_named_on_the_provider() -> None:
    providers = f"providers: {{jobs: {{type: jwt, secret: {SECRET}, mastra_role_claim: /app/role}}}}"
    assert only_route("authenticated", providers=providers).providers[0].mastra_role_claim == "/app/role"
    assert only_route("authenticated").providers[0].mastra_role_claim is None


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ("/chat: {provider: jobs, allow: {mastra: viewer}}", "no route of Mastra's lies below '/chat'"),
        ("/: {provider: jobs, allow: {mastra: viewer}}", None),
        ("/api: {provider: jobs, allow: {mastra: viewer}}", None),
        ("'/api/agents/{agent}/generate': {provider: jobs, allow: {mastra: viewer}}", None),
        ("/api/agents/weatherAgent: {provider: jobs, allow: {mastra: viewer}}", None),
        (
            "PATCH /api/agents: {provider: jobs, allow: {mastra: viewer}}",
            "no route of Mastra's lies below 'PATCH /api/agents'",
        ),
        (
            "/api/memory: {provider: jobs, allow: {mastra: ['*:read', agents:read]}}",
            "nothing below '/api/memory' asks for agents:read",
        ),
        ("/api/memory: {provider: jobs, allow: {mastra: '*:execute'}}", None),
        ("/api/agents: {provider: jobs, allow: {mastra: agents:read:x}}", None),
    ],
)
def test_rule_that_can_never_hold_is_warned_of(routes: str, expected: str | None) -> None:
    said = [str(one) for one in read(file_with(routes=f"routes: {{{routes}}}")).warnings]
    found = [line for line in said if "of Mastra's lies" in line or "asks for" in line]
    assert len(found) == (expected is not None) and all(str(expected) in line for line in found), said


def test_editors_know_the_roles() -> None:
    (mapping,) = [one for one in json_schema()["$defs"]["rule"]["anyOf"] if one.get("type") == "object"]
    assert {"enum": ["viewer", "member", "admin", "owner"]} in mapping["properties"]["mastra"]["anyOf"]

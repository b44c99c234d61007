"""Mastra's roles and permissions as conditions: whose role is enough for what Mastra asks for on a route."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.claims import principal_of
from gateway.policy.decision import decide
from gateway.policy.expressions import Facts
from gateway.policy.machine_keys import MachineKey, digest_of, machines_of
from gateway.policy.mastra_roles import (
    ROLES,
    MastraPermission,
    MastraRole,
    mastra_roles_of,
    permission_patterns,
    permissions_of,
    shortfall,
)
from gateway.policy.mastra_routes import rows
from gateway.policy.model import Headers, RequestHead
from gateway.policy.paths import split_target
from gateway.policy.providers import Provider
from gateway.policy.reasons import Reason
from gateway.policy.rules import Not, evaluate
from gateway.policy.words import words_of
from tests.machines import key_named
from tests.minting import NOW
from tests.policy.test_decision import KEY, OIDC, FakeKeys, allowed, bearer, denied, policy, signed

PROVIDER = Provider("o", "oidc", frozenset({"RS256"}))
OWN_CLAIM = Provider("o", "oidc", frozenset({"RS256"}), mastra_role_claim="/app/role")
VIEWER, MEMBER, ADMIN, OWNER = map(MastraRole, ROLES)
LIST, RUN, DROP = "GET /api/agents", "POST /api/agents/weatherAgent/generate", "DELETE /api/memory/threads/t1"


def facts(asked: str, claims: dict[str, Any] | None = None, provider: Provider = PROVIDER) -> Facts:
    method, _, target = asked.partition(" ")
    principal = principal_of({"sub": "ann", **(claims or {})}, provider)
    path = split_target(target)[0]
    return Facts(principal, RequestHead(method, target, Headers([]), "192.0.2.7", "https"), path, {}, NOW)


def roles(*names: str) -> dict[str, Any]:
    return {"roles": list(names)}


@pytest.mark.parametrize(
    ("asked", "passes"),
    [
        pytest.param(LIST, "viewer member admin owner", id="read"),
        pytest.param("HEAD /api/agents", "viewer member admin owner", id="head-is-get"),
        pytest.param(RUN, "member admin owner", id="execute"),
        pytest.param("POST /api/memory/threads", "admin owner", id="write"),
        pytest.param("POST /api/stored/agents/a/versions/v/activate", "admin owner", id="publish"),
        pytest.param(DROP, "owner", id="delete"),
        pytest.param("POST /api/agents", "", id="no-such-route"),
        pytest.param("PUT /api/agents", "", id="no-such-method"),
        pytest.param("GET /api/new-thing", "", id="of-another-mastra"),
        pytest.param("GET /api/Agents", "", id="only-a-laxer-router"),
        pytest.param("GET /agents", "", id="page-of-studio"),
        pytest.param("GET /", "", id="root"),
        pytest.param("POST /api/mcp/m/mcp", "member admin owner", id="mcp-runs-tools"),
        pytest.param("GET /api/mcp/m/sse", "member admin owner", id="mcp-of-old"),
        pytest.param("GET /api/auth/me", "viewer member admin owner", id="nothing-asked"),
    ],
)
def test_role_covers_what_mastra_asks_for(asked: str, passes: str) -> None:
    found = [name for name in ROLES if evaluate(VIEWER, facts(asked, roles(name))) is True]
    assert found == passes.split()


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        (VIEWER, "viewer member admin owner"),
        (MEMBER, "member admin owner"),
        (ADMIN, "admin owner"),
        (OWNER, "owner"),
    ],
)
def test_role_is_the_least_that_is_enough(rule: MastraRole, passes: str) -> None:
    assert [name for name in ROLES if evaluate(rule, facts(LIST, roles(name))) is True] == passes.split()


def test_greater_role_may_no_more_than_it_covers() -> None:
    assert evaluate(ADMIN, facts(DROP, roles("admin"))) is False, "an admin of Mastra deletes nothing"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param(roles("member"), True, id="list"),
        pytest.param({"role": "member"}, True, id="one"),
        pytest.param(roles("support", "member"), True, id="among-others"),
        pytest.param(roles("viewer", "owner"), True, id="greatest-counts"),
        pytest.param(roles("viewer"), False, id="too-little"),
        pytest.param(roles("support"), False, id="none-of-them"),
        pytest.param(roles(), False, id="no-role"),
        pytest.param(roles("Member"), None, id="other-case"),
        pytest.param(roles("viewer", "Owner "), None, id="greater-in-another-spelling"),
        pytest.param(roles("viewer,member"), None, id="several-in-one-text"),
        pytest.param({}, None, id="not-said"),
        pytest.param({"roles": {"member": True}}, None, id="object"),
        pytest.param({"roles": [["member"]]}, None, id="nested"),
        pytest.param({"roles": ["member", 1]}, None, id="not-all-texts"),
        pytest.param({"roles": True}, None, id="boolean"),
    ],
)
def test_role_is_read_as_roles_are(claims: dict[str, Any], expected: bool | None) -> None:
    asked = facts(RUN, claims)
    assert evaluate(MEMBER, asked) is expected
    # What cannot be decided closes `deny` as well.
    assert evaluate(Not(MEMBER), asked) is (None if expected is None else not expected)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param({"app": {"role": "member"}}, True, id="named"),
        pytest.param({"app": {"role": ["viewer", "member"]}}, True, id="several"),
        pytest.param({"app": {"role": "viewer"}, "roles": ["owner"]}, False, id="roles-do-not-count"),
        pytest.param({"roles": ["owner"]}, None, id="not-there"),
        pytest.param({"app": {"role": None}, "roles": ["owner"]}, None, id="null"),
        pytest.param({"/app/role": "owner"}, None, id="literal"),
    ],
)
def test_role_stands_where_the_file_says(claims: dict[str, Any], expected: bool | None) -> None:
    assert evaluate(MEMBER, facts(RUN, claims, OWN_CLAIM)) is expected
    assert facts(RUN, claims, OWN_CLAIM).principal.roles == (("owner",) if "roles" in claims else None)


def test_role_of_an_organization_of_clerk_counts() -> None:
    clerk = Provider("c", "clerk", frozenset({"RS256"}))
    for claims in ({"o": {"id": "org_1", "rol": "admin"}}, {"org_id": "org_1", "org_role": "org:admin"}):
        assert evaluate(ADMIN, facts(LIST, claims, clerk)) is True


def test_key_of_a_machine_has_the_roles_of_its_line() -> None:
    line = MachineKey("worker", digest_of(key_named("worker")), "worker", roles=("member",))
    (machine,) = machines_of("keys", [line]).values()
    asked = facts(RUN)
    assert evaluate(MEMBER, Facts(machine.principal, asked.head, asked.path, {}, NOW)) is True


@pytest.mark.parametrize(
    ("pattern", "asked", "expected"),
    [
        pytest.param("agents:execute", RUN, True, id="itself"),
        pytest.param("agents:read", RUN, False, id="another-action"),
        pytest.param("workflows:execute", RUN, False, id="another-resource"),
        pytest.param("agents:*", RUN, True, id="any-action"),
        pytest.param("*:execute", RUN, True, id="any-resource"),
        pytest.param("*", DROP, True, id="all"),
        pytest.param("*", "GET /api/new-thing", None, id="all-but-what-nobody-knows"),
        pytest.param("agents:execute:weatherAgent", RUN, True, id="of-this-one"),
        pytest.param("agents:*:weatherAgent", RUN, True, id="anything-of-this-one"),
        pytest.param("*:execute:weatherAgent", RUN, True, id="any-resource-of-this-name"),
        pytest.param("agents:execute:other", RUN, False, id="of-another"),
        pytest.param("agents:execute:weatherAgent", "POST /api/agents/%77eatherAgent/generate", True, id="encoded"),
        pytest.param("agents:execute:WeatherAgent", RUN, None, id="almost-of-this-one"),
        pytest.param("agents:execute:a b", "POST /api/agents/a%20b/generate", True, id="decoded-once"),
        pytest.param("agents:execute:a%20b", "POST /api/agents/a%2520b/generate", True, id="not-twice"),
        pytest.param("agents:execute:a:b", "POST /api/agents/a:b/generate", True, id="colon-in-the-id"),
        pytest.param("agents:execute:weatherAgent", "POST /api/agents/weatherAgent/tools/t/execute", True, id="below"),
        pytest.param("agents:read:weatherAgent", LIST, None, id="list-names-none"),
        pytest.param("agents:execute:weatherAgent", "POST /api/v1/responses", None, id="agent-stands-in-the-body"),
        pytest.param("agents:read:c1", "GET /api/v1/conversations/c1", None, id="id-of-another-thing"),
        pytest.param("stored:read", "GET /api/stored/agents", True, id="family"),
        pytest.param("stored:*", "DELETE /api/stored/skills/s", True, id="family-any-action"),
        pytest.param("stored-agents:read:a", "GET /api/stored/agents/a", True, id="two-words"),
        pytest.param("stored:read:a", "GET /api/stored/agents/a", True, id="family-of-this-one"),
        pytest.param("agents:read", "GET /api/stored/agents", False, id="not-its-family"),
        pytest.param("*", "GET /api/auth/me", False, id="nothing-is-asked-there"),
    ],
)
def test_permission_is_that_of_the_route(pattern: str, asked: str, expected: bool | None) -> None:
    assert evaluate(MastraPermission((pattern,)), facts(asked)) is expected
    assert evaluate(MastraPermission(("logs:read", pattern)), facts(asked)) is expected


def test_of_several_permissions_one_is_enough() -> None:
    row = next(row for row in rows() if len(row.permission) > 1)
    target = f"{row.method} /api/" + "/".join(segment.strip(":") for segment in row.segments)
    assert [evaluate(MastraPermission((one,)), facts(target)) for one in row.permission] == [True, True]


def test_each_route_of_mastra_is_open_to_its_owner_and_to_who_has_no_role_closed() -> None:
    for row in rows():
        method = "GET" if row.method == "ALL" else row.method
        asked = f"{method} /api/" + "/".join("x1" if s.startswith(":") else s for s in row.segments)
        assert evaluate(VIEWER, facts(asked, roles("owner"))) is True, asked
        assert evaluate(VIEWER, facts(asked, roles("support"))) is False, asked


def test_mastra_says_itself_of_which_routes_it_derives_no_permission() -> None:
    unsaid = {f"{row.method} {row.path}": permissions_of(row) for row in rows() if not row.permission}
    asked = {path: needed for path, needed in unsaid.items() if needed}
    assert asked == {"ALL /mcp/:serverId/mcp": ("mcp:execute",), "ALL /mcp/:serverId/sse": ("mcp:execute",)}
    assert all(path.split()[1].startswith("/auth/") for path in unsaid.keys() - asked.keys())
    assert None not in unsaid.values()


def test_patterns_are_those_of_mastra() -> None:
    # Counted in @mastra/core 1.71.0; tests/mastra compares each with the package.
    assert len(set(permission_patterns())) == len(permission_patterns()) == 134


@pytest.mark.parametrize(
    ("rule", "asked", "claims", "said"),
    [
        (VIEWER, RUN, roles("viewer"), "Mastra's role viewer; POST /agents/:agentId/generate asks for agents:execute"),
        (VIEWER, LIST, {}, "the token has no roles; GET /agents asks for agents:read"),
        (VIEWER, LIST, roles("support"), "the token has none of Mastra's roles; GET /agents asks for agents:read"),
        (
            OWNER,
            "GET /api/x",
            roles("owner"),
            "Mastra's role owner; no route of Mastra's that is known takes the request",
        ),
        (MastraPermission(("*:read",)), DROP, {}, "DELETE /memory/threads/:threadId asks for memory:delete"),
        (MastraPermission(("*",)), "GET /api/auth/me", {}, "GET /auth/me asks for no permission"),
    ],
)
def test_shortfall_says_what_was_missing(rule: Any, asked: str, claims: dict[str, Any], said: str) -> None:
    assert shortfall(rule, facts(asked, claims)) == said


def test_words() -> None:
    assert words_of(VIEWER) == "Mastra's role viewer or greater, which covers the route"
    assert words_of(MastraPermission(("agents:execute", "memory:read"))) == (
        "a route that asks for Mastra's permission agents:execute or memory:read"
    )


def test_refusal_says_for_the_log_what_was_missing() -> None:
    head = bearer(signed(roles=["viewer"]), method="POST", target=RUN.partition(" ")[2])
    deny = denied(decide(policy(OIDC, allow=(VIEWER,)), FakeKeys(KEY), head, NOW))
    assert (deny.reason, deny.rule) == (Reason.ACCESS_DENIED, "allow[0]")
    assert deny.detail == (
        "no `allow` rule holds: Mastra's role viewer or greater, which covers the route; Mastra's role viewer; "
        "POST /agents/:agentId/generate asks for agents:execute"
    )
    allowed(
        decide(
            policy(OIDC, allow=(VIEWER,)), FakeKeys(KEY), bearer(signed(roles=["viewer"]), target="/api/agents"), NOW
        )
    )


def test_roles_that_studio_is_told_are_mastras() -> None:
    assert mastra_roles_of(facts(LIST, roles("support", "viewer", "admin")).principal) == ("admin", "viewer")
    assert mastra_roles_of(facts(LIST).principal) == ()

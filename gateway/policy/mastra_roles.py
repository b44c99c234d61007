"""Mastra's own roles and permissions as conditions: `mastra: viewer`, `mastra: [agents:execute]`.

A permission is `RESOURCE:ACTION`, or `RESOURCE:ACTION:ID`; `*` stands for any of either. Which one a request needs is
said by Mastra's own table of routes (`mastra_routes`); what no row takes, nobody knows the permission of.

Source: @mastra/core, `auth/ee`: DEFAULT_ROLES, PERMISSION_PATTERNS, matchesPermission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from gateway.policy.expressions import Facts
from gateway.policy.likeness import is_alike, some_alike
from gateway.policy.mastra_routes import PREFIX, Row, row_of, rows
from gateway.policy.model import Principal

# From the least to the greatest: each may what the one before it may.
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "viewer": ("*:read",),
    "member": ("*:read", "*:execute"),
    "admin": ("*:read", "*:write", "*:execute", "*:publish", "*:share"),
    "owner": ("*",),
}
_RANKS: Final[Mapping[str, int]] = {name: rank for rank, name in enumerate(ROLES)}
_EVERYTHING: Final = "*"
_FAMILY: Final = "stored"  # `stored:read` is `stored-agents:read`, `stored-skills:read` and all others of its kind
_OF_FAMILY: Final = ("read", "write", "delete")
_BESIDE: Final = (
    "stored-agents:share",
    "stored-skills:share",
)  # Mastra knows them, and none of its routes asks for one
# What Mastra derives no permission for. Whoever speaks MCP runs tools; the rest is about who is there.
_UNSAID: Final[Mapping[str, tuple[str, ...]]] = {"mcp": ("mcp:execute",), "auth": ()}


@dataclass(frozen=True, slots=True)
class MastraRole:
    """The caller has this role of Mastra's or a greater one, and may with it what the route asks for."""

    least: str


@dataclass(frozen=True, slots=True)
class MastraPermission:
    """What the route asks for is one of these permissions, whoever calls."""

    patterns: tuple[str, ...]


def has_mastra_role(condition: MastraRole, facts: Facts) -> bool | None:
    """Return whether the caller's role is enough. None: it cannot be read, or nobody knows what the route asks for."""
    said = facts.principal.mastra_roles
    if said is None:
        return None
    role = greatest_role(said)
    if role is None or _RANKS[role] < _RANKS[condition.least]:
        greater = [name for name, rank in _RANKS.items() if rank >= _RANKS[condition.least]]
        return None if some_alike(said, greater) else False
    needed = needed_at(facts)
    if needed is None:
        return None
    return not needed[0] or covers(ROLES[role], *needed)


def asks_mastra_permission(condition: MastraPermission, facts: Facts) -> bool | None:
    """Return whether what the route asks for is one of the permissions. None: nobody knows what it asks for."""
    needed = needed_at(facts)
    return None if needed is None else covers(condition.patterns, *needed)


def greatest_role(said: Iterable[str]) -> str | None:
    """Return the greatest of Mastra's roles among these names; None if there is none."""
    return max((name for name in said if name in _RANKS), key=_RANKS.__getitem__, default=None)


def needed_at(facts: Facts) -> tuple[tuple[str, ...], str | None] | None:
    """Return the permissions of which a request needs one, and the id of what it is about, where its path has that.

    None: no route of Mastra's takes it. No permission at all: anybody may.
    """
    row = row_of(facts.head.method, facts.path.segments)
    needed, at = (None, None) if row is None else _asked()[row.method, row.path]
    if needed is None:
        return None
    return needed, None if at is None else facts.path.decoded(len(PREFIX) + at)


def permissions_of(row: Row) -> tuple[str, ...] | None:
    """Return the permissions of which one is enough for a route of Mastra's; None: nobody knows."""
    return row.permission or _UNSAID.get(row.segments[0])


def covers(patterns: Sequence[str], needed: Sequence[str], subject: str | None) -> bool | None:
    """Return whether some pattern stands for one of the permissions, asked for of what has the id `subject`.

    None where a pattern is about one id and nobody knows the request's, which may stand in its body.
    """
    verdicts = [_matches(pattern, one, subject) for pattern in patterns for one in needed]
    return True if True in verdicts else None if None in verdicts else False


def _matches(pattern: str, needed: str, subject: str | None) -> bool | None:
    if pattern == _EVERYTHING:
        return True
    resource, action, wanted = (*pattern.split(":", 2), "")[:3]
    needed_resource, _, needed_action = needed.partition(":")
    is_in_family = resource == _FAMILY and needed_resource.startswith(f"{_FAMILY}-")
    if resource not in (_EVERYTHING, needed_resource) and not is_in_family:
        return False
    if action not in (_EVERYTHING, needed_action):
        return False
    if not wanted or wanted == subject:
        return True
    return None if subject is None or is_alike(subject, (wanted,)) else False


@cache
def _asked() -> Mapping[tuple[str, str], tuple[tuple[str, ...] | None, int | None]]:
    """Return what each row asks for, and where its id stands: rows themselves are slow to look up."""
    return {(row.method, row.path): (permissions_of(row), place_of_id(row)) for row in rows()}


def place_of_id(row: Row) -> int | None:
    """Return which segment of a row is the id of what its permission is about; None: none is.

    It stands behind the resource's own name: `/agents/:agentId/generate`, `/stored/agents/:id`. Behind any other it is
    the id of another thing: `/v1/responses/:responseId` asks for `agents:read`.
    """
    segments, needed = row.segments, permissions_of(row)
    at = next((number for number, segment in enumerate(segments) if segment.startswith(":")), None)
    if at is None or not needed or any(one.partition(":")[0] != "-".join(segments[:at]) for one in needed):
        return None
    return at


@cache
def resources_with_ids() -> tuple[str, ...]:
    """Return the resources of which a path can name one: `agents` of `agents:read:weatherAgent`."""
    named = [needed[0] for row in rows() if (needed := permissions_of(row)) and place_of_id(row) is not None]
    return tuple(sorted({one.partition(":")[0] for one in named}))


@cache
def asked_permissions() -> tuple[str, ...]:
    """Return every permission that some route of Mastra's asks for, sorted."""
    return tuple(sorted({one for row in rows() for one in permissions_of(row) or ()}))


@cache
def permission_patterns() -> tuple[str, ...]:
    """Return every permission and pattern that Mastra knows: what it answers at `/auth/permission-patterns`."""
    pairs = sorted({*asked_permissions(), *_BESIDE})
    resources, actions = (sorted({one.split(":")[at] for one in pairs}) for at in (0, 1))
    return (
        _EVERYTHING,
        *(f"{_EVERYTHING}:{action}" for action in actions),
        *(f"{resource}:{_EVERYTHING}" for resource in (*resources, _FAMILY)),
        *pairs,
        *(f"{_FAMILY}:{action}" for action in _OF_FAMILY),
    )


def shortfall(condition: MastraRole | MastraPermission, facts: Facts) -> str:
    """Return in words what such a condition found: the caller's role, and what the route asks for."""
    method, segments = facts.head.method, facts.path.segments
    row = row_of(method, segments)
    needed = None if row is None else permissions_of(row)
    if row is None or needed is None:
        asks = "no route of Mastra's that is known takes the request"
    else:
        asks = f"{row.method} {row.path} asks for {' or '.join(needed) or 'no permission'}"
    return asks if isinstance(condition, MastraPermission) else f"{_role_in_words(facts.principal)}; {asks}"


def _role_in_words(principal: Principal) -> str:
    if principal.mastra_roles is None:
        return "the token has no roles"
    role = greatest_role(principal.mastra_roles)
    return "the token has none of Mastra's roles" if role is None else f"Mastra's role {role}"


def mastra_roles_of(principal: Principal) -> tuple[str, ...]:
    """Return which of Mastra's roles a caller has, the greatest first."""
    return tuple(name for name in reversed(list(ROLES)) if name in (principal.mastra_roles or ()))

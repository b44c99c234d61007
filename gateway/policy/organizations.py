"""The organization that a token is about: its id, and what Clerk says of it beside, in two versions of its claims."""

from __future__ import annotations

from gateway.policy.claim_names import Claims, read_claim
from gateway.policy.claim_values import Reading, agreed, strings
from gateway.policy.providers import Provider

# Its id, and what is said of roles and permissions where they belong to it.
Organization = tuple[str | None, list[Reading], list[Reading]]


def organization_of(claims: Claims, provider: Provider) -> Organization:
    """Return the organization's id (names can change, ids cannot), and the readings of its roles and permissions."""
    name, preset = provider.organization_claim, provider.preset
    if not preset.organization_role:
        return agreed(claims.get("org_id") if name is None else read_claim(claims, name)), [], []
    compact = claims.get(preset.organization_object)
    if not isinstance(compact, dict):
        compact = {}
    said = (compact.get("id"), claims.get("org_id")) if name is None else (read_claim(claims, name),)
    # A role comes out as both `admin` and `org:admin`, a permission as `org:FEATURE:ACTION`, as Clerk's own SDKs name
    # them. Source: Clerk, "Session tokens", version 2 claims.
    named = (compact.get("rol"), claims.get(preset.organization_role))
    roles = [_clerk_role(role) for role in named if role is not None and role != ""]
    permissions: list[Reading] = []
    if "per" in compact or "fpm" in compact:
        permissions.append(_clerk_permissions(claims, compact))
    listed = claims.get(preset.organization_permissions)
    if listed is not None:
        permissions.append(strings(listed))
    return agreed(*said), roles, permissions


def _clerk_role(role: object) -> Reading:
    if not isinstance(role, str):
        return None
    bare = role.removeprefix("org:")
    return bare, f"org:{bare}"


def _clerk_permissions(claims: Claims, compact: Claims) -> tuple[str, ...] | None:
    """Join features, permissions and the bit map: bit i of a feature's number in `fpm` grants the i-th of `per`.

    `fea: "o:posts,u:billing"`, `per: "read,manage"`, `fpm: "3"` means `org:posts:read` and `org:posts:manage`.
    """
    features, actions, grants = claims.get("fea"), compact.get("per"), compact.get("fpm")
    if not (isinstance(features, str) and isinstance(actions, str) and isinstance(grants, str)):
        return None
    # A scope may be joined (`uo:`): what is of the organization counts, and `fpm` has a number for each of these.
    scoped = [feature.strip().partition(":") for feature in features.split(",")]
    of_organization = [name for scope, _, name in scoped if "o" in scope and name]
    numbers = [number.strip() for number in grants.split(",")]
    names = [action.strip() for action in actions.split(",")]
    granted: list[str] = []
    for feature, number in zip(of_organization, numbers, strict=False):
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            continue
        bits = int(number)
        granted += [f"org:{feature}:{name}" for bit, name in enumerate(names) if name and bits >> bit & 1]
    return tuple(granted)

"""What a gateway says of who counts no more: the list, and sessions that were ended. Nobody is named."""

from __future__ import annotations

from typing import Any

from gateway.server.gateway import Gateway


def revocation_state(gateway: Gateway, now: float) -> dict[str, Any]:
    """Return what is revoked, and what is wrong with knowing of it."""
    revoking, file = gateway.revoking, gateway.config.revoked_file
    sharing = revoking.sharing
    return {
        "file": None if file is None else str(file),
        "entries": len(revoking.listed.entries),
        "error": revoking.error,
        "failed_seconds_ago": None if revoking.failed_at is None else round(now - revoking.failed_at, 1),
        "ended_sessions": 0 if revoking.ended is None else len(revoking.ended),
        "is_shared": None if sharing is None else not sharing.is_down,
        "logouts": dict(revoking.logouts),
    }


def worst_revocation(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the worker knows that knows least, with the logouts of all."""
    worst = min(found, key=lambda one: (one["error"] is None, one["is_shared"] is not False))
    return worst | {"logouts": {name: sum(one["logouts"][name] for one in found) for name in worst["logouts"]}}

"""Ownership in words: what `gateway check` prints of the table of Mastra's routes, and what of it a report holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from gateway.policy.mastra_names import names_in
from gateway.policy.mastra_routes import Row, Way, rows
from gateway.policy.ownership import ANY, Ownership
from gateway.policy.words import listed

_MEANING: Final[dict[Way, str]] = {
    "pin": "the owner is set, whatever a request says",
    "look_up": "Mastra is asked first whose it is",
    "close": "Mastra does not part it by owner: 403 not_owner",
    "none": "nobody's own",
}
# What most people ask about, of each way.
_NOTABLE: Final[dict[Way, tuple[str, ...]]] = {
    "pin": ("generate and stream", "threads", "messages", "lists of runs, traces, tasks and schedules"),
    "look_up": ("runs of workflows", "tool approvals", "traces by id", "conversations", "A2A tasks", "network"),
    "close": ("transfer", "vectors", "stored agents", "datasets", "logs", "models", "workspaces' files"),
    "none": ("lists of agents, tools and workflows",),
}
_SDK: Final = ((("chat",), "generate"), (("chat", ANY), "generate"))
_ORDER: Final[tuple[Way, ...]] = ("pin", "look_up", "close", "none")


def ownership_lines(upstream: str, ownership: Ownership, free: Sequence[str]) -> list[str]:
    """Return in words what an upstream's `own` does. `free` are the keys of its routes that say `own: false`."""
    if not ownership.has_owners:
        return _nobodys_lines(upstream, ownership, free)
    counts = Counter(row.way for row in rows())
    prefix = _shown(ownership.prefix)
    lines = [f"{upstream}: things belong to {owner_words(ownership)}; of Mastra's {len(rows())} routes below {prefix}"]
    for way in _ORDER:
        lines.append(f"  {counts[way]} {way.replace('_', ' ')}: {_MEANING[way]} ({', '.join(_NOTABLE[way])})")
    lines.append("  any other path there is closed")
    named = [f"{_shown(path)} is {like}" for path, like in {**dict(_SDK), **dict(ownership.like)}.items()]
    lines.append(f"  elsewhere {listed(named, 'and')}")
    if free:
        lines.append(f"  own: false on {listed(free, 'and')}: callers there have to do with everybody's things")
    return lines


def _nobodys_lines(upstream: str, ownership: Ownership, free: Sequence[str]) -> list[str]:
    named = sum(1 for row in rows() if names_in(row))
    return [
        f"{upstream}: nothing has an owner; of Mastra's {len(rows())} routes below {_shown(ownership.prefix)}",
        f"  {named} are about what the path names, whatever query and body say",
        *([f"  own: false on {listed(free, 'and')}: there query and body may name another"] if free else []),
    ]


def owner_words(ownership: Ownership) -> str:
    """Return what things belong to."""
    if not ownership.has_owners:
        return "nobody"
    whose = f"the claim {ownership.claim}" if ownership.by == "claim" else f"the caller's {ownership.by}"
    return f"{whose} at its provider" if ownership.by_provider else whose


def ownership_report(ownership: Ownership, free: Sequence[str]) -> dict[str, Any]:
    """Return the whole table, for programs."""
    return {
        "by": f"claim:{ownership.claim}" if ownership.by == "claim" else ownership.by,
        "prefix": _shown(ownership.prefix),
        "parted_by_provider": ownership.by_provider,
        "like": {_shown(path): like for path, like in ownership.like},
        "own_false": list(free),
        "routes": [_row(row) for row in rows()],
    }


def _shown(path: Sequence[str]) -> str:
    return "".join(f"/{'{..}' if one == ANY else one}" for one in path)


def _row(row: Row) -> dict[str, Any]:
    return {
        "method": row.method,
        "path": row.path,
        "permission": list(row.permission),
        "way": row.way,
        "carriers": [".".join(filter(None, (one.place, one.name))) + f":{one.kind}" for one in row.carriers],
    }

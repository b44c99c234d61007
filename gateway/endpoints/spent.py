"""What `/status` says of budgets, of one process and of several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from gateway.policy.budgets import Budget
from gateway.server.gateway import Gateway


def budgets_state(gateway: Gateway) -> list[dict[str, Any]]:
    """Return each budget, and what it said since the start."""
    ledger, results = gateway.ledger, gateway.ledger.results
    return [
        {
            "name": one.name,
            "per": one.per,
            "limits": limits_of(one),
            "open_streams": ledger.open_streams.get(one.name, 0),
            "results": {result: count for (name, result), count in results.items() if name == one.name},
        }
        for one in gateway.config.budgets
    ]


def limits_of(budget: Budget) -> str:
    """Return what a budget allows, as the file writes it."""
    parts = [
        f"streams: {budget.streams}" if budget.streams is not None else "",
        f"requests: {budget.requests}" if budget.requests is not None else "",
        f"failures: {budget.failures}" if budget.failures is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def store_state(gateway: Gateway) -> dict[str, Any] | None:
    """Return where the store is that replicas share, and whether it answers; None if there is none."""
    shared, store = gateway.config.shared, gateway.ledger.store
    if shared is None or store is None:
        return None
    state = {None: "not asked yet", True: "up", False: "down"}[store.is_up]
    return {
        "at": shared.where,
        "state": state,
        "if_down": shared.if_down,
        "since_seconds": None if store.changed_at is None else round(time.time() - store.changed_at, 1),
        "problem": store.problem or None,
        "failures": store.failures,
    }


def merged_budgets(several: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the budgets of several workers as one: counts add up."""
    merged = []
    for first in several[0]:
        same = [one for budgets in several for one in budgets if one["name"] == first["name"]]
        names = dict.fromkeys(name for one in same for name in one["results"])
        results = {name: sum(one["results"].get(name, 0) for one in same) for name in names}
        merged.append(first | {"open_streams": sum(one["open_streams"] for one in same), "results": results})
    return merged


def worst_store(several: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """Return what the worker says for which the store is down, if there is one."""
    known = [one for one in several if one is not None]
    rank = {"down": 0, "up": 1}
    return min(known, key=lambda one: rank.get(one["state"], 2), default=None)

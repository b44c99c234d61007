"""Which budgets a request would use up some of, and who would be counted as one."""

from __future__ import annotations

from gateway.explain.step import Step, shown
from gateway.policy.budgets import Budget, counted
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.model import RequestHead
from gateway.policy.words import duration_of
from gateway.proxy.heads import asks_for_stream


def explain_budgets(allow: Allow, head: RequestHead) -> tuple[tuple[Step, ...], Denied | None]:
    """Return the step, none where the route has no budget, and the refusal. What is left only the gateway knows."""
    budgets = allow.route.budgets
    if not budgets or allow.route.own:
        return (), None
    may_stream = asks_for_stream(head.method, head.headers) or head.wants_websocket
    parts: list[Step] = []
    refusal: Denied | None = None
    for one in budgets:
        try:
            *_, value = counted(one, allow.principal, head.client_ip)
        except Denied as no:
            refusal = refusal or (no if allow.route.enforce else None)
            parts.append(Step(one.name, "no", no.detail, f"something to count {one.per} by"))
        else:
            parts.append(Step(one.name, "yes", f"{one.per} {shown(value)}: {_uses(one, may_stream=may_stream)}"))
    found = "what is left is known to the running gateway alone: see RateLimit in its answers"
    return (Step("budget", "yes" if refusal is None else "no", found, parts=tuple(parts)),), refusal


def _uses(budget: Budget, *, may_stream: bool) -> str:
    """Return what a request uses up, in words."""
    used = (
        [f"one of {budget.requests.count} requests within {duration_of(budget.requests.seconds)}"]
        if budget.requests
        else []
    )
    if budget.streams is not None:
        used.append(f"one of {budget.streams} streams" if may_stream else "no stream, unless the answer is one")
    return " and ".join(used)

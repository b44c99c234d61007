"""Which budgets a request would use up some of, and who would be counted as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.explain.step import Step, shown
from gateway.policy.budgets import Budget, Left, counted
from gateway.policy.decision import Allow
from gateway.policy.denied import Denied
from gateway.policy.model import RequestHead
from gateway.policy.reasons import Reason
from gateway.policy.words import duration_of
from gateway.proxy.heads import asks_for_stream


@dataclass(frozen=True, slots=True)
class Counted:
    """What is left for one caller of each budget, by its name, and in whose words; none, and the words say why."""

    left: Mapping[str, Left]
    words: str


_UNKNOWN = Counted({}, "what is left is known to the running gateway alone: see RateLimit in its answers")


def explain_budgets(
    allow: Allow, head: RequestHead, counted_by: Counted | None = None
) -> tuple[tuple[Step, ...], Denied | None]:
    """Return the step, none where the route has no budget, and the refusal. Nothing is counted."""
    budgets = allow.route.budgets
    if not budgets or allow.route.own:
        return (), None
    may_stream = asks_for_stream(head.method, head.headers) or head.wants_websocket
    told = counted_by or _UNKNOWN
    parts: list[Step] = []
    refusal: Denied | None = None
    for one in budgets:
        try:
            *_, value = counted(one, allow.principal, head.client_ip)
        except Denied as no:
            refusal = refusal or (no if allow.route.enforce else None)
            parts.append(Step(one.name, "no", no.detail, f"something to count {one.per} by"))
        else:
            whose, left = f"{one.per} {shown(value)}: {_uses(one, may_stream=may_stream)}", told.left.get(one.name)
            is_over = left is not None and _is_over(one, left, may_stream=may_stream)
            if is_over and allow.route.enforce:
                refusal = refusal or Denied(Reason.BUDGET_EXCEEDED, f"the budget '{one.name}' has nothing left")
            parts.append(
                Step(one.name, "no" if is_over else "yes", whose if left is None else f"{whose}{_rest(one, left)}")
            )
    return (Step("budget", "yes" if refusal is None else "no", told.words, parts=tuple(parts)),), refusal


def _is_over(budget: Budget, left: Left, *, may_stream: bool) -> bool:
    has_stream = budget.streams is None or not may_stream or left.streams > 0
    return not has_stream or (budget.requests is not None and left.requests <= 0)


def _rest(budget: Budget, left: Left) -> str:
    """Return in words what is left."""
    rest = []
    if budget.requests is not None:
        when = f" (one more in {left.reset_seconds:.0f} s)" if left.requests <= 0 else ""
        rest.append(f"{max(0, left.requests)} requests{when}")
    if budget.streams is not None:
        rest.append(f"{max(0, left.streams)} streams")
    return f"; left: {' and '.join(rest)}"


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

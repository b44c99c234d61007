"""A configuration in plain English: one row for each route, words for every rule."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.document import printable
from gateway.config.model import Audit, Config
from gateway.policy.budgets import Budget, Rate
from gateway.policy.routes import Capture, Route
from gateway.policy.streams import Streams
from gateway.policy.studio import ASKED
from gateway.policy.words import duration_of, words_of


@dataclass(frozen=True, slots=True)
class Row:
    """One route in words: what it covers, whose tokens count, who may pass, where it leads."""

    key: str
    providers: str
    who: str
    upstream: str


def describe(config: Config) -> list[Row]:
    """Return a row for each route, the most specific first, as they are tried."""
    return [_row(route) for route in sorted(config.policy.routes, key=_specificity)]


def _row(route: Route) -> Row:
    kind = " exactly" if route.exact else ""
    socket = ", WebSocket" if route.websocket else ""
    providers = ", ".join(provider.name for provider in route.providers)
    where = route.upstream.name if not route.own else ""
    return Row(route.key + kind, providers, who_may_pass(route) + socket, where)


def who_may_pass(route: Route) -> str:
    """Return in words who may pass a route."""
    if route.own:
        return f"everybody: the gateway itself answers ({_because(route)})"
    if route.public:
        return "everybody, with or without a token" if route.providers else "everybody, without a token"
    allow = "; or ".join(map(words_of, route.allow))
    deny = f"; never {'; nor '.join(map(words_of, route.deny))}" if route.deny else ""
    observed = "" if route.enforce else " (only logged, not enforced)"
    return f"{allow}{deny}{observed}"


def words_of_audit(audit: Audit, digest: str) -> list[str]:
    """Return in words line by line, what the audit holds, what if it cannot, and which file judges."""
    lost = "the request is refused" if audit.refuses else "the request passes and is counted"
    return [
        f"audit in {printable(str(audit.file))}, callers by {'digest' if audit.is_hashed else 'subject'}",
        f"  a line for {', '.join(audit.events)}",
        f"  where it cannot be written, {lost}",
        f"  each names this configuration: {digest}",
    ]


def words_of_budgets(config: Config) -> list[str]:
    """Return in words, line by line, where budgets are counted, what each allows, and on which routes."""
    counted, shared = "in the memory of each process", config.shared
    if shared is not None:
        down = "each process counts for itself" if shared.if_down == "local" else "what would be counted is refused"
        counted = f"together in {shared.where}; while that is down, {down}"
    lines = [f"budgets, counted {counted}"] if config.budgets else []
    return lines + [f"  {one.name}, per {one.per}: {_allowed(one, config)}" for one in config.budgets]


def words_of_ends(config: Config) -> list[str]:
    """Return in words, line by line, when streams end by the gateway's will, on which routes, and who is revoked."""
    kinds: dict[str, list[str]] = {}
    for route in config.policy.routes:
        if route.streams is not None and (words := _life(route.streams)):
            kinds.setdefault(words, []).append(route.key)
    lines = ["streams", *(f"  {words}; on {', '.join(keys)}" for words, keys in kinds.items())] if kinds else []
    if config.revoked_file is not None:
        count = len(config.policy.revoked.listed.entries) if config.policy.revoked is not None else 0
        lines.append(f"revoked by {printable(config.revoked_file.name)}: {entries(count)}, read again when it changes")
    return lines


def entries(count: int) -> str:
    """Return in words how long a list is."""
    return "1 entry" if count == 1 else f"{count} entries"


def _life(streams: Streams) -> str:
    grace, most, silence = streams.grace_seconds, streams.max_seconds, streams.heartbeat_seconds
    parts = [
        f"end {f'{duration_of(grace)} after' if grace else 'with'} their token or session" if grace is not None else "",
        f"last {duration_of(most)} at most" if most is not None else "",
        f"say that they live after {duration_of(silence)} of silence" if silence is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def routes_with(budget: Budget, config: Config) -> list[str]:
    """Return the keys of the routes that name a budget, as the file has them."""
    return [route.key for route in config.policy.routes if any(one.name == budget.name for one in route.budgets)]


def _allowed(budget: Budget, config: Config) -> str:
    if budget.failures is not None:
        return f"{_rate(budget.failures, 'answers 401')}, then 429 on every route; in the memory of each process"
    streams = [_streams(budget.streams)] if budget.streams is not None else []
    requests = [_rate(budget.requests, "requests")] if budget.requests is not None else []
    routes = ", ".join(routes_with(budget, config))
    return f"{', '.join([*streams, *requests])}; on {routes or 'no route'}"


def _streams(count: int) -> str:
    return f"{count} streams at once" if count > 1 else "1 stream at once"


def _rate(rate: Rate, what: str) -> str:
    return f"{rate.count} {what} within {duration_of(rate.seconds)}"


def _because(route: Route) -> str:
    if route.document is not None:
        return "mcp: true"
    return "studio" if route.own in ASKED or not route.sealed else "login"


def _specificity(route: Route) -> tuple[int, tuple[bool, ...], bool, bool]:
    captured = tuple(isinstance(segment, Capture) for segment in route.segments)
    return -len(route.segments), captured, not route.exact, route.methods is None

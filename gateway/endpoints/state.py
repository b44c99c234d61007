"""The state of one gateway as JSON has it: for `/status` and the page. No secret, no claim, no token."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection
from typing import Any

from gateway import __version__
from gateway.config.describe import who_may_pass
from gateway.config.document import printable
from gateway.config.model import Config
from gateway.endpoints.revocation_state import revocation_state, worst_revocation
from gateway.endpoints.spent import budgets_state, merged_budgets, store_state, worst_store
from gateway.endpoints.trouble import no_worker_answers, troubles_of
from gateway.keys.status import SourceStatus, as_one
from gateway.keys.store import KeyStore
from gateway.policy.providers import Kind, Provider, issuers_of
from gateway.policy.routes import Route
from gateway.policy.upstreams import Upstream
from gateway.record.build import build
from gateway.record.metrics import Metrics
from gateway.record.outcome import Outcome
from gateway.record.reachability import Reachability
from gateway.server.gateway import Gateway
from gateway.server.gauges import gauges_of
from gateway.server.recent import MAX_REFUSALS, SLOT_SECONDS


def state_of(gateway: Gateway) -> dict[str, Any]:
    """Return the state of a gateway. Ages and spans are seconds."""
    config, gauges = gateway.config, gauges_of(gateway)
    now = time.time()
    state = {
        "version": __version__,
        "build": build(),
        "ready": gateway.is_ready(),
        "draining": gateway.is_draining,
        "takes_requests_seconds": _left(gateway, now),  # while it drains; None if no other begins
        "workers": 1,
        "agree": True,  # several workers: all have read the same routes
        "uptime_seconds": round(now - gateway.started_at, 1),
        "open": {
            "connections": gauges.open_connections,
            "requests": gauges.open_requests,
            "streams": gauges.open_streams,
            "websockets": gauges.open_websockets,
        },
        "configuration": {
            "files": [str(path) for path in config.sources],
            "loaded_seconds_ago": round(now - gateway.loaded_at, 1),
            "reload_error": gateway.last_reload_error,
            "reload_failed_seconds_ago": _ago(now, gateway.reload_failed_at),
            "warnings": list(config.warnings),
            "digest": config.digest,
        },
        "routes": [_route(route, gateway.metrics) for route in config.policy.routes],
        "providers": [_provider(provider, gateway.store) for provider in config.providers],
        "upstreams": [
            _upstream(upstream, gateway.metrics.upstreams.of(upstream.name), now)
            | {"certificate_expires_seconds": _ago(dict(gauges.upstream_certificates).get(upstream.name), now)}
            for upstream in config.upstreams
        ],
        "certificate_expires_seconds": _ago(gateway.public.certificate_expires_at, now),
        "outdated_engines": {engine: list(names) for engine, names in gateway.runtime.outdated.items()},
        "token_cache": {
            "entries": gauges.cache_entries,
            "hits": gauges.cache_hits,
            "misses": gauges.cache_misses,
        },
        "session_renewals": dict(gateway.metrics.session_renewals),
        "revocation": revocation_state(gateway, now),
        "budgets": budgets_state(gateway),
        "shared": store_state(gateway),
        "own": {
            **gateway.metrics.own,
            "owners": gauges.owners,
            **{f"lookups_{result}": count for result, count in gateway.metrics.lookups.items()},
            "held_bodies": gauges.held_bodies,
            "held_bytes": gauges.held_bytes,
            "held_shed": gauges.held_shed,
        },
        "audit": _audit(gateway, now),
        "recent": {"slot_seconds": SLOT_SECONDS, "slots": gateway.recent.slots()},
        "refusals": gateway.recent.refusals(lambda outcome: _kinds_of(outcome, config)),
    }
    return {"troubles": troubles_of(state)} | state


def no_state() -> dict[str, Any]:
    """Return the state of a gateway of which no worker answers."""
    return {"ready": False, "workers": 0, "troubles": [no_worker_answers()]}


def merge_states(states: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the state of several workers as one: counts add up, of times and ages the largest counts."""
    first = states[0]
    left = [state["takes_requests_seconds"] for state in states if state["takes_requests_seconds"] is not None]
    merged = first | {
        "ready": all(state["ready"] for state in states),
        "draining": any(state["draining"] for state in states),
        "takes_requests_seconds": max(left, default=None),
        "workers": len(states),
        "open": _added([state["open"] for state in states]),
        "token_cache": _added([state["token_cache"] for state in states]),
        "session_renewals": _added([state["session_renewals"] for state in states]),
        "budgets": merged_budgets([state["budgets"] for state in states]),
        "shared": worst_store([state["shared"] for state in states]),
        "own": _added([state["own"] for state in states]),
        "audit": _audits([state["audit"] for state in states]),
        "revocation": worst_revocation([state["revocation"] for state in states]),
        "agree": len({tuple(route["route"] for route in state["routes"]) for state in states}) == 1,
        "routes": [route | {"requests": _added(_counts(route["route"], states))} for route in first["routes"]],
        "providers": [_worst(name, states) for name in (provider["name"] for provider in first["providers"])],
        "upstreams": [_together(list(same)) for same in zip(*(state["upstreams"] for state in states), strict=False)],
        "outdated_engines": {e: names for state in states for e, names in state["outdated_engines"].items()},
        "refusals": _newest([refusal for state in states for refusal in state["refusals"]]),
    }
    failed = [state["configuration"] for state in states if state["configuration"]["reload_error"]]
    merged["configuration"] = failed[0] if failed else first["configuration"]
    slots = zip(*(state["recent"]["slots"] for state in states), strict=True)
    merged["recent"] = first["recent"] | {"slots": [_slot(list(same)) for same in slots]}
    merged["troubles"] = troubles_of(merged)
    return merged


def _audit(gateway: Gateway, now: float) -> dict[str, Any] | None:
    audit, written = gateway.config.audit, gateway.metrics.audit
    if audit is None:
        return None
    return {
        "file": printable(str(audit.file)),
        "events": list(audit.events),
        "refuses": audit.refuses,
        "lines": dict(written.lines),
        "failing_seconds": _ago(now, written.failing_since),
        "last_error": written.last_error,
    }


def _audits(same: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    """Return what several workers say of their audit: whoever cannot write for longest says why."""
    there = [one for one in same if one is not None]
    if not there:
        return None
    worst = max(there, key=lambda one: one["failing_seconds"] or 0.0)
    return worst | {"lines": _added([one["lines"] for one in there])}


def _left(gateway: Gateway, now: float) -> float | None:
    until = gateway.takes_requests_until if gateway.takes_requests else None
    return None if until is None else round(max(0.0, until - now), 1)


def _kinds_of(outcome: Outcome, config: Config) -> Collection[Kind]:
    """Return the type of the provider whose token it was; where that is not known, those of the route."""
    own = {provider.kind for provider in config.providers if provider.name == outcome.provider}
    routes = (route for route in config.policy.routes if route.key == outcome.route)
    return own or {provider.kind for route in routes for provider in route.providers}


def _route(route: Route, metrics: Metrics) -> dict[str, Any]:
    counts = {"allowed": 0, "refused": 0, "would_deny": 0}
    for (key, decision, _, _), count in metrics.requests.items():
        if key == route.key:
            counts["allowed" if decision == "allow" else "refused"] += count
    counts["would_deny"] = sum(count for (key, _), count in metrics.would_deny.items() if key == route.key)
    return {
        "route": route.key,
        "public": route.public,
        "providers": [provider.name for provider in route.providers],
        "who": who_may_pass(route),
        "upstream": route.upstream.name,
        "exact": route.exact,
        "enforced": route.enforce and not route.has_unenforced_rules,
        "websocket": route.websocket,
        "own": None if route.own_things is None else route.own_things.by,
        "requests": counts,
    }


def _provider(provider: Provider, keys: KeyStore) -> dict[str, Any]:
    sources = keys.statuses_of(provider)
    return {
        "name": provider.name,
        "type": provider.kind,
        "issuers": issuers_of(provider),
        "max_issuers": max((source.max_issuers for source in provider.key_sources()), default=0),
        "audiences": sorted(provider.audiences or ()),
        "algorithms": sorted(provider.algorithms),
        "secrets": len(provider.secrets),
        "machine_keys": len(provider.machine_keys),
        "keys": _keys(as_one(provider, sources)),
        "sources": [_keys(source) for source in sources]
        if len(sources) > 1
        else [],  # one by one, if there are several
    }


def _keys(status: SourceStatus | None) -> dict[str, Any] | None:
    if status is None:
        return None
    return dataclasses.asdict(status) | {
        "label": printable(status.label),
        "kids": [printable(kid) for kid in status.kids],
        # A file's keys do not age.
        "age_seconds": None if status.age_seconds is None else round(status.age_seconds, 3),
    }


def _upstream(upstream: Upstream, met: Reachability, now: float) -> dict[str, Any]:
    return {
        "name": upstream.name,
        "url": upstream.url,
        "state": met.state,
        "last_answer_seconds_ago": _ago(now, met.answered_at),
        "last_failure_seconds_ago": _ago(now, met.failed_at),
        "failing_seconds": _ago(now, met.failing_since),
        "last_error": met.last_error,
        "errors": dict(met.errors),
        "first_byte_seconds": met.first_byte.quantile(0.95),
    }


def _together(same: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one upstream as several workers met it: whoever met it last knows its state."""
    last = min(same, key=_last_met)
    spans = [one["failing_seconds"] for one in same if one["failing_seconds"] is not None]
    answers = [one["last_answer_seconds_ago"] for one in same if one["last_answer_seconds_ago"] is not None]
    times = [one["first_byte_seconds"] for one in same if one["first_byte_seconds"] is not None]
    return last | {
        "failing_seconds": max(spans, default=None) if last["state"] == "fails" else None,
        "last_answer_seconds_ago": min(answers, default=None),
        "errors": _added([one["errors"] for one in same]),
        "first_byte_seconds": max(times, default=None),
    }


def _last_met(upstream: dict[str, Any]) -> float:
    ages = (upstream["last_answer_seconds_ago"], upstream["last_failure_seconds_ago"])
    return min((age for age in ages if age is not None), default=float("inf"))


def _ago(now: float | None, then: float | None) -> float | None:
    return None if now is None or then is None else round(now - then, 1)


def _added(counts: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(one.get(name, 0) for one in counts) for name in counts[0]}


def _counts(key: str, states: list[dict[str, Any]]) -> list[dict[str, int]]:
    return [route["requests"] for state in states for route in state["routes"] if route["route"] == key]


def _worst(name: str, states: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the worker says whose keys of a provider are the oldest."""
    own = [provider for state in states for provider in state["providers"] if provider["name"] == name]
    worst: dict[str, Any] = max(own, key=_age)
    return worst


def _newest(refusals: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(refusals, key=lambda refusal: str(refusal["time"]), reverse=True)[:MAX_REFUSALS]


def _age(provider: dict[str, Any]) -> float:
    keys = provider["keys"]
    if keys is None:
        return -1.0
    age: float | None = keys["age_seconds"]
    return float("inf") if age is None else age


def _slot(same: list[dict[str, Any]]) -> dict[str, Any]:
    counts = _added([{name: slot[name] for name in ("allowed", "refused", "failed")} for slot in same])
    times = {
        name: max((slot[name] for slot in same if slot[name] is not None), default=None)
        for name in ("decision_seconds", "first_byte_seconds")
    }
    return counts | times

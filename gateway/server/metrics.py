"""Counters for Prometheus. Label sets are closed: routes and codes of the file and the table, never of a client."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.server.outcome import Outcome

_SHORT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
_NO_ROUTE = "-"


class Metrics:
    """The metrics of one gateway, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "gateway_requests",
            "Requests by route, decision, public code (empty if the upstream answered) and status.",
            ("route", "decision", "code", "status"),
            registry=self.registry,
        )
        self.decision_seconds = Histogram(
            "gateway_decision_seconds",
            "Time from a request's head to the decision, key fetches included.",
            registry=self.registry,
            buckets=_SHORT_SECONDS,
        )
        self.first_byte_seconds = Histogram(
            "gateway_first_byte_seconds",
            "Time from a request's head to the head of the upstream's answer.",
            registry=self.registry,
            buckets=_LONG_SECONDS,
        )
        self.would_deny = Counter(
            "gateway_would_deny", "Requests that `enforce: false` let pass.", ("route", "code"), registry=self.registry
        )
        self.ended = Counter("gateway_ended", "How requests ended.", ("ended",), registry=self.registry)
        self.open_requests = Gauge("gateway_open_requests", "Requests under way.", registry=self.registry)
        self.open_websockets = Gauge("gateway_open_websockets", "WebSockets that are open.", registry=self.registry)
        self.reloads = Counter("gateway_reloads", "Reloads by result.", ("result",), registry=self.registry)
        self.key_fetches = Gauge("gateway_key_fetches", "Key fetches so far.", ("source",), registry=self.registry)
        self.key_failures = Gauge("gateway_key_failures", "Failed key fetches.", ("source",), registry=self.registry)
        self.key_age_seconds = Gauge("gateway_key_age_seconds", "Age of the keys.", ("source",), registry=self.registry)

    def record(self, outcome: Outcome) -> None:
        """Count one request that has ended."""
        route = outcome.route or _NO_ROUTE
        self.requests.labels(route, outcome.decision, outcome.code or "", str(outcome.status)).inc()
        self.ended.labels(outcome.ended).inc()
        if outcome.decided_at is not None:
            self.decision_seconds.observe(outcome.decided_at - outcome.began_at)
        if outcome.first_byte_at is not None:
            self.first_byte_seconds.observe(outcome.first_byte_at - outcome.began_at)
        if outcome.would_deny is not None:
            self.would_deny.labels(route, outcome.would_deny).inc()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

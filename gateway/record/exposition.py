"""What is counted, in Prometheus' text format. Imported when somebody asks for it: a start need not wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.record.build import build
from gateway.record.metrics import Gauges, Metrics
from gateway.record.reachability import Upstreams

_STATES = ("fresh", "stale", "none")


def families(metrics: Metrics, gauges: Gauges) -> Iterator[Metric]:
    """Yield everything that is exported, besides what prometheus-client says of a process."""
    yield from _counted(metrics, gauges)
    yield from _timed(metrics)
    yield from _measured(metrics, gauges)
    yield from _keys(gauges)
    yield from _upstreams(metrics.upstreams)
    yield from _budgets(gauges)


def metrics_text(metrics: Metrics, gauges: Gauges) -> bytes:
    """Return everything in Prometheus' text format."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Snapshot(tuple(families(metrics, gauges))))
    return generate_latest(registry)


def _counted(metrics: Metrics, gauges: Gauges) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "gateway_requests",
        "Requests by route, decision, public code (empty if the upstream answered) and status.",
        labels=("route", "decision", "code", "status"),
    )
    for (route, decision, code, status), count in metrics.requests.items():
        requests.add_metric((route, decision, code, str(status)), count)
    yield requests
    would = CounterMetricFamily(
        "gateway_would_deny", "Requests that `enforce: false` let pass.", labels=("route", "code")
    )
    for labels, count in metrics.would_deny.items():
        would.add_metric(labels, count)
    yield would
    yield _by_label("gateway_ended", "How requests ended.", "ended", metrics.ended)
    wires = "Requests by what read them: our own grammar, or aiohttp's parser."
    yield _by_label("gateway_wire_requests", wires, "wire", metrics.wires)
    callers = "Requests whose caller is known, by its kind: human, service or agent."
    yield _by_label("gateway_callers", callers, "kind", metrics.callers)
    asked = "Questions of engines, each of which is among `gateway_requests`, by who asked."
    yield _by_label("gateway_questions", asked, "asked_by", metrics.questions)
    own = "Requests about things that have owners, by how the caller was kept to their own: pin, look_up or close."
    yield _by_label("gateway_own_requests", own, "own", metrics.own)
    lookups = "Whose a thing is: asked of an upstream, or kept from what it said before."
    yield _by_label("gateway_owner_lookups", lookups, "result", metrics.lookups)
    held = CounterMetricFamily("gateway_held_bodies_shed", "Bodies held whole whose room was needed.")
    held.add_metric((), gauges.held_shed)
    yield held
    yield _by_label("gateway_reloads", "Reloads by result.", "result", metrics.reloads)
    yield _by_label(
        "gateway_session_renewals", "Sessions whose issuer was asked for its next word.", "result",
        metrics.session_renewals,
    )  # fmt: skip
    yield _by_label("gateway_logouts", "Logout tokens of issuers by what came of them.", "result", gauges.logouts)
    reads = "Times that `revoked_file` was read, by result."
    yield _by_label("gateway_revoked_reads", reads, "result", gauges.revoked_reads)
    looked_up = {"hit": gauges.cache_hits, "miss": gauges.cache_misses}
    yield _by_label("gateway_token_cache", "Look-ups of verified tokens.", "result", looked_up)
    dropped = CounterMetricFamily("gateway_log_lines_dropped", "Log lines that nobody read fast enough.")
    dropped.add_metric((), gauges.log_lines_dropped)
    yield dropped
    lines = "Lines of the audit, and those that could not be written."
    yield _by_label("gateway_audit_lines", lines, "result", metrics.audit.lines)
    shed, refused = gauges.connections_shed, gauges.connections_refused
    yield _by_label("gateway_connections_shed", "Idle connections that were closed to make room.", "why", shed)
    yield _by_label("gateway_connections_refused", "Connections that there was no room for.", "why", refused)


def _timed(metrics: Metrics) -> Iterator[Metric]:
    for name, words, histogram in (
        ("gateway_decision_seconds", "From a request's head to the decision, key fetches included.", metrics.decision),
        ("gateway_stream_seconds", "How long streams and WebSockets lasted.", metrics.stream),
    ):
        family = HistogramMetricFamily(name, words)
        family.add_metric((), histogram.cumulative(), histogram.total)
        yield family


class _Snapshot(Collector):
    """Gives families that are made already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _measured(metrics: Metrics, gauges: Gauges) -> Iterator[Metric]:
    for name, words, value in (
        ("gateway_open_requests", "Requests under way.", gauges.open_requests),
        ("gateway_open_streams", "Streams under way.", gauges.open_streams),
        ("gateway_open_websockets", "WebSockets that are open.", gauges.open_websockets),
        ("gateway_open_connections", "Connections of clients.", gauges.open_connections),
        ("gateway_owners", "Things whose owner is in memory.", gauges.owners),
        ("gateway_held_bodies", "Bodies that are held whole, now.", gauges.held_bodies),
        ("gateway_held_bytes", "What they take.", gauges.held_bytes),
        ("gateway_sessions_seen", "Sessions that made a request lately.", gauges.sessions_seen),
        ("gateway_ended_sessions", "What is remembered of sessions that were ended.", gauges.ended_sessions),
        ("gateway_revocations", "Entries of `revoked_file`.", gauges.revocations),
        ("gateway_token_cache_entries", "Verified tokens in memory.", gauges.cache_entries),
        ("gateway_configuration_loaded_timestamp_seconds", "When the configuration was read.", gauges.loaded_at),
    ):
        family = GaugeMetricFamily(name, words)
        family.add_metric((), value)
        yield family
    yield GaugeMetricFamily(
        "gateway_audit_failing", "1 while the audit cannot be written.", float(metrics.audit.failing_since is not None)
    )
    if gauges.certificate_expires_at is not None:
        yield GaugeMetricFamily(
            "gateway_certificate_expires_timestamp_seconds",
            "When the certificate of the public port ends.",
            gauges.certificate_expires_at,
        )
    ends = GaugeMetricFamily(
        "gateway_upstream_certificate_expires_timestamp_seconds",
        "When the certificate of an upstream ends, as last seen.",
        labels=("upstream",),
    )
    for name, at in gauges.upstream_certificates:
        ends.add_metric((name,), at)
    yield ends
    info = GaugeMetricFamily("gateway_build_info", "What runs; one for each worker.", labels=("version", "build"))
    info.add_metric((__version__, build()), 1)
    yield info


def _keys(gauges: Gauges) -> Iterator[Metric]:
    age = GaugeMetricFamily("gateway_key_age_seconds", "Since the keys were fetched.", labels=("provider",))
    count = GaugeMetricFamily("gateway_keys", "Keys that are known.", labels=("provider",))
    state = GaugeMetricFamily(
        "gateway_key_state", "1 for the state the keys are in: fresh, stale (past the TTL) or none.",
        labels=("provider", "state"),
    )  # fmt: skip
    fetches = CounterMetricFamily("gateway_key_fetches", "Key fetches by result.", labels=("provider", "result"))
    for provider, source in gauges.keys:
        if source.age_seconds is not None:
            age.add_metric((provider,), source.age_seconds)
        count.add_metric((provider,), len(source.kids))
        for name in _STATES:
            state.add_metric((provider, name), float(name == source.state))
        fetches.add_metric((provider, "ok"), source.fetch_count - source.failure_count - source.is_fetching)
        fetches.add_metric((provider, "failed"), source.failure_count)
    yield from (age, count, state, fetches)


def _upstreams(upstreams: Upstreams) -> Iterator[Metric]:
    first_byte = HistogramMetricFamily(
        "gateway_first_byte_seconds",
        "From a request's head to the head of the upstream's answer.",
        labels=("upstream",),
    )
    errors = CounterMetricFamily(
        "gateway_upstream_errors", "Requests that an upstream failed, by how.", labels=("upstream", "error")
    )
    answered = GaugeMetricFamily(
        "gateway_upstream_last_answer_timestamp_seconds", "When an upstream last began an answer.", labels=("upstream",)
    )
    failed = GaugeMetricFamily(
        "gateway_upstream_last_failure_timestamp_seconds", "When an upstream last gave no answer.", labels=("upstream",)
    )
    for name, one in upstreams.known.items():
        first_byte.add_metric((name,), one.first_byte.cumulative(), one.first_byte.total)
        for error, count in one.errors.items():
            errors.add_metric((name, error), count)
        answered.add_metric((name,), one.answered_at or 0.0)
        failed.add_metric((name,), one.failed_at or 0.0)
    yield from (first_byte, errors, answered, failed)


def _budgets(gauges: Gauges) -> Iterator[Metric]:
    said = CounterMetricFamily(
        "gateway_budget_requests", "Requests that a budget was asked about, by what it said.",
        labels=("budget", "result"),
    )  # fmt: skip
    for labels, count in gauges.budget_results.items():
        said.add_metric(labels, count)
    streams = GaugeMetricFamily(
        "gateway_budget_streams", "Places of a budget's streams taken here.", labels=("budget",)
    )
    for name, count in gauges.budget_streams.items():
        streams.add_metric((name,), count)
    yield from (said, streams)
    if gauges.store_is_down is not None:
        words = "Workers for which the store that replicas share is down."
        yield GaugeMetricFamily("gateway_budget_store_down", words, float(gauges.store_is_down))
        yield CounterMetricFamily("gateway_budget_store_failures", "How often it went down.", gauges.store_failures)


def _by_label(name: str, words: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, words, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family

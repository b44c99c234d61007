"""Metrics for Prometheus. Label sets are closed: routes, providers and codes of the file and the table, "
"never a client's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

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
from gateway.keys.store import SourceStatus
from gateway.server.counters import Histogram
from gateway.server.outcome import ENDINGS, Outcome

_SHORT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
_STREAM_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0)
_NO_ROUTE = "-"
_STATES = ("fresh", "stale", "none")


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is true at this moment. `keys` are the key sources by provider; a time is Unix seconds."""

    open_requests: int = 0
    open_streams: int = 0
    open_websockets: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_entries: int = 0
    loaded_at: float = 0.0
    log_lines_dropped: int = 0
    keys: tuple[tuple[str, SourceStatus], ...] = ()


class Metrics:
    """The counters of one gateway."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, str, int], int] = {}
        self.would_deny: dict[tuple[str, str], int] = {}
        self.ended: dict[str, int] = dict.fromkeys(ENDINGS, 0)
        self.reloads = {"ok": 0, "failed": 0}
        self.decision = Histogram(_SHORT_SECONDS)
        self.first_byte = Histogram(_LONG_SECONDS)
        self.stream = Histogram(_STREAM_SECONDS)

    def record(self, outcome: Outcome) -> None:
        """Count one request that has ended."""
        route = outcome.route or _NO_ROUTE
        series = route, outcome.decision, outcome.code or "", outcome.status
        self.requests[series] = self.requests.get(series, 0) + 1
        self.ended[outcome.ended] += 1
        began_at, decided_at, first_byte_at = outcome.began_at, outcome.decided_at, outcome.first_byte_at
        if decided_at is not None:
            self.decision.observe(decided_at - began_at)
        if first_byte_at is not None:
            self.first_byte.observe(first_byte_at - began_at)
            if outcome.is_stream and outcome.over_at is not None:
                self.stream.observe(outcome.over_at - first_byte_at)
        if outcome.would_deny is not None:
            observed = route, outcome.would_deny
            self.would_deny[observed] = self.would_deny.get(observed, 0) + 1

    def families(self, gauges: Gauges) -> Iterator[Metric]:
        """Yield everything that is exported, besides what prometheus-client says of a process."""
        yield from self._counted(gauges)
        yield from self._timed()
        yield from _measured(gauges)
        yield from _keys(gauges)

    def text(self, gauges: Gauges) -> bytes:
        """Return everything in Prometheus' text format."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Snapshot(tuple(self.families(gauges))))
        return generate_latest(registry)

    def _counted(self, gauges: Gauges) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "gateway_requests",
            "Requests by route, decision, public code (empty if the upstream answered) and status.",
            labels=("route", "decision", "code", "status"),
        )
        for (route, decision, code, status), count in self.requests.items():
            requests.add_metric((route, decision, code, str(status)), count)
        yield requests
        would = CounterMetricFamily(
            "gateway_would_deny", "Requests that `enforce: false` let pass.", labels=("route", "code")
        )
        for labels, count in self.would_deny.items():
            would.add_metric(labels, count)
        yield would
        yield _by_label("gateway_ended", "How requests ended.", "ended", self.ended)
        yield _by_label("gateway_reloads", "Reloads by result.", "result", self.reloads)
        looked_up = {"hit": gauges.cache_hits, "miss": gauges.cache_misses}
        yield _by_label("gateway_token_cache", "Look-ups of verified tokens.", "result", looked_up)
        dropped = CounterMetricFamily("gateway_log_lines_dropped", "Log lines that nobody read fast enough.")
        dropped.add_metric((), gauges.log_lines_dropped)
        yield dropped

    def _timed(self) -> Iterator[Metric]:
        for name, words, histogram in (
            ("gateway_decision_seconds", "From a request's head to the decision, key fetches included.", self.decision),
            (
                "gateway_first_byte_seconds",
                "From a request's head to the head of the upstream's answer.",
                self.first_byte,
            ),
            ("gateway_stream_seconds", "How long streams and WebSockets lasted.", self.stream),
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


def _measured(gauges: Gauges) -> Iterator[Metric]:
    for name, words, value in (
        ("gateway_open_requests", "Requests under way.", gauges.open_requests),
        ("gateway_open_streams", "Streams under way.", gauges.open_streams),
        ("gateway_open_websockets", "WebSockets that are open.", gauges.open_websockets),
        ("gateway_token_cache_entries", "Verified tokens in memory.", gauges.cache_entries),
        ("gateway_configuration_loaded_timestamp_seconds", "When the configuration was read.", gauges.loaded_at),
    ):
        family = GaugeMetricFamily(name, words)
        family.add_metric((), value)
        yield family
    build = GaugeMetricFamily("gateway_build_info", "The version that runs; one for each worker.", labels=("version",))
    build.add_metric((__version__,), 1)
    yield build


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


def _by_label(name: str, words: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, words, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family

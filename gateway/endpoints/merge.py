"""The metrics of several workers as one: equal series add up."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

# Ages and moments: the largest counts.
_NOT_ADDED = frozenset(
    {
        "gateway_certificate_expires_timestamp_seconds",
        "gateway_configuration_loaded_timestamp_seconds",
        "gateway_key_age_seconds",
        "gateway_upstream_certificate_expires_timestamp_seconds",
        "gateway_upstream_last_answer_timestamp_seconds",
        "gateway_upstream_last_failure_timestamp_seconds",
        "process_start_time_seconds",
    }
)


def merge_metrics(texts: Iterable[bytes]) -> bytes:
    """Return one text in Prometheus' format, with the sums of all workers' series (for ages the largest)."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text.decode()):
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            series = values.setdefault(family.name, {})
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                old = series.get(key, 0.0)
                is_age = family.name in _NOT_ADDED or sample.name.endswith("_created")
                series[key] = max(old, sample.value) if is_age else old + sample.value
    registry = CollectorRegistry()
    registry.register(_Merged(families, values))
    return generate_latest(registry)


class _Merged(Collector):
    """Gives the sums back to prometheus-client."""

    def __init__(
        self,
        families: dict[str, Metric],
        values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]],
    ) -> None:
        self._families, self._values = families, values

    def collect(self) -> Iterable[Metric]:
        """Return every family with its summed samples."""
        for name, family in self._families.items():
            for (sample_name, labels), value in self._values[name].items():
                family.add_sample(sample_name, dict(labels), value)
            yield family

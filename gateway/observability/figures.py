"""Adds up the metrics of several processes. They travel as plain values: counting must not need room on a disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, str, Labels], float]
"""Values by metric, name of the sample, and labels."""

_MODES: dict[str, Callable[[float, float], float]] = {
    "livesum": lambda one, other: one + other,
    "livemax": max,
    "livemin": min,
}


@dataclass(slots=True)
class Figures:
    """The figures of a process: `counts` are valid for ever, `gauges` as long as the process lives."""

    counts: Samples = field(default_factory=dict)
    gauges: Samples = field(default_factory=dict)

    def add_counts(self, other: Figures) -> None:
        """Add the counts of another process."""
        for key, value in other.counts.items():
            self.counts[key] = self.counts.get(key, 0.0) + value


def collect(metrics: Iterable[MetricWrapperBase]) -> Figures:
    """The figures of this process. May be called from any thread."""
    found = Figures()
    for metric in metrics:
        samples = found.gauges if isinstance(metric, Gauge) else found.counts
        for family in metric.collect():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    samples[family.name, sample.name, tuple(sample.labels.items())] = sample.value
    return found


def together(parts: Iterable[Figures], metrics: Iterable[MetricWrapperBase]) -> Figures:
    """The counts of all added up, and each gauge as its `multiprocess_mode` says."""
    modes = {metric._name: _MODES[metric._multiprocess_mode] for metric in metrics if isinstance(metric, Gauge)}
    sum_ = Figures()
    for part in parts:
        sum_.add_counts(part)
        for key, value in part.gauges.items():
            before = sum_.gauges.get(key)
            sum_.gauges[key] = value if before is None else modes[key[0]](before, value)
    return sum_


def exposition(figures: Figures, metrics: Iterable[MetricWrapperBase]) -> bytes:
    """Figures of these metrics, in the text format of Prometheus."""
    families = {metric.name: Metric(metric.name, metric.documentation, metric.type) for metric in _described(metrics)}
    for (family, name, labels), value in {**figures.counts, **figures.gauges}.items():
        families[family].add_sample(name, dict(labels), value)
    registry = CollectorRegistry()
    registry.register(_Families(families.values()))
    return generate_latest(registry)


def _described(metrics: Iterable[MetricWrapperBase]) -> Iterator[Metric]:
    for metric in metrics:
        yield from metric.describe()


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families

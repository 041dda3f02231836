"""The metrics in Prometheus's text format, of this process and of several."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from gateway.observability import figures
from gateway.observability.figures import Figures
from gateway.observability.telemetry import (
    access,
    archive,
    derive,
    event_log,
    intake,
    process,
    records,
    rules,
    streams,
    views,
)

registry = REGISTRY


@cache
def metrics() -> tuple[MetricWrapperBase, ...]:
    """All metrics that there are."""
    kinds = (records, streams, event_log, intake, access, process, rules, derive, archive, views)
    return tuple(each for kind in kinds for each in vars(kind).values() if isinstance(each, MetricWrapperBase))


def exposition() -> bytes:
    """All metrics in the text format of Prometheus, of this process alone. May be called from any thread, as what
    follows; the event loop publishes the tally before."""
    return generate_latest(registry)


def own_figures() -> Figures:
    """The figures of this process, to be added to those of others."""
    return figures.collect(metrics())


def own_counts() -> Figures:
    """Of these the counts alone: the process serves nobody, and its gauges tell nothing."""
    return Figures(own_figures().counts)


def labelled_figures() -> Figures:
    """The counts, and the gauges that have labels. The others are there from the start, and tell of a process that
    serves."""
    own = own_figures()
    return Figures(own.counts, {key: value for key, value in own.gauges.items() if key[2]})


def exposition_of(parts: Iterable[Figures]) -> bytes:
    """The metrics of several processes together."""
    return figures.exposition(figures.together(parts, metrics()), metrics())

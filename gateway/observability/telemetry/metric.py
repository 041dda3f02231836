"""The kinds of metrics, and the logger of all telemetry."""

from __future__ import annotations

import logging
from functools import partial

import prometheus_client
from prometheus_client import Counter, Histogram

__all__ = ["Counter", "Gauge", "WeightedHistogram", "begin", "log"]

log = logging.getLogger("gateway")

# Of several workers, the sum is told unless it says otherwise; what a worker that died has set counts no longer.
Gauge = partial(prometheus_client.Gauge, multiprocess_mode="livesum")


def begin(counter: Counter, *values: str) -> Counter:
    """Let a counter start with 0 for these values of its label. For Prometheus a series whose first value is 1 has not
    increased."""
    for value in values:
        counter.labels(value)
    return counter


class WeightedHistogram(Histogram):
    """A histogram in which one observation may stand for many."""

    def observe_many(self, value: float, count: int) -> None:
        """Count a value `count` times."""
        self._sum.inc(value * count)
        for bound, bucket in zip(self._upper_bounds, self._buckets, strict=True):
            if value <= bound:
                bucket.inc(count)
                return

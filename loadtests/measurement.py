"""What one run gave, and what several runs of a scenario say together."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

LABELS = {
    "clients": "clients",
    "events": "events",
    "deliveries": "deliveries",
    "seconds": "seconds",
    "deliveries_per_second": "deliveries/s",
    "pace_percent": "pace held, %",
    "cpu_us_per_delivery": "CPU µs/delivery",
    "user_us_per_delivery": "user µs/delivery",
    "system_us_per_delivery": "system µs/delivery",
    "machine_us_per_delivery": "whole machine µs/delivery",
    "core_deliveries_per_second": "deliveries/s a core",
    "busiest_deliveries_per_second": "deliveries a CPU second of the busiest process",
    "server_percent": "server %",
    "load_percent": "server %, of the events' time",
    "server_waited_percent": "server waited %",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "after_log_p50_ms": "p50 after the log ms",
    "after_log_p99_ms": "p99 after the log ms",
    "bytes_per_delivery": "bytes/delivery",
    "megabytes": "MB",
    "memory_mb": "memory MB",
    "kb_per_connection": "KB/connection",
    "kernel_kb_per_connection": "KB/connection in the kernel, both ends",
    "workers": "workers",
    "idle_percent": "server %, idle",
    "events_per_second": "events/s a client",
    "replayed_per_second": "events replayed/s",
    "median_seconds": "median s",
    "slowest_seconds": "slowest s",
    "live_seconds": "live again s",
    "storm_cpu_seconds": "CPU s of the storm",
    "storm_client_percent": "client % in the storm",
    "log_read_mb": "log read MB",
    "storm_log_read_mb": "log read for the storm MB",
    "client_us_per_delivery": "client µs/delivery",
    "client_deliveries_per_second": "deliveries/s a core of clients",
    "client_percent": "client %",
    "client_busy_percent": "client busy %",
}
"""What the figures are called, in the order of the tables. The client is busy also while it waits for its core."""

Side = str


@dataclass(slots=True)
class Measurement:
    """One run of one side of a scenario. It is void with an `error`, and not valid with `doubts`."""

    scenario: str
    side: Side
    repeat: int
    values: dict[str, float] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    delays_ms: list[float] = field(default_factory=list)
    profile: dict[str, dict[str, float]] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    error: str | None = None

    @property
    def valid(self) -> bool:
        """Whether the figures say anything of the server."""
        return self.error is None and not self.doubts


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with a target: a value of a side, or its ratio to, or difference from, that of another side.

    `limit` is the most, or the least, that it may be; None where a figure is only told.
    """

    label: str
    value: str
    side: Side = "gateway"
    over: Side | None = None
    how: Literal["ratio", "difference"] = "ratio"
    limit: float | None = None
    least: bool = False

    def of(self, measurements: Sequence[Measurement]) -> float | None:
        """The median over the repeats; pairs of one repeat are compared with each other, so that a slow minute of the
        machine slows both. None where no run has it."""
        found = []
        sides = {(one.side, one.repeat): one.values for one in measurements if one.error is None}
        for (side, repeat), values in sides.items():
            if side != self.side or self.value not in values:
                continue
            if self.over is None:
                found.append(values[self.value])
            elif self.value in (under := sides.get((self.over, repeat), {})):
                found.append(self._compare(values[self.value], under[self.value]))
        return statistics.median(found) if found else None

    def _compare(self, value: float, under: float) -> float:
        if self.how == "difference":
            return value - under
        return value / under if under else float("inf")

    def held(self, value: float | None) -> bool | None:
        """Whether the target is held; None where there is none, or no value."""
        if value is None or self.limit is None:
            return None
        return value >= self.limit if self.least else value <= self.limit

    @property
    def target(self) -> str:
        """The target in words."""
        return "" if self.limit is None else f"{'≥' if self.least else '≤'} {self.limit:,.7g}"


def medians(measurements: Iterable[Measurement]) -> dict[str, float]:
    """Of each value, over the runs that were no error."""
    runs = [one.values for one in measurements if one.error is None]
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: statistics.median(run[name] for run in runs if name in run) for name in names}


def percentiles(nanoseconds: Sequence[int]) -> dict[str, float]:
    """p50, p99 and p99.9, in milliseconds."""
    if not nanoseconds:
        return {}
    ordered = sorted(nanoseconds)
    parts = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    return {name: ordered[min(len(ordered) - 1, int(len(ordered) * part))] / 1e6 for name, part in parts.items()}


def distribution(nanoseconds: Sequence[int], points: int = 100) -> list[float]:
    """The delays at each hundredth of the clients' events, in milliseconds, for a plot."""
    ordered = sorted(nanoseconds)
    return (
        [round(ordered[(len(ordered) - 1) * point // points] / 1e6, 3) for point in range(points + 1)]
        if ordered
        else []
    )

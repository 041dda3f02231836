"""The plots of a report: what a delivery and a connection cost, and how late events are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loadtests.measurement import Measurement, medians
from loadtests.scenario import Scenario
from loadtests.svg import Bars, Panel, bar_chart, line_chart

PERCENTILES = (0, 25, 50, 75, 99)
"""The ticks of x, up to the last percentile that is drawn: the very last events would make the rest a flat line."""
LEAST_DELIVERIES = 100
"""Below that, CPU a delivery says nothing."""


def write(
    directory: Path, scenarios: Sequence[Scenario], measurements: Sequence[Measurement], prefix: str = ""
) -> list[str]:
    """Write those plots for which there is something; returns the files' names."""
    cpu = _groups("cpu_us_per_delivery", scenarios, measurements)
    memory = _groups("kb_per_connection", [one for one in scenarios if one.kind == "idle"], measurements)
    panels = _panels(scenarios, measurements)
    charts = {
        "cpu.svg": cpu and bar_chart("CPU of the server", "µs a delivery, user and system", cpu),
        "memory.svg": memory and bar_chart("Memory of the server", "KB a connection", memory),
        "latency.svg": panels and line_chart("Delay of events", "ms, at each percentile", panels, PERCENTILES),
    }
    for name, chart in charts.items():
        if chart:
            (directory / f"{prefix}{name}").write_text(chart)
    return [f"{prefix}{name}" for name, chart in charts.items() if chart]


def _groups(value: str, scenarios: Sequence[Scenario], measurements: Sequence[Measurement]) -> list[Bars]:
    """The sides of each scenario beside each other, where there are several."""
    groups = []
    for scenario in scenarios:
        found = {side.name: medians(_runs(scenario, side.name, measurements)) for side in scenario.sides}
        bars = {
            name: values[value]
            for name, values in found.items()
            if value in values and values.get("deliveries", LEAST_DELIVERIES) >= LEAST_DELIVERIES
        }
        if len(bars) > 1:
            groups.append(Bars(scenario.title, bars))
    return groups


def _panels(scenarios: Sequence[Scenario], measurements: Sequence[Measurement]) -> list[Panel]:
    """The delays of the run of each side that is the median one by its p99."""
    panels = []
    for scenario in scenarios:
        lines: dict[str, Sequence[tuple[float, float]]] = {}
        for side in scenario.sides:
            runs = [one for one in _runs(scenario, side.name, measurements) if one.delays_ms]
            if runs:
                runs.sort(key=lambda run: run.values["p99_ms"])
                lines[side.name] = list(enumerate(runs[len(runs) // 2].delays_ms[: PERCENTILES[-1] + 1]))
        if lines:
            panels.append(Panel(scenario.title, lines))
    return panels


def _runs(scenario: Scenario, side: str, measurements: Sequence[Measurement]) -> list[Measurement]:
    return [one for one in measurements if one.scenario == scenario.name and one.side == side and one.error is None]

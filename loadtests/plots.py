"""The plots of a report: what a delivery costs, and how late events are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loadtests.measurement import Measurement, medians
from loadtests.scenario import Scenario
from loadtests.svg import Bars, Panel, bar_chart, line_chart

LATEST_POINT = 99
"""The last percentile that is drawn: one event in a hundred thousand would make the rest a flat line."""


def write(directory: Path, scenarios: Sequence[Scenario], measurements: Sequence[Measurement]) -> list[str]:
    """Write those plots for which there is something; returns the files' names."""
    drawn = {
        "cpu.svg": _bars("CPU of the server", "µs a delivery", "cpu_us_per_delivery", scenarios, measurements),
        "memory.svg": _bars("Memory of the server", "KB a connection", "kb_per_connection", scenarios, measurements),
        "latency.svg": _latency(scenarios, measurements),
    }
    for name, chart in drawn.items():
        if chart is not None:
            (directory / name).write_text(chart)
    return [name for name, chart in drawn.items() if chart is not None]


def _bars(
    title: str, unit: str, value: str, scenarios: Sequence[Scenario], measurements: Sequence[Measurement]
) -> str | None:
    """The sides of each scenario beside each other."""
    series = _sides(scenarios)
    groups = []
    for scenario in scenarios:
        found = {
            side.name: medians(_runs(scenario, side.name, measurements)).get(value)
            for side in scenario.sides
            if scenario.total * scenario.clients >= 100 or value != "cpu_us_per_delivery"
        }
        if len([each for each in found.values() if each]) > 1:
            groups.append(Bars(scenario.title, [found.get(name) for name in series]))
    return bar_chart(title, unit, series, groups) if groups else None


def _latency(scenarios: Sequence[Scenario], measurements: Sequence[Measurement]) -> str | None:
    panels = []
    for scenario in scenarios:
        series: dict[str, Sequence[tuple[float, float]]] = {}
        for side in scenario.sides:
            runs = [one for one in _runs(scenario, side.name, measurements) if one.delays_ms]
            if runs:
                middle = sorted(runs, key=lambda run: run.values["p50_ms"])[len(runs) // 2]
                series[side.name] = list(enumerate(middle.delays_ms[: LATEST_POINT + 1]))
        if series:
            panels.append(Panel(scenario.title[:60], series))
    return line_chart("Delay of events", "ms, at each percentile", _sides(scenarios), panels) if panels else None


def _runs(scenario: Scenario, side: str, measurements: Sequence[Measurement]) -> list[Measurement]:
    return [one for one in measurements if one.scenario == scenario.name and one.side == side and one.error is None]


def _sides(scenarios: Sequence[Scenario]) -> list[str]:
    return list(dict.fromkeys(side.name for scenario in scenarios for side in scenario.sides))

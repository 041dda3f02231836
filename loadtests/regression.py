"""What has changed since the results that were there before, and how much of that is the machine's noise."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.measurement import LABELS, Figure, Measurement
from loadtests.scenario import Scenario
from loadtests.tables import number, table

NOISY = ("cpu_us_per_delivery", "p50_ms", "p99_ms")
LEAST_PERCENT = 5.0
"""A change by less says nothing, however quiet the machine was."""
NOTHING_BEFORE = "There are no results of another commit to compare with."


def kept(before: Mapping[str, Any], commit: str) -> dict[str, Any] | None:
    """The figures of a document (`report.document`) that the next one is compared with: its own, or, where it is of the
    same commit, those that it was compared with itself."""
    if not before or before["quick"]:
        return None
    if before["commit"] == commit:
        found: dict[str, Any] | None = before.get("before")
        return found
    figures = {
        one["name"]: {figure["label"]: figure["measured"] for figure in one["figures"]} for one in before["scenarios"]
    }
    return {"commit": before["commit"], "time": before["time"], "figures": figures}


def spread(values: Sequence[float]) -> float:
    """By how many percent of their median the repeats of one value differ."""
    middle = statistics.median(values) if values else 0.0
    return 100 * (max(values) - min(values)) / abs(middle) if middle else 0.0


def noise(scenarios: Sequence[Scenario], measurements: Sequence[Measurement]) -> str:
    """How far the repeats of each side lie apart."""
    rows = []
    for scenario in scenarios:
        for side in scenario.sides:
            runs = _runs(measurements, scenario.name, side.name)
            shown = {name: spread([run[name] for run in runs if name in run]) for name in NOISY}
            if len(runs) > 1:
                waited = max(run.get("server_waited_percent", 0.0) for run in runs)
                parts = [f"{shown[name]:.0f}" if any(name in run for run in runs) else "" for name in NOISY]
                rows.append([f"{scenario.name}, {side.name}", str(len(runs)), *parts, number(waited)])
    header = ["", "runs", *(f"{LABELS[name]}, ± %" for name in NOISY), "server waited at most, %"]
    return table(header, rows) if rows else "Each side was measured once, so that nothing is known of the noise."


def changes(
    scenarios: Sequence[Scenario], measurements: Sequence[Measurement], before: Mapping[str, Any] | None
) -> str:
    """Each figure with a target beside the one before; what is worse by more than the noise is said."""
    if before is None:
        return NOTHING_BEFORE
    rows = []
    for scenario in scenarios:
        runs = [one for one in measurements if one.scenario == scenario.name]
        for figure in scenario.figures:
            then, now = before["figures"].get(scenario.name, {}).get(figure.label), figure.of(runs)
            if figure.limit is not None and then and now is not None:
                rows.append([
                    f"{scenario.name}: {figure.label}",
                    number(then),
                    number(now),
                    f"{100 * (now / then - 1):+.0f}",
                    _verdict(figure, then, now, _noise_of(measurements, scenario.name, figure)),
                ])  # fmt: skip
    head = f"Beside commit {before['commit']}, {before['time']}; *worse* and *better* are beyond the noise of this run."
    return head + "\n\n" + table(["figure", "before", "now", "%", ""], rows) if rows else NOTHING_BEFORE


def _noise_of(measurements: Sequence[Measurement], scenario: str, figure: Figure) -> float:
    """The sum of the spreads of the values that a figure is made of."""
    sides = [figure.side, *([figure.over] if figure.over else [])]
    return sum(
        spread([run[figure.value] for run in _runs(measurements, scenario, side) if figure.value in run])
        for side in sides
    )


def _verdict(figure: Figure, then: float, now: float, percent: float) -> str:
    change = 100 * (now / then - 1)
    if abs(change) <= max(LEAST_PERCENT, percent):
        return ""
    return "better" if (change > 0) == figure.least else "worse"


def _runs(measurements: Sequence[Measurement], scenario: str, side: str) -> list[dict[str, float]]:
    return [one.values for one in measurements if (one.scenario, one.side) == (scenario, side) and one.error is None]

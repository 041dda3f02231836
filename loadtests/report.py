"""Results as JSON and as tables in Markdown, which a terminal shows as well."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtests import plots, results
from loadtests.machine import describe
from loadtests.measurement import LABELS, Measurement, medians
from loadtests.scenario import Scenario

SHORT = ("deliveries_per_second", "cpu_us_per_delivery", "p99_ms", "kb_per_connection", "events_per_second",
         "slowest_seconds", "live_seconds", "server_percent", "client_busy_percent")  # fmt: skip


def number(value: float) -> str:
    """Three figures that mean something."""
    if not math.isfinite(value):
        return "–"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"


def line(result: Measurement) -> str:
    """One run in a line."""
    name = f"{result.side:12} {result.repeat + 1}"
    if result.error is not None:
        return f"{name}  VOID: {result.error}"
    figures = [f"{number(result.values[key])} {LABELS[key]}" for key in SHORT if key in result.values]
    return f"{name}  {', '.join(figures)}" + "".join(f"  NOT VALID: {doubt}" for doubt in result.doubts)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def show(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return f"| {' | '.join(cells)} |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([show(header), f"|{rule}|", *map(show, rows)])


def details(scenario: Scenario, measurements: Sequence[Measurement]) -> str:
    """All medians of a scenario, a column a side."""
    runs = [one for one in measurements if one.scenario == scenario.name]
    sides = [side.name for side in scenario.sides]
    found = {side: medians(one for one in runs if one.side == side) for side in sides}
    names = [name for name in LABELS if any(name in values for values in found.values())]
    rows = [
        [LABELS[name], *(number(found[side][name]) if name in found[side] else "" for side in sides)] for name in names
    ]
    notes = [
        f"{one.side}, repeat {one.repeat + 1}: {one.error or '; '.join(one.doubts)}" for one in runs if not one.valid
    ]
    return "\n\n".join([table(["", *sides], rows), *(f"Not valid: {note}" for note in notes)])


def targets(scenarios: Sequence[Scenario], measurements: Sequence[Measurement]) -> str:
    """All figures that scenarios ask for, against their targets."""
    rows = []
    for scenario in scenarios:
        runs = [one for one in measurements if one.scenario == scenario.name]
        sound = bool(runs) and all(one.valid for one in runs)
        for index, figure in enumerate(scenario.figures):
            value = figure.of(runs)
            held = figure.held(value)
            verdict = "" if held is None else "held" if held else "missed"
            shown = "–" if value is None else number(value)
            title = scenario.title if index == 0 else ""
            rows.append([title, figure.label, figure.target, shown, verdict if sound else f"{verdict} (not valid)"])
    return table(["scenario", "figure", "target", "measured", ""], rows)


def tables(scenarios: Sequence[Scenario], measurements: Sequence[Measurement]) -> str:
    """The figures against their targets, then all there is."""
    parts = [targets(scenarios, measurements)]
    parts += [f"## {scenario.title} ({scenario.name})\n\n{details(scenario, measurements)}" for scenario in scenarios]
    return "\n\n".join(parts)


def document(scenarios: Sequence[Scenario], measurements: Sequence[Measurement], quick: bool) -> dict[str, Any]:
    """Everything, for other programs."""
    return {
        "machine": describe(),
        "commit": _commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "scenarios": [
            {
                **{name: value for name, value in dataclasses.asdict(scenario).items() if name != "figures"},
                "figures": [
                    {**dataclasses.asdict(figure), "measured": figure.of(_of(scenario, measurements))}
                    for figure in scenario.figures
                ],
                "medians": {
                    side.name: medians(one for one in _of(scenario, measurements) if one.side == side.name)
                    for side in scenario.sides
                },
            }
            for scenario in scenarios
        ],
        "measurements": [{**dataclasses.asdict(one), "valid": one.valid} for one in measurements],
    }


def write(directory: Path, scenarios: Sequence[Scenario], measurements: Sequence[Measurement], quick: bool) -> None:
    """results.json, RESULTS.md and the plots."""
    directory.mkdir(parents=True, exist_ok=True)
    whole = document(scenarios, measurements, quick)
    (directory / "results.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    drawn = plots.write(directory, scenarios, measurements)
    (directory / "RESULTS.md").write_text(results.text(whole, scenarios, measurements, drawn))


def _of(scenario: Scenario, measurements: Sequence[Measurement]) -> list[Measurement]:
    return [one for one in measurements if one.scenario == scenario.name]


def _commit() -> str:
    try:
        asked = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return asked.stdout.strip() or "unknown"

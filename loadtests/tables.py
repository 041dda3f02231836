"""The tables of a report, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from loadtests.measurement import LABELS, Measurement, medians
from loadtests.scenario import Scenario


def number(value: float) -> str:
    """Three figures that mean something."""
    if not math.isfinite(value):
        return "–"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"


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
        f"Not valid: {one.side}, repeat {one.repeat + 1}: {one.error or '; '.join(one.doubts)}"
        for one in runs
        if not one.valid
    ]
    return "\n\n".join([table(["", *sides], rows), *notes])


def targets(parts: Sequence[tuple[Sequence[Scenario], Sequence[Measurement]]]) -> str:
    """All figures that scenarios ask for, against their targets."""
    rows = []
    for scenario, measurements in ((one, runs) for scenarios, runs in parts for one in scenarios):
        runs = [one for one in measurements if one.scenario == scenario.name]
        sound = bool(runs) and all(one.valid for one in runs)
        for index, figure in enumerate(scenario.figures):
            value = figure.of(runs)
            verdict = {None: "", True: "held", False: "missed"}[figure.held(value)]
            rows.append([
                scenario.title if index == 0 else "",
                figure.label,
                figure.target,
                "–" if value is None else number(value),
                verdict if sound else f"{verdict} (not valid)".strip(),
            ])  # fmt: skip
    return table(["scenario", "figure", "target", "measured", ""], rows)


def tables(scenarios: Sequence[Scenario], measurements: Sequence[Measurement]) -> str:
    """The figures against their targets, then all there is."""
    parts = [targets([(scenarios, measurements)])]
    parts += [f"## {scenario.title} ({scenario.name})\n\n{details(scenario, measurements)}" for scenario in scenarios]
    return "\n\n".join(parts)

"""Results as JSON, as tables in Markdown, which a terminal shows as well, and as plots.

python -m loadtests.report DIRECTORY FILE       writes FILE and the plots again, from the JSON in DIRECTORY
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtests import plots, regression, results
from loadtests.machine import describe
from loadtests.measurement import LABELS, Measurement, medians
from loadtests.peers.scenarios import SCENARIOS as BESIDE_PEERS
from loadtests.scenario import Scenario
from loadtests.scenarios import SCENARIOS
from loadtests.tables import number, tables

SHORT = ("deliveries_per_second", "cpu_us_per_delivery", "p50_ms", "p99_ms", "kb_per_connection", "events_per_second",
         "slowest_seconds", "live_seconds", "server_percent", "client_busy_percent")  # fmt: skip
BENCH, PEERS = "results.json", "peers.json"
MEASURED = ("gateway", "loadtests/*.py", "loadtests/*.c", "loadtests/peers", "requirements.lock")
"""What makes the figures; the results themselves may stand in the repository."""

__all__ = ["line", "load", "render", "tables", "write"]


def line(result: Measurement) -> str:
    """One run in a line."""
    name = f"{result.side:12} {result.repeat + 1}"
    if result.error is not None:
        return f"{name}  VOID: {result.error}"
    figures = [f"{number(result.values[key])} {LABELS[key]}" for key in SHORT if key in result.values]
    return f"{name}  {', '.join(figures)}" + "".join(f"  NOT VALID: {doubt}" for doubt in result.doubts)


def document(scenarios: Sequence[Scenario], measurements: Sequence[Measurement], quick: bool) -> dict[str, Any]:
    """Everything, for other programs and for `render`."""
    return {
        "machine": describe(),
        "commit": _commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "scenarios": [_summary(scenario, measurements) for scenario in scenarios],
        "measurements": [{**dataclasses.asdict(one), "valid": one.valid} for one in measurements],
    }


def _summary(scenario: Scenario, measurements: Sequence[Measurement]) -> dict[str, Any]:
    runs = [one for one in measurements if one.scenario == scenario.name]
    sides = [side.name for side in scenario.sides]
    return {
        "name": scenario.name,
        "title": scenario.title,
        "figures": [{**dataclasses.asdict(figure), "measured": figure.of(runs)} for figure in scenario.figures],
        "medians": {side: medians(one for one in runs if one.side == side) for side in sides},
    }


def write(
    directory: Path,
    file: Path,
    scenarios: Sequence[Scenario],
    measurements: Sequence[Measurement],
    quick: bool = False,
    name: str = BENCH,
) -> None:
    """The JSON (`name`) and the plots into the directory, and the document; what the directory has of other scenarios,
    from the same commit, stays."""
    directory.mkdir(parents=True, exist_ok=True)
    now = document(scenarios, measurements, quick)
    path = directory / name
    before = json.loads(path.read_text()) if path.exists() else {}
    now["before"] = regression.kept(before, now["commit"])
    if (before.get("commit"), before.get("quick")) == (now["commit"], now["quick"]):
        fresh = {scenario.name for scenario in scenarios}
        now["scenarios"] += [one for one in before["scenarios"] if one["name"] not in fresh]
        now["measurements"] += [one for one in before["measurements"] if one["scenario"] not in fresh]
    path.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n")
    render(directory, file)


def load(document: dict[str, Any]) -> list[Measurement]:
    """The measurements of results.json."""
    return [Measurement(**{name: each[name] for name in each if name != "valid"}) for each in document["measurements"]]


def render(directory: Path, file: Path) -> None:
    """The document and the plots, from the JSON; where nothing but peers was measured, no document."""
    bench, peers = _part(directory, BENCH, SCENARIOS), _part(directory, PEERS, BESIDE_PEERS)
    if bench is not None:
        file.write_text(results.text(bench, peers, directory, file))


def _part(directory: Path, name: str, known: Sequence[Scenario]) -> results.Part | None:
    path = directory / name
    if not path.exists():
        return None
    whole = json.loads(path.read_text())
    measurements = load(whole)
    measured = {one.scenario for one in measurements}
    scenarios = [scenario for scenario in known if scenario.name in measured]
    prefix = "" if name == BENCH else "peers-"
    return results.Part(whole, scenarios, measurements, plots.write(directory, scenarios, measurements, prefix))


def _commit() -> str:
    """What was measured: the commit, and whether the code was changed since."""
    try:
        head = subprocess.run(
            ["git", "describe", "--always"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *MEASURED], check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}, changed" if changed else head


if __name__ == "__main__":
    render(Path(sys.argv[1]), Path(sys.argv[2]))

"""RESULTS.md: the template beside this file, with the tables, the plots, the profiles, and what follows for more than
one machine."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from loadtests import growing, regression
from loadtests.measurement import Measurement, medians
from loadtests.scenario import Scenario
from loadtests.tables import details, number, table, targets

HERE = Path(__file__).parent
TEMPLATE = HERE / "RESULTS.template.md"
PACE_HELD = 97.0
SHOWN = 6
"""Functions of a profile."""
LEAST_PERCENT = 1.0
_QUICK = "Measured with `--quick`: a small run that shows that everything works, and whose figures mean nothing.\n\n"


@dataclass(frozen=True, slots=True)
class Part:
    """What one of the commands has measured. `whole` is its JSON, `drawn` are the files of its plots."""

    whole: Mapping[str, Any]
    scenarios: Sequence[Scenario]
    measurements: Sequence[Measurement]
    drawn: Sequence[str]

    def medians(self, scenario: str, side: str) -> dict[str, float]:
        """Of the runs of a side."""
        return medians(one for one in self.measurements if (one.scenario, one.side) == (scenario, side))


def text(bench: Part, peers: Part | None, directory: Path, file: Path) -> str:
    """The document `file`, whose JSON and plots are in the directory."""
    place, whole = os.path.relpath(directory, file.parent), bench.whole
    repeats = 1 + max((one.repeat for one in bench.measurements), default=0)
    parts = [bench, *([peers] if peers else [])]
    found = {scenario.name: bench.medians(scenario.name, "gateway") for scenario in bench.scenarios}
    found["gzip"] = bench.medians("gzip", "gzip")
    return Template(TEMPLATE.read_text()).substitute(
        whole["machine"],
        quick=_QUICK if whole["quick"] else "",
        commit=whole["commit"],
        time=whole["time"],
        peers_commit=f"commit {peers.whole['commit']}, {peers.whole['time']}" if peers else "not measured",
        place=place,
        directory=directory,
        file=file,
        repeats=repeats,
        targets=targets([(part.scenarios, part.measurements) for part in parts]),
        changes=_changes(parts),
        noise=_noise(parts),
        clients=_clients(bench),
        plots=_plots(bench, place),
        scenarios="".join(_scenario(bench, scenario, "bench") for scenario in bench.scenarios),
        peers=_peers(peers, bench, place) if peers else "Not measured.",
        peers_readme=os.path.relpath(HERE / "peers" / "README.md", file.parent),
        growing=growing.text(found),
    )


def _changes(parts: Sequence[Part]) -> str:
    found = [regression.changes(part.scenarios, part.measurements, part.whole.get("before")) for part in parts]
    return "\n\n".join(dict.fromkeys(found))


def _noise(parts: Sequence[Part]) -> str:
    scenarios = [scenario for part in parts for scenario in part.scenarios]
    return regression.noise(scenarios, [one for part in parts for one in part.measurements])


def _plots(part: Part, place: str) -> str:
    return "\n\n".join(f"![{name.removesuffix('.svg')}]({place}/{name})" for name in part.drawn)


def _clients(part: Part) -> str:
    """How much of its core the load client had, beside how much it would take."""
    rows = []
    for scenario in part.scenarios:
        for side in scenario.sides:
            values = part.medians(scenario.name, side.name)
            if side.client == "own" and scenario.kind != "idle" and values.get("client_deliveries_per_second"):
                names = ("deliveries_per_second", "client_percent", "client_busy_percent")
                figures = [*(values[name] for name in names), values["client_deliveries_per_second"]]
                rows.append([f"{scenario.name}, {side.name}", *map(number, figures)])
    return table(["", "deliveries/s", "client, % of its core", "busy, %", "takes, deliveries/s"], rows)


def _scenario(part: Part, scenario: Scenario, command: str) -> str:
    option = "--scenario " if command == "peers" else ""
    lines = [f"### {scenario.title}", f"`python -m loadtests.{command} {option}{scenario.name}`"]
    lines += [details(scenario, part.measurements), f"What limits it: {scenario.limited_by}"]
    lines += [_kernel_part(part, scenario), *_profiles(part, scenario)]
    return "\n\n".join(line for line in lines if line) + "\n\n"


def _kernel_part(part: Part, scenario: Scenario) -> str:
    """How much of the gateway's CPU is the kernel's."""
    shares = []
    for side in scenario.sides:
        values = part.medians(scenario.name, side.name)
        if values.get("cpu_us_per_delivery") and side.server == "gateway":
            share = 100 * values["system_us_per_delivery"] / values["cpu_us_per_delivery"]
            shares.append(f"{share:.0f}% ({side.name})")
    return f"The kernel's part of the server's CPU: {', '.join(shares)}." if shares else ""


def _profiles(part: Part, scenario: Scenario) -> Iterable[str]:
    for one in part.measurements:
        if one.scenario == scenario.name and one.profile:
            yield f"Profile ({one.side}): {_largest(one.profile.get('python', {}))}."
            kernel = {name: share for name, share in one.profile.get("kernel", {}).items() if name != "user"}
            if kernel:
                yield f"In the kernel, of all: {_largest(kernel)}."


def _largest(parts: Mapping[str, float]) -> str:
    ordered = sorted(parts.items(), key=lambda part: -part[1])[:SHOWN]
    return (
        ", ".join(f"`{name}` {share:.0f}%" for name, share in ordered if share >= LEAST_PERCENT) or "nothing stands out"
    )


def _peers(peers: Part, bench: Part, place: str) -> str:
    sections = "".join(_scenario(peers, scenario, "peers") for scenario in peers.scenarios)
    return "\n\n".join(
        ["Each at the load of those measured at which it needs the least CPU for a delivery, and keeps its pace:",
         best(peers, bench), _plots(peers, place), sections.rstrip()]
    )  # fmt: skip


def best(peers: Part, bench: Part) -> str:
    """The least CPU a delivery that each server has shown, and how that compares with the gateway's."""
    found: dict[str, tuple[float, str, float, float]] = {}
    for part in (bench, peers):
        for scenario in part.scenarios:
            for side in scenario.sides:
                values = part.medians(scenario.name, side.name)
                load = f"{scenario.of(side).clients:,} clients × {scenario.of(side).rate:,} events/s"
                if (
                    scenario.kind == "fan-out"
                    and side.workers == 1
                    and not (side.filters or side.gzip or side.client != "own")
                    and values.get("pace_percent", 0) >= PACE_HELD
                    and values["deliveries"] >= 1000
                ):
                    name = side.name.partition(",")[0] if part is peers else side.server
                    row = (
                        values["cpu_us_per_delivery"],
                        load,
                        values.get("p50_ms", math.nan),
                        values.get("p99_ms", math.nan),
                    )
                    found[name] = min(found.get(name, row), row)
    own = found["gateway"][0] if "gateway" in found else float("nan")
    rows = [
        [name, load, number(cpu), number(cpu / own), number(p50), number(p99)]
        for name, (cpu, load, p50, p99) in found.items()
    ]
    return table(["", "load", "CPU µs/delivery", "× the gateway's", "p50 ms", "p99 ms"], rows)

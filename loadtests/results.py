"""RESULTS.md: the tables, the plots, and what follows from the figures for more than one machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.measurement import Measurement, medians
from loadtests.scenario import Scenario
from loadtests.tables import details, number, table, targets

CLIENTS = 100_000
USED = 0.5
"""The part of a core, and of a link, that is used."""
LINK_GIGABITS = 10
BROKER_MEGABYTES = 100
"""MB a second that a broker surely gives its readers; it is much less than Kafka's own benchmarks have."""
MACHINE_CORES = 8
STORM_SECONDS = 10
REDIS_ANSWERS = 100_000
"""Scripts a second, of one core, as redis-benchmark has it."""

_HEAD = """# Results

Written by `python -m loadtests.bench --output DIRECTORY`{quick}; all figures are in
[results.json]({place}/results.json).

- commit {commit}, {time}
- {processor}, {cores} cores, {memory_gb} GB, Linux {kernel}, Python {python}
- the server has one core; clients, producer and broker the other. Figures are medians, of {repeats} repeats or one;
  ratios are those within a repeat. Every client's events were counted and their order checked: a run with an event
  lost or repeated is void, one whose clients were busy for more than 90% of the time is not valid; each says so.
- *floor* is a C program with epoll that writes the same bytes at the same flush interval and does nothing else.
- CPU is user and system time of the server's processes; *whole machine* is everything that all cores did meanwhile,
  clients, producer and interrupts included. *server waited* is the time in which the server could have run and another
  process had its core: where it is not near 0, the machine was not quiet.
- *deliveries/s a core of clients* is what the load client would have taken with a core of its own: it is the bottleneck
  where that is not well above the deliveries/s.
- delays are from the moment an event is made, before its append to the log, to the read from the client's socket.
"""

_GROWING = """## Growing beyond one machine

Workers and machines share nothing but the log, which each reads once for all its clients: capacity is the sum of the
cores. Computed from the figures above, with cores and links half used:
"""

_QUICK = " with `--quick`: a small run that shows that everything works, and whose figures mean nothing"


def text(
    whole: Mapping[str, Any],
    scenarios: Sequence[Scenario],
    measurements: Sequence[Measurement],
    place: str,
    drawn: Sequence[str],
) -> str:
    """The document. `whole` is results.json, which is at `place` from here, as are the plots that were drawn."""
    repeats = 1 + max((one.repeat for one in measurements), default=0)
    head = _HEAD.format(
        place=place, quick=_QUICK if whole["quick"] else "", commit=whole["commit"], time=whole["time"],
        repeats=repeats, **whole["machine"],
    )  # fmt: skip
    plots = "\n\n".join(f"![{name.removesuffix('.svg')}]({place}/{name})" for name in drawn)
    sections = [head, "## Targets\n", targets(scenarios, measurements), "", plots, ""]
    for scenario in scenarios:
        sections += [f"## {scenario.title}\n", f"`python -m loadtests.bench {scenario.name}`\n"]
        sections += [details(scenario, measurements), "", *_limits(scenario, measurements), ""]
    found = {each["name"]: each["medians"].get("gateway", {}) for each in whole["scenarios"]}
    sections.append(growing(found))
    return "\n".join(sections).rstrip() + "\n"


def _limits(scenario: Scenario, measurements: Sequence[Measurement]) -> list[str]:
    """What a scenario waits for, and how much of the server's CPU is the kernel's."""
    lines = [f"What limits it: {scenario.limited_by}"]
    for side in scenario.sides:
        values = medians(one for one in measurements if (one.scenario, one.side) == (scenario.name, side.name))
        if values.get("cpu_us_per_delivery") and side.server == "gateway":
            part = 100 * values["system_us_per_delivery"] / values["cpu_us_per_delivery"]
            lines.append(f"{part:.0f}% of the CPU ({side.name}) is system calls.")
    return lines


def growing(found: Mapping[str, Mapping[str, float]]) -> str:
    """What more clients than one machine has cost; `found` are the gateway's medians, by scenario."""
    parts = [_GROWING, _capacity(found), _memory(found), _kafka(found), _storm(found)]
    return "\n".join(part for part in parts if part)


def _capacity(found: Mapping[str, Mapping[str, float]]) -> str:
    rows = []
    for name, rate in (("rare", 1), ("tenthousand", 35), ("hundred", 100)):
        values = found.get(name, {})
        if "cpu_us_per_delivery" in values:
            cores = CLIENTS * rate * values["cpu_us_per_delivery"] / 1e6 / USED
            gigabits = CLIENTS * rate * values["bytes_per_delivery"] * 8 / 1e9
            links = math.ceil(gigabits / LINK_GIGABITS / USED)
            rows.append([f"{rate} event{'s' if rate > 1 else ''}/s", *map(number, (cores, gigabits, links))])
    header = [f"{CLIENTS:,} clients at", "cores", "Gbit/s out", f"links of {LINK_GIGABITS} Gbit/s"]
    return table(header, rows) + "\n" if rows else ""


def _memory(found: Mapping[str, Mapping[str, float]]) -> str:
    each = found.get("idle", {}).get("kb_per_connection")
    if each is None:
        return ""
    return f"- Memory: {CLIENTS:,} connections take {CLIENTS * each / 1e6:.1f} GB, and each worker its ring."


def _kafka(found: Mapping[str, Mapping[str, float]]) -> str:
    each = found.get("million", {}).get("bytes_per_delivery")
    if each is None:
        return ""
    megabytes = 1000 * each / 1e6
    workers = int(BROKER_MEGABYTES / megabytes)
    return (
        f"- Kafka: a worker reads each event once, {megabytes:.1f} MB/s at 1,000 events/s. A broker that gives\n"
        f"  {BROKER_MEGABYTES} MB/s feeds {workers} workers, which are {workers // MACHINE_CORES} machines of "
        f"{MACHINE_CORES} cores; each follower that serves reads adds as many."
    )


def _storm(found: Mapping[str, Mapping[str, float]]) -> str:
    values = found.get("storm", {})
    if "storm_cpu_seconds" not in values:
        return ""
    each = values["storm_cpu_seconds"] / values["clients"]
    return (
        f"- Reconnects: one costs {1e6 * each:.0f} µs. {CLIENTS:,} at once take {CLIENTS * each:.0f} core-seconds, "
        "spread over the workers;\n  the log is not read for those whose position the rings hold.\n"
        f"- Redis, where limits are shared: it is asked once a request, not once an event. {CLIENTS:,} reconnects over "
        f"{STORM_SECONDS} s are\n  {CLIENTS // STORM_SECONDS:,} a second; one core of Redis answers some "
        f"{REDIS_ANSWERS:,} a second. In rest it has nothing to do."
    )

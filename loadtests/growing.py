"""What more clients than one machine has cost, computed from what was measured. Each line says its formula."""

from __future__ import annotations

import math
from collections.abc import Mapping

from loadtests.tables import number, table

CLIENTS = 100_000
MILLION = 1_000_000
MACHINE_GIGABYTES = 32
RECONNECT_SECONDS = 60
"""Seconds over which a million come back: clients wait for a random part of `retry`, and longer each time."""
USED = 0.5
"""The part of a core, and of a link, that is used."""
LINK_GIGABITS = 10
BROKER_MEGABYTES = 100
"""MB a second that a broker surely gives its readers; it is much less than Kafka's own benchmarks have."""
MACHINE_CORES = 8
STORM_SECONDS = 10
REDIS_ANSWERS = 100_000
"""Scripts a second, of one core, as redis-benchmark has it."""

Found = Mapping[str, Mapping[str, float]]


def text(found: Found) -> str:
    """`found` are the gateway's medians, by scenario."""
    parts = [_capacity(found), _memory(found), _kafka(found), _storm(found), _million(found)]
    return "\n".join(part for part in parts if part).rstrip()


def _capacity(found: Found) -> str:
    rows = []
    for name, rate in (("rare", 1), ("tenthousand", 35), ("hundred", 100), ("gzip", 100)):
        values = found.get(name, {})
        if "cpu_us_per_delivery" in values:
            deliveries, cpu, size = CLIENTS * rate, values["cpu_us_per_delivery"], values["bytes_per_delivery"]
            gigabits = deliveries * size * 8 / 1e9
            links = math.ceil(gigabits / LINK_GIGABITS / USED)
            load = f"{rate} event{'s' if rate > 1 else ''}/s" + (", gzip" if name == "gzip" else "")
            rows.append([load, name, *map(number, (cpu, deliveries * cpu / 1e6 / USED, size, gigabits, links))])
    if not rows:
        return ""
    header = [f"{CLIENTS:,} clients at", "as measured in", "CPU µs/delivery", "cores", "bytes/delivery", "Gbit/s out",
              f"links of {LINK_GIGABITS} Gbit/s"]  # fmt: skip
    return (
        f"- cores = clients × events/s × CPU µs/delivery ÷ 1,000,000 ÷ {USED:g} (a core is used by half)\n"
        f"- Gbit/s = clients × events/s × bytes/delivery × 8 ÷ 10⁹; links = Gbit/s ÷ {LINK_GIGABITS} ÷ {USED:g}\n\n"
        + table(header, rows)
        + "\n"
    )


def _memory(found: Found) -> str:
    each = found.get("idle", {}).get("kb_per_connection")
    if each is None:
        return ""
    return (
        f"- Memory = clients × KB/connection: {CLIENTS:,} × {each:.1f} KB = {CLIENTS * each / 1e6:.1f} GB,\n"
        "  and for each worker its ring."
    )


def _kafka(found: Found) -> str:
    each = found.get("million", {}).get("bytes_per_delivery")
    if each is None:
        return ""
    megabytes = 1000 * each / 1e6
    workers = int(BROKER_MEGABYTES / megabytes)
    return (
        f"- Kafka: a worker reads each event once. MB/s = events/s × bytes ÷ 10⁶ = 1,000 × {each:,.0f} ÷ 10⁶ = "
        f"{megabytes:.1f}.\n  A broker that gives {BROKER_MEGABYTES} MB/s feeds {BROKER_MEGABYTES} ÷ {megabytes:.1f} = "
        f"{workers} workers, which are {workers // MACHINE_CORES} machines of {MACHINE_CORES} cores;\n"
        "  each follower that serves reads adds as many."
    )


def _storm(found: Found) -> str:
    values = found.get("storm", {})
    if "storm_cpu_seconds" not in values:
        return ""
    each = values["storm_cpu_seconds"] / values["clients"]
    return (
        f"- Reconnects: one costs CPU s of the storm ÷ clients = {1e6 * each:.0f} µs. {CLIENTS:,} at once take "
        f"{CLIENTS * each:.0f} core-seconds,\n  spread over the workers; the log is not read for "
        "those whose position the rings hold.\n"
        f"- Redis, where limits are shared: it is asked once a request, not once an event. {CLIENTS:,} reconnects over "
        f"{STORM_SECONDS} s are\n  {CLIENTS // STORM_SECONDS:,} a second; one core of Redis answers some "
        f"{REDIS_ANSWERS:,} a second. In rest it has nothing to do."
    )


def _million(found: Found) -> str:
    """What a million clients cost at one event a second, from the run with a hundred thousand."""
    values = found.get("hundredthousand", {})
    if "cpu_us_per_delivery" not in values:
        return ""
    own, kernel = values["kb_per_connection"], values["kernel_kb_per_connection"] / 2
    cores = MILLION * values["cpu_us_per_delivery"] / 1e6 / USED
    gigabytes = MILLION * (own + kernel) / 1e6
    machines = max(math.ceil(cores / MACHINE_CORES), math.ceil(gigabytes / MACHINE_GIGABYTES / USED))
    gigabits = MILLION * values["bytes_per_delivery"] * 8 / 1e9
    workers, resting = machines * MACHINE_CORES, MILLION / values["clients"] * values["idle_percent"] / 100
    redis = 100 * MILLION / RECONNECT_SECONDS / REDIS_ANSWERS
    lines = [
        f"- A million clients at 1 event/s, from `hundredthousand`: cores = {MILLION:,} × "
        f"{values['cpu_us_per_delivery']:.1f} µs ÷ {USED:g} = {cores:.0f}; idle, they take {resting:.1f}.",
        f"  Memory = {MILLION:,} × ({own:.1f} KB + {kernel:.1f} KB of the kernel, half of what both ends take) = "
        f"{gigabytes:.0f} GB.",
        f"  Together that is {machines} machines of {MACHINE_CORES} cores and {MACHINE_GIGABYTES} GB. "
        f"Network: {gigabits:.0f} Gbit/s.",
        f"  Broker: {workers} workers read each event once. Redis: {MILLION:,} reconnects over {RECONNECT_SECONDS} s",
        f"  are {MILLION // RECONNECT_SECONDS:,} a second, {redis:.0f}% of one core of it.",
    ]
    return "\n".join(lines)

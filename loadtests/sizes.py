"""The tables of docs/SIZES.md: what a gateway needs, computed from what was measured.

    python -m loadtests.sizes measure        # views, archives and forms of values, into results/parts.json
    python -m loadtests.sizes write          # the tables into docs/SIZES.md; scripts/docs does it too

Each table says its formula in the document. The tests fail where the document differs from the results.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests.growing import MACHINE_CORES, MACHINE_GIGABYTES, RECONNECT_SECONDS, USED
from loadtests.machine import describe
from loadtests.tables import number, table

HERE = Path(__file__).parent
RESULTS, PARTS = HERE / "results/results.json", HERE / "results/parts.json"
DOCUMENT = HERE.parent / "docs/SIZES.md"
CORES = (1, 2, 4)
RATES = {"rare": 1, "tenthousand": 35, "hundred": 100, "million": 1000}
"""Scenarios with plain clients, and the events a second that each client gets."""
KERNEL_KILOBYTES = 4.0
"""What Linux keeps of a connection at rest, as the sizes in /proc/slabinfo are: socket, inode, file and entries."""
MILLION = 1_000_000
GIGABIT = 1e9 / 8

Medians = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Figures by scenario, side and name."""


def read_medians(path: Path = RESULTS) -> Medians:
    """What the bench has measured."""
    return {one["name"]: one["medians"] for one in json.loads(path.read_text())["scenarios"]}


def read_parts(path: Path = PARTS) -> Mapping[str, Mapping[str, float]]:
    """What `measure` has measured."""
    found: dict[str, dict[str, float]] = json.loads(path.read_text())["figures"]
    return found


def costs(found: Medians, parts: Mapping[str, Mapping[str, float]]) -> str:
    """What one thing of each kind costs."""
    idle, storm = found["idle"]["gateway"], found["storm"]["gateway"]
    nothing, filters = found["filters"]["nothing"], found["filters"]["filters"]
    plain, together = found["replay"], found["replays"]["together"]
    views, archive, forms = parts["views"], parts["archive"], parts["forms"]
    rows = [
        ["an open stream: memory", f"{idle['kb_per_connection']:.1f} KB", "`idle`"],
        ["an open stream without events: CPU a second", _us(idle["server_percent"] * 1e4 / idle["clients"]), "`idle`"],
        ["a stream with a filter of its own: more memory", _kb(filters, nothing), "`filters`"],
        *(
            [f"a delivery, {_rate(rate)} a client", _us(found[name]["gateway"]["cpu_us_per_delivery"]), f"`{name}`"]
            for name, rate in RATES.items()
        ),
        ["the same with gzip, 100 events/s a client", _us(found["gzip"]["gzip"]["cpu_us_per_delivery"]), "`gzip`"],
        ["a distinct filter, for each event of its stream", _us(_filter(found, "filters")), "`filters`"],
        ["a filter that no index helps, for each event", _us(_filter(found, "unindexed")), "`unindexed`"],
        ["a client that comes back", _us(1e6 * storm["storm_cpu_seconds"] / storm["clients"]), "`storm`"],
        ["an event of history from Kafka, read for one client", _us(plain["kafka"]["cpu_us_per_delivery"]), "`replay`"],
        ["the same from SQLite", _us(plain["sqlite"]["cpu_us_per_delivery"]), "`replay`"],
        ["the same for 200 clients that read it together", _us(together["cpu_us_per_delivery"]), "`replays`"],
        *(
            [f"a value in {title}, × JSON when read", f"{forms[name] / forms['json']:.1f}", "`loadtests.forms`"]
            for name, title in (("avro", "Avro"), ("protobuf", "Protobuf"), ("cloudevents", "CloudEvents"))
        ),
        ["an event that a view takes", _us(views["event_us"]), "`loadtests.views`"],
        ["the same on disk", f"{views['event_bytes']:,.0f} bytes", "`loadtests.views`"],
        ["a value of a view, now", _us(views["now_us"]), "`loadtests.views`"],
        ["a value of a view, at a time", _us(views["then_us"]), "`loadtests.views`"],
        ["a key of a snapshot", _us(views["row_us"]), "`loadtests.views`"],
        ["an event that is archived", _us(archive["event_us"]), "`loadtests.archive`"],
        ["an event that is read back from an archive", _us(archive["read_us"]), "`loadtests.archive`"],
    ]
    return table(["what", "cost", "measured in"], rows)


def clients(found: Medians) -> str:
    """How many clients so many cores serve, and what their network carries."""
    rows = []
    for name, rate in (*RATES.items(), ("gzip", 100)):
        values = found[name]["gzip" if name == "gzip" else "gateway"]
        each = USED * 1e6 / (rate * values["cpu_us_per_delivery"])
        bits = each * rate * values["bytes_per_delivery"] / GIGABIT
        title = f"{_rate(rate)}{', gzip' if name == 'gzip' else ''}"
        rows.append([title, *(_round(each * cores) for cores in CORES), f"{number(bits)} Gbit/s"])
    return table(
        ["events to each client", *(f"{_counted(cores, 'core')}" for cores in CORES), "network of a core"], rows
    )


def memory(found: Medians) -> str:
    """The memory of a process with so many clients."""
    values = found["idle"]["gateway"]
    own = values["memory_mb"] - values["clients"] * values["kb_per_connection"] / 1000
    rows = []
    for count in (1_000, 10_000, 30_000, 100_000):
        streams, kernel = count * values["kb_per_connection"] / 1000, count * KERNEL_KILOBYTES / 1000
        rows.append([f"{count:,}", *(f"{size:,.0f} MB" for size in (streams, own + streams, kernel))])
    return table(["clients", "their streams", "with the process", "in the kernel, some"], rows)


def reading(found: Medians) -> str:
    """What the processes of a gateway read from Kafka."""
    size = found["million"]["gateway"]["bytes_per_delivery"]
    rows = [
        [_rate(rate), *(f"{workers * rate * size / 1e6:,.1f} MB/s" for workers in (1, 4, 8, 32))]
        for rate in (10, 100, 1_000, 10_000)
    ]
    return table(["events in the log", "1 process", "4 processes", "8 processes", "32 processes"], rows)


def million(found: Medians) -> str:
    """What a million clients need at one event a second."""
    rare, idle, storm = found["rare"]["gateway"], found["idle"]["gateway"], found["storm"]["gateway"]
    cores = MILLION * rare["cpu_us_per_delivery"] / 1e6 / USED
    gigabytes = MILLION * (idle["kb_per_connection"] + KERNEL_KILOBYTES) / 1e6
    machines = max(math.ceil(cores / MACHINE_CORES), math.ceil(gigabytes / MACHINE_GIGABYTES / USED))
    gigabits = MILLION * rare["bytes_per_delivery"] / GIGABIT
    back = storm["storm_cpu_seconds"] / storm["clients"] * MILLION
    resting = MILLION / idle["clients"] * idle["server_percent"] / 100
    rows = [
        ["cores, each half used, at 1 event/s", f"{cores:.0f}"],
        ["cores, at rest", f"{resting:.1f}"],
        ["memory, with what the kernel keeps", f"{gigabytes:.0f} GB"],
        [f"machines of {MACHINE_CORES} cores and {MACHINE_GIGABYTES} GB", f"{machines}"],
        ["network at 1 event/s", f"{gigabits:.0f} Gbit/s"],
        ["reads of each event from Kafka, one a process", f"{machines * MACHINE_CORES}"],
        [f"cores for all to come back within {RECONNECT_SECONDS} s", f"{back / RECONNECT_SECONDS:.1f}"],
    ]
    return table(["a million clients", "need"], rows)


def _filter(found: Medians, name: str) -> float:
    """Microseconds that each of many filters takes for an event, beside one that matches nothing."""
    values, without = found[name]["filters"], found[name]["nothing"]
    more = (values["load_percent"] - without["load_percent"]) / 100 * 1e6
    return more / values["clients"] / (values["events"] / values["seconds"])


def _kb(values: Mapping[str, float], without: Mapping[str, float]) -> str:
    return f"{values['kb_per_connection'] - without['kb_per_connection']:.1f} KB"


def _us(microseconds: float) -> str:
    return f"{number(float(f'{microseconds:.3g}'))} µs"


def _rate(events: int) -> str:
    return f"{events:,} event{'' if events == 1 else 's'}/s"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _round(value: float) -> str:
    """Two figures: more would say that somebody else's machine is this one."""
    return f"{float(f'{value:.2g}'):,.0f}"


def written(document: str, found: Medians, parts: Mapping[str, Mapping[str, float]]) -> str:
    """The document with its tables as the results have them. A table is known by the first cell of its header."""
    lines = document.split("\n")
    for new in (costs(found, parts), clients(found), memory(found), reading(found), million(found)):
        rows = new.split("\n")
        begin = next(place for place, line in enumerate(lines) if _head(line) == _head(rows[0]))
        end = next((place for place in range(begin, len(lines)) if not lines[place].startswith("|")), len(lines))
        lines[begin:end] = rows
    return "\n".join(lines)


def _head(line: str) -> str:
    return line.split("|")[1].strip() if line.startswith("|") else ""


def measure() -> dict[str, Any]:
    """What the bench does not measure: of one process, without a server."""
    from loadtests import archive, forms, views

    with tempfile.TemporaryDirectory() as directory:
        copied = asyncio.run(archive.copy_and_read(50_000, Path(directory)))
    figures = {"views": views.main(100_000, 50_000), "archive": copied, "forms": asyncio.run(forms.main(10_000))}
    return {
        "machine": describe(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "figures": figures,
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        PARTS.write_text(json.dumps(measure(), indent=1) + "\n")
    elif sys.argv[1:] == ["write"]:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), read_medians(), read_parts()))
    else:
        sys.exit(__doc__)

"""What derived streams cost of a core, in this process and without a log.

    python -m loadtests.derive
    python -m loadtests.derive --events 200000 --partitions 4

Events like the demo's, of a few wikis and up to five seconds out of order, are given in batches to the engine, as a
process that reads a log does: parsed, judged, put together, written, with a position for each batch. `us` is
microseconds of CPU for each event that is read, the best of three runs in turns: neighbours take from any of them.
`parse` is what reading the JSON costs, which all derived streams of a source share.

What comes out is held against what it was in the first run: a run with another number of rows is a failed one (exit
status 1), as is one below the target of its task.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.catalog.catalog import Catalog
from gateway.derive.engine import Engine, event_of
from gateway.derive.position import encode
from gateway.model.record import Record, TopicPartition
from loadtests.derived import BATCH, STATE, TARGETS, TASKS, definitions, events, states

RUNS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one run: microseconds of CPU an event, rows and what was refused, bytes of a position for each partition."""

    microseconds: float
    rows: int
    refused: int
    position: float


def measure(
    catalog: Catalog, name: str, batches: Sequence[tuple[TopicPartition, list[Record]]], state: Sequence[Record]
) -> Measured:
    """One run of a stream over all of the events."""
    derivation = catalog.streams[name].derive
    assert derivation is not None
    places = list(dict.fromkeys(place for place, _ in batches))
    looked = [TopicPartition(STATE, 0)] if derivation.lookups else []
    engine = Engine(name, derivation, catalog.streams, [*places, *looked])
    if derivation.lookups:
        engine.take(looked[0], [(record, event_of(record)) for record in state])
    rows = refused = read = 0
    stored = b""
    start = time.process_time()
    for place, records in batches:
        engine.take(place, [(record, event_of(record)) for record in records])
        rows += len(engine.results.rows)
        refused += len(engine.results.refused)
        engine.forget()
        stored = encode(engine.position({}), derivation)
        read += len(records)
    taken = time.process_time() - start
    return Measured(taken / read * 1e6, rows, refused, len(stored) / (len(places) + len(looked)))


def parsing(batches: Sequence[tuple[TopicPartition, list[Record]]]) -> float:
    """Microseconds that reading the JSON of an event takes."""
    start, read = time.process_time(), 0
    for _, records in batches:
        for record in records:
            event_of(record)
        read += len(records)
    return (time.process_time() - start) / read * 1e6


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        catalog = definitions(Path(folder)).catalog
    batches = events(options.events, options.partitions)
    state = states(batches)
    runs: dict[str, list[Measured]] = {task: [] for task in TASKS}
    parsed = []
    # What is there already is no part of what a stream makes, and costs each collection.
    gc.collect()
    gc.freeze()
    for _ in range(RUNS):
        parsed.append(parsing(batches))
        for task, name in TASKS.items():
            runs[task].append(measure(catalog, name, batches, state))
    size = sum(len(record.value or b"") for _, records in batches for record in records) // options.events
    print(f"{options.events} events of {size} bytes in {options.partitions} partitions, batches of {BATCH}")
    print(f"{'task':<18}{'us':>7}{'events/s':>10}{'rows':>9}{'refused':>9}{'position':>10}")
    print(f"{'parse':<18}{min(parsed):>7.1f}{1e6 / min(parsed):>10,.0f}")
    failed = []
    for task, found in runs.items():
        best = min(found, key=lambda one: one.microseconds)
        rate = 1e6 / best.microseconds
        print(
            f"{task:<18}{best.microseconds:>7.1f}{rate:>10,.0f}{best.rows:>9}{best.refused:>9}{best.position:>8.0f} B"
        )
        if len({(one.rows, one.refused) for one in found}) != 1:
            failed.append(f"{task}: another number of rows in each run")
        if rate < TARGETS.get(task, 0):
            failed.append(f"{task}: {rate:,.0f} events/s, and {TARGETS[task]:,} are wanted")
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB, the events among it")
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

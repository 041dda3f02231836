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
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.demo.wiki import WikiSample
from gateway.derive.engine import Engine, event_of
from gateway.derive.position import encode
from gateway.model.record import Record, TopicPartition
from gateway.times import iso_time

SOURCE, STATE = "wiki.change", "wiki.page-state"
WIKIS = ("enwiki", "dewiki", "frwiki", "wikidatawiki", "commonswiki", "eswiki", "ruwiki")
FIRST_TIME, STEP, DISORDER = 1_767_225_600_000, 60, 5_000
"""Milliseconds: about 17 events a second of event time, up to so much behind."""
BATCH = 2_000
RUNS = 3
TARGETS = {"edits (i)": 60_000, "minutes (ii)": 35_000, "busy users (iii)": 35_000, "lookup (iv)": 35_000}
"""Events a second of a core, with the log; without one it has to be more."""

CONFIGURATION = """\
streams:
  wiki.change: {message_key_fields: [wiki]}
  wiki.page-state: {message_key_fields: [wiki, title]}
  edits:
    schema_title: row
    derive:
      from: [wiki.change]
      where: event.wiki == "enwiki" && event.type == "edit" && !event.bot
      select:
        title: event.title
        user: event.user
        revision: event.revision.new
        delta: event.length.new - event.length.old
  minutes:
    schema_title: row
    derive:
      from: [wiki.change]
      where: event.type == "edit"
      by: {wiki: event.wiki}
      window: {every: 1m}
      select: {edits: count(), bots: count(event.bot), grown: sum(event.length.new - event.length.old)}
  hops:
    schema_title: row
    derive:
      from: [wiki.change]
      by: {wiki: event.wiki}
      window: {size: 5m, every: 1m}
      select: {edits: count(), grown: sum(event.length.new - event.length.old)}
  visits:
    schema_title: row
    derive:
      from: [wiki.change]
      by: {user: event.user}
      window: {gap: 5m}
      select: {edits: count()}
  busy:
    schema_title: row
    derive:
      from: [wiki.change]
      by: {user: event.user}
      window: {last: 10m}
      select: {edits: count()}
      having: row.edits > 20
  once:
    derive: {from: [wiki.change], dedup: {by: event.title, within: 1h}}
  lookup:
    schema_title: row
    derive:
      from: [wiki.change]
      lookup: {page: {in: wiki.page-state, key: [event.wiki, event.title]}}
      select: {title: event.title, user: event.user, page_title: page.title, page_revision: page.revision}
"""
TASKS = {
    "edits (i)": "edits",
    "minutes (ii)": "minutes",
    "busy users (iii)": "busy",
    "lookup (iv)": "lookup",
    "hops": "hops",
    "sessions": "visits",
    "dedup": "once",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one run: microseconds of CPU an event, rows and what was refused, bytes of a position for each partition."""

    microseconds: float
    rows: int
    refused: int
    position: float


def events(count: int, partitions: int) -> list[tuple[TopicPartition, list[Record]]]:
    """Batches of events as a log would give them, the partitions in turns."""
    chance, sample = random.Random(2026), WikiSample(2026, FIRST_TIME)
    parts: list[list[Record]] = [[] for _ in range(partitions)]
    for number in range(count):
        event, _ = sample.next(FIRST_TIME + number * STEP)
        event["wiki"] = chance.choice(WIKIS)
        event["meta"]["dt"] = iso_time(FIRST_TIME + number * STEP - chance.randrange(DISORDER))
        part = parts[WIKIS.index(event["wiki"]) % partitions]
        place = WIKIS.index(event["wiki"]) % partitions
        part.append(Record(SOURCE, place, len(part), 0, event["wiki"].encode(), orjson.dumps(event)))
    batches: list[tuple[int, TopicPartition, list[Record]]] = []
    for place, part in enumerate(parts):
        for turn, start in enumerate(range(0, len(part), BATCH)):
            batches.append((turn, TopicPartition(SOURCE, place), part[start : start + BATCH]))
    return [(place, records) for _, place, records in sorted(batches, key=lambda one: one[:2])]


def states(batches: Sequence[tuple[TopicPartition, list[Record]]]) -> list[Record]:
    """A row for each page that is changed, and one at the end that moves the clock."""
    seen: dict[bytes, bytes] = {}
    for _, records in batches:
        for record in records:
            event = orjson.loads(record.value or b"")
            key = orjson.dumps([event["wiki"], event["title"]])
            row = {"meta": {"dt": iso_time(FIRST_TIME - 60_000)}, "title": event["title"], "revision": len(seen)}
            seen.setdefault(key, orjson.dumps(row))
    clock = orjson.dumps({"meta": {"dt": "2027-01-01T00:00:00.000Z", "domain": "canary"}})
    found = [Record(STATE, 0, number, 0, key, value) for number, (key, value) in enumerate(seen.items())]
    return [*found, Record(STATE, 0, len(found), 0, None, clock)]


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
        path = Path(folder) / "gateway.yaml"
        path.write_text(CONFIGURATION)
        catalog = load(path).catalog
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

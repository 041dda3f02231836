"""Measures views without a server: building one, values now and then, a snapshot as frames. Figures are per second of
processor time of one core.

    python -m loadtests.views [EVENTS [KEYS]]
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import orjson

from gateway.catalog.view import View
from gateway.model.position import DEFAULT_IDS
from gateway.model.record import Record
from gateway.state.frames import ALL_KEYS, Frames
from gateway.state.key import stored
from gateway.state.lookup import Lookup, State
from gateway.state.place import Place, cut_of
from gateway.state.store import Store
from gateway.wire.sse import SSE

PARTITIONS = 4
BATCH = 1000
PADDING = "x" * 640
LOOKUPS = 20_000
VIEW = View("pages", "pages", "pages", ("wiki", "title"), determined=True)


def build(path: Path, events: int, keys: int) -> float:
    """A view of so many events, which first come to each key and then to any; the seconds that it took."""
    store, choose = Store(path, VIEW), random.Random(1)
    places = store.begin({partition: Place(0) for partition in range(PARTITIONS)}, "identity", 1)
    offsets, taken = [0] * PARTITIONS, 0.0
    for begin in range(0, events, BATCH):
        batches: dict[int, list[Record]] = {}
        for number in range(begin, begin + BATCH):
            key = number if number < keys else choose.randrange(keys)
            event = {"wiki": f"w{key % 50}", "title": f"page {key}", "n": number, "text": PADDING}
            partition = key % PARTITIONS
            record = Record("pages", partition, offsets[partition], number, None, orjson.dumps(event))
            batches.setdefault(partition, []).append(record)
            offsets[partition] += 1
        read = [(partition, records, records[-1].offset + 1) for partition, records in batches.items()]
        begun = time.process_time()
        places = store.apply(places, read, 1 << 40).places
        taken += time.process_time() - begun
    store.close()
    return taken


def look(lookup: Lookup, state: State, keys: int, then: bool) -> float:
    """The seconds that one value takes, now or as of the middle of the log."""
    cut = {partition: place.next // 2 for partition, place in state.places.items()} if then else None
    chosen = [stored((f"w{key % 50}", f"page {key}")) for key in random.Random(2).choices(range(keys), k=LOOKUPS)]
    begun = time.process_time()
    for key in chosen:
        lookup.get(key, cut)
    return (time.process_time() - begun) / LOOKUPS


def snapshot(lookup: Lookup, state: State) -> tuple[int, float]:
    """The rows of a snapshot as server-sent events, and the seconds that they took."""
    frames, after, rows = Frames(SSE, VIEW, False, state.places, ALL_KEYS, DEFAULT_IDS), None, 0
    begun = time.process_time()
    while rows == 0 or after is not None:
        found, after = lookup.rows(cut_of(state.places), after or b"", after is not None, None, 2000, 500)
        frames.rows(found)
        rows += len(found)
    return rows, time.process_time() - begun


def main(events: int = 400_000, keys: int = 200_000) -> dict[str, float]:
    """Print the figures, and return them: microseconds of CPU, and bytes on disk for an event."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "view.db"
        taken = build(path, events, keys)
        size = sum(file.stat().st_size for file in Path(directory).iterdir()) / events
        found |= {"event_us": taken / events * 1e6, "event_bytes": size}
        print(f"built: {events / taken:,.0f} events/s, {size:.0f} bytes an event on disk")
        begun = time.perf_counter()
        lookup = Lookup(path)
        state = lookup.state()
        assert state is not None
        print(f"opened: {1000 * (time.perf_counter() - begun):.1f} ms")
        for then in (False, True):
            when = "then" if then else "now"
            found[f"{when}_us"] = 1e6 * look(lookup, state, keys, then)
            print(f"value {when}: {found[f'{when}_us']:.0f} µs")
        rows, seconds = snapshot(lookup, state)
        print(f"snapshot: {rows:,} keys, {rows / seconds:,.0f} rows/s")
    return found | {"row_us": seconds / rows * 1e6}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""Counts records of the log: each is decoded and asked as for a client, and the work lets live delivery pass."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.counts.grid import Grid
from gateway.counts.tally import Tally
from gateway.errors import FilterExhausted
from gateway.feed.judge import ROUND, Bench, Charge
from gateway.feed.selection import Selection
from gateway.filters.subject import Subject
from gateway.hub.history_segment import decode_segment
from gateway.hub.past import Past
from gateway.model.record import Record, TopicPartition, sizes_of
from gateway.observability import telemetry

LONGEST_VALUE = 256
"""Bytes of a value that is counted; what is longer is no value that comes often."""
MOST_ELEMENTS = 100
"""Elements of arrays of one event that are looked at."""
STEPS_A_SECOND = 4_000_000
"""Steps of a filter that a second of the processor counts as: one takes at most 0.25 µs."""
_SCALARS = frozenset({str, int, float, bool})


class Examiner:
    """Looks at records for one request. `charge` pays for the time that it takes."""

    def __init__(
        self, selection: Selection, by: tuple[str, ...] | None, grid: Grid, past: Past, charge: Charge | None
    ) -> None:
        self._selection = selection
        self._by = by
        self._grid = grid
        self._lock = past.lock
        self._charge = charge
        self._bench = Bench(selection.filter)
        self._told = 0
        self.owed = 0.0
        """Seconds until what was spent is paid for."""

    async def look(self, partition: TopicPartition, records: Sequence[Record]) -> Tally:
        """The tally of records that follow each other. Raises FilterExhausted."""
        tally, grid = Tally(), self._grid
        if not records:
            return tally
        async with self._lock.turn(sum(sizes_of(records))):
            begun = time.thread_time()
            parsed = self._by is not None or self._selection.reads
            segment = decode_segment([(partition, list(records))], {}, parsed)
            taken = time.thread_time() - begun
            for index, record in enumerate(segment.records):
                begun = time.thread_time()
                tally.look(record.timestamp)
                within = grid.start <= record.timestamp < grid.end
                if within and record.value is not None and index not in segment.canaries:
                    found = self._values(segment.subject(index) if parsed else None)
                    if found is not None:
                        tally.count(record.timestamp // grid.step, found)
                taken += time.thread_time() - begun
                await self._lock.give_way()
        self.pay(taken)
        self._check()
        return tally

    def pay(self, seconds: float) -> None:
        """Pay for time of the processor."""
        if self._charge is not None:
            self.owed = self._charge(int(seconds * STEPS_A_SECOND))

    def _values(self, subject: Subject | None) -> Collection[bytes] | None:
        """The values of the member asked for, perhaps none; None where the event does not match."""
        if subject is None:
            return ()  # Nothing is asked of it.
        if not self._bench.matches(subject):
            return None
        return () if self._by is None else values_at(subject.event, self._by)

    def _check(self) -> None:
        """Raises FilterExhausted where the filter has too few steps again and again."""
        bench, asked = self._bench, self._selection.filter
        telemetry.tally.exhausted += bench.exhausted - self._told
        self._told = bench.exhausted
        if asked is not None and bench.asked >= ROUND and 2 * bench.exhausted > bench.asked:
            raise FilterExhausted(asked.steps, bench.exhausted, bench.asked)


def values_at(event: Mapping[str, Any], path: tuple[str, ...]) -> set[bytes]:
    """The values of a member, as JSON: through arrays those of each element, each once."""
    found: set[bytes] = set()
    for value in _reach(event, path, [MOST_ELEMENTS]):
        if value is None or value.__class__ in _SCALARS:
            try:
                written = orjson.dumps(value)
            except orjson.JSONEncodeError:  # A lone surrogate.
                continue
            if len(written) <= LONGEST_VALUE:
                found.add(written)
    return found


def _reach(value: Any, path: tuple[str, ...], left: list[int]) -> Iterator[Any]:
    if isinstance(value, list):
        for element in value:
            left[0] -= 1
            if left[0] < 0:
                return
            yield from _reach(element, path, left)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _reach(value[path[0]], path[1:], left)

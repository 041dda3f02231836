"""One derived stream: records of its sources in, rows out. Pure, and the same whatever runs it.

It takes all records of each partition in order, and the partitions in any interleaving. The rows do not depend on the
interleaving: an event is late by the times of its own partition, and a row is emitted once all partitions are past it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.catalog.derivation import Derivation, Window
from gateway.catalog.stream import Stream
from gateway.derive.clock import BEGINNING, Place, time_reader
from gateway.derive.dedup import Deduplication
from gateway.derive.expression import condition
from gateway.derive.identity import Identity
from gateway.derive.latest import Latest
from gateway.derive.lookup import Lookups
from gateway.derive.operator import DEFAULT_BOUNDS, DeriveBounds, Held, Operator
from gateway.derive.position import PartitionPosition, Position
from gateway.derive.row import Results, Row, RowMaker
from gateway.derive.sessions import Sessions
from gateway.derive.sliding import Sliding
from gateway.derive.stateless import Stateless
from gateway.derive.windows import Windows
from gateway.errors import BadRecord
from gateway.model.event import is_canary, parse_event
from gateway.model.record import NO_TIMESTAMP, Record, TopicPartition

APART = 60_000
"""Milliseconds between the clocks of two partitions that are read side by side."""

Event = dict[str, Any] | BadRecord | None
"""What a record holds: an event, none (a deletion), or nothing that can be read."""


def event_of(record: Record) -> Event:
    """What the record holds. Derived streams of one source share it; none changes it."""
    if record.value is None:
        return None
    try:
        return parse_event(record.value)
    except BadRecord as error:
        return error


@dataclass(frozen=True, slots=True)
class _Input:
    """A topic: how the time of its events is read, and which stream of those that are looked into it belongs to."""

    rank: int
    time: Callable[[dict[str, Any]], int | None]
    looked_into: str | None


class Engine:
    """`sources` are the streams that the declaration names, by their names; `schema` and `faults` the `$schema` of the
    rows and what is wrong with one."""

    def __init__(
        self,
        name: str,
        derivation: Derivation,
        sources: Mapping[str, Stream],
        partitions: Iterable[TopicPartition],
        *,
        uri: str | None = None,
        faults: Callable[[Any], list[str]] | None = None,
        bounds: DeriveBounds = DEFAULT_BOUNDS,
    ) -> None:
        """Raises InvalidExpression."""
        self._late = derivation.late
        self._where = condition(derivation.where)
        self.results = Results()
        self._held = Held(bounds)
        self._rows = rows = RowMaker(name, Identity(name, derivation.version), self.results, uri, faults)
        self._operator = _operator(derivation, rows, self.results, self._held)
        self._inputs: dict[str, _Input] = {}
        for stream in derivation.inputs:
            source = sources[stream]
            for topic in source.topics:
                looked_into = None if stream in derivation.sources else stream
                rank = len(self._inputs)
                self._inputs.setdefault(topic, _Input(rank, time_reader(source.timestamp_field), looked_into))
        self._places: dict[TopicPartition, Place] = {}
        self._waited_for: Collection[Place] = self._places.values()
        """Those whose clocks rows wait for."""
        self._low = BEGINNING
        self._told: int | None = None
        """Up to where rows were told before, as long as records are given again."""
        self._first: int | None = None
        """The time of the first event, while a partition has had none."""
        self._waits = derivation.operator != "select"
        self._heard = False
        """Whether a canary has come since one was told."""
        for partition in partitions:
            self.add(partition)

    @property
    def low(self) -> int:
        """The time (ms) up to which all rows are told; rows of later events may still come."""
        return self._low

    @property
    def newest(self) -> int:
        """The newest time (ms) of an event in any partition; `BEGINNING` where there was none."""
        return max((place.newest for place in self._places.values()), default=BEGINNING)

    @property
    def held_back(self) -> int:
        """Milliseconds of the newest events' time that rows wait for the partition furthest behind. A partition without
        events holds rows back for ever, since events may still come in it."""
        begun = self._first if self._low == BEGINNING else self._low + self._late
        return 0 if begun is None or not self._waits else self.newest - begun

    @property
    def held(self) -> int:
        """Groups, events that wait and rows of state that it holds."""
        return self._held.count

    @property
    def held_bytes(self) -> int:
        """What of it counts for `derive_held_bytes`."""
        return self._held.size

    def behind(self, among: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Those of these partitions for which others wait: their clocks are far behind that of the foremost."""
        foremost = self.newest
        return [partition for partition in among if self._places[partition].newest < foremost - APART]

    def furthest_behind(self, among: Collection[TopicPartition]) -> list[TopicPartition]:
        """Those of these partitions for which all the others of them wait."""
        least = min((self._places[partition].newest for partition in among), default=BEGINNING)
        return [partition for partition in among if self._places[partition].newest <= least + APART]

    def add(self, partition: TopicPartition) -> None:
        """One more partition, read from its first record on. It holds the others back until it has events."""
        found = self._inputs[partition.topic]
        rank = found.rank << 32 | partition.partition
        self._places[partition] = Place(rank, self._operator.openings(), found.looked_into is not None)

    def begin(self, position: Position) -> None:
        """Go on from a position. All records from each partition's `since` to before its `next` are to be given again;
        `forget` what comes out, which was stored before. Then `resume`."""
        again = []
        for partition, at in position.partitions.items():
            place = self._places[partition]
            place.next, place.newest = at.since, at.newest
            if at.newest != BEGINNING:
                self._begin(at.newest)
            if at.since < at.next:
                again.append(place)
        if position.low is not None:
            # What was told is told again beside no others: else all of it would be held for a partition that is new.
            self._told, self._waited_for = position.low, again

    def resume(self) -> None:
        """All records were given again. What was told stays so: an event before that comes too late, also in a
        partition that is new. What is over for all only now, since a partition is gone, comes out."""
        told, self._told = self._told, None
        self._waited_for = self._places.values()
        if told is not None and told != BEGINNING:
            self._settle_until(told)
            for place in self._places.values():
                if not place.from_start:
                    place.newest = max(place.newest, told + self._late)
        self.forget()
        self._settle()

    def _begin(self, time: int) -> None:
        self._first = time if self._first is None else min(time, self._first)

    def forget(self) -> None:
        """What has come out is not wanted: it was, before this engine was."""
        self.results.rows.clear()
        self.results.refused.clear()

    def take(
        self, partition: TopicPartition, records: Iterable[tuple[Record, Event]], position: int | None = None
    ) -> None:
        """Records of one partition, in their order. `position` is the offset that is read next, where that is beyond
        the last of them. Raises TooMuchHeld, after which the engine is of no use."""
        place, found = self._places[partition], self._inputs[partition.topic]
        look, time_of, where, operator = found.looked_into, found.time, self._where, self._operator
        for record, event in records:
            place.next = record.offset + 1
            if event.__class__ is not dict:
                self._take_other(record, event, place, look)
                continue
            time = time_of(event)
            if is_canary(event):
                self._heard = True
            elif look is None:
                if where is not None and not where(event, record):
                    pass
                elif time is None:
                    self.results.invalid(record, "it has no time")
                else:
                    operator.take(event, record, time, place)
            elif time is None:
                self.results.invalid(record, "it has no time")
            else:
                operator.look(look, event, record, time, place)
            if time is not None and time > place.newest:
                if place.newest == BEGINNING:
                    self._begin(time)
                place.newest = time
        if position is not None:
            place.next = max(place.next, position)
        self._settle()

    def _take_other(self, record: Record, event: Event, place: Place, look: str | None) -> None:
        if isinstance(event, BadRecord):
            self.results.invalid(record, str(event))
        elif look is not None and record.timestamp != NO_TIMESTAMP:
            self._operator.look(look, None, record, record.timestamp, place)
            place.newest = max(place.newest, record.timestamp)
        elif look is not None:
            self.results.invalid(record, "it is a deletion without a time")

    def _settle(self) -> None:
        low = min(place.newest for place in self._waited_for) - self._late
        self._settle_until(low if self._told is None else min(low, self._told))

    def _settle_until(self, low: int) -> None:
        if low > self._low:
            self._low = low
            self._operator.settle(low)

    def canary(self) -> Row | None:
        """A canary event for each partition of the rows' topic, behind `results`, where one has come from a source: so
        the clocks of whoever reads this stream move too, though no rows come. It is never ahead of a row."""
        if not self._heard or self._low == BEGINNING:
            return None
        self._heard = False
        return self._rows.canary(self._low)

    def position(self, identities: Mapping[str, str]) -> Position:
        """Where it stands now that all of `results` is taken."""
        return Position({one: self._at(place) for one, place in self._places.items()}, identities, self._low)

    def _at(self, place: Place) -> PartitionPosition:
        if place.from_start:
            return PartitionPosition(place.next, 0, BEGINNING)
        since, newest = place.openings.first(self._low) or (place.next, place.newest)
        return PartitionPosition(place.next, since, newest)


_WINDOWS: dict[str, Callable[[Derivation, Window, RowMaker, Results, Held], Operator]] = {
    "every": Windows,
    "gap": Sessions,
    "last": Sliding,
}


def _operator(derivation: Derivation, rows: RowMaker, results: Results, held: Held) -> Operator:
    window, dedup = derivation.window, derivation.dedup
    if window is not None:
        return _WINDOWS[window.kind](derivation, window, rows, results, held)
    if derivation.latest:
        return Latest(derivation, rows, results, held)
    if derivation.lookups:
        return Lookups(derivation, rows, results, held)
    return Stateless(derivation, rows) if dedup is None else Deduplication(derivation, dedup, rows, results, held)

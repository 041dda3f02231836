"""`window: {last}`: at each event, what its key did in the ten minutes before. Pure."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import Any

from gateway.catalog.derivation import Derivation, Window
from gateway.derive.aggregate import Aggregate, counted
from gateway.derive.clock import Openings, Place
from gateway.derive.grouped import Grouping
from gateway.derive.identity import Key, key_size
from gateway.derive.operator import Held
from gateway.derive.row import Results, RowMaker, key_order
from gateway.derive.waiting import Waiting
from gateway.model.record import Record

GRAINS = 32
"""A replay begins at most a 32nd of the window earlier than it has to."""


class _Trail:
    """A key's events in the window of its last one."""

    __slots__ = ("events", "group", "holds", "last", "size")

    def __init__(self, group: list[Aggregate]) -> None:
        self.events: deque[tuple[int, list[Any], int]] = deque()
        """The time of each, what its figures are made of, and what it counts for."""
        self.size = 0
        self.group = group
        self.last = 0
        self.holds = False
        """Whether `having` was true at its last event."""


class Sliding:
    """Counts [time - size, time] at each time of a key that has events. With `having`, a row is told where that becomes
    true: where it was not at the key's event before, if that lies in the window. So all that is told follows from
    twice the window, and a key that rests is forgotten."""

    def __init__(self, derivation: Derivation, window: Window, rows: RowMaker, results: Results, held: Held) -> None:
        self._grouping = Grouping(derivation, rows)
        self._late = derivation.late
        self._size = window.size
        self._edges = derivation.having is not None
        self._results = results
        self._held = held
        self._waiting: Waiting[tuple[Key, list[Any], int]] = Waiting()
        self._trails: dict[Key, _Trail] = {}
        self._told: deque[tuple[int, Key]] = deque()
        """Keys in the order of their events, to forget those that rest."""

    def openings(self) -> Openings:
        """An event is needed for the window of one that may come, and for that of one in this."""
        return Openings(max(1, self._size // GRAINS))

    def take(self, event: dict[str, Any], record: Record, time: int, place: Place) -> None:
        """Let the event wait for earlier ones."""
        key = self._results.admitted(self._grouping.key, event, record, time - (place.newest - self._late))
        if key is None:
            return
        values, size = self._grouping.values(event, record), key_size(key)
        if self._grouping.has_arguments:
            values = [counted(value) for value in values]
            size += sum(len(value) for value in values if value.__class__ is str)
        self._held.add(1, size)
        self._waiting.put(time, place, record.offset, (key, values, size))
        place.openings.note(time + 2 * self._size, record.offset, place.newest)

    def look(self, stream: str, event: dict[str, Any] | None, record: Record, time: int, place: Place) -> None:
        """Nothing is looked into."""

    def settle(self, low: int) -> None:
        """Count the events up to `low`, those of a time and key together."""
        for time, same in groupby(self._waiting.until(low + 1), lambda one: one[0]):
            by_key: dict[Key, list[tuple[list[Any], int]]] = {}
            for _, (key, values, size) in same:
                by_key.setdefault(key, []).append((values, size))
            for key in sorted(by_key, key=key_order):
                self._count(key, time, by_key[key])
        while self._told and self._told[0][0] < low - self._size:
            time, key = self._told.popleft()
            trail = self._trails.get(key)
            if trail is not None and trail.last == time:
                self._held.add(-len(trail.events), -trail.size)
                del self._trails[key]

    def _count(self, key: Key, time: int, added: list[tuple[list[Any], int]]) -> None:
        trail = self._trails.get(key)
        if trail is None:
            trail = self._trails[key] = _Trail(self._grouping.empty(sliding=True))
        start = time - self._size
        events, group = trail.events, trail.group
        before = trail.holds and trail.last >= start
        while events and events[0][0] < start:
            _, values, size = events.popleft()
            self._held.add(-1, -size)
            trail.size -= size
            for aggregate, value in zip(group, values, strict=True):
                aggregate.remove(value)
        for values, size in added:
            events.append((time, values, size))
            trail.size += size
            for aggregate, value in zip(group, values, strict=True):
                aggregate.add(value)
        row = self._grouping.row(key, group, start, time)
        trail.last, trail.holds = time, row is not None
        self._told.append((time, key))
        if row is not None and not (self._edges and before):
            self._grouping.give(row, key, start, time)

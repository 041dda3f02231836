"""`dedup`: of the events of a key, those that none of the hour before is like. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any

from gateway.catalog.derivation import Dedup, Derivation
from gateway.derive.clock import Openings, Place
from gateway.derive.identity import Key, key_size
from gateway.derive.operator import Held
from gateway.derive.row import KeyMaker, Results, RowMaker, Selection
from gateway.derive.waiting import Waiting
from gateway.model.record import Record

GRAINS = 32
"""A replay begins at most a 32nd of the time earlier than it has to."""


class Deduplication:
    """Drops an event with an earlier one of its key at most `within` before, dropped or not. Of those of one time, the
    first partition's is the earlier one."""

    def __init__(self, derivation: Derivation, dedup: Dedup, rows: RowMaker, results: Results, held: Held) -> None:
        self._key = KeyMaker(tuple(("by", each) for each in dedup.by))
        self._selection = None if derivation.passes else Selection(derivation.select)
        self._late = derivation.late
        self._within = dedup.within
        self._rows = rows
        self._results = results
        self._held = held
        self._waiting: Waiting[tuple[Key, Record, dict[str, Any] | None]] = Waiting()
        self._seen: dict[Key, int] = {}
        self._order: deque[tuple[int, Key]] = deque()

    def openings(self) -> Openings:
        """An event is needed for as long as another may be like it."""
        return Openings(max(1, self._within // GRAINS))

    def take(self, event: dict[str, Any], record: Record, time: int, place: Place) -> None:
        """Let the event wait for earlier ones."""
        key = self._results.admitted(self._key.of, event, record, time - (place.newest - self._late))
        if key is None:
            return
        selected = None if self._selection is None else self._selection.of(event, record)
        self._held.add(size=len(record.value or b"") + key_size(key))
        self._waiting.put(time, place, record.offset, (key, record, selected))
        place.openings.note(time + self._within, record.offset, place.newest)

    def look(self, stream: str, event: dict[str, Any] | None, record: Record, time: int, place: Place) -> None:
        """Nothing is looked into."""

    def settle(self, low: int) -> None:
        """Pass on the events up to `low` that are the first of their kind."""
        for time, (key, record, selected) in self._waiting.until(low + 1):
            before = self._seen.get(key)
            self._seen[key] = time
            self._order.append((time, key))
            self._held.add(0, -len(record.value or b""))
            if before is None or before < time - self._within:
                if selected is None:
                    self._rows.passing(record, time)
                else:
                    self._rows.from_record(selected, record, time)
        while self._order and self._order[0][0] < low - self._within:
            time, key = self._order.popleft()
            self._held.add(-1, -key_size(key))
            if self._seen.get(key) == time:
                del self._seen[key]

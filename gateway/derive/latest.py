"""`latest`: the newest row of each key, for a stream that is compacted. Pure."""

from __future__ import annotations

from typing import Any

from gateway.catalog.derivation import Derivation
from gateway.derive.clock import Openings, Place
from gateway.derive.expression import condition
from gateway.derive.identity import Key, key_size
from gateway.derive.operator import Held
from gateway.derive.row import KeyMaker, Results, RowMaker, Selection
from gateway.derive.waiting import Waiting
from gateway.model.record import Record

GRAIN = 100
"""Milliseconds that a replay begins earlier than it has to, at the most."""


class Latest:
    """Tells each event as the row of its key, in the order of time over all partitions, so that the last row of a key
    is the newest."""

    def __init__(self, derivation: Derivation, rows: RowMaker, results: Results, held: Held) -> None:
        self._key = KeyMaker(derivation.latest)
        self._selection = Selection(derivation.select)
        self._delete = condition(derivation.delete)
        self._late = derivation.late
        self._rows = rows
        self._results = results
        self._held = held
        self._waiting: Waiting[tuple[Key, Record, dict[str, Any] | None]] = Waiting()

    def openings(self) -> Openings:
        """An event is open until it is told."""
        return Openings(GRAIN)

    def take(self, event: dict[str, Any], record: Record, time: int, place: Place) -> None:
        """Let the event wait for earlier ones."""
        low = place.newest - self._late
        if time < low:
            self._results.older(record, low - time)
            return
        key = self._key.of(event, record)
        if isinstance(key, str):
            self._results.invalid(record, key)
            return
        gone = self._delete is not None and self._delete(event, record)
        selected = (
            None if gone else {**dict(zip(self._key.names, key, strict=True)), **self._selection.of(event, record)}
        )
        self._held.add(size=len(record.value or b"") + key_size(key))
        self._waiting.put(time, place, record.offset, (key, record, selected))
        place.openings.note(time + 1, record.offset, place.newest)

    def look(self, stream: str, event: dict[str, Any] | None, record: Record, time: int, place: Place) -> None:
        """Nothing is looked into."""

    def settle(self, low: int) -> None:
        """Tell the events before `low`."""
        for time, (key, record, selected) in self._waiting.until(low):
            self._held.add(-1, -len(record.value or b"") - key_size(key))
            if selected is None:
                self._rows.deleting(key, time)
            else:
                self._rows.from_record(selected, record, time, key)

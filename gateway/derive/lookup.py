"""`lookup`: an event with the row of another stream that was the latest of its key at the event's time. Pure."""

from __future__ import annotations

from typing import Any

from gateway.catalog.derivation import Derivation
from gateway.derive.clock import Openings, Place
from gateway.derive.expression import members_read
from gateway.derive.identity import record_key
from gateway.derive.operator import Held
from gateway.derive.row import KeyMaker, Results, RowMaker, Selection
from gateway.derive.waiting import Waiting
from gateway.model.record import Record

GRAIN = 100
"""Milliseconds that a replay begins earlier than it has to, at the most."""
_STATE, _EVENT = 0, 1
"""A row that is of the same time as an event is there before it."""

_State = dict[bytes, tuple[dict[str, Any], int, int]]
"""Rows by the keys of their records, each with the bytes that it had, and its time (ms)."""
_Change = tuple[_State, bytes, dict[str, Any] | None, int]


class Lookups:
    """Holds the rows of the streams that it looks into, all of them, by the keys of their records."""

    def __init__(self, derivation: Derivation, rows: RowMaker, results: Results, held: Held) -> None:
        names = ("event", *(lookup.name for lookup in derivation.lookups))
        self._states: dict[str, _State] = {lookup.stream: {} for lookup in derivation.lookups}
        self._keys = [
            (lookup.name, self._states[lookup.stream], KeyMaker(tuple(("key", each) for each in lookup.key)))
            for lookup in derivation.lookups
        ]
        self._read = {stream: _members_read(derivation, stream) for stream in self._states}
        self._event_read = _event_members_read(derivation)
        self._selection = Selection(derivation.select, names)
        self._late = derivation.late
        self._rows = rows
        self._results = results
        self._held = held
        self._waiting: Waiting[tuple[Record, dict[str, Any]] | _Change] = Waiting()

    def openings(self) -> Openings:
        """An event is open until it is told."""
        return Openings(GRAIN)

    def take(self, event: dict[str, Any], record: Record, time: int, place: Place) -> None:
        """Let the event wait for rows that are older."""
        low = place.newest - self._late
        if time < low:
            self._results.older(record, low - time)
            return
        self._held.add(size=len(record.value or b""))
        read = self._event_read
        if read is not None:
            event = {name: event[name] for name in read if name in event}
        self._waiting.put(time, place, record.offset, (record, event), _EVENT)
        place.openings.note(time + 1, record.offset, place.newest)

    def look(self, stream: str, event: dict[str, Any] | None, record: Record, time: int, place: Place) -> None:
        """Let the row wait for older ones."""
        low = place.newest - self._late
        if time < low:
            self._results.older(record, low - time)
            return
        if record.key is None:
            self._results.invalid(record, "it has no key, by which it could be found")
            return
        read = self._read[stream]
        row = event if event is None or read is None else {name: event[name] for name in read if name in event}
        size = len(record.value or b"") + len(record.key)
        self._held.add(size=size)
        self._waiting.put(time, place, record.offset, (self._states[stream], record.key, row, size), _STATE)

    def settle(self, low: int) -> None:
        """Tell the events before `low`, each with the rows of its time."""
        for time, item in self._waiting.until(low):
            if len(item) == 4:
                self._change(time, *item)
            else:
                record, event = item
                self._held.add(-1, -len(record.value or b""))
                self._rows.from_record(self._selection.of(self._seen(event, record), record), record, time)

    def _change(self, time: int, state: _State, key: bytes, row: dict[str, Any] | None, size: int) -> None:
        before = state.pop(key, None)
        if before is not None and before[2] > time:
            # An older row, of a partition that is new, and read from its beginning after the others.
            state[key] = before
            self._held.add(-1, -size)
            return
        if before is not None:
            self._held.add(-1, -before[1])
        if row is None:
            self._held.add(-1, -size)
        else:
            state[key] = row, size, time

    def _seen(self, event: dict[str, Any], record: Record) -> dict[str, Any]:
        seen = {"event": event}
        for name, state, keys in self._keys:
            key = keys.of(event, record)
            row = None if isinstance(key, str) else state.get(record_key(key))
            if row is not None:
                seen[name] = row[0]
        return seen


def _members_read(derivation: Derivation, stream: str) -> frozenset[str] | None:
    """The members of a stream's rows that expressions see: no others need to be kept. None for all."""
    names = frozenset(lookup.name for lookup in derivation.lookups if lookup.stream == stream)
    found = [members_read(expression, names) for _, expression in derivation.select]
    return None if None in found else frozenset().union(*(one for one in found if one is not None))


def _event_members_read(derivation: Derivation) -> frozenset[str] | None:
    """The same of the events, which wait for what they look into."""
    read = [*(each for _, each in derivation.select), *(each for lookup in derivation.lookups for each in lookup.key)]
    found = [members_read(expression, frozenset({"event"})) for expression in read]
    return None if None in found else frozenset().union(*(one for one in found if one is not None))

"""`window: {every}` and `{size, every}`: what falls into the same minute, hour, or last ten minutes of each. Pure."""

from __future__ import annotations

from typing import Any

from gateway.catalog.derivation import Derivation, Window
from gateway.derive.aggregate import Aggregate
from gateway.derive.clock import Openings, Place
from gateway.derive.grouped import Grouping
from gateway.derive.identity import Key, key_size
from gateway.derive.operator import Held
from gateway.derive.row import Results, RowMaker, key_order
from gateway.model.record import Record


class Windows:
    """Windows are [start, end), and begin at multiples of a step. A group is a key's events in one of them."""

    def __init__(self, derivation: Derivation, window: Window, rows: RowMaker, results: Results, held: Held) -> None:
        self._grouping = Grouping(derivation, rows)
        self._late = derivation.late
        self._size, self._step = window.size, window.step
        self._results = results
        self._held = held
        self._open: dict[int, dict[Key, list[Aggregate]]] = {}
        """Groups by the end of their window."""
        self._sizes: dict[int, int] = {}
        """What they count for, by the same."""

    def openings(self) -> Openings:
        """A window is open until its end."""
        return Openings(1)

    def take(self, event: dict[str, Any], record: Record, time: int, place: Place) -> None:
        """Add the event to its windows. It is late for one that ends where the others of its partition may not be any
        more; where that is so of all of them, it is refused."""
        low = place.newest - self._late
        first = time - time % self._step
        last = first + self._size
        if last <= low:
            self._results.late(record, f"its last window ends {low - last} ms before what is waited for")
            return
        key = self._grouping.key(event, record)
        if isinstance(key, str):
            self._results.invalid(record, key)
            return
        values = self._grouping.values(event, record)
        end = last
        while end > low and end > time:
            self._add(end, key, values)
            end -= self._step
        place.openings.note(last, record.offset, place.newest)

    def _add(self, end: int, key: Key, values: list[Any]) -> None:
        groups = self._open.get(end)
        if groups is None:
            groups = self._open[end] = {}
            self._sizes[end] = 0
        group = groups.get(key)
        if group is None:
            group = groups[key] = self._grouping.empty()
            self._grow(end, key_size(key), 1)
        if not self._grouping.keeps_values:
            for aggregate, value in zip(group, values, strict=True):
                aggregate.add(value)
            return
        before = self._grouping.size(group)
        for aggregate, value in zip(group, values, strict=True):
            aggregate.add(value)
        self._grow(end, self._grouping.size(group) - before)

    def _grow(self, end: int, size: int, count: int = 0) -> None:
        if size or count:
            self._sizes[end] += size
            self._held.add(count, size)

    def look(self, stream: str, event: dict[str, Any] | None, record: Record, time: int, place: Place) -> None:
        """Nothing is looked into."""

    def settle(self, low: int) -> None:
        """Tell the windows that have ended."""
        for end in sorted(end for end in self._open if end <= low):
            groups = self._open.pop(end)
            self._held.add(-len(groups), -self._sizes.pop(end))
            for key in sorted(groups, key=key_order):
                self._grouping.tell(key, groups[key], end - self._size, end)

"""The base of all windows: keys, figures, and the rows made of them. Pure."""

from __future__ import annotations

from typing import Any

from gateway.catalog.derivation import Derivation
from gateway.derive.aggregate import Aggregate, figures
from gateway.derive.expression import ROW, condition
from gateway.derive.identity import Key
from gateway.derive.row import KeyMaker, RowMaker
from gateway.model.record import Record
from gateway.times import iso_time

_NO_RECORD = Record("", 0, 0, 0, None, None)


class Grouping:
    """Makes groups of one derived stream, and rows of them."""

    def __init__(self, derivation: Derivation, rows: RowMaker) -> None:
        self._keys = KeyMaker(derivation.by)
        self._figures = figures(derivation.select)
        self._values = [figure.value() for figure in self._figures]
        self._having = condition(derivation.having, ROW)
        self._rows = rows
        self.key = self._keys.of

    def values(self, event: dict[str, Any], record: Record) -> list[Any]:
        """What each figure is given of an event."""
        return [value(event, record) for value in self._values]

    def empty(self, sliding: bool = False) -> list[Aggregate]:
        """The figures of a new group."""
        return [figure.make(sliding) for figure in self._figures]

    def row(self, key: Key, group: list[Aggregate], start: int, end: int) -> dict[str, Any] | None:
        """The row of a group, where `having` is true of it; a figure that there is none of is left out."""
        row: dict[str, Any] = dict(zip(self._keys.names, key, strict=True))
        row["window_start"], row["window_end"] = iso_time(start), iso_time(end)
        for figure, aggregate in zip(self._figures, group, strict=True):
            result = aggregate.result()
            if result is not None:
                row[figure.name] = result
        return row if self._having is None or self._having(row, _NO_RECORD) else None

    def tell(self, key: Key, group: list[Aggregate], start: int, end: int) -> None:
        """Give the row of a group that is complete."""
        row = self.row(key, group, start, end)
        if row is not None:
            self.give(row, key, start, end)

    def give(self, row: dict[str, Any], key: Key, start: int, end: int) -> None:
        """Give a row."""
        self._rows.of_window(row, key, start, end)

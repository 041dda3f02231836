"""The base of all windows: keys, figures, and the rows made of them. Pure."""

from __future__ import annotations

from typing import Any

from gateway.catalog.derivation import Derivation, Expression
from gateway.derive.aggregate import Aggregate, figures
from gateway.derive.clock import written_time
from gateway.derive.expression import ROW, condition, members_read
from gateway.derive.identity import Key
from gateway.derive.row import KeyMaker, RowMaker
from gateway.model.record import Record

_NO_RECORD = Record("", 0, 0, 0, None, None)


class Grouping:
    """Makes groups of one derived stream, and rows of them."""

    def __init__(self, derivation: Derivation, rows: RowMaker) -> None:
        self._keys = KeyMaker(derivation.by)
        self._figures = figures(derivation.select)
        self._values = [figure.value() for figure in self._figures]
        self._names = [figure.name for figure in self._figures]
        self._extremes = [number for number, one in enumerate(self._figures) if one.function in ("min", "max")]
        self.keeps_values = bool(self._extremes)
        """Whether a group grows by the values that it is given."""
        self.has_arguments = any(figure.argument is not None for figure in self._figures)
        self._having = condition(derivation.having, ROW)
        self._sees_times = derivation.having is not None and _sees_times(derivation.having)
        self._rows = rows
        self.key = self._keys.of

    def values(self, event: dict[str, Any], record: Record) -> list[Any]:
        """What each figure is given of an event."""
        return [value(event, record) for value in self._values]

    def size(self, group: list[Any]) -> int:
        """Characters of the texts that a group keeps, of which nothing is taken away again."""
        return sum(group[number].size for number in self._extremes)

    def empty(self, sliding: bool = False) -> list[Aggregate]:
        """The figures of a new group."""
        return [figure.make(sliding) for figure in self._figures]

    def row(self, key: Key, group: list[Aggregate], start: int, end: int) -> dict[str, Any] | None:
        """The row of a group from `start` to `end` (ms), where `having` is true of it. A figure that there is none of
        is left out."""
        row: dict[str, Any] = dict(zip(self._keys.names, key, strict=True))
        for name, aggregate in zip(self._names, group, strict=True):
            result = aggregate.result()
            if result is not None:
                row[name] = result
        # Most are judged by their figures alone, and most of those are refused: their times need not be written.
        if self._having is not None and not self._sees_times and not self._having(row, _NO_RECORD):
            return None
        row["window_start"], row["window_end"] = written_time(start), written_time(end)
        return row if not self._sees_times or self._having is None or self._having(row, _NO_RECORD) else None

    def tell(self, key: Key, group: list[Aggregate], start: int, end: int) -> None:
        """Give the row of a group that is complete."""
        row = self.row(key, group, start, end)
        if row is not None:
            self.give(row, key, start, end)

    def give(self, row: dict[str, Any], key: Key, start: int, end: int) -> None:
        """Give a row."""
        self._rows.of_window(row, key, start, end)


def _sees_times(having: Expression) -> bool:
    read = members_read(having, frozenset(ROW))
    return read is None or not read.isdisjoint(("window_start", "window_end"))

"""`where` and `select`: a row for each event. Pure."""

from __future__ import annotations

from typing import Any

from gateway.catalog.derivation import Derivation
from gateway.derive.clock import Place
from gateway.derive.operator import NoOpenings
from gateway.derive.row import RowMaker, Selection
from gateway.model.record import Record


class Stateless:
    """Holds nothing, and waits for nobody."""

    def __init__(self, derivation: Derivation, rows: RowMaker) -> None:
        self._selection = None if derivation.passes else Selection(derivation.select)
        self._rows = rows

    def openings(self) -> NoOpenings:
        """Nothing is open."""
        return NoOpenings()

    def take(self, event: dict[str, Any], record: Record, time: int, place: Place) -> None:
        """The row of the event."""
        if self._selection is None:
            self._rows.passing(record, time)
        else:
            self._rows.from_record(self._selection.of(event, record), record, time)

    def look(self, stream: str, event: dict[str, Any] | None, record: Record, time: int, place: Place) -> None:
        """Nothing is looked into."""

    def settle(self, low: int) -> None:
        """Nothing waits."""

"""The events that Flink finds to be late, by the rule of the scripts, which leave them out; this one prints them."""

from __future__ import annotations

from collections import Counter

from gateway.derive.flink import Script
from gateway.derive.flink_parts import milliseconds
from gateway.derive.flink_tables import NEWEST, OFFSET, PARTITION, TIME, TOPIC, quoted, text
from gateway.derive.row import Refused

Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


class LateScript(Script):
    """Writes the places of the late events of a derived stream to a topic."""

    def text(self) -> str:
        """See `Script`."""
        derivation, window = self._derivation, self._derivation.window
        own, newest = (f"CAST({milliseconds(quoted(one))} AS BIGINT)" for one in (TIME, NEWEST))
        bound = f"{newest} - {derivation.late}"
        if window is not None and window.kind == "every":
            # The end of the last window that the event is in.
            late = f"{own} - MOD({own}, {window.step}) + {window.size} <= {bound}"
        else:
            # What is ordered for a state as of its time may come just so late.
            late = f"{own} {'<' if derivation.operator in ('latest', 'lookup') else '<='} {bound}"
        conditions = " AND ".join([*self._conditions(), late])
        columns = ", ".join(map(quoted, (TOPIC, PARTITION, OFFSET)))
        options = {
            "connector": "kafka",
            "topic": self.topic(self._stream.name),
            "properties.bootstrap.servers": self._broker.servers,
            "value.format": "json",
        }
        given = ", ".join(f"{text(key)} = {text(value)}" for key, value in options.items())
        statements = [
            self._source(),
            self._timed(),
            f"CREATE TABLE `sink` (`topic` STRING, `partition` BIGINT, `offset` BIGINT) WITH ({given})",
            f"INSERT INTO `sink` SELECT {columns} FROM `timed` WHERE {conditions}",
        ]
        return "\n\n".join([self._head(), *(f"{statement};" for statement in statements), ""])

    @staticmethod
    def topic(name: str) -> str:
        """Where they are written."""
        return f"{name}.late"


def late_of(refused: list[Refused], sources: set[str]) -> Counter[Place]:
    """The same, as the engine found them, of these topics."""
    places = [one.record for one in refused if one.kind == "late" and one.record is not None]
    return Counter((one.topic, one.partition, one.offset) for one in places if one.topic in sources)

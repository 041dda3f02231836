"""The order of time: what a response brings of the log itself is merged by timestamp."""

from __future__ import annotations

from collections.abc import Callable

from gateway.model.record import TopicPartition
from tests.simulation.truth import Stored


class Order:
    """Of one response. Up to the offsets of `held_from` no record is in the ring of the server: what of them was there
    before the request, whose number is less than `before`, comes from the log, merged by timestamp; but for what is
    read of a partition that was `sick` meanwhile, which comes once the log gives it."""

    def __init__(
        self, held_from: dict[TopicPartition, int], before: int, sick: Callable[[TopicPartition], bool]
    ) -> None:
        self._held_from = held_from
        self._before = before
        self._sick = sick
        self._last: Stored | None = None

    def take(self, stored: Stored) -> None:
        """The next record of the response."""
        if stored.number >= self._before or stored.offset > self._held_from.get(stored.partition, -1):
            return
        if self._sick(stored.partition):
            return
        last = self._last
        assert last is None or last.timestamp <= stored.timestamp, f"{stored} came out of time, after {last}"
        self._last = stored

"""Events that wait until no earlier one can come, and then are taken in the order of time. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar

from gateway.derive.clock import Place

Item = TypeVar("Item")


class Waiting(Generic[Item]):
    """What was put in comes out by its time, its turn, its partition and its offset: in one order, whatever came
    first."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, int, Item]] = []

    def put(self, time: int, place: Place, offset: int, item: Item, turn: int = 0) -> None:
        """One more, of this time (ms). Of those of one time, the lower turn is first. No partition has an offset
        twice."""
        heappush(self._heap, (time, turn, place.rank, offset, item))

    def until(self, end: int) -> Iterator[tuple[int, Item]]:
        """Take out what is before this time (ms)."""
        heap = self._heap
        while heap and heap[0][0] < end:
            time, _, _, _, item = heappop(heap)
            yield time, item

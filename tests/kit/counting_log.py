"""A log in memory that counts what is asked of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.memory.reader import MemoryReader
from gateway.eventlog.port import NO_STAMPS, Bounds
from gateway.eventlog.trouble import Trouble
from gateway.model.record import TopicPartition


class CountingLog(MemoryLog):
    """Counts questions for bounds and times, and readers."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        self.calls += 1
        return await super().bounds(partitions)

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
        self.calls += 1
        return await super().find(times)

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> MemoryReader:
        self.calls += 1
        return await super().reader(positions, stamps)

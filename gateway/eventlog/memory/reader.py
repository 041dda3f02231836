"""Reads partitions of a log in memory, as they were when the reader met them first."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Protocol

from gateway.cooperative import give_way
from gateway.eventlog.memory.topic import Partition
from gateway.eventlog.port import FETCH_BYTES, NO_STAMP, NO_STAMPS, Batch, part_of
from gateway.eventlog.trouble import Refusal, Trouble, absent, cut_back, out_of_range
from gateway.model.record import TopicPartition, size_of


class ReadableLog(Protocol):
    """What a reader needs of its log."""

    def check(self) -> None:
        """Raise LogUnavailable where the log is set so."""
        ...

    def state(self, partition: TopicPartition) -> Partition | Trouble:
        """The partition, or why it is not given."""
        ...

    def spoilt(self, partition: TopicPartition, position: int) -> Trouble | None:
        """Why the partition cannot be read from this position on, or from a later one."""
        ...

    async def change(self) -> None:
        """Return at the next change of the log."""
        ...


class MemoryReader:
    """A LogReader over a MemoryLog."""

    def __init__(
        self,
        log: ReadableLog,
        positions: Mapping[TopicPartition, int],
        stamps: Mapping[TopicPartition, int] = NO_STAMPS,
    ) -> None:
        self._log = log
        self._positions = dict(positions)
        self._stamps = dict(stamps)
        self._states: dict[TopicPartition, Partition] = {}
        self._meet(positions)
        self._wanted: Collection[TopicPartition] | None = None
        self.starts: dict[TopicPartition, int] = {}

    async def assign(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """See LogReader. `fetch` shows whether the partitions exist."""
        self._log.check()
        self._positions = dict(positions)
        self._stamps = dict(stamps)
        self._states = {}
        self._meet(positions)
        self.starts = {}

    async def add(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """See LogReader."""
        self._log.check()
        for partition, position in positions.items():
            self._positions[partition] = position
            self._stamps[partition] = stamps.get(partition, NO_STAMP)
            self._states.pop(partition, None)
            self.starts.pop(partition, None)
        self._meet(positions)

    def _meet(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            if not isinstance(state := self._log.state(partition), Trouble):
                self._states[partition] = state

    @property
    def more(self) -> bool:
        """See LogReader."""
        return any(
            partition in self._states and position < self._states[partition].end
            for partition, position in self._positions.items()
            if self._wanted is None or partition in self._wanted
        )

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch | Refusal]:
        """See LogReader."""
        self._wanted = partitions
        self._log.check()
        wanted = [each for each in self._positions if partitions is None or each in partitions]
        at_hand = [each for each in wanted if self._read_one(each, 1, 1) is not None]
        if wait <= 0 or at_hand:
            await give_way()
        try:
            async with asyncio.timeout(wait):
                while True:
                    if found := self._read(max_records, partitions, max_bytes):
                        return found
                    await self._log.change()
        except TimeoutError:
            return []

    async def close(self) -> None:
        """Nothing to release."""

    def _read(
        self, max_records: int, partitions: Collection[TopicPartition] | None, max_bytes: int
    ) -> list[Batch | Refusal]:
        """The records at hand. The partitions read go to the back of the queue, so that none starves."""
        self._log.check()
        found: list[Batch | Refusal] = []
        wanted = [each for each in self._positions if partitions is None or each in partitions]
        ready = sum(self._read_one(each, 1, 1) is not None for each in wanted)
        for partition in wanted:
            parts = part_of(max_records, max(1, ready)), part_of(max_bytes, max(1, ready))
            answer = self._read_one(partition, *parts)
            ready -= answer is not None
            if isinstance(answer, Trouble):
                del self._positions[partition]
                found.append(Refusal(partition, answer))
            elif answer is not None:
                del self._positions[partition]
                self._positions[partition] = answer.position
                self._stamps[partition] = answer.stamp
                max_records -= len(answer.records)
                max_bytes -= sum(map(size_of, answer.records))
                found.append(answer)
        return found

    def _read_one(self, partition: TopicPartition, max_records: int, max_bytes: int) -> Batch | Trouble | None:
        """The next records of a partition as it was when the reader met it first: one created again is another, and
        this one absent."""
        state, position = self._log.state(partition), self._positions[partition]
        if isinstance(state, Trouble):
            return state
        if self._states.setdefault(partition, state) is not state:
            return absent(partition.topic)
        self.starts[partition] = state.start
        if position >= state.start:
            cut = state.cut_below(position, self._stamps.get(partition, NO_STAMP))
            if cut is not None:
                return cut_back(partition, cut, state.stamp(cut))
        if not state.start <= position <= state.end:
            return out_of_range(partition, position)
        spoilt = self._log.spoilt(partition, position)
        if spoilt is not None and spoilt.offset <= position < state.end:
            return spoilt
        if max_records <= 0 or max_bytes <= 0 or state.end <= position:
            return None
        records, after = state.read(position, max_records, max_bytes)
        if spoilt is not None and position < spoilt.offset < after:
            records, after = [record for record in records if record.offset < spoilt.offset], spoilt.offset
        return Batch(partition, records, after, state.stamp(after))

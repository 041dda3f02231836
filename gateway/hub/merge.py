"""Merges the records of several partitions by timestamp, as they arrive. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Mapping

from gateway.eventlog.port import NO_STAMP
from gateway.model.record import Record, RecordRun, TopicPartition, sizes_of


class Merge:
    """In each partition in log order; across them by timestamp, as far as that is known.

    Whoever has an end in `ends` and is before it holds the others back once nothing of it is here: what comes next of
    it may be older than what they have. Those without an end, or at it, hold back nobody, and are merged as they come.
    """

    def __init__(self, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> None:
        self.ends = dict(ends)
        self._buffers: dict[TopicPartition, deque[Record]] = {partition: deque() for partition in positions}
        self._read = dict(positions)
        self._stamps: dict[TopicPartition, int] = {}
        self.size = 0
        """Bytes that wait to be merged."""

    def add(self, partition: TopicPartition, records: Iterable[Record], position: int, stamp: int = NO_STAMP) -> None:
        """The records read of a partition, up to the position of this stamp."""
        self._stamps[partition] = stamp
        self._buffers.setdefault(partition, deque()).extend(records)
        self._read[partition] = position

    def put_back(self, runs: Iterable[RecordRun]) -> None:
        """Take back the last that were taken: where the ends have moved, others may come before them."""
        for partition, records in reversed(list(runs)):
            self._buffers[partition].extendleft(reversed(records))
            self.size += sum(sizes_of(records))

    def let_go(self, partitions: Collection[TopicPartition]) -> None:
        """These hold the others back no longer."""
        for partition in partitions:
            self.ends.pop(partition, None)

    def position(self, partition: TopicPartition) -> int:
        """The next offset that is to be taken."""
        buffer = self._buffers[partition]
        return buffer[0].offset if buffer else self._read[partition]

    def stamps(self) -> dict[TopicPartition, int]:
        """Those of the positions where they are known: of what waits for nothing."""
        return {partition: stamp for partition, stamp in self._stamps.items() if not self._buffers[partition]}

    def partitions(self) -> Collection[TopicPartition]:
        """All that are merged."""
        return self._buffers.keys()

    def waiting(self) -> list[TopicPartition]:
        """Those of which records wait to be taken."""
        return [partition for partition, buffer in self._buffers.items() if buffer]

    def empty(self) -> list[TopicPartition]:
        """Those of which nothing waits."""
        return [partition for partition, buffer in self._buffers.items() if not buffer]

    def behind(self) -> list[TopicPartition]:
        """Those of which more is to be read before their end."""
        return [partition for partition, end in self.ends.items() if self._read[partition] < end]

    def hungry(self) -> list[TopicPartition]:
        """Those that hold the others back."""
        return [partition for partition in self.behind() if not self._buffers[partition]]

    def take(self, most: int | None = None) -> list[RecordRun]:
        """The next records. If more than `most` bytes wait, no partition holds the others back."""
        runs = self._take(regardless=most is not None and self._weigh() > most)
        # Of a single partition nothing is left.
        self.size = self._weigh()
        return runs

    def _weigh(self) -> int:
        return sum(sum(sizes_of(buffer)) for buffer in self._buffers.values() if buffer)

    def _take(self, regardless: bool) -> list[RecordRun]:
        waiting = [(partition, buffer) for partition, buffer in self._buffers.items() if buffer]
        if not waiting or (not regardless and self.hungry()):
            return []
        if len(waiting) == 1:
            partition, buffer = waiting[0]
            records = list(buffer)
            buffer.clear()
            return [(partition, records)]
        heap = [(buffer[0].timestamp, partition) for partition, buffer in waiting]
        heapq.heapify(heap)
        runs: list[RecordRun] = []
        last = None
        while heap:
            _, partition = heap[0]
            buffer = self._buffers[partition]
            if partition is not last:
                records, last = [], partition
                runs.append((partition, records))
            records.append(buffer.popleft())
            if buffer:
                heapq.heapreplace(heap, (buffer[0].timestamp, partition))
            elif not regardless and self._read[partition] < self.ends.get(partition, 0):
                break
            else:
                heapq.heappop(heap)
        return runs

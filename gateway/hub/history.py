"""History: partitions read from the log and merged by timestamp."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping

from gateway.cooperative import give_way
from gateway.event import Record, Run, TopicPartition, size_of
from gateway.eventlog.port import Bounds, EventLog, LogReader
from gateway.eventlog.trouble import Refusal, Trouble, demand, out_of_range, refuse
from gateway.position import NOTHING_READ, Mark

FIRST_RECORDS = 500
FETCH_RECORDS = 2000
"""Records asked of the log at once: enough to make a call cheap, few enough to keep the loop free. The first time it
is fewer, since where many replay, a reader may soon be given up for another."""

HISTORY_BYTES = 2 * 1024 * 1024
"""Bytes of records that wait to be merged, but for one record of each partition."""


class History:
    """Reads from `positions` up to `ends`, merged by timestamp; in each partition in log order.

    A partition with nothing buffered and more to come holds the others back. What is buffered is bounded in bytes: the
    more there is, the less is asked for, down to a single record. One that the log refuses is put into `troubles`: what
    was read of it before is merged, and it holds nobody back.
    """

    def __init__(self, reader: LogReader, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]):
        self._reader = reader
        self.positions = dict(positions)
        self.ends = dict(ends)
        self._buffers: dict[TopicPartition, deque[Record]] = {partition: deque() for partition in positions}
        self.troubles: dict[TopicPartition, Trouble] = {}
        self.starved = False
        """Whether the last fetch waited for something, and nothing came."""
        self._read = dict(positions)
        self._stamps: dict[TopicPartition, int] = {}
        self._most = FIRST_RECORDS
        self.size = 0
        """Bytes that are buffered."""

    @property
    def stamps(self) -> dict[TopicPartition, int]:
        """Those of the positions of which they are known: nothing of these partitions waits to be merged."""
        return {partition: stamp for partition, stamp in self._stamps.items() if not self._buffers[partition]}

    @property
    def finished(self) -> bool:
        """Whether everything before the ends has been returned."""
        return all(
            self.positions[partition] >= end or (partition in self.troubles and not self._buffers[partition])
            for partition, end in self.ends.items()
        )

    def put_back(self, runs: Iterable[Run]) -> None:
        """Take back the last that were returned: where the ends have moved, others may come before them."""
        for partition, records in reversed(list(runs)):
            self._buffers[partition].extendleft(reversed(records))
            self.size += sum(map(size_of, records))
            self.positions[partition] = records[0].offset

    async def fetch(self, wait: float) -> list[Run]:
        """The next records; empty where none came within `wait` seconds, or at the end. Raises as the reader does."""
        hungry = self._hungry()
        self.starved = False
        if hungry:
            room = max(1, HISTORY_BYTES - self.size)
            found = await self._reader.fetch(wait, self._most, hungry, room)
            self.starved = not found
            for one in found:
                if isinstance(one, Refusal):
                    self.troubles[one.partition] = one.trouble
                else:
                    self._buffers[one.partition].extend(one.records)
                    self._read[one.partition] = one.position
                    self._stamps[one.partition] = one.stamp
            self._most = FETCH_RECORDS
        runs = self._merge()
        # Of a single partition nothing is left.
        self.size = sum(size_of(record) for buffer in self._buffers.values() for record in buffer)
        for partition, buffer in self._buffers.items():
            self.positions[partition] = buffer[0].offset if buffer else self._read[partition]
        return runs

    def _hungry(self) -> list[TopicPartition]:
        return [
            partition
            for partition, end in self.ends.items()
            if not self._buffers[partition] and self._is_behind(partition, end)
        ]

    def _is_behind(self, partition: TopicPartition, end: int) -> bool:
        """Whether more of the partition is to be read."""
        return self._read[partition] < end and partition not in self.troubles

    def _merge(self) -> list[Run]:
        buffers = [(partition, buffer) for partition, buffer in self._buffers.items() if buffer]
        if any(not self._buffers[partition] for partition in self._hungry()):
            return []
        if len(buffers) == 1:
            partition, buffer = buffers[0]
            records = list(buffer)
            buffer.clear()
            return [(partition, records)]
        heap = [(buffer[0].timestamp, partition) for partition, buffer in buffers]
        heapq.heapify(heap)
        runs: list[Run] = []
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
            elif self._is_behind(partition, self.ends[partition]):
                break
            else:
                heapq.heappop(heap)
        return runs


async def first_records(
    log: EventLog, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], wait: float = 1.0
) -> dict[TopicPartition, Record | None]:
    """The first record at or after each position, or None where there is none before the end. Raises as `demand`."""
    return demand(await ask_first_records(log, positions, ends, wait))


async def ask_first_records(
    log: EventLog, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], wait: float = 1.0
) -> dict[TopicPartition, Record | Trouble | None]:
    """The same, or what keeps a partition from telling."""
    found: dict[TopicPartition, Record | Trouble | None] = {
        partition: None for partition, position in positions.items() if position >= ends[partition]
    }
    missing = {partition: position for partition, position in positions.items() if partition not in found}
    if not missing:
        return found
    reader = await log.reader(missing)
    try:
        while missing:
            answers = await reader.fetch(wait, 1, missing.keys())
            if not answers:
                found |= await _beyond(log, {place: ends[place] for place in missing})
                missing = {place: position for place, position in missing.items() if place not in found}
            for one in answers:
                if isinstance(one, Refusal):
                    found[one.partition] = one.trouble
                elif one.records:
                    found[one.partition] = one.records[0]
                elif one.position >= ends[one.partition]:
                    found[one.partition] = None
                if one.partition in found:
                    del missing[one.partition]
            await give_way()
    finally:
        await reader.close()
    return found


async def mark_before(
    log: EventLog,
    partition: TopicPartition,
    position: int,
    bounds: Bounds,
    since: int,
    by_timestamp: bool,
) -> Mark:
    """The mark of a reader whose next record is at `position`, the first record at or after `since` (ms).

    By offset it carries the timestamp of the record before, so that it can be trusted later; where that record is
    gone, or the partition is resumed by timestamp, `since` itself. Raises as `demand`.
    """
    if position <= 0:
        return NOTHING_READ
    if by_timestamp or position <= bounds.start:
        return Mark(position - 1, since)
    record = (await first_records(log, {partition: position - 1}, {partition: position}))[partition]
    found = record is not None and record.offset == position - 1
    return Mark(position - 1, record.timestamp if found and record is not None else since)


async def read_range(log: EventLog, partition: TopicPartition, start: int, end: int) -> list[Record]:
    """All records of one partition from `start` to just before `end`; meant for short ranges. Raises as `demand`."""
    if start >= end:
        return []
    reader = await log.reader({partition: start})
    records: list[Record] = []
    try:
        history = History(reader, {partition: start}, {partition: end})
        while not history.finished:
            records += [record for _, run in await history.fetch(1.0) for record in run]
            refuse(history.troubles)
            if history.starved:
                refuse(await _beyond(log, history.ends))
            await give_way()
    finally:
        await reader.close()
    return [record for record in records if record.offset < end]


async def _beyond(log: EventLog, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, Trouble]:
    """Those that do not come to these ends any more, after a failure of the log's own, or in another topic of the same
    name: what was to be read there never comes."""
    found: dict[TopicPartition, Trouble] = {}
    for place, bounds in (await log.bounds(list(ends))).items():
        if isinstance(bounds, Trouble):
            found[place] = bounds
        elif bounds.end < ends[place]:
            found[place] = out_of_range(place, ends[place])
    return found

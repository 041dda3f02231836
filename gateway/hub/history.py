"""History: partitions read from the log and merged by timestamp."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping

from gateway.cooperative import give_way
from gateway.eventlog.port import EventLog, LogReader
from gateway.eventlog.trouble import Refusal, Trouble, demand, out_of_range, refuse
from gateway.hub.merge import Merge
from gateway.model.record import Record, RecordRun, TopicPartition

FIRST_RECORDS = 500
FETCH_RECORDS = 2000
"""Records asked of the log at once: enough to make a call cheap, few enough to keep the loop free. The first time it
is fewer, since where many replay, a reader may soon be given up for another."""

PART_RECORDS = 1000
PART_BYTES = 256 * 1024
"""The bytes read at once if records are only inspected."""

HISTORY_BYTES = 2 * 1024 * 1024
"""Bytes of records that wait to be merged, but for one record of each partition."""


class History:
    """Reads from `positions` up to `ends`, merged by timestamp; in each partition in log order.

    A partition with nothing buffered and more to come holds the others back. What is buffered is bounded in bytes, of
    which each partition has a share. One that the log refuses is put into `troubles`: what was read of it before is
    merged, and it holds nobody back.
    """

    def __init__(self, reader: LogReader, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]):
        self._reader = reader
        self._merge = Merge(positions, ends)
        self.positions = dict(positions)
        self.ends = dict(ends)
        """The caller that continues to read may change it."""
        self.troubles: dict[TopicPartition, Trouble] = {}
        self.starved = False
        """Whether the last fetch waited for something, and nothing came."""
        self._most = FIRST_RECORDS

    @property
    def size(self) -> int:
        """Bytes that are buffered."""
        return self._merge.size

    @property
    def stamps(self) -> dict[TopicPartition, int]:
        """Those of the positions of which they are known: nothing of these partitions waits to be merged."""
        return self._merge.stamps()

    @property
    def finished(self) -> bool:
        """Whether everything before the ends has been returned."""
        empty = self._merge.empty()
        return all(
            self.positions[partition] >= end or (partition in self.troubles and partition in empty)
            for partition, end in self.ends.items()
        )

    @property
    def refused(self) -> bool:
        """Whether the log refuses some, and all that was read of these before has been returned."""
        return bool(self.troubles) and self.troubles.keys() <= set(self._merge.empty())

    def put_back(self, runs: Iterable[RecordRun]) -> None:
        """Take back the last that were returned: where the ends have moved, others may come before them."""
        self._merge.put_back(runs)
        self._settle()

    async def fetch(self, wait: float) -> list[RecordRun]:
        """The next records; empty where none came within `wait` seconds, or at the end. Raises as the reader does."""
        self._merge.ends = {partition: end for partition, end in self.ends.items() if partition not in self.troubles}
        hungry = self._merge.hungry()
        self.starved = False
        if hungry:
            room = share_of(HISTORY_BYTES, len(hungry), len(self._merge.behind()), self._merge.size)
            found = await self._reader.fetch(wait, self._most, hungry, room)
            self.starved = not found
            for one in found:
                if isinstance(one, Refusal):
                    self.troubles[one.partition] = one.trouble
                    self._merge.let_go([one.partition])
                else:
                    self._merge.add(*one)
            self._most = FETCH_RECORDS
        runs = self._merge.take()
        self._settle()
        return runs

    async def give_up(self, log: EventLog) -> None:
        """Where the last fetch was starved: put those into `troubles` that do not come to their ends any more."""
        if self.starved:
            gone = await not_to_come(log, {partition: self.ends[partition] for partition in self._merge.hungry()})
            self.troubles |= gone
            self._merge.let_go(gone)

    def _settle(self) -> None:
        self.positions = {partition: self._merge.position(partition) for partition in self.positions}


def share_of(capacity: int, hungry: int, behind: int, held: int) -> int:
    """The bytes that may be read of the partitions that lack records, while the others hold this many. Each
    partition has an equal share, so that the buffer of one leaves room for the others."""
    return max(1, min(capacity * hungry // behind, capacity - held))


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
                found |= await not_to_come(log, {partition: ends[partition] for partition in missing})
                missing = {partition: position for partition, position in missing.items() if partition not in found}
            for one in answers:
                if one.partition in found:
                    continue  # Behind its first record it may be damaged.
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


async def read_parts(
    log: EventLog, partition: TopicPartition, start: int, end: int
) -> AsyncGenerator[tuple[list[Record], int], None]:
    """The records of one partition from `start` to just before `end`, part by part, each with the offset read so
    far. Other work runs after each part. Raises as `demand`. Close it (`aclosing`): it has a reader of the log."""
    if start >= end:
        return
    reader = await log.reader({partition: start})
    try:
        position = start
        while position < end:
            found = await reader.fetch(1.0, min(PART_RECORDS, end - position), None, PART_BYTES)
            for one in found:
                if isinstance(one, Refusal):
                    if position < end:
                        refuse({partition: one.trouble})
                else:
                    position = min(end, one.position)
                    yield [record for record in one.records if record.offset < end], position
            if not found:
                refuse(await not_to_come(log, {partition: end}))
            await give_way()
    finally:
        await reader.close()


async def not_to_come(log: EventLog, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, Trouble]:
    """The partitions that no longer reach these ends, after a failure of the log or because the topic was recreated.
    Their missing records never arrive."""
    found: dict[TopicPartition, Trouble] = {}
    for partition, bounds in (await log.bounds(list(ends))).items():
        if isinstance(bounds, Trouble):
            found[partition] = bounds
        elif bounds.end < ends[partition]:
            found[partition] = out_of_range(partition, ends[partition])
    return found

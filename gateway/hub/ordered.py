"""Reads live records in the order of time, also while the hub catches up.

A log gives what it has of one partition, and then of the next. So each read is merged by timestamp. When a read was
late, or the log has more, the log is asked where it ends. Until the hub has read that far, a partition that is behind
holds the others back, as in history. When there is nothing to catch up on, no record waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.eventlog.port import Batch, Bounds, EventLog, LogReader
from gateway.eventlog.trouble import Refusal
from gateway.hub.history import share_of
from gateway.hub.merge import Merge
from gateway.model.record import RecordRun, TopicPartition

IDLE_WAIT = 0.5
"""Seconds that one read of the log waits for a record; bounds how late a look for new topics may come."""
FETCH_RECORDS = 1000
WAITING_BYTES = 4 * 1024 * 1024
"""Bytes of records that wait for those of others; beyond twice as many, they wait no longer."""
HOLD_SECONDS = 1.0
"""Seconds that others wait for a silent partition, and for the log to say where it ends."""
LATE_SECONDS = 1.0
"""If a read follows the previous one after this time, or its records span this time, other partitions may lag too."""
NONE_REST: Mapping[str, float] = MappingProxyType({})
AGAIN_SECONDS = (1.0, 5.0)
"""Seconds within which the span of a read is no reason to ask again; nothing is, if the log did not answer in time."""


class Read(NamedTuple):
    """The records to deliver now, with the positions after them, the refusals of the log, and whether more is
    waiting. The stamps of positions are included as far as they are known, and the starts of the log."""

    runs: list[RecordRun]
    positions: Mapping[TopicPartition, int]
    refusals: list[Refusal]
    more: bool
    stamps: Mapping[TopicPartition, int]
    starts: Mapping[TopicPartition, int]


class OrderedReader:
    """Over a reader of the log. `positions` gives the partitions that are read. `is_foreign` says of a partition
    whether the records on their way are useless."""

    def __init__(
        self,
        log: EventLog,
        reader: LogReader,
        positions: Callable[[], Mapping[TopicPartition, int]],
        is_foreign: Callable[[TopicPartition], bool],
    ) -> None:
        self._log = log
        self._reader = reader
        self._positions = positions
        self._is_foreign = is_foreign
        self._merge: Merge | None = None
        self._due = True
        """Whether the next read may be of what has waited for long."""
        self._read_at = 0.0
        self._fed_at = 0.0
        """When something came last of those that hold the others back."""
        self._late: set[TopicPartition] = set()
        """Those that were waited for in vain: they hold back nobody until something of them has come."""
        self._spans_from = 0.0
        self._asks_from = 0.0

    @property
    def size(self) -> int:
        """Bytes that wait to be merged."""
        return self._merge.size if self._merge is not None else 0

    def restart(self) -> Collection[TopicPartition]:
        """Other partitions are added to the reader. Drop the records that wait to be merged; returns the partitions
        to read again."""
        merge, self._merge = self._merge, None
        self._due = True
        return merge.waiting() if merge is not None else ()

    async def fetch(self, resting: Mapping[str, float] = NONE_REST) -> Read:
        """The next records; none if none arrived for some time. `resting` are topics that can wait, each for so many
        seconds. What is merged by time waits for nobody. Raises LogUnavailable."""
        if self._merge is not None:
            return await self._go_on(self._merge)
        awake = [partition for partition in self._positions() if partition.topic not in resting] if resting else None
        wait = min(IDLE_WAIT, *resting.values()) if resting else IDLE_WAIT
        found = await self._reader.fetch(wait, FETCH_RECORDS, awake, WAITING_BYTES)
        batches, refusals = self._sort(found)
        if batches and self._may_be_behind(batches):
            ends = await self._ends(batches)
            # Meanwhile a look may have found that a topic is gone, or is another.
            batches, refusals = self._sort(found)
            reached = self._reached(batches)
            ends = {partition: end for partition, end in ends.items() if partition in reached}
            if ends:
                merge = self._merge = Merge(reached, ends)
                self._fed_at = self._now()
                return self._take(merge, batches, refusals)
        self._read_at = self._now()
        positions = {batch.partition: batch.position for batch in batches}
        stamps = {batch.partition: batch.stamp for batch in batches}
        return Read(merged(batches), positions, refusals, self._reader.more, stamps, self._reader.starts)

    def _sort(self, found: Collection[Batch | Refusal]) -> tuple[list[Batch], list[Refusal]]:
        """Partitions that are read again start at another offset than the records on their way."""
        batches: list[Batch] = []
        refusals: list[Refusal] = []
        for one in found:
            if self._is_foreign(one.partition):
                continue
            if isinstance(one, Refusal):
                refusals.append(one)
            else:
                batches.append(one)
                self._late.discard(one.partition)
        return batches, refusals

    def _may_be_behind(self, batches: list[Batch]) -> bool:
        now = self._now()
        due, self._due = self._due or now - self._read_at > IDLE_WAIT + LATE_SECONDS, False
        if now < self._asks_from:
            return False
        if due or self._reader.more:
            return True
        if len(batches) == 1 and len(batches[0].records) < 2:
            return False
        times = [
            record.timestamp for batch in batches if batch.records for record in (batch.records[0], batch.records[-1])
        ]
        if not times or max(times) - min(times) <= 1000 * LATE_SECONDS or now < self._spans_from:
            return False
        self._spans_from = now + AGAIN_SECONDS[0]
        return True

    def _reached(self, batches: list[Batch]) -> dict[TopicPartition, int]:
        """How far all that is read was read, with these."""
        read = {partition: at for partition, at in self._positions().items() if not self._is_foreign(partition)}
        return read | {batch.partition: batch.position for batch in batches}

    async def _ends(self, batches: list[Batch]) -> dict[TopicPartition, int]:
        """Where the log ends, of those that it has more of than these."""
        positions = self._reached(batches)
        if len(positions) < 2:
            return {}
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                answers = await self._log.bounds(list(positions))
        except TimeoutError:
            self._asks_from = self._now() + AGAIN_SECONDS[1]
            return {}
        return {
            partition: bounds.end
            for partition, bounds in answers.items()
            if isinstance(bounds, Bounds) and bounds.end > positions[partition] and partition not in self._late
        }

    async def _go_on(self, merge: Merge) -> Read:
        hungry, behind = merge.hungry(), merge.behind()
        room = share_of(WAITING_BYTES, len(hungry), len(behind), merge.size)
        found = await self._reader.fetch(IDLE_WAIT, FETCH_RECORDS, merge.empty(), room)
        batches, refusals = self._sort(found)
        now = self._now()
        if any(batch.partition in hungry for batch in batches):
            self._fed_at = now
        elif now - self._fed_at > HOLD_SECONDS:
            self._fed_at = now
            self._late.update(hungry)
            merge.let_go(hungry)
        return self._take(merge, batches, refusals)

    def _take(self, merge: Merge, batches: list[Batch], refusals: list[Refusal]) -> Read:
        for batch in batches:
            merge.add(*batch)
        # Of a topic that is gone by now, nothing comes either.
        gone = [partition for partition in merge.behind() if self._is_foreign(partition)]
        merge.let_go([*gone, *(refusal.partition for refusal in refusals)])
        runs = merge.take(2 * WAITING_BYTES)
        positions = {partition: merge.position(partition) for partition in merge.partitions()}
        more = bool(merge.behind())
        if not more:
            # More may have come meanwhile, of these and of others.
            self._merge, self._due = None, True
        self._read_at = self._now()
        return Read(runs, positions, refusals, more or self._reader.more, merge.stamps(), self._reader.starts)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def merged(batches: list[Batch]) -> list[RecordRun]:
    """One read, merged by timestamp."""
    if len(batches) == 1:
        return [(batches[0].partition, list(batches[0].records))] if batches[0].records else []
    merge = Merge({batch.partition: batch.position for batch in batches}, {})
    for batch in batches:
        merge.add(*batch)
    return merge.take()

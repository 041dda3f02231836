"""Counts the records that share a millisecond: a position by time says how many of them were read.

An id may claim a million such records in any partition. So the log is read part by part, up to the first other time,
and only the times are kept. The count has a deadline, and one client at a time does a long one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

from gateway.eventlog.port import EventLog
from gateway.hub.history import PART_RECORDS, read_parts
from gateway.model.record import TopicPartition

MOST_SEEN = 1_000_000
"""Records that share a millisecond and are counted; of more, some are sent again."""
COUNT_SECONDS = 10.0
"""Seconds for which one client waits for its turn, and counts. Records not counted by then are sent again, rather
than never."""
GROWTH = 8
"""When it looks back, each part is this many times as long as the one before."""


class Counted(NamedTuple):
    """A number of records, the offset of the last of them, and where to continue."""

    records: int
    last: int
    next_offset: int


class Counting:
    """The shared state of all counts. Counting one part of the log waits for nobody; counting more of it waits for
    the others."""

    def __init__(self) -> None:
        self._permit = asyncio.Semaphore(1)

    async def following(
        self, log: EventLog, partition: TopicPartition, timestamp: int, next_offset: int, end: int, most: int
    ) -> Counted:
        """The records from a position on that have this timestamp, before any other; `most` of them. Raises as
        `demand`."""
        most = min(most, MOST_SEEN)
        found = Counted(0, next_offset - 1, next_offset)
        found, on = await _follow(log, partition, timestamp, found, min(end, next_offset + PART_RECORDS), most)
        if on and found.next_offset < end:
            async with self._alone() as mine:
                if mine:
                    found, _ = await _follow(log, partition, timestamp, found, end, most)
        return found

    async def preceding(self, log: EventLog, partition: TopicPartition, timestamp: int, offset: int, start: int) -> int:
        """How many records up to an offset have this timestamp, behind the last of any other. Raises as `demand`."""
        count, begin, on = await _precede(log, partition, timestamp, offset + 1, max(start, offset - PART_RECORDS))
        if on and begin > start:
            async with self._alone() as mine:
                if mine:
                    more, _, _ = await _precede(log, partition, timestamp, begin, max(start, begin - MOST_SEEN))
                    count += more
        return count

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[bool]:
        """Whether it has become one's turn in time."""
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                await self._permit.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._permit.release()


async def _follow(
    log: EventLog, partition: TopicPartition, timestamp: int, found: Counted, end: int, most: int
) -> tuple[Counted, bool]:
    """The count so far, the next part, and whether more may follow the end."""
    count, last, next_offset = found
    deadline = _now() + COUNT_SECONDS
    while next_offset < end and count < most:
        # No more than is wanted is read, in which there may be holes.
        async with aclosing(read_parts(log, partition, next_offset, min(end, next_offset + most - count))) as parts:
            async for records, after in parts:
                for record in records:
                    if record.timestamp != timestamp:
                        return Counted(count, last, record.offset), False
                    count, last = count + 1, record.offset
                next_offset = after
                if _now() > deadline:
                    return Counted(count, last, next_offset), False
    return Counted(count, last, next_offset), count < most


async def _precede(
    log: EventLog, partition: TopicPartition, timestamp: int, end: int, start: int
) -> tuple[int, int, bool]:
    """The number before the end, the offset down to which was looked, and whether more may come before it."""
    count, size = 0, 2
    deadline = _now() + COUNT_SECONDS
    while end > start and _now() < deadline:
        begin = max(start, end - size)
        same, whole = 0, True
        async with aclosing(read_parts(log, partition, begin, end)) as parts:
            async for records, _ in parts:
                for record in records:
                    if record.timestamp == timestamp:
                        same += 1
                    else:
                        same, whole = 0, False
        count += same
        if not whole:
            return count, begin, False
        end, size = begin, size * GROWTH
    return count, end, end <= start


def _now() -> float:
    return asyncio.get_running_loop().time()

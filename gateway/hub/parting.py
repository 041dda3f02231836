"""Finds where a log that was cut back, and perhaps written on, differs from what was read of it."""

from __future__ import annotations

from gateway.eventlog.port import Bounds, EventLog
from gateway.eventlog.trouble import demand
from gateway.hub.decode import glance
from gateway.hub.history import consumed_before, first_records
from gateway.hub.ring import Ring
from gateway.hub.segment import Break
from gateway.model.position import ConsumedPosition
from gateway.model.record import TopicPartition


async def find_cut(log: EventLog, ring: Ring, partition: TopicPartition, bounds: Bounds, parting: int) -> Break:
    """Where to go on in a partition that the ring holds: at the first offset where the log does not have what was read.
    Nothing is there from `parting` on that was; below 0 where the log does not tell. Raises as `demand`."""
    tail = ring.tail(partition)
    assert tail is not None
    start = ring.start(partition)
    cut = await _first_difference(log, ring, partition, bounds, bounds.end if parting < 0 else min(parting, bounds.end))
    if parting < 0 and cut <= start.offset + 1 and start.offset >= bounds.start:
        # It may have begun before what is in memory: the time of what was read there is all that there is to go by.
        offset = demand(await log.find({partition: start.timestamp}))[partition]
        cut = cut if offset is None else min(cut, offset)
    resumed = max(cut, bounds.start)
    return Break(partition, tail.offset, resumed, "unknown", await consumed_at(log, ring, partition, bounds, resumed))


async def consumed_at(
    log: EventLog, ring: Ring, partition: TopicPartition, bounds: Bounds, position: int
) -> ConsumedPosition:
    """The consumed position of whoever has read all that the log has before the position, whatever was there once: its
    time is that of the record before, since those after it may be older than what was cut off. Raises as `demand`."""
    known = ring.before(partition, position)
    if known is None:
        known = await consumed_before(log, partition, position, bounds, 0, by_timestamp=False)
    return known._replace(offset=position - 1)


async def _first_difference(log: EventLog, ring: Ring, partition: TopicPartition, bounds: Bounds, end: int) -> int:
    """The offset, up to `end`, from which on the log has nothing of what the ring holds. What was not cut off is as it
    was, so it is found by bisection: with one look where all of it is there, and some twenty at the most."""

    async def is_there(offset: int) -> bool:
        item = ring.holds(partition, offset)
        if item is None or offset < bounds.start:
            return True  # Of what is deleted nobody knows.
        record = (await first_records(log, {partition: offset}, {partition: bounds.end}))[partition]
        if record is None or record.offset != offset:
            return False
        return (record.timestamp, record.key, glance(record)[0]) == (item.consumed.timestamp, item.key, item.data)

    newest = ring.before(partition, end)
    if newest is None or await is_there(newest.offset):
        return end
    low, high = ring.start(partition).offset + 1, newest.offset
    while low < high:
        middle = (low + high) // 2
        item = ring.next(partition, middle)
        if item is None or item.consumed.offset >= high:
            high = middle
        elif await is_there(item.consumed.offset):
            low = item.consumed.offset + 1
        else:
            high = middle
    return high

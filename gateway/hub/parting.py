"""Finds where a log that was cut back, and perhaps written on, differs from what was read of it."""

from __future__ import annotations

from gateway.eventlog.port import Bounds, EventLog, is_emptied
from gateway.eventlog.trouble import demand
from gateway.hub.decode import glance
from gateway.hub.history import first_records
from gateway.hub.last import consumed_before
from gateway.hub.ring import Ring
from gateway.hub.segment import Break
from gateway.model.position import ConsumedPosition
from gateway.model.record import TopicPartition


async def find_cut(log: EventLog, ring: Ring, partition: TopicPartition, bounds: Bounds, parting: int) -> Break:
    """The position to continue at in a partition that the ring holds: the first offset where the log lacks the
    records read. From `parting` on the log differs; below 0 if it does not say where. Raises as `demand`."""
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
    """The consumed position of a client that has read all that the log has before the position. Its time is that of
    the record before, because records after it may be older than the lost ones. Raises as `demand`."""
    known = ring.before(partition, position)
    if known is None:
        known = await consumed_before(log, partition, position, bounds, 0, by_timestamp=False)
    return known._replace(offset=position - 1)


async def _first_difference(log: EventLog, ring: Ring, partition: TopicPartition, bounds: Bounds, end: int) -> int:
    """The offset, up to `end`, from which the log has nothing that the ring holds. The records before the cut are
    unchanged, so bisection finds it: with one look if all records are there, and some twenty at most."""

    async def is_there(offset: int) -> bool:
        item = ring.holds(partition, offset)
        if item is None or offset < bounds.start:
            return True  # Of what is deleted nobody knows.
        record = (await first_records(log, {partition: offset}, {partition: bounds.end}))[partition]
        if record is None or record.offset != offset or record.timestamp != item.consumed.timestamp:
            return False
        # One that was erased since is the same.
        return is_emptied(record) or (record.key, glance(record).data) == (item.key, item.data)

    newest = ring.before(partition, min(end, ring.end(partition)))
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

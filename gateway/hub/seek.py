"""Decides where a partition begins for a reader that asks for a time."""

from __future__ import annotations

from gateway.eventlog.port import Bounds, EventLog
from gateway.eventlog.trouble import demand
from gateway.model.record import TopicPartition


async def seek(log: EventLog, partition: TopicPartition, time: int, bounds: Bounds, timeless: bool = True) -> int:
    """The offset of the first record at or after `time` (ms), or the end.

    A record without a time (-1; whatever lies before 1970 counts as one) is as old as the record before it in the log.
    Those before any record with a time may be of any time; they come with what is at or after them, and where nothing
    has a time, all do. Who wants live events alone wants no such record (`timeless`). A time of 1970 or before is older
    than everything: it is what an empty partition stands at. Raises as `demand`.
    """
    if time <= 0:
        return bounds.start
    position = await _find(log, partition, time, bounds)
    if timeless and position > bounds.start and await _find(log, partition, 0, bounds) >= position:
        return bounds.start
    return position


async def _find(log: EventLog, partition: TopicPartition, time: int, bounds: Bounds) -> int:
    found = demand(await log.find({partition: time}))[partition]
    return bounds.end if found is None else max(found, bounds.start)

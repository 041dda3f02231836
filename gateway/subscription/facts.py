"""The facts about requested positions, asked of the log for all partitions at once.

A stream of a thousand partitions costs its client some ten calls of the log, and not some thousands, one after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.eventlog.port import Bounds, EventLog
from gateway.eventlog.trouble import Trouble
from gateway.hub.last import consumed_before_each, last_records
from gateway.hub.seek import seek_each
from gateway.model.position import ConsumedPosition, RequestedPosition
from gateway.model.record import TopicPartition
from gateway.subscription.origin import Origin


@dataclass(frozen=True, slots=True)
class Facts:
    """Of each partition what the log says, or what keeps it from telling."""

    bounds: Mapping[TopicPartition, Bounds | Trouble]
    records: Mapping[TopicPartition, ConsumedPosition | Trouble | None]
    """The record at the requested offset, as far as the log may have it; None where it has none there."""
    times: Mapping[TopicPartition, int | Trouble]
    """Where the requested time begins."""
    befores: Mapping[TopicPartition, ConsumedPosition | Trouble]
    """What was consumed by a reader that begins there."""


def overlap_of(partition: TopicPartition, origin: Origin) -> int:
    """Milliseconds to read again."""
    return origin.overlaps.get(partition.topic, 0) if origin.requested else 0


async def look_up(
    log: EventLog,
    requested: Mapping[TopicPartition, RequestedPosition | None],
    origin: Origin,
    by_timestamp: Mapping[str, bool],
) -> Facts:
    """The facts that decide where these begin. Raises LogUnavailable."""
    told = await log.bounds(list(requested))
    bounds = {partition: found for partition, found in told.items() if isinstance(found, Bounds)}
    offsets: dict[TopicPartition, int] = {}
    times: dict[TopicPartition, int] = {}
    for partition in bounds:
        wanted = requested[partition]
        if wanted is not None and wanted.offset is not None:
            offsets[partition] = wanted.offset
        elif wanted is not None:
            times[partition] = wanted.timestamp or 0
    records = await last_records(
        log,
        {
            partition: Bounds(offset, offset + 1)
            for partition, offset in offsets.items()
            if bounds[partition].start <= offset < bounds[partition].end
        },
    )
    begins = await _seek(log, times, origin, bounds)
    known = {partition: begin for partition, begin in begins.items() if not isinstance(begin, Trouble)}
    return Facts(told, records, begins, await consumed_before_each(log, known, bounds, times, by_timestamp))


async def _seek(
    log: EventLog, times: Mapping[TopicPartition, int], origin: Origin, bounds: Mapping[TopicPartition, Bounds]
) -> dict[TopicPartition, int | Trouble]:
    """Who asked for live events alone wants none without a time."""
    found: dict[TopicPartition, int | Trouble] = {}
    for timeless in (True, False):
        asked = {
            partition: time - overlap_of(partition, origin)
            for partition, time in times.items()
            if (origin.past_requested_of(partition) is not None) is timeless
        }
        if asked:
            found |= await seek_each(log, asked, bounds, timeless)
    return found

"""Resumes positions in an earlier version of a derived stream: finds where the present version continues after them.

Versions have topics of their own, and the rows of both stand in the same order, by the end of their windows or as their
events. So of the present version what has the time and the key of a row that was read is passed over. Where rows do not
agree, some come twice, and none is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace

from gateway.errors import LogUnavailable
from gateway.eventlog.port import Batch, Bounds, EventLog, TopicState
from gateway.eventlog.trouble import Refusal, demand, refuse
from gateway.hub.seek import seek
from gateway.model.position import RequestedPosition
from gateway.model.record import Record, TopicPartition
from gateway.subscription.origin import Origin

MOST_PASSED = 20_000
"""Rows that are compared. Of a position with more of them at its time or after it, some rows come twice."""
WAIT = 1.0
"""Seconds that the log may take for some rows."""

Rows = Counter[tuple[bytes | None, int]]
"""Keys and times."""


async def succeed(log: EventLog, origin: Origin, partitions: Collection[TopicPartition]) -> Origin:
    """The origin with what it has of earlier versions as positions in the present ones, of which these are the
    partitions. Raises LogUnavailable where a present version is not that far yet, as while it is derived from the past,
    and as `demand`."""
    requested = dict(origin.requested)
    for topic in set(origin.successors.values()):
        own = [partition for partition in partitions if partition.topic == topic]
        former = {place: at for place, at in origin.former.items() if origin.successors[place.topic] == topic}
        if not former or any(partition in requested for partition in own):
            continue
        if not own:
            raise LogUnavailable(f"the topic {topic} is not there yet")
        by_number = {place.partition: (place, at) for place, at in former.items()}
        if by_number.keys() == {partition.partition for partition in own} and len(by_number) == len(former):
            for partition in own:
                requested[partition] = await _following(log, *by_number[partition.partition], partition)
        else:
            # Keys may be in other partitions now.
            earliest = RequestedPosition(None, min(at.timestamp or 0 for at in former.values()))
            requested |= dict.fromkeys(own, earliest)
    return replace(origin, requested=requested, former={}, successors={})


async def _following(
    log: EventLog, old: TopicPartition, at: RequestedPosition, new: TopicPartition
) -> RequestedPosition:
    """The position in `new` behind all rows that were read of `old`."""
    time = at.timestamp
    if time is None or time <= 0:
        return RequestedPosition(None, 0)
    bounds = demand(await log.bounds([new]))[new]
    first = await seek(log, new, time, bounds)
    if first == bounds.end:
        raise LogUnavailable(f"{new.topic} is not yet as far as {old.topic} was read")
    if at.offset is None:
        return at
    read = await _read_of(log, old, time, at.offset)
    passed: Record | None = None
    for record in await _records(log, new, first, Bounds(first, min(bounds.end, first + MOST_PASSED))):
        if not read[record.key, record.timestamp]:
            break
        read[record.key, record.timestamp] -= 1
        passed = record
    return RequestedPosition(None, time) if passed is None else RequestedPosition(passed.offset, passed.timestamp)


async def _read_of(log: EventLog, old: TopicPartition, time: int, offset: int) -> Rows:
    """The rows up to an offset that stand at this time, or behind the first that does."""
    state = (await log.describe([old.topic])).get(old.topic)
    if not isinstance(state, TopicState) or old.partition >= state.partitions:
        return Counter()
    bounds = demand(await log.bounds([old]))[old]
    first = max(await seek(log, old, time, bounds), offset + 1 - MOST_PASSED)
    found = await _records(log, old, first, Bounds(first, min(offset + 1, bounds.end)))
    return Counter((record.key, record.timestamp) for record in found)


async def _records(log: EventLog, partition: TopicPartition, first: int, bounds: Bounds) -> Iterable[Record]:
    """Those from an offset to before the end of the bounds."""
    found: list[Record] = []
    position = first
    reader = await log.reader({partition: first})
    try:
        while position < bounds.end:
            answers = await reader.fetch(WAIT)
            if not answers:
                raise LogUnavailable(f"{partition.topic} does not give its rows")
            for answer in answers:
                if isinstance(answer, Refusal):
                    refuse({partition: answer.trouble})
                elif isinstance(answer, Batch):
                    found += [record for record in answer.records if record.offset < bounds.end]
                    position = answer.position
    finally:
        await reader.close()
    return found

"""Decides whether a range with an end (`until`) is over. It asks the log, and raises as the log does."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.clock import Clock
from gateway.errors import Refused
from gateway.eventlog.port import TopicState
from gateway.eventlog.trouble import demand
from gateway.hub.history import first_records
from gateway.hub.hub import Hub
from gateway.model.record import TopicPartition
from gateway.subscription.origin import Start
from gateway.subscription.subscription import Request


async def is_over_before(hub: Hub, request: Request, start: Start, clock: Clock) -> bool:
    """Whether nothing of the range comes after where it starts."""
    until = request.until
    if until is None or not hub.sick.keys().isdisjoint(start.waiting):
        return False
    known = _known(hub, request)
    passed = clock.now() >= until
    existing = [partition for partition in start.next_offsets if partition.topic in hub.discovery.existing]
    # What is requested from a time beyond the range is read again for the overlap alone.
    open_partitions = [partition for partition in existing if not _begins_at(request, partition, until)]
    if not open_partitions:
        return passed and await _is_all(hub, request, known)
    bounds = demand(await hub.log.bounds(open_partitions))
    ends = {partition: bounds[partition].end for partition in open_partitions}
    times: list[int | None] = []
    in_log: dict[TopicPartition, int] = {}
    for partition in open_partitions:
        # What has expired in the log meanwhile may still be in the ring, from where it is going to be sent.
        next_offset = start.next_offsets[partition]
        held = hub.ring.next(partition, next_offset) if next_offset < bounds[partition].start else None
        if held is None:
            in_log[partition] = next_offset
        else:
            times.append(held.consumed.timestamp)
    first = await first_records(hub.log, in_log, ends)
    times += [None if record is None else record.timestamp for record in first.values()]
    return all(passed if time is None else time >= until for time in times) and await _is_all(hub, request, known)


async def is_read(hub: Hub, request: Request, read: Mapping[TopicPartition, int]) -> bool:
    """Whether the log holds nothing beyond these positions."""
    known = _known(hub, request)
    try:
        bounds = demand(await hub.log.bounds(list(read)))
    except Refused:
        return False  # What the log does not give may hold something.
    has_all = all(next_offset >= bounds[partition].end for partition, next_offset in read.items())
    return has_all and await _is_all(hub, request, known)


def _begins_at(request: Request, partition: TopicPartition, time: int) -> bool:
    requested = request.origin.requested_of(partition)
    return (
        requested is not None
        and requested.offset is None
        and requested.timestamp is not None
        and requested.timestamp >= time
    )


def _known(hub: Hub, request: Request) -> dict[str, TopicState]:
    """Those topics of the request that exist, as the hub knows them now."""
    discovery = hub.discovery
    return {topic: discovery.known[topic] for topic in request.selection.topics & discovery.existing}


async def _is_all(hub: Hub, request: Request, known: Mapping[str, TopicState]) -> bool:
    """Whether the log has no other topic and partition than were known before it was asked: one may hold what is
    missing, and of one that was created again meanwhile the answers may be about the former."""
    if await hub.log.describe(request.selection.topics) == known:
        return True
    hub.look_again()
    return False

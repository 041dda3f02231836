"""Waits until the hub has read all that the log has by now."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gateway.eventlog.port import Bounds, TopicState
from gateway.eventlog.trouble import Kind, Trouble, refuse
from gateway.hub.hub import Hub
from gateway.model.record import TopicPartition


async def reach_end(hub: Hub, topics: Collection[str]) -> None:
    """Return when all has been read that the log has of these topics by now, and may be read. Raises
    LogUnavailable, and Refused of what cannot be read now; may wait for ever where the log goes away meanwhile."""
    told = await hub.log.describe(topics)
    states = {topic: state for topic, state in told.items() if isinstance(state, TopicState)}
    refuse(_passing({TopicPartition(topic, 0): state for topic, state in told.items()}))
    partitions = [TopicPartition(topic, part) for topic, state in states.items() for part in range(state.partitions)]
    answers = await hub.log.bounds(partitions)
    refuse(_passing(answers))
    ends = {partition: bounds for partition, bounds in answers.items() if isinstance(bounds, Bounds)}
    held = hub.ring.partitions()
    while behind := [
        partition for partition in ends if partition not in held or hub.ring.end(partition) < ends[partition].end
    ]:
        refuse(_passing({partition: hub.sick[partition] for partition in behind if partition in hub.sick}))
        if all(partition in hub.sick for partition in behind):
            return
        if any(partition not in held for partition in behind):
            hub.look_again()
        await hub.change()


def _passing(told: Mapping[TopicPartition, object]) -> dict[TopicPartition, Trouble]:
    """The troubles that may pass. A partition that the gateway may not read holds nothing to wait for."""
    troubles = {partition: each for partition, each in told.items() if isinstance(each, Trouble)}
    return {partition: trouble for partition, trouble in troubles.items() if trouble.kind is not Kind.NO_RIGHT}

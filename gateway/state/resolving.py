"""Times and ids held against the log and the store of a view: the places that they mean."""

from __future__ import annotations

from gateway.errors import LogUnavailable
from gateway.eventlog.trouble import demand
from gateway.hub.hub import Hub
from gateway.model.position import ConsumedPosition
from gateway.model.record import TopicPartition
from gateway.state.frames import Resumed
from gateway.state.lookup import Lookup, State
from gateway.state.place import Place, Places
from gateway.state.serving import Serving
from gateway.subscription.origin import Origin, Start
from gateway.subscription.resolve import Resolver
from gateway.subscription.seen import Counting


async def places_of(hub: Hub, counting: Counting, resumed: Resumed, state: State) -> Places | None:
    """The places of an id, as a stream resumes from it; None where they lead nowhere. Raises LogError."""
    if any(partition.topic != state.view.topic for partition in resumed.position):
        return None  # The file that answers for now is of another version of the stream.
    partitions = hub.partitions((state.view.topic,))
    start = await Resolver(hub, counting).resolve(Origin(requested=resumed.position), partitions)
    places = _places(start)
    for gap in start.gaps:
        asked = resumed.position.get(gap.partition)
        if gap.reason != "expired" or asked is None or asked.offset is None:
            return None
        # The log has no longer what the store still has.
        places[gap.partition.partition] = Place(asked.offset + 1, asked.offset, asked.timestamp or 0)
    for partition, asked in start.waiting.items():
        if asked.offset is not None:
            places[partition.partition] = Place(asked.offset + 1, asked.offset, asked.timestamp or 0)
    return places


async def places_at(hub: Hub, counting: Counting, serving: Serving, state: State, time: int) -> tuple[Places, bool]:
    """The places before the first record at or after a time (ms), where `since` begins and `until` ends; also whether
    each partition has such a record, so that these places stay. Raises LogError, and Forgotten."""
    partitions = hub.partitions((state.view.topic,))
    start = await Resolver(hub, counting).resolve(Origin(since=time), partitions)
    if start.waiting:
        raise LogUnavailable("a partition cannot be read now")
    places = _places(start)
    bounds = {partition.partition: at for partition, at in demand(await hub.log.bounds(partitions)).items()}
    settled = all(place.next < bounds[number].end for number, place in places.items())
    forgotten = [number for number, place in places.items() if 0 < place.next <= bounds[number].start]
    if any(state.horizon.get(number, 0) < bounds[number].start for number in forgotten):
        # The log begins later than the history of the view, which then is all that tells.
        ends = {number: places[number].next for number in forgotten}
        for number, offset in (await serving.walk(Lookup.cut_at, time, ends)).items():
            first = min(offset, ends[number])
            places[number] = places[number]._replace(next=first, offset=first - 1)
    return places, settled


def _places(start: Start) -> Places:
    def place(partition: TopicPartition, consumed: ConsumedPosition) -> Place:
        return Place(start.next_offsets[partition], *consumed)

    return {partition.partition: place(partition, consumed) for partition, consumed in start.consumed.items()}

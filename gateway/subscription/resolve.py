"""Resolves a requested position against the log (section "Positions" of the contract)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gateway.errors import LogUnavailable, OffsetOutOfRange, Refused, TopicAbsent
from gateway.eventlog.port import Bounds, TopicState
from gateway.eventlog.trouble import Trouble, demand
from gateway.hub.history import first_records
from gateway.hub.hub import Hub
from gateway.hub.last import consumed_before, newest_time
from gateway.hub.parting import consumed_at
from gateway.hub.seek import seek
from gateway.hub.segment import Break
from gateway.model.position import NOTHING_READ, ConsumedPosition, RequestedPosition
from gateway.model.record import TopicPartition
from gateway.subscription.facts import Facts, look_up, overlap_of
from gateway.subscription.origin import Origin, Start
from gateway.subscription.seen import MOST_SEEN, Counting

LIVE_GRAIN = 10_000
"""Milliseconds: those who come within them, and wait for the same, get it from the same time on, and share a feed."""


class Resolver:
    """Resolves requested positions from memory where the ring knows, from the log where it does not."""

    def __init__(self, hub: Hub, counting: Counting | None = None) -> None:
        self._hub = hub
        self._counting = counting or Counting()
        self._log = hub.log

    def remember(self, origin: Origin, partitions: Sequence[TopicPartition]) -> Start | None:
        """What `resolve` returns where the ring knows all of it, and nothing has to be waited for; otherwise None."""
        discovery, start = self._hub.discovery, Start()
        if discovery.hidden or not origin.requested.keys() <= set(partitions):
            return None
        for partition in partitions:
            if partition.topic not in discovery.existing or not self._hub.has(partition):
                return None
            requested = origin.requested_of(partition)
            if self._cut_since(partition, requested, origin.epoch) is not None:
                return None
            if not self._from_memory(partition, requested, start):
                return None
        return start

    async def resolve(self, origin: Origin, partitions: list[TopicPartition]) -> Start:
        """Raises LogUnavailable, and the log's errors for topics that vanish meanwhile. Unreadable partitions wait."""
        if not self._hub.discovery.answered.issuperset(partition.topic for partition in partitions):
            raise LogUnavailable(self._hub.why_unavailable)
        untold = await self._check_view(origin)
        start = Start()
        left: dict[TopicPartition, tuple[RequestedPosition | None, int | None]] = {}
        discovery = self._hub.discovery
        hidden = discovery.hidden.keys() - discovery.known.keys()
        partitions = sorted({*(each for each in partitions if self._hub.has(each)), *untold})
        for partition in partitions:
            requested = origin.requested_of(partition)
            if partition.topic in hidden or partition in untold:
                start.untold.add(partition.topic)
                self._wait(partition, requested, start)
                continue
            if partition.topic not in discovery.existing:
                self._absent(partition, requested, start)
                continue
            cut = self._cut_since(partition, requested, origin.epoch)
            if cut is None and self._from_memory(partition, requested, start):
                continue
            if partition in self._hub.sick:
                self._wait(partition, requested, start)
            else:
                left[partition] = requested, cut
        if left:
            identities = self._identities(partitions)
            await self._resolve_in_log(left, origin, start)
            await self._confirm(identities, left, start)
        return start

    async def _resolve_in_log(
        self, left: Mapping[TopicPartition, tuple[RequestedPosition | None, int | None]], origin: Origin, start: Start
    ) -> None:
        """Those that memory does not know, each with what is requested and to where the log was cut back since."""
        self._hub.confirm(left)
        asked = {partition: requested for partition, (requested, cut) in left.items() if cut is None}
        facts = await look_up(self._log, asked, origin, self._hub.by_timestamp)
        for partition, (requested, cut) in left.items():
            try:
                self._hub.confirm([partition])
                if cut is None or requested is None:
                    await self._from_log(partition, requested, origin, facts, start)
                else:
                    await self._at_cut(partition, requested, cut, start)
            except Refused:
                self._wait(partition, requested, start)

    def _wait(self, partition: TopicPartition, requested: RequestedPosition | None, start: Start) -> None:
        """The partition is unreadable. A client that asked for live events gets those from about now on."""
        if requested is None:
            now = self._hub.clock.now()
            requested = RequestedPosition(None, now - now % LIVE_GRAIN)
        start.waiting[partition] = requested
        start.consumed[partition] = ConsumedPosition(
            -1 if requested.offset is None else requested.offset, requested.timestamp or 0, requested.seen
        )
        start.next_offsets[partition] = start.consumed[partition].offset + 1

    async def _check_view(self, origin: Origin) -> set[TopicPartition]:
        """The partitions that a position names, of topics that the log does not describe. Raises TopicAbsent if a
        partition exists in the log and the hub does not know it yet: another process has seen it, and delivered its
        events."""
        existing = self._hub.discovery.existing
        unknown = {
            partition
            for partition in origin.requested
            if partition.topic not in existing or not self._hub.has(partition)
        }
        if not unknown:
            return set()
        states = await self._log.describe({partition.topic for partition in unknown})
        for partition in unknown:
            state = states.get(partition.topic)
            if isinstance(state, TopicState) and partition.partition < state.partitions:
                self._hub.look_again()
                raise TopicAbsent(partition.topic)
        return {partition for partition in unknown if isinstance(states.get(partition.topic), Trouble)}

    def _identities(self, partitions: Collection[TopicPartition]) -> dict[str, str]:
        discovery = self._hub.discovery
        topics = {partition.topic for partition in partitions} & discovery.existing
        return {topic: discovery.known[topic].identity for topic in topics}

    async def _confirm(
        self,
        identities: Mapping[str, str],
        found: Mapping[TopicPartition, tuple[RequestedPosition | None, int | None]],
        start: Start,
    ) -> None:
        """Raises TopicAbsent where the log holds other topics than before it was asked: some of the answers may belong
        to the one, and some to the other. Partitions that were found in a topic of which it tells no more wait."""
        states = await self._log.describe(identities)
        for topic, identity in identities.items():
            state = states.get(topic)
            if isinstance(state, Trouble):
                start.gaps = [gap for gap in start.gaps if gap.partition.topic != topic]
                for partition, (requested, _) in found.items():
                    if partition.topic == topic:
                        self._wait(partition, requested, start)
            elif state is None or state.identity != identity:
                self._hub.look_again()
                raise TopicAbsent(topic)

    def _absent(self, partition: TopicPartition, requested: RequestedPosition | None, start: Start) -> None:
        """The topic does not exist, or was deleted. A client that had read less of it than the ring waits for it
        with its own position. So it receives its own gap, or none if it had read nothing."""
        if self._from_memory(partition, requested, start):
            return
        tail = self._hub.ring.tail(partition)
        consumed = NOTHING_READ
        if requested is not None and (requested.offset is not None or requested.seen):
            consumed = ConsumedPosition(
                -1 if requested.offset is None else requested.offset, requested.timestamp or 0, requested.seen
            )
        if tail is not None and _is_behind(requested, tail):
            consumed = tail
        elif tail is not None or consumed != NOTHING_READ:
            start.waiting[partition] = requested if requested is not None else RequestedPosition(None, 0)
        start.consumed[partition] = consumed
        start.next_offsets[partition] = consumed.offset + 1

    def _from_memory(self, partition: TopicPartition, requested: RequestedPosition | None, start: Start) -> bool:
        hub = self._hub
        tail = hub.ring.tail(partition)
        if tail is None or not hub.available or not hub.filled.is_set() or partition in hub.catching_up:
            return False
        if requested is None:
            start.consumed[partition] = tail
            start.next_offsets[partition] = hub.ring.end(partition)
            return True
        if requested.offset is None or requested.timestamp is None:
            return False
        if (tail.offset, tail.timestamp) == (requested.offset, requested.timestamp):
            consumed: ConsumedPosition | None = tail
        else:
            item = hub.ring.holds(partition, requested.offset)
            consumed = item.consumed if item and item.consumed.timestamp == requested.timestamp else None
        if consumed is None:
            return False
        start.consumed[partition] = consumed
        start.next_offsets[partition] = consumed.offset + 1
        return True

    async def _from_log(
        self,
        partition: TopicPartition,
        requested: RequestedPosition | None,
        origin: Origin,
        facts: Facts,
        start: Start,
    ) -> None:
        bounds = demand({partition: facts.bounds[partition]})[partition]
        reached = origin.reached.get(partition, 0)
        if requested is None:
            await self._begin_live(partition, bounds, start)
        elif requested.offset is None:
            next_offset = demand({partition: facts.times[partition]})[partition]
            consumed = demand({partition: facts.befores[partition]})[partition]
            overlap = overlap_of(partition, origin)
            await self._at_time(partition, requested, bounds, (next_offset, consumed), overlap, start)
        elif max(requested.offset + 1, reached) < bounds.start and not self._has_read_all(
            partition, requested, bounds.start
        ):
            consumed = ConsumedPosition(bounds.start - 1, requested.timestamp or 0)
            resumed = await self._first_offset(partition, bounds.start, bounds)
            self._gap(partition, requested, resumed, "expired", consumed, start)
        elif requested.offset >= bounds.end:
            await self._past_the_end(partition, requested, bounds, start)
        else:
            record = demand({partition: facts.records.get(partition)})[partition]
            await self._inside(partition, requested, record, max(reached, bounds.start), bounds, start)

    def _has_read_all(self, partition: TopicPartition, requested: RequestedPosition, next_offset: int) -> bool:
        """Whether what is requested was the last record before this position, as far as the ring knows."""
        before = self._hub.ring.before(partition, next_offset)
        return before is not None and before[:2] == (requested.offset, requested.timestamp)

    def _cut_since(
        self, partition: TopicPartition, requested: RequestedPosition | None, epoch: int | None
    ) -> int | None:
        """To where the log was cut back since this was read, in this epoch of the ring; None where it was not."""
        if epoch is None or requested is None or requested.offset is None:
            return None
        return self._hub.losses.cuts.lowest(partition, requested.offset, epoch)

    async def _at_cut(self, partition: TopicPartition, requested: RequestedPosition, cut: int, start: Start) -> None:
        """The records read here are gone, whatever is there by now."""
        self._hub.confirm([partition])
        bounds = demand(await self._log.bounds([partition]))[partition]
        next_offset = min(max(cut, bounds.start), bounds.end)
        consumed = await consumed_at(self._log, self._hub.ring, partition, bounds, next_offset)
        self._gap(partition, requested, next_offset, "unknown", consumed, start)

    async def _begin(
        self, partition: TopicPartition, next_offset: int, bounds: Bounds, since: int, start: Start
    ) -> ConsumedPosition:
        by_timestamp = self._hub.by_timestamp[partition.topic]
        consumed = await consumed_before(self._log, partition, next_offset, bounds, since, by_timestamp)
        start.consumed[partition] = consumed
        start.next_offsets[partition] = next_offset
        return consumed

    async def _begin_live(self, partition: TopicPartition, bounds: Bounds, start: Start) -> ConsumedPosition:
        if not self._hub.by_timestamp[partition.topic]:
            return await self._begin(partition, bounds.end, bounds, self._hub.clock.now(), start)
        # A position by time holds the newest record's time, and how many share it; the clock may be ahead of records.
        newest = await newest_time(self._log, partition, bounds)
        if newest is None or newest < 0:
            begun = 0 if newest is None else self._hub.clock.now()
            start.consumed[partition] = NOTHING_READ if bounds.end == 0 else ConsumedPosition(bounds.end - 1, begun)
            start.next_offsets[partition] = bounds.end
        else:
            at = await seek(self._log, partition, newest, bounds)
            consumed = await consumed_before(self._log, partition, at, bounds, newest, by_timestamp=True)
            seen = RequestedPosition(None, newest, MOST_SEEN)
            await self._at_time(partition, seen, bounds, (at, consumed), 0, start)
        return start.consumed[partition]

    async def _at_time(
        self,
        partition: TopicPartition,
        requested: RequestedPosition,
        bounds: Bounds,
        begin: tuple[int, ConsumedPosition],
        overlap: int,
        start: Start,
    ) -> None:
        """`begin` is where the time begins, and what was consumed there. The latter is not set back with the overlap:
        else every resume would begin earlier than the one before."""
        next_offset, start.consumed[partition] = begin
        start.next_offsets[partition] = next_offset
        # At the log's start nobody can say how many records of the millisecond have expired: rather twice than never.
        if requested.seen and not overlap and (next_offset == 0 or next_offset > bounds.start):
            await self._skip_seen(partition, requested, next_offset, bounds, start)

    async def _skip_seen(
        self, partition: TopicPartition, requested: RequestedPosition, next_offset: int, bounds: Bounds, start: Start
    ) -> None:
        """Pass over as many records of the requested millisecond as the client has seen."""
        if not self._hub.by_timestamp[partition.topic]:
            return
        time = requested.timestamp or 0
        found = await self._counting.following(self._log, partition, time, next_offset, bounds.end, requested.seen)
        if found.records:
            start.consumed[partition] = ConsumedPosition(found.last, time, found.records)
        start.next_offsets[partition] = max(found.next_offset, start.consumed[partition].offset + 1)

    async def _past_the_end(
        self, partition: TopicPartition, requested: RequestedPosition, bounds: Bounds, start: Start
    ) -> None:
        if requested.timestamp is None:
            consumed = await self._begin_live(partition, bounds, start)
            self._gap(partition, requested, bounds.end, "future", consumed, start)
        else:
            await self._unknown(partition, requested, bounds, start)

    async def _unknown(
        self, partition: TopicPartition, requested: RequestedPosition, bounds: Bounds, start: Start
    ) -> None:
        """Another log, a recreated topic, or one that was truncated and written on: the offset says nothing, the
        time does. Records written since the truncation may be older than the lost ones."""
        time = requested.timestamp or 0
        next_offset = await seek(self._log, partition, time, bounds)
        cut = None if requested.offset is None else self._hub.losses.cuts.lowest(partition, requested.offset)
        if cut is not None and cut < next_offset:
            await self._at_cut(partition, requested, cut, start)
            return
        consumed = await self._begin(partition, next_offset, bounds, time, start)
        self._gap(partition, requested, next_offset, "unknown", consumed, start)
        self._hub.look_again()

    async def _inside(
        self,
        partition: TopicPartition,
        requested: RequestedPosition,
        record: ConsumedPosition | None,
        reached: int,
        bounds: Bounds,
        start: Start,
    ) -> None:
        """The log has what comes next, there or at the offset that was reached. `record` is the one requested; where
        there is none it is compacted away, whatever the ring still holds."""
        assert requested.offset is not None
        timestamp = requested.timestamp
        if record is not None:
            held = self._hub.ring.holds(partition, requested.offset)
            if held is not None and record.timestamp != held.consumed.timestamp:
                # The hub does not know yet that the log was cut back: what it has behind this is not there.
                raise LogUnavailable("the log is not the one that was read")
            if timestamp is not None and record.timestamp != timestamp:
                await self._unknown(partition, requested, bounds, start)
                return
            timestamp = record.timestamp
        seen = 0
        if self._hub.by_timestamp[partition.topic] and timestamp is not None:
            seen = await self._count_seen(partition, timestamp, requested.offset, bounds.start)
        start.consumed[partition] = ConsumedPosition(requested.offset, timestamp or 0, seen)
        start.next_offsets[partition] = max(requested.offset + 1, min(reached, bounds.end))

    async def _count_seen(self, partition: TopicPartition, timestamp: int, offset: int, start: int) -> int:
        try:
            return await self._counting.preceding(self._log, partition, timestamp, offset, start)
        except OffsetOutOfRange:
            return 0

    async def _first_offset(self, partition: TopicPartition, next_offset: int, bounds: Bounds) -> int:
        record = (await first_records(self._log, {partition: next_offset}, {partition: bounds.end}))[partition]
        return bounds.end if record is None else record.offset

    def _gap(
        self,
        partition: TopicPartition,
        requested: RequestedPosition,
        resumed: int,
        reason: str,
        consumed: ConsumedPosition,
        start: Start,
    ) -> None:
        asked = requested.offset if requested.offset is not None else requested.timestamp or 0
        start.consumed[partition] = consumed
        start.next_offsets[partition] = consumed.offset + 1
        start.gaps.append(Break(partition, asked, resumed, reason, consumed))


def _is_behind(requested: RequestedPosition | None, consumed: ConsumedPosition) -> bool:
    """Whether nothing that was read up to a consumed position is requested, as far as times can say."""
    if requested is None:
        return True
    if requested.offset is not None or (not requested.seen and (requested.timestamp or 0) <= 0):
        return False  # Who stands before the first record asks for all of them, those without a time too.
    return (requested.timestamp or 0, requested.seen) >= (consumed.timestamp, consumed.seen)

"""Resolves a requested position against the log (section "Positions" of the contract)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gateway.errors import LogUnavailable, OffsetOutOfRange, Refused, TopicAbsent
from gateway.eventlog.port import Bounds, TopicState
from gateway.eventlog.trouble import Trouble, demand
from gateway.hub.history import first_records, mark_before
from gateway.hub.hub import Hub
from gateway.hub.parting import mark_at
from gateway.hub.ring import Break
from gateway.hub.seek import seek
from gateway.model.position import NOTHING_READ, Mark, Wish
from gateway.model.record import TopicPartition
from gateway.subscription.seen import MOST_SEEN, Counting

LIVE_GRAIN = 10_000
"""Milliseconds: those who come within them, and wait for the same, get it from the same time on, and share a feed."""


@dataclass(slots=True)
class Start:
    """Where a subscription begins: what was read, the next offsets, and the gaps to be told first."""

    marks: dict[TopicPartition, Mark] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    gaps: list[Break] = field(default_factory=list)
    waiting: dict[TopicPartition, Wish] = field(default_factory=dict)
    """What is wished for in partitions of topics that are not there, where something was read, and in those that the
    log does not give: resolved once it does."""
    untold: set[str] = field(default_factory=set)
    """Topics of which the log does not tell: how many partitions they have is not known either."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a client asked for. `since` (ms) counts where it sent no position. `overlaps`, by topic, are milliseconds to
    read again after a position that is a time."""

    wishes: Mapping[TopicPartition, Wish] = field(default_factory=dict)
    since: int | None = None
    overlaps: Mapping[str, int] = field(default_factory=dict)
    live: int | None = None
    """When it was asked for (ms), where the log answers later than that: from then on, events are live."""
    reached: Mapping[TopicPartition, int] = field(default_factory=dict)
    """The next offsets, where this process has read: beyond what is wished for, perhaps, over what holds no record."""
    epoch: int | None = None
    """The ring's when that was so."""

    def wish(self, partition: TopicPartition) -> Wish | None:
        """What is wished for one partition; None is live."""
        wish = self.past_wish(partition)
        return Wish(None, self.live) if wish is None and self.live is not None else wish

    def past_wish(self, partition: TopicPartition) -> Wish | None:
        """The same of a client that asked for more than live events; None for one that did not."""
        if self.wishes:
            return self.wishes.get(partition) or self._unnamed(partition.topic)
        return None if self.since is None else Wish(None, self.since)

    def _unnamed(self, topic: str) -> Wish | None:
        """A partition beside others that were read is new, and all of it is wished for; beside mere times it begins at
        the earliest of them. A topic that is not named at all begins at the earliest time of the others, or live."""
        beside = [wish for place, wish in self.wishes.items() if place.topic == topic]
        if any(wish.offset is not None or wish.seen for wish in beside):
            return Wish(None, 0)
        wishes = beside or self.wishes.values()
        times = [wish.timestamp for wish in wishes if wish.timestamp is not None and (beside or wish.timestamp > 0)]
        return Wish(None, min(times)) if times else None


class Resolver:
    """Resolves wishes from memory where the ring knows, from the log where it does not."""

    def __init__(self, hub: Hub, counting: Counting | None = None) -> None:
        self._hub = hub
        self._counting = counting or Counting()
        self._log = hub.log

    async def resolve(self, origin: Origin, partitions: list[TopicPartition]) -> Start:
        """Raises LogUnavailable, and what the log raises of topics that vanish meanwhile. What it does not give
        waits."""
        if not self._hub.discovery.answered.issuperset(partition.topic for partition in partitions):
            raise LogUnavailable(self._hub.why_unavailable)
        untold = await self._check_view(origin)
        start = Start()
        confirmed = False
        discovery = self._hub.discovery
        hidden = discovery.hidden.keys() - discovery.known.keys()
        partitions = sorted({*(place for place in partitions if self._hub.has(place)), *untold})
        for partition in partitions:
            wish = origin.wish(partition)
            if partition.topic in hidden or partition in untold:
                start.untold.add(partition.topic)
                self._wait(partition, wish, start)
                continue
            if partition.topic not in discovery.existing:
                self._absent(partition, wish, start)
                continue
            cut = self._cut_since(partition, wish, origin.epoch)
            if cut is None and self._from_memory(partition, wish, start):
                continue
            if partition in self._hub.sick:
                self._wait(partition, wish, start)
                continue
            try:
                if not confirmed:
                    await self.confirm(partitions)
                    confirmed = True
                if cut is None or wish is None:
                    await self._from_log(partition, wish, origin, start)
                else:
                    await self._at_cut(partition, wish, cut, start)
            except Refused:
                self._wait(partition, wish, start)
        return start

    def _wait(self, partition: TopicPartition, wish: Wish | None, start: Start) -> None:
        """The log does not give the partition. Who wished for live events gets those from about now on."""
        if wish is None:
            now = self._hub.clock.now()
            wish = Wish(None, now - now % LIVE_GRAIN)
        start.waiting[partition] = wish
        start.marks[partition] = Mark(-1 if wish.offset is None else wish.offset, wish.timestamp or 0, wish.seen)
        start.positions[partition] = start.marks[partition].offset + 1

    async def _check_view(self, origin: Origin) -> set[TopicPartition]:
        """The partitions that a position names, of topics of which the log does not tell. Raises TopicAbsent where one
        names what the log has and the hub does not know of yet: another process has seen it, and has delivered of
        it."""
        existing = self._hub.discovery.existing
        unknown = {place for place in origin.wishes if place.topic not in existing or not self._hub.has(place)}
        if not unknown:
            return set()
        states = await self._log.describe({place.topic for place in unknown})
        for place in unknown:
            state = states.get(place.topic)
            if isinstance(state, TopicState) and place.partition < state.partitions:
                self._hub.look_again()
                raise TopicAbsent(place.topic)
        return {place for place in unknown if isinstance(states.get(place.topic), Trouble)}

    async def confirm(self, partitions: Collection[TopicPartition]) -> None:
        """Raises TopicAbsent where the log holds another topic than the ring does: what was found in the one would be
        looked for in the other."""
        discovery = self._hub.discovery
        topics = {partition.topic for partition in partitions} & discovery.existing
        states = await self._log.describe(topics)
        for topic in topics:
            state = states.get(topic)
            if isinstance(state, Trouble):
                continue  # Its partitions tell what it is.
            if state is None or state.identity != discovery.known[topic].identity:
                self._hub.look_again()
                raise TopicAbsent(topic)

    def _absent(self, partition: TopicPartition, wish: Wish | None, start: Start) -> None:
        """The topic is not there, or not any more. Who had read less of it than the ring waits for it with the position
        that it has, so that it is told its own gap, or none where it had read nothing."""
        if self._from_memory(partition, wish, start):
            return
        tail = self._hub.ring.tail(partition)
        mark = NOTHING_READ
        if wish is not None and (wish.offset is not None or wish.seen):
            mark = Mark(-1 if wish.offset is None else wish.offset, wish.timestamp or 0, wish.seen)
        if tail is not None and _is_behind(wish, tail):
            mark = tail
        elif tail is not None or mark != NOTHING_READ:
            start.waiting[partition] = wish if wish is not None else Wish(None, 0)
        start.marks[partition] = mark
        start.positions[partition] = mark.offset + 1

    def _from_memory(self, partition: TopicPartition, wish: Wish | None, start: Start) -> bool:
        hub = self._hub
        tail = hub.ring.tail(partition)
        if tail is None or not hub.available or not hub.filled.is_set() or partition in hub.catching_up:
            return False
        if wish is None:
            start.marks[partition] = tail
            start.positions[partition] = hub.ring.end(partition)
            return True
        if wish.offset is None or wish.timestamp is None:
            return False
        if (tail.offset, tail.timestamp) == (wish.offset, wish.timestamp):
            mark: Mark | None = tail
        else:
            item = hub.ring.holds(partition, wish.offset)
            mark = item.mark if item and item.mark.timestamp == wish.timestamp else None
        if mark is None:
            return False
        start.marks[partition] = mark
        start.positions[partition] = mark.offset + 1
        return True

    async def _from_log(self, partition: TopicPartition, wish: Wish | None, origin: Origin, start: Start) -> None:
        self._hub.confirm([partition])
        bounds = demand(await self._log.bounds([partition]))[partition]
        reached = origin.reached.get(partition, 0)
        if wish is None:
            await self._begin_live(partition, bounds, start)
        elif wish.offset is None:
            overlap = origin.overlaps.get(partition.topic, 0) if origin.wishes else 0
            timeless = origin.past_wish(partition) is not None
            await self._at_time(partition, wish, bounds, overlap, start, timeless)
        elif max(wish.offset + 1, reached) < bounds.start and not self._has_read_all(partition, wish, bounds.start):
            mark = Mark(bounds.start - 1, wish.timestamp or 0)
            resumed = await self._first_offset(partition, bounds.start, bounds)
            self._gap(partition, wish, resumed, "expired", mark, start)
        elif wish.offset >= bounds.end:
            await self._past_the_end(partition, wish, bounds, start)
        else:
            await self._inside(partition, wish, max(reached, bounds.start), bounds, start)

    def _has_read_all(self, partition: TopicPartition, wish: Wish, position: int) -> bool:
        """Whether what is wished for was the last record before this position, as far as the ring knows."""
        before = self._hub.ring.before(partition, position)
        return before is not None and before[:2] == (wish.offset, wish.timestamp)

    def _cut_since(self, partition: TopicPartition, wish: Wish | None, epoch: int | None) -> int | None:
        """To where the log was cut back since this was read, in this epoch of the ring; None where it was not."""
        if epoch is None or wish is None or wish.offset is None:
            return None
        return self._hub.losses.cuts.lowest(partition, wish.offset, epoch)

    async def _at_cut(self, partition: TopicPartition, wish: Wish, cut: int, start: Start) -> None:
        """What was read here is not there any more, whatever is by now."""
        self._hub.confirm([partition])
        bounds = demand(await self._log.bounds([partition]))[partition]
        position = min(max(cut, bounds.start), bounds.end)
        mark = await mark_at(self._log, self._hub.ring, partition, bounds, position)
        self._gap(partition, wish, position, "unknown", mark, start)

    async def _begin(self, partition: TopicPartition, position: int, bounds: Bounds, since: int, start: Start) -> Mark:
        by_timestamp = self._hub.by_timestamp[partition.topic]
        mark = await mark_before(self._log, partition, position, bounds, since, by_timestamp)
        start.marks[partition] = mark
        start.positions[partition] = position
        return mark

    async def _begin_live(self, partition: TopicPartition, bounds: Bounds, start: Start) -> Mark:
        if not self._hub.by_timestamp[partition.topic]:
            return await self._begin(partition, bounds.end, bounds, self._hub.clock.now(), start)
        # A position by time holds the newest record's time, and how many share it; the clock may be ahead of records.
        newest = await self._hub.discovery.newest(partition, *bounds)
        if newest is None or newest < 0:
            begun = 0 if newest is None else self._hub.clock.now()
            start.marks[partition] = NOTHING_READ if bounds.end == 0 else Mark(bounds.end - 1, begun)
            start.positions[partition] = bounds.end
        else:
            await self._at_time(partition, Wish(None, newest, MOST_SEEN), bounds, 0, start)
        return start.marks[partition]

    async def _at_time(
        self,
        partition: TopicPartition,
        wish: Wish,
        bounds: Bounds,
        overlap: int,
        start: Start,
        timeless: bool = True,
    ) -> None:
        time = wish.timestamp or 0
        position = await seek(self._log, partition, time - overlap, bounds, timeless)
        # The mark is not set back with the overlap: else every resume would begin earlier than the one before.
        await self._begin(partition, position, bounds, time, start)
        # At the log's start nobody can say how many records of the millisecond have expired: rather twice than never.
        if wish.seen and not overlap and (position == 0 or position > bounds.start):
            await self._skip_seen(partition, wish, position, bounds, start)

    async def _skip_seen(
        self, partition: TopicPartition, wish: Wish, position: int, bounds: Bounds, start: Start
    ) -> None:
        """Pass over as many records of the wished millisecond as the client has seen."""
        if not self._hub.by_timestamp[partition.topic]:
            return
        time = wish.timestamp or 0
        found = await self._counting.following(self._log, partition, time, position, bounds.end, wish.seen)
        if found.records:
            start.marks[partition] = Mark(found.last, time, found.records)
        start.positions[partition] = max(found.position, start.marks[partition].offset + 1)

    async def _past_the_end(self, partition: TopicPartition, wish: Wish, bounds: Bounds, start: Start) -> None:
        if wish.timestamp is None:
            mark = await self._begin_live(partition, bounds, start)
            self._gap(partition, wish, bounds.end, "future", mark, start)
        else:
            await self._unknown(partition, wish, bounds, start)

    async def _unknown(self, partition: TopicPartition, wish: Wish, bounds: Bounds, start: Start) -> None:
        """Another log, a topic created again, or one that was cut back and written on: the offset says nothing, the
        time does. What was written since it was cut may be older than what was there."""
        time = wish.timestamp or 0
        position = await seek(self._log, partition, time, bounds)
        cut = None if wish.offset is None else self._hub.losses.cuts.lowest(partition, wish.offset)
        if cut is not None and cut < position:
            await self._at_cut(partition, wish, cut, start)
            return
        mark = await self._begin(partition, position, bounds, time, start)
        self._gap(partition, wish, position, "unknown", mark, start)
        self._hub.look_again()

    async def _inside(self, partition: TopicPartition, wish: Wish, reached: int, bounds: Bounds, start: Start) -> None:
        """The log has what comes next, there or at the offset that was reached."""
        assert wish.offset is not None
        timestamp = wish.timestamp
        if wish.offset >= bounds.start:
            record = (await first_records(self._log, {partition: wish.offset}, {partition: bounds.end}))[partition]
            # One that is not there any more is compacted away, whatever the ring still holds.
            if record is not None and record.offset == wish.offset:
                held = self._hub.ring.holds(partition, wish.offset)
                if held is not None and record.timestamp != held.mark.timestamp:
                    # The hub does not know yet that the log was cut back: what it has behind this is not there.
                    raise LogUnavailable("the log is not the one that was read")
                if timestamp is not None and record.timestamp != timestamp:
                    await self._unknown(partition, wish, bounds, start)
                    return
                timestamp = record.timestamp
        seen = 0
        if self._hub.by_timestamp[partition.topic] and timestamp is not None:
            seen = await self._count_seen(partition, timestamp, wish.offset, bounds.start)
        start.marks[partition] = Mark(wish.offset, timestamp or 0, seen)
        start.positions[partition] = max(wish.offset + 1, min(reached, bounds.end))

    async def _count_seen(self, partition: TopicPartition, timestamp: int, offset: int, start: int) -> int:
        try:
            return await self._counting.preceding(self._log, partition, timestamp, offset, start)
        except OffsetOutOfRange:
            return 0

    async def _first_offset(self, partition: TopicPartition, position: int, bounds: Bounds) -> int:
        record = (await first_records(self._log, {partition: position}, {partition: bounds.end}))[partition]
        return bounds.end if record is None else record.offset

    def _gap(self, partition: TopicPartition, wish: Wish, resumed: int, reason: str, mark: Mark, start: Start) -> None:
        requested = wish.offset if wish.offset is not None else wish.timestamp or 0
        start.marks[partition] = mark
        start.positions[partition] = mark.offset + 1
        start.gaps.append(Break(partition, requested, resumed, reason, mark))


def _is_behind(wish: Wish | None, mark: Mark) -> bool:
    """Whether nothing that was read up to the mark is wished for, as far as times can say."""
    if wish is None:
        return True
    if wish.offset is not None or (not wish.seen and (wish.timestamp or 0) <= 0):
        return False  # Who stands before the first record wishes for all of them, those without a time too.
    return (wish.timestamp or 0, wish.seen) >= (mark.timestamp, mark.seen)

"""The oracle: what one client must have received, worked out from the truth and the frames that it got.

For each partition it keeps a location: nothing before `floor` may come any more, and all from `owed` on must come.
Each event and each id moves it, and whatever it moves over must have come, or be excused: it does not match, it was
compacted away, it went with its topic, or a gap told of it.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.model.record import TopicPartition
from tests.simulation.frames import Entry, Frame
from tests.simulation.location import Location, Wanted
from tests.simulation.order import Order
from tests.simulation.truth import Part, Stored, Truth


class Oracle:
    """Holds what a client receives against the truth; each complaint is an AssertionError."""

    def __init__(self, truth: Truth, wanted: Wanted, by_timestamp: dict[str, bool]) -> None:
        self._truth = truth
        self._wanted = wanted
        self._by_timestamp = by_timestamp
        self.locations: dict[TopicPartition, Location] = {}
        self.last: dict[TopicPartition, Entry] = {}
        """The entries of the last id."""
        self._blind_since = 0
        self._finished = False
        """Whether the range has ended: what is appended later with an earlier time belongs to it no more."""

    # What a connection begins with.

    def connect(self, held_from: dict[TopicPartition, int], sick: Callable[[TopicPartition], bool]) -> None:
        """A request is sent to a server whose ring holds nothing up to these offsets; `sick` tells of which partitions
        the log may not have given it all since then."""
        self._order = Order(held_from, len(self._truth.records), sick)

    def _check_order(self, stored: Stored, part: Part) -> None:
        read_again = self._by_timestamp[stored.partition.topic] and self._reads_again(part, stored.timestamp)
        if stored.life == 0 and not part.falls and not read_again:
            self._order.take(stored)

    def open_blind(self, partitions: list[TopicPartition], now: int) -> None:
        """The first bytes of a response without ids: what was there before need not come, what is appended from now on
        must. (While the log was away, the server knows of live events only by their time, `now` in ms.)"""
        self._blind_since = now
        for partition in partitions:
            part = self._truth.part(partition)
            if partition in self.locations or part is None:
                continue
            if self._wanted.since is None and self._truth.life(partition.topic) == 0:
                self.locations[partition] = Location(0, 0, len(part.records))
            elif self._wanted.since is None:
                self.locations[partition] = Location(None, time=now)
            else:
                self.locations[partition] = Location(None, time=self._wanted.since)

    def open_first(self, entries: dict[TopicPartition, Entry]) -> None:
        """The first id of a client that had none: it says what must come."""
        for partition, entry in entries.items():
            if self._by_timestamp[partition.topic] or entry.offset is None or entry.offset < 0:
                self.locations[partition] = self._by_time(entry)
                continue
            life, part = self._truth.find(partition, entry)
            index = part.index_of(entry.offset + 1)
            if not self._truth.is_certain(partition, entry, part):
                # Which life the server knew of is seen later.
                self.locations[partition] = Location(None, offset=entry.offset + 1)
                continue
            self.locations[partition] = Location(life, index, index)
            settled = not part.holes and partition.topic not in self._truth.deleted
            if self._wanted.since is not None and settled and not self.last:
                self._check_since(part, index)

    def _by_time(self, entry: Entry) -> Location:
        location = Location(None, time=entry.timestamp)
        location.offset = -1 - entry.seen if entry.seen else None
        return location

    def _check_since(self, part: Part, index: int) -> None:
        assert self._wanted.since is not None
        first = part.since(self._wanted.since)
        assert index >= first, f"the stream starts at {part.records[index]}, before `since` {self._wanted.since}"
        for stored in part.records[first:index]:
            assert stored.gone, f"`since` {self._wanted.since} passed over {stored}"

    def open_again(self, entries: dict[TopicPartition, Entry]) -> None:
        """The first id after a resume. What the id that was sent did not name begins where the contract says."""
        for partition, entry in entries.items():
            if partition not in self.locations:
                self.locations[partition] = self._unnamed(partition, entry)
        for partition, entry in self.last.items():
            if not self._by_timestamp[partition.topic]:
                continue
            location = self.locations[partition]
            if location.life is None:
                # A gap may have told an offset, in a life of the topic that is over by now: of the id the time is left.
                self.locations[partition] = self._by_time(entry)
                continue
            part = self._truth.part(partition, location.life)
            if part is None:
                continue
            if part.falls and not entry.seen:
                # Nothing is read since that time; what came later than its time lies before it.
                location.owed = max(location.owed, part.since(entry.timestamp))
            if self._reads_again(part, entry.timestamp):
                location.floor = min(location.floor, part.since(entry.timestamp - self._wanted.overlap))

    def _unnamed(self, partition: TopicPartition, entry: Entry | None = None) -> Location:
        """Where a partition begins that no id has named before: it is new, unless only times were named."""
        same = [other for location, other in self.last.items() if location.topic == partition.topic]
        if any(other.seen or (other.offset or -1) >= 0 for other in same):
            return Location(None, time=0)
        times = [other.timestamp for other in same] or [
            other.timestamp for other in self.last.values() if other.timestamp > 0
        ]
        if times or entry is None:
            return Location(None, time=min(times, default=0))
        self.open_first({partition: entry})
        return self.locations[partition]

    def owes(self, partition: TopicPartition) -> bool:
        """Whether something of the partition must still come."""
        location, part = self.locations.get(partition), self._truth.part(partition)
        assert part is not None
        if location is None:
            return True
        if location.life is None and location.time:
            return bool(part.records) and part.records[-1].timestamp > location.time
        if location.life != self._truth.life(partition.topic):
            return not self._has_all_by_time(partition, part)
        return location.owed < len(part.records)

    def _has_all_by_time(self, partition: TopicPartition, part: Part) -> bool:
        """Whether the last id says that nothing is left in a later life of a topic that goes on by timestamp: none of
        its records is later, and so many share the newest time."""
        entry = self.last.get(partition)
        if entry is None or not self._by_timestamp[partition.topic] or not part.records:
            return False
        newest = max(stored.timestamp for stored in part.records)
        same = sum(stored.timestamp == newest for stored in part.records)
        return (entry.timestamp, entry.seen or 0) >= (newest, same)

    # What comes.

    def take(self, frame: Frame) -> None:
        """A frame with an id, or a line without."""
        partition = None
        if frame.event == "message" and frame.document is not None:
            stored = self._event(frame)
            partition = stored.partition
            entry = frame.entries.get(partition)
            if entry is not None:
                assert entry.timestamp == stored.timestamp, f"{entry} is the id of {stored}"
                assert entry.offset in (None, stored.offset), f"{entry} is the id of {stored}"
        elif frame.event == "gap":
            partition = self._gap(frame)
        elif frame.event == "end":
            self._end(frame)
        for location, entry in frame.entries.items():
            self._move(location, entry, frame.event == "gap" and location == partition)
        if frame.entries:
            missing = self.last.keys() - frame.entries.keys()
            assert all(location.topic in self._truth.deleted for location in missing), (
                f"the id names no more: {missing}"
            )
            self.last = frame.entries

    def _event(self, frame: Frame) -> Stored:
        document = frame.document
        stored: Stored = self._truth.records[document["n"]]
        assert self._wanted.matches(stored), f"{stored} does not match"
        assert self._wanted.data(stored) == frame.data, f"{stored} was changed: {frame.data!r}"
        until = self._wanted.until
        assert until is None or stored.timestamp < until, f"{stored} is not before `until`"
        location = self._location(stored.partition)
        if location.life is None:
            self._settle(stored.partition, location, stored.life, stored.index)
        elif location.life < stored.life:
            self._change_life(stored, location)
        assert location.life == stored.life, f"{stored} came after a later life of its topic"
        part = self._truth.part(stored.partition, stored.life)
        assert part is not None
        self._check_order(stored, part)
        again = self._by_timestamp[stored.partition.topic] and stored.timestamp in part.cut
        assert stored.index >= location.floor or again, f"{stored} came again, or too late"
        self._pass(stored.partition, location, stored.index)
        location.floor = stored.index + 1
        location.owed = max(location.owed, location.floor)
        return stored

    def _location(self, partition: TopicPartition) -> Location:
        if partition not in self.locations:
            self.locations[partition] = self._unnamed(partition)
        return self.locations[partition]

    def _part(self, partition: TopicPartition) -> Part:
        """The partition in the newest life of its topic, which has it."""
        part = self._truth.part(partition)
        assert part is not None
        return part

    def _settle(self, partition: TopicPartition, location: Location, life: int, index: int) -> None:
        """The life is known now, and that the client has come to the index: what is owed is what comes from the time or
        the offset on. Records that came later than their time may lie before it, and nobody is told of what expired
        before a time."""
        part = self._truth.part(partition, life)
        assert part is not None
        location.life = life
        if location.time is not None:
            location.owed = min(part.since(location.time), index)
            if location.offset is not None:
                # By timestamp: so many records of that millisecond were read.
                seen = -1 - location.offset
                same = [one.index for one in part.records[location.owed :] if one.timestamp == location.time]
                # Where time goes back, records of other times lie between, and it is the last that was read.
                location.owed = (
                    (same[-1] + 1 if part.falls else location.owed + len(same[:seen])) if same else location.owed
                )
        elif location.offset is not None:
            location.owed = part.index_of(location.offset)
        location.floor = 0 if self._reads_again(part, location.time) else location.owed
        while location.owed < len(part.records) and self._is_before(part.records[location.owed], location):
            location.owed += 1

    def _is_before(self, stored: Stored, location: Location) -> bool:
        """Whether a client that begins by a time need not get this one: it is gone, or nothing is left before it that
        carries the time or a later one."""
        by_time_alone = location.time is not None and location.offset is None
        return bool(stored.gone) or (by_time_alone and stored.timestamp < (location.time or 0))

    def _reads_again(self, part: Part, time: int | None) -> bool:
        """Whether a resume by this time may bring again what was read."""
        return part.falls or time in part.cut or self._wanted.overlap > 0

    def _change_life(self, stored: Stored, location: Location) -> None:
        """No gap was told, and the topic is another: the last position can be trusted in it, or says only a time."""
        partition = stored.partition
        assert location.life is not None
        last = self.last.get(partition)
        part = self._truth.part(partition, stored.life)
        assert part is not None
        if last is None:
            assert partition.topic in self._truth.deleted
            location.life, location.floor, location.owed = stored.life, 0, 0
        elif self._by_timestamp[partition.topic]:
            location.life, location.time, location.offset = None, last.timestamp, -1 - last.seen if last.seen else None
            self._settle(partition, location, stored.life, stored.index)
            location.floor = min(location.floor, part.since(last.timestamp))
        else:
            assert last.offset is not None
            same = part.at(last.offset)
            if same is None or same.timestamp != last.timestamp:
                # A topic that was not there for a while is read from its first record when it is back.
                absent = any(
                    (partition.topic, life) in self._truth.absent for life in range(location.life + 1, stored.life + 1)
                )
                assert absent, f"{stored} is of another life than {last}, and no gap was told"
                location.life, location.floor, location.owed = stored.life, 0, 0
                return
            location.life = stored.life
            location.floor = location.owed = same.index + 1

    def _pass(self, partition: TopicPartition, location: Location, index: int) -> None:
        """Everything owed up to the index has come, or is excused."""
        if index <= location.owed:
            return
        part = self._truth.part(partition, location.life if location.life is not None else -1)
        assert part is not None
        until = self._wanted.until
        for stored in part.records[location.owed : index]:
            if stored.gone in ("compacted", "deleted") or not self._wanted.matches(stored):
                continue
            if stored.gone == "expired" and self._by_timestamp[partition.topic]:
                continue
            if until is not None and stored.timestamp >= until:
                continue
            if stored.timestamp < self._blind_since:
                continue
            if stored.gone == "expired" and self._blind_since and not location.floor:
                # It expired before the server knew of more than a time.
                continue
            raise AssertionError(f"{stored} never came")

    def _gap(self, frame: Frame) -> TopicPartition:
        gap = frame.document
        partition = TopicPartition(gap["topic"], gap["partition"])
        newest = self._truth.life(partition.topic)
        location = self._location(partition)
        if gap["reason"] == "unknown":
            last = self.last.get(partition)
            # Without ids nobody can say which life the server knew of when the client came.
            known = location.life if frame.entries else 0
            assert known is None or known < newest, f"nothing was created again: {gap}"
            if location.life is not None and frame.entries and not self._by_timestamp[partition.topic]:
                self._check_requested(partition, location, gap["requested"])
            if last is not None and partition in frame.entries:
                part = self._truth.part(partition)
                least = part.since(last.timestamp) if part is not None else 0
                first = part.offsets[least] if part is not None and least < len(part.offsets) else 0
                assert part is None or gap["resumed"] >= min(first, gap["resumed"]), f"{gap} goes too far back"
            self.locations[partition] = Location(None, offset=gap["resumed"])
            return partition
        assert gap["reason"] == "expired", f"{gap}"
        if location.life is not None and location.life < newest and gap["requested"] + 1 < self._part(partition).start:
            # Of a topic that was created again, whose log has left that offset behind: nobody can tell it from the old.
            location = self.locations[partition] = Location(
                newest, 0, self._part(partition).index_of(gap["requested"] + 1)
            )
        life = newest if location.life is None else location.life
        part = self._truth.part(partition, life)
        assert part is not None
        if location.life is None:
            self._settle(partition, location, life, part.index_of(gap["requested"] + 1))
        requested, resumed = gap["requested"], gap["resumed"]
        last = self.last.get(partition)
        if last is not None and last.offset is not None:
            assert requested >= last.offset, f"{gap} asks for what was read before {last}"
        assert requested + 1 < part.start or (part.records and part.records[0].gone == "deleted"), (
            f"nothing lost: {gap}"
        )
        self._pass(partition, location, part.index_of(requested + 1))
        target = part.index_of(resumed)
        for stored in part.records[part.index_of(requested + 1) : target]:
            assert stored.gone, f"{gap} passes over {stored}"
        location.floor = max(location.floor, target)
        location.owed = max(location.owed, target)
        return partition

    def _check_requested(self, partition: TopicPartition, location: Location, requested: int) -> None:
        """What a gap says that the client had read of a topic that is gone, it has got."""
        part = self._truth.part(partition, location.life if location.life is not None else -1)
        assert part is not None
        for stored in part.records[location.owed : part.index_of(requested + 1)]:
            excused = stored.offset < part.start or not self._wanted.matches(stored)
            assert excused, f"a gap begins after {requested}, and {stored} never came"

    def _move(self, partition: TopicPartition, entry: Entry, told: bool) -> None:
        """The id says that everything up to here has been read."""
        location = self._location(partition)
        if self._by_timestamp[partition.topic]:
            self._move_by_time(partition, location, entry)
            return
        if entry.offset is None:
            # A time that the log has not been asked about yet.
            return
        if entry.offset < 0:
            if location.life is not None and location.owed > 0 and not told:
                part = self._truth.part(partition)
                lost = part is not None and all(self._is_out(stored) for stored in part.records[: location.owed])
                assert partition.topic in self._truth.deleted or lost, f"{entry} has read nothing, and {location} had"
                location = self.locations[partition] = Location(None, time=0)
            if location.life is None and location.offset is None:
                location.time = 0
            return
        life, part = self._truth.find(partition, entry, location.life)
        index = part.index_of(entry.offset + 1)
        if location.life is None and not self._truth.is_certain(partition, entry, part):
            return
        if location.life is None:
            self._settle(partition, location, life, index)
            if told:
                location.floor = location.owed = max(index, location.owed)
        elif location.life != life:
            # Trusted in the new life, where the record before is the same.
            location.life, location.floor, location.owed = life, index, index
            return
        if told:
            location.floor = min(location.floor, index)
            return
        if all(stored.gone for stored in part.records[index : location.floor]):
            # Nothing lies between, or nothing any more: the server had not read so much of a topic that was deleted.
            index = max(index, location.floor)
        assert index >= location.floor, f"{partition} {entry} goes back from {location}"
        self._pass(partition, location, index)
        location.owed = max(location.owed, index)
        location.floor = max(location.floor, index)

    def _is_out(self, stored: Stored) -> bool:
        """Whether the record is gone, or beyond the range."""
        until = self._wanted.until
        return bool(stored.gone) or (until is not None and stored.timestamp >= until)

    def _move_by_time(self, partition: TopicPartition, location: Location, entry: Entry) -> None:
        part = self._truth.part(partition, location.life if location.life is not None else -1)
        if location.life is None and entry.timestamp == 0 and self.last:
            # Nothing is read: of what a gap told, or of a topic that came after that.
            location.time, location.offset = 0, None
        if part is None or self._finished:
            return
        if self._truth.life(partition.topic) > 0:
            if location.life is None and entry.seen:
                location.time, location.offset = entry.timestamp, -1 - entry.seen
            return
        if part.falls or entry.timestamp in part.cut:
            return
        index = part.since(entry.timestamp) + entry.seen
        if location.life is None:
            if not entry.seen:
                return
            self._settle(partition, location, self._truth.life(partition.topic), index)
        if entry.seen:
            assert 0 < index <= len(part.records), f"{entry} counts more than there are"
            assert part.records[index - 1].timestamp == entry.timestamp, f"{entry} counts more than there are"
        if index < location.floor:
            self._check_back(partition, location, entry, part, index)
            return
        self._pass(partition, location, index)
        location.owed = max(location.owed, index)
        if not self._reads_again(part, entry.timestamp):
            location.floor = max(location.floor, index)

    def _check_back(self, partition: TopicPartition, location: Location, entry: Entry, part: Part, index: int) -> None:
        """An id may lie before what was read only where what lies between is gone, or where time is read again."""
        between = part.records[index : location.floor]
        again = self._wanted.overlap > 0 or all(stored.gone for stored in between)
        assert again, f"{partition} {entry} goes back from {location}"

    def _end(self, frame: Frame) -> None:
        if frame.document["reason"] == "until":
            self.check_finished(later=self._finished)
            self._finished = True

    def check_finished(self, later: bool = False) -> None:
        """Everything before `until` has come, or is excused. `later`: the end was told before, and what was appended
        since then comes only where offsets lead to it."""
        until = self._wanted.until
        assert until is not None
        for partition, location in self.locations.items():
            part = self._truth.part(partition, location.life if location.life is not None else -1)
            if part is None or (later and self._by_timestamp[partition.topic]):
                continue
            if location.life is None:
                self._settle(partition, location, self._truth.life(partition.topic), len(part.records))
            for stored in part.records[location.owed :]:
                if stored.timestamp >= until:
                    break
                excused = stored.gone or not self._wanted.matches(stored)
                assert excused, f"{stored} is before `until`, and never came"

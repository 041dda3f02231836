"""A subscription: one client, a reader at a position.

The state, and what follows from each record, is here and pure. `session.py` waits, reads and writes for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.feed.cursor import Cursor
from gateway.feed.notice import end_document, gap_document
from gateway.feed.selection import Selection
from gateway.hub.ring import Break, Ring
from gateway.model.position import DEFAULT_IDS, NOTHING_READ, Ids, Mark, PositionEncoder, Wish
from gateway.model.record import TopicPartition
from gateway.subscription.resolve import Origin, Start
from gateway.wire.format import Format


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for. `until` in milliseconds, `limit` in events."""

    selection: Selection
    format: Format
    origin: Origin = field(default_factory=Origin)
    until: int | None = None
    limit: int | None = None
    gzip: bool = False
    ids: Ids = DEFAULT_IDS

    @property
    def finite(self) -> bool:
        """Whether the response may end by itself, so that its frames are not those of the others."""
        return self.until is not None or self.limit is not None


class Subscription:
    """How far one client has come, and the frames that its next records make."""

    __slots__ = ("_past", "cursor", "encoder", "ended", "positions", "remaining", "request", "untold", "waiting")

    def __init__(self, request: Request, encoder: PositionEncoder, start: Start) -> None:
        self.request = request
        self.encoder = encoder
        self.cursor = Cursor(encoder, start.marks)
        self.positions = dict(start.positions)
        self.remaining = request.limit
        self.ended: str | None = None
        self.waiting = dict(start.waiting)
        """Partitions that are not there, or that the log does not give: what is wished for there is held against the
        log once they are back."""
        self.untold = set(start.untold)
        """Topics of which the log did not tell how many partitions they have."""
        self._past: set[TopicPartition] = set()

    @property
    def identifier(self) -> bytes:
        return self.cursor.identifier()

    def open_partitions(self) -> list[TopicPartition]:
        """The partitions that have not come to `until`."""
        return [partition for partition in self.positions if partition not in self._past]

    def readable(self, topics: Collection[str], held: Collection[TopicPartition] = ()) -> dict[TopicPartition, int]:
        """The next offsets of the partitions of these topics, and of those held, that have not come to `until`."""
        return {
            place: self.positions[place]
            for place in self.open_partitions()
            if place not in self.waiting and (place.topic in topics or place in held)
        }

    def suspend(self, ring: Ring, topics: Collection[str], sick: Collection[TopicPartition]) -> None:
        """Let partitions wait whose topics are not among these, or that are sick, where the ring does not hold what
        comes next either."""
        held = []
        for place, position in self.positions.items():
            never_read = self.cursor.marks[place] == NOTHING_READ and ring.tail(place) is None
            away = place in sick or (place.topic not in topics and not never_read)
            if away and place not in self.waiting and ring.place({place: position}) is None:
                held.append(place)
        self.wait_for(held)

    def wait_for(self, places: Iterable[TopicPartition]) -> None:
        """Let these partitions wait with the positions that they have."""
        wishes = self.wishes()
        self.waiting.update({place: wishes[place] for place in places})

    def awaited(self, topics: Collection[str], sick: Collection[TopicPartition]) -> bool:
        """Whether one of these topics is waited for that is not sick any more."""
        return any(place.topic in topics and place not in sick for place in self.waiting)

    def rejoin(self, encoder: PositionEncoder, origins: Mapping[TopicPartition, Mark], fallback: Mark) -> None:
        """Take up partitions that are new, from their first record on, and give up those that are gone."""
        marks = self.cursor.marks
        for place in encoder.partitions:
            if place.topic in self.untold and place not in self.positions:
                # It was there all the time, and what the client asked for holds for it too.
                asked = self.request.origin.wish(place) or self.waiting.get(TopicPartition(place.topic, 0))
                self.waiting[place] = asked or Wish(None, 0)
        kept = {place: marks.get(place) or origins.get(place, fallback) for place in encoder.partitions}
        self.positions = {place: self.positions.get(place, kept[place].offset + 1) for place in encoder.partitions}
        self.waiting = {place: wish for place, wish in self.waiting.items() if place in kept}
        self.encoder = encoder
        self.cursor = Cursor(encoder, kept)

    def settle(self, marks: Mapping[TopicPartition, Mark], interrupted: bool = False) -> None:
        """Say that everything up to these marks has been read and delivered; after an interruption (of which the client
        was told) they may lie before those known."""
        for partition, mark in marks.items():
            if self.cursor.marks[partition] != mark:
                self.cursor.advance(partition, mark)
            known = 0 if interrupted else self.positions[partition]
            self.positions[partition] = max(known, mark.offset + 1)

    def reach(self, positions: Mapping[TopicPartition, int]) -> None:
        """Say that the log has been read up to these offsets, perhaps beyond the last record."""
        for partition in self.open_partitions():
            self.positions[partition] = max(self.positions[partition], positions.get(partition, 0))

    def restart(self, start: Start) -> bytes:
        """Go on from where the log says, once a position has been held against it again; the gaps to be told."""
        wishes = self.wishes()
        self.waiting, self.untold = dict(start.waiting), set(start.untold)
        self.encoder = self.encoder.waiting_for(self.waiting, start.marks)
        self.cursor = Cursor(self.encoder, start.marks)
        self.positions = dict(start.positions)
        return b"".join(self.gaps(start.gaps, wishes))

    def gaps(self, gaps: Sequence[Break], wishes: Mapping[TopicPartition, Wish]) -> list[bytes]:
        """Frames that tell of missing events. Each has the position in which it alone and those before it have been
        told, so that wherever the connection breaks, what was not told is told again."""
        form = self.request.format
        return [
            form.notice(b"gap", self.before(gaps[index + 1 :], wishes), gap_document(gap))
            for index, gap in enumerate(gaps)
        ]

    def before(self, gaps: Sequence[Break], wishes: Mapping[TopicPartition, Wish]) -> bytes:
        """The position in which these gaps have not been told yet: there it is still what was wished for."""
        untold = {gap.partition for gap in gaps}
        encoder, marks = self.encoder, self.cursor.marks
        return encoder.identifier({place: wishes[place] if place in untold else marks[place] for place in marks})

    def wishes(self) -> dict[TopicPartition, Wish]:
        """The position as a wish, to be held against the log again."""
        wishes = {}
        for partition, mark in self.cursor.marks.items():
            # By timestamp, a mark that has seen nothing is a time to begin with, and no record has it.
            by_offset = mark.offset >= 0 and (mark.seen > 0 or not self.encoder.by_timestamp(partition))
            wishes[partition] = Wish(mark.offset if by_offset else None, mark.timestamp, mark.seen)
        return wishes | self.waiting

    def offer(self, partition: TopicPartition, mark: Mark, data: bytes | None, frames: list[bytes]) -> None:
        """Read the next record of a partition; `data` where it matches. Adds its frame, and the end's."""
        if self.ended or partition in self._past or partition in self.waiting:
            return
        if mark.offset < self.positions[partition]:
            return
        until = self.request.until
        if until is not None and mark.timestamp >= until:
            self.finish_partitions([partition], frames)
            return
        self.cursor.advance(partition, mark)
        self.positions[partition] = mark.offset + 1
        if data is None:
            return
        frames.append(self.request.format.message(self.identifier, data))
        if self.remaining is not None:
            self.remaining -= 1
            if self.remaining == 0:
                self._end("limit", frames)

    def finish_partitions(self, partitions: Iterable[TopicPartition], frames: list[bytes]) -> None:
        """These partitions hold nothing more before `until`."""
        self._past.update(partitions)
        if self.open_partitions():
            return
        until = self.request.until
        assert until is not None
        for partition, mark in self.cursor.marks.items():
            # By timestamp, the last record read does not say that what follows it is beyond the range.
            if self.encoder.by_timestamp(partition) and mark.timestamp < until:
                self.cursor.advance(partition, Mark(mark.offset, until))
        self._end("until", frames)

    def _end(self, reason: str, frames: list[bytes]) -> None:
        self.ended = reason
        frames.append(self.request.format.notice(b"end", self.identifier, end_document(reason)))

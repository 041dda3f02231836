"""A subscription: one client, a reader at a position.

The state, and what follows from each record, is here and pure. `session.py` waits, reads and writes for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.feed.cursor import Cursor
from gateway.feed.notice import end_document, gap_document
from gateway.feed.selection import Selection
from gateway.hub.ring import Ring
from gateway.hub.segment import Break
from gateway.model.position import DEFAULT_IDS, NOTHING_READ, ConsumedPosition, Ids, PositionEncoder, RequestedPosition
from gateway.model.record import TopicPartition
from gateway.subscription.origin import Origin, Start
from gateway.wire.format import Format


@dataclass(frozen=True, slots=True)
class Request:
    """The request of a client. `until` is in milliseconds, `limit` in events."""

    selection: Selection
    format: Format
    origin: Origin = field(default_factory=Origin)
    until: int | None = None
    limit: int | None = None
    gzip: bool = False
    ids: Ids = DEFAULT_IDS
    fixed: bool = False
    """Whether it begins and ends at times that mean the same whenever it is asked."""
    warnings: tuple[bytes, ...] = ()
    """What the client may not have meant, each in ASCII."""

    @property
    def finite(self) -> bool:
        """Whether the response may end by itself, so that its frames are not those of the others."""
        return self.until is not None or self.limit is not None


class Subscription:
    """How far one client has come, and the frames that its next records make."""

    __slots__ = ("_past", "cursor", "encoder", "ended", "next_offsets", "remaining", "request", "untold", "waiting")

    def __init__(self, request: Request, encoder: PositionEncoder, start: Start) -> None:
        self.request = request
        self.encoder = encoder
        self.cursor = Cursor(encoder, start.consumed)
        self.next_offsets = dict(start.next_offsets)
        self.remaining = request.limit
        self.ended: str | None = None
        self.waiting = dict(start.waiting)
        """Partitions that are missing or unreadable. Their requested positions are compared with the log once they
        are back."""
        self.untold: Collection[str] = frozenset(start.untold) or ()
        """Topics of which the log did not tell how many partitions they have."""
        self._past: Collection[TopicPartition] = ()

    @property
    def identifier(self) -> bytes:
        return self.cursor.identifier()

    def open_partitions(self) -> list[TopicPartition]:
        """The partitions that have not come to `until`."""
        return [partition for partition in self.next_offsets if partition not in self._past]

    def readable(self, topics: Collection[str], held: Collection[TopicPartition] = ()) -> dict[TopicPartition, int]:
        """The next offsets of the partitions of these topics, and of those held, that have not come to `until`."""
        return {
            partition: self.next_offsets[partition]
            for partition in self.open_partitions()
            if partition not in self.waiting and (partition.topic in topics or partition in held)
        }

    def suspend(self, ring: Ring, topics: Collection[str], sick: Collection[TopicPartition]) -> None:
        """Let partitions wait whose topics are not among these, or that are sick, where the ring does not hold what
        comes next either."""
        held = []
        for partition in self.open_partitions():
            next_offset = self.next_offsets[partition]
            never_read = self.cursor.consumed[partition] == NOTHING_READ and ring.tail(partition) is None
            away = partition in sick or (partition.topic not in topics and not never_read)
            if away and partition not in self.waiting and ring.locate({partition: next_offset}) is None:
                held.append(partition)
        self.wait_for(held)

    def wait_for(self, partitions: Iterable[TopicPartition]) -> None:
        """Let these partitions wait with the positions that they have."""
        requested = self.requested()
        self.waiting.update({partition: requested[partition] for partition in partitions})

    def awaited(self, topics: Collection[str], sick: Collection[TopicPartition]) -> bool:
        """Whether one of these topics is waited for that is not sick any more."""
        return any(partition.topic in topics and partition not in sick for partition in self.waiting)

    def rejoin(
        self, encoder: PositionEncoder, origins: Mapping[TopicPartition, ConsumedPosition], fallback: ConsumedPosition
    ) -> None:
        """Take up partitions that are new, from their first record on, and give up those that are gone."""
        consumed = self.cursor.consumed
        for partition in encoder.partitions:
            if partition.topic in self.untold and partition not in self.next_offsets:
                # It was there all the time, and what the client asked for holds for it too.
                asked = self.request.origin.requested_of(partition) or self.waiting.get(
                    TopicPartition(partition.topic, 0)
                )
                self.waiting[partition] = asked or RequestedPosition(None, 0)
        kept = {
            partition: consumed.get(partition) or origins.get(partition, fallback) for partition in encoder.partitions
        }
        self.next_offsets = {
            partition: self.next_offsets.get(partition, kept[partition].offset + 1) for partition in encoder.partitions
        }
        self.waiting = {partition: requested for partition, requested in self.waiting.items() if partition in kept}
        self.encoder = encoder
        self.cursor = Cursor(encoder, kept)

    def settle(self, consumed: Mapping[TopicPartition, ConsumedPosition], interrupted: bool = False) -> None:
        """Record that everything up to these positions has been read and delivered. After an interruption, which the
        client knows of, they may lie before the known ones."""
        for partition, last in consumed.items():
            if self.cursor.consumed[partition] != last:
                self.cursor.advance(partition, last)
            known = 0 if interrupted else self.next_offsets[partition]
            self.next_offsets[partition] = max(known, last.offset + 1)

    def reach(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Say that the log has been read up to these offsets, perhaps beyond the last record."""
        for partition in self.open_partitions():
            self.next_offsets[partition] = max(self.next_offsets[partition], next_offsets.get(partition, 0))

    def restart(self, start: Start) -> bytes:
        """Continue where the log says, once a position has been compared with it again. Returns the gaps to report."""
        requested = self.requested()
        self.waiting, self.untold = dict(start.waiting), frozenset(start.untold) or ()
        self.encoder = self.encoder.waiting_for(self.waiting, start.consumed)
        self.cursor = Cursor(self.encoder, start.consumed)
        self.next_offsets = dict(start.next_offsets)
        return b"".join(self.gaps(start.gaps, requested))

    def gaps(self, gaps: Sequence[Break], requested: Mapping[TopicPartition, RequestedPosition]) -> list[bytes]:
        """Frames that report missing events. Each has the position at which exactly it and those before it are
        reported. So after a lost connection, the client receives the missing reports again."""
        form = self.request.format
        return [
            form.notice(b"gap", self.before(gaps[index + 1 :], requested), gap_document(gap))
            for index, gap in enumerate(gaps)
        ]

    def before(self, gaps: Sequence[Break], requested: Mapping[TopicPartition, RequestedPosition]) -> bytes:
        """The position in which these gaps have not been told yet: there it is still what was requested."""
        untold = {gap.partition for gap in gaps}
        encoder, consumed = self.encoder, self.cursor.consumed
        return encoder.identifier(
            {partition: requested[partition] if partition in untold else consumed[partition] for partition in consumed}
        )

    def requested(self) -> dict[TopicPartition, RequestedPosition]:
        """The position as one that is requested, to be held against the log again."""
        requested = {}
        for partition, last in self.cursor.consumed.items():
            # By timestamp, a position that has seen nothing is a time to begin with, and no record has it.
            by_offset = last.offset >= 0 and (last.seen > 0 or not self.encoder.by_timestamp(partition))
            requested[partition] = RequestedPosition(last.offset if by_offset else None, last.timestamp, last.seen)
        return requested | self.waiting

    def offer(
        self, partition: TopicPartition, consumed: ConsumedPosition, data: bytes | None, frames: list[bytes]
    ) -> None:
        """Read the next record of a partition; `data` where it matches. Adds its frame, and the end's."""
        if self.ended or partition in self._past or partition in self.waiting:
            return
        if consumed.offset < self.next_offsets[partition]:
            return
        until = self.request.until
        if until is not None and consumed.timestamp >= until:
            self.finish_partitions([partition], frames)
            return
        self.cursor.advance(partition, consumed)
        self.next_offsets[partition] = consumed.offset + 1
        if data is None:
            return
        frames.append(self.request.format.message(self.identifier, data))
        if self.remaining is not None:
            self.remaining -= 1
            if self.remaining == 0:
                self._end("limit", frames)

    def finish_partitions(self, partitions: Iterable[TopicPartition], frames: list[bytes]) -> None:
        """These partitions hold nothing more before `until`."""
        self._past = frozenset((*self._past, *partitions))
        if self.open_partitions():
            return
        until = self.request.until
        assert until is not None
        for partition, last in self.cursor.consumed.items():
            # By timestamp, the last record read does not say that what follows it is beyond the range.
            if self.encoder.by_timestamp(partition) and last.timestamp < until:
                self.cursor.advance(partition, ConsumedPosition(last.offset, until))
        self._end("until", frames)

    def _end(self, reason: str, frames: list[bytes]) -> None:
        self.ended = reason
        if last := self.request.format.end(self.identifier, end_document(reason)):
            frames.append(last)

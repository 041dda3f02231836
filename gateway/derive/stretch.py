"""The part of a partition that was read last, decoded, for all who follow it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from gateway.derive.engine import Event
from gateway.eventlog.port import NO_STAMP
from gateway.eventlog.trouble import Refusal
from gateway.model.record import Record, TopicPartition


class Part(NamedTuple):
    """Records of one partition with what they hold, in log order, from the offset `start` on; else as a `Batch`."""

    partition: TopicPartition
    start: int
    records: Sequence[tuple[Record, Event]]
    position: int
    stamp: int = NO_STAMP
    size: int = 0
    """Bytes of keys and values."""

    def since(self, offset: int) -> Part:
        """What of it begins there."""
        if offset <= self.start:
            return self
        return self._replace(start=offset, records=[one for one in self.records if one[0].offset >= offset])

    def until(self, offset: int) -> Part:
        """What of it is before that offset. Its stamp may be another one."""
        if offset >= self.position:
            return self
        records = [one for one in self.records if one[0].offset < offset]
        return self._replace(records=records, position=offset, stamp=NO_STAMP)


class Stretch:
    """From `start`, the first offset that one of the followers has not taken, to `end`, where reading goes on.

    Followers are inside, each at its own offset. What all of them have taken is dropped.
    """

    __slots__ = ("_inside", "_parts", "count", "end", "refusal", "size", "start")

    def __init__(self, position: int) -> None:
        self.start = self.end = position
        self.refusal: Refusal | None = None
        """Why it is read no further."""
        self.count = self.size = 0
        """Records, and bytes of them."""
        self._parts: deque[Part] = deque()
        self._inside: dict[Hashable, int] = {}

    @property
    def is_followed(self) -> bool:
        """Whether anybody is inside."""
        return bool(self._inside)

    def holds(self, follower: Hashable) -> bool:
        """Whether this one is inside."""
        return follower in self._inside

    def join(self, follower: Hashable, position: int) -> bool:
        """Be inside from this offset on, where that can be: False where it is behind, or ahead."""
        if not self.start <= position <= self.end:
            return False
        self._inside[follower] = position
        return True

    def leave(self, follower: Hashable) -> None:
        """Be inside no more."""
        if self._inside.pop(follower, None) is not None:
            self._trim()

    def append(self, part: Part) -> None:
        """What was read next."""
        self._parts.append(part)
        self.end = part.position
        self.count += len(part.records)
        self.size += part.size

    def take(self, follower: Hashable, most: int) -> list[Part]:
        """What this one has not taken: parts of so many records, and the rest of the last one."""
        position, found = self._inside[follower], []
        for part in self._parts:
            if most <= 0:
                break
            if part.position > position:
                found.append(part.since(position))
                position = part.position
                most -= len(found[-1].records)
        if found:
            self._inside[follower] = position
            self._trim()
        return found

    def drop_first(self) -> None:
        """Hold the oldest part no longer: whoever has not taken it is inside no more."""
        if self._parts:
            self._drop()
            self._inside = {follower: at for follower, at in self._inside.items() if at >= self.start}

    def refuse(self, refusal: Refusal) -> None:
        """It cannot be read further; what of it was read is not held, since it may not be there any more."""
        self.refusal = refusal
        while self._parts:
            self.drop_first()
        self.start = self.end

    def _trim(self) -> None:
        taken = min(self._inside.values(), default=self.end)
        while self._parts and self._parts[0].position <= taken:
            self._drop()

    def _drop(self) -> None:
        part = self._parts.popleft()
        self.start = part.position
        self.count -= len(part.records)
        self.size -= part.size

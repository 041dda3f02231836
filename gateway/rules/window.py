"""The settled records of a rule's partitions, and the position that names them. Pure.

Events are done in another order than they arrive. So a position names, for each partition, the offset below which all
records are settled, and the settled ones above it. A failed event that was put into another topic is settled, and is
never taken up a second time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

import msgspec

from gateway.errors import LogError
from gateway.model.record import TopicPartition

VERSION = 1
"""Of the form in which a position is stored; one of another version is refused."""


class Window:
    """One partition, from the first offset that is not settled to the next that is to be read.

    Where the reading goes on elsewhere, since records are gone, there is another one: what is settled here then counts
    no longer."""

    def __init__(self, start: int, settled: Iterable[int] = ()) -> None:
        self._read_to = start
        self._settled = set(settled)
        self._begun: deque[int] = deque()
        """Offsets that were read, settled or not, in their order."""

    @property
    def read_to(self) -> int:
        """The next offset to be read."""
        return self._read_to

    def begin(self, offset: int) -> bool:
        """The record at this offset is read; whether it is not settled yet."""
        self._read_to = offset + 1
        self._begun.append(offset)
        return offset not in self._settled

    def move(self, position: int) -> None:
        """All up to here was read, whether there are records or not."""
        self._read_to = max(self._read_to, position)

    def settle(self, offset: int) -> None:
        """What became of the record is certain, or will be together with the next position."""
        self._settled.add(offset)

    def low(self) -> int:
        """The first offset that is not settled."""
        while self._begun and self._begun[0] in self._settled:
            self._settled.discard(self._begun.popleft())
        return self._begun[0] if self._begun else self._read_to

    def settled(self) -> list[int]:
        """Those above it that are."""
        low = self.low()
        # Where records are compacted away, some are never read.
        self._settled = {offset for offset in self._settled if offset >= low}
        return sorted(self._settled)


class Place(msgspec.Struct, array_like=True):
    """One partition in a position. `identity` is that of its topic: a recreated one is read from its start."""

    topic: str
    identity: str
    partition: int
    low: int
    settled: list[int] = []  # msgspec copies it

    @property
    def where(self) -> TopicPartition:
        """The partition."""
        return TopicPartition(self.topic, self.partition)


class _Position(msgspec.Struct):
    version: int
    places: list[Place]


_DECODER = msgspec.json.Decoder(_Position)


class ForeignPosition(LogError):
    """A position that this version of the gateway did not write, and does not read."""


def encode_position(places: Collection[Place]) -> bytes:
    """The position of a rule."""
    return msgspec.json.encode(_Position(VERSION, list(places)))


def decode_position(position: bytes | None) -> list[Place]:
    """Its places; none where there is no position yet. Raises ForeignPosition."""
    if position is None:
        return []
    try:
        found = _DECODER.decode(position)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ForeignPosition(f"the rule's position cannot be read: {error}") from None
    if found.version != VERSION:
        raise ForeignPosition(f"the rule's position is of version {found.version}, and this gateway reads {VERSION}")
    return found.places

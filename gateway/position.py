"""Positions: how far a client has read, partition by partition, and their form in `Last-Event-ID`.

Two kinds of value. A `Wish` is what a client asks for: an entry of its Last-Event-ID, not yet held against the log.
A `Mark` is what has been read: the last record of a partition, as the log holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from gateway.errors import InvalidPosition
from gateway.event import TopicPartition

LARGEST_INTEGER = 2**63 - 1


_BY_OFFSET = b'"offset":%d,"timestamp":%d}'
_BY_TIMESTAMP = b'"timestamp":%d,"seen":%d}'


class Mark(NamedTuple):
    """The last record read of a partition. `seen` counts the records of that very millisecond read up to it.

    The next record to be read is the one at `offset + 1` or, where that is gone by compaction, the next after it.
    """

    offset: int
    timestamp: int
    seen: int = 0

    def after(self, offset: int, timestamp: int) -> Mark:
        """The mark once the record at `offset` has been read too."""
        return Mark(offset, timestamp, self.seen + 1 if timestamp == self.timestamp and self.seen else 1)


NOTHING_READ = Mark(-1, 0)
"""The mark of an empty partition."""


class Wish(NamedTuple):
    """One entry of a Last-Event-ID: an offset, or a timestamp (ms) with the records of it already seen, or both."""

    offset: int | None
    timestamp: int | None
    seen: int = 0


def parse_position(text: str | bytes) -> dict[TopicPartition, Wish]:
    """The entries of a Last-Event-ID. An offset of -1 alone, as other servers send it, is as if not named.

    Raises InvalidPosition with what is wrong and where.
    """
    try:
        entries = orjson.loads(text)
    except ValueError as error:
        raise InvalidPosition(f"it is not JSON ({error}); send back the `id:` of the last event as it came") from None
    if not isinstance(entries, list) or not entries:
        raise InvalidPosition(
            'it must be an array with at least one entry, as in [{"topic":"t","partition":0,"offset":1}]'
        )
    wishes: dict[TopicPartition, Wish] = {}
    named: set[TopicPartition] = set()
    for index, entry in enumerate(entries):
        partition, wish = _parse_entry(index, entry)
        if partition in named:
            raise InvalidPosition(f"entry {index} names {partition.topic}/{partition.partition} a second time")
        named.add(partition)
        if wish is not None:
            wishes[partition] = wish
    return wishes


def _parse_entry(index: int, entry: object) -> tuple[TopicPartition, Wish | None]:
    if not isinstance(entry, dict):
        raise InvalidPosition(f"entry {index} is not an object")
    topic = entry.get("topic")
    if not isinstance(topic, str) or not topic:
        raise InvalidPosition(f"entry {index} needs a `topic`, a string")
    partition = _integer(index, entry, "partition", 0)
    if partition is None:
        raise InvalidPosition(f"entry {index} needs a `partition`, an integer from 0")
    offset = _integer(index, entry, "offset", -1)
    timestamp = _integer(index, entry, "timestamp", 0)
    seen = _integer(index, entry, "seen", 0) or 0
    if offset is None and timestamp is None:
        raise InvalidPosition(f"entry {index} needs an `offset` or a `timestamp`")
    place = TopicPartition(topic, partition)
    if offset == -1:
        return place, None if timestamp is None else Wish(None, timestamp, seen)
    return place, Wish(offset, timestamp, seen)


def _integer(index: int, entry: Mapping[str, object], key: str, least: int) -> int | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST_INTEGER:
        raise InvalidPosition(f"entry {index}: `{key}` must be an integer from {least} to {LARGEST_INTEGER}")
    return value


class PositionEncoder:
    """Writes positions of one subscription: the same partitions, in the same order, every time.

    Pieces that do not change from one event to the next are written once, since an id holds every partition.
    """

    def __init__(
        self, by_timestamp: Mapping[TopicPartition, bool], waiting: Mapping[TopicPartition, Wish] | None = None
    ) -> None:
        self._by_timestamp = by_timestamp
        self._waiting = dict(waiting or {})
        """The partitions that the log does not give yet: an id holds what is wished for there, word for word."""
        self.partitions = tuple(sorted(by_timestamp))
        self._heads = {
            place: b'{"topic":%b,"partition":%d,' % (orjson.dumps(place.topic), place.partition)
            for place in self.partitions
        }

    def waiting_for(self, waiting: Mapping[TopicPartition, Wish], places: Iterable[TopicPartition]) -> PositionEncoder:
        """One for these partitions of the same topics, of which some wait."""
        by_topic = {place.topic: by_timestamp for place, by_timestamp in self._by_timestamp.items()}
        return PositionEncoder({place: by_topic[place.topic] for place in places}, waiting)

    def by_timestamp(self, partition: TopicPartition) -> bool:
        """Whether the ids hold times of this partition and no offsets."""
        return self._by_timestamp[partition]

    def entry(self, partition: TopicPartition, mark: Mark) -> bytes:
        """One entry of the array."""
        if (wish := self._waiting.get(partition)) is not None:
            return self.wish(partition, wish)
        head = self._heads[partition]
        if self._by_timestamp[partition]:
            return head + _BY_TIMESTAMP % (mark.timestamp, mark.seen)
        return head + _BY_OFFSET % (mark.offset, mark.timestamp)

    def template(self, partition: TopicPartition, before: bytes, after: bytes) -> bytes:
        """An entry between these bytes, as a format for `%`: of timestamp and seen, or of offset and timestamp."""
        head = (before + self._heads[partition]).replace(b"%", b"%%")
        return head + (_BY_TIMESTAMP if self._by_timestamp[partition] else _BY_OFFSET) + after.replace(b"%", b"%%")

    def wish(self, partition: TopicPartition, wish: Wish) -> bytes:
        """The entry of a partition whose wish has not been held against the log yet."""
        head = self._heads[partition]
        if wish.offset is None or (self._by_timestamp[partition] and wish.timestamp is not None):
            return head + b'"timestamp":%d,"seen":%d}' % (wish.timestamp or 0, wish.seen)
        if wish.timestamp is None:
            return head + b'"offset":%d}' % wish.offset
        return head + b'"offset":%d,"timestamp":%d}' % (wish.offset, wish.timestamp)

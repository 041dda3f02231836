"""The fetch request of the Kafka protocol, by topic ids (KIP-516), and how its answer is read.

Version 13 (Kafka 3.1 and later) is packed and read here. Each lone event takes a request and an answer, and aiokafka's
schemas were a fifth of that cost. In version 12 (Kafka 2.7) topics have names. It is the first version that says where
the log was cut back (KIP-595). Older brokers are asked in aiokafka's own versions.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from struct import Struct
from typing import Any, NamedTuple

from aiokafka.errors import for_code
from aiokafka.protocol.fetch import FetchRequest as NamedFetchRequest

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.protocol import CONSUMER, READ_COMMITTED
from gateway.model.record import TopicPartition

FETCH = 1
"""The number of the request in the protocol."""

BY_ID = 13
"""The version that names topics by id."""

NEWEST = BY_ID
"""The newest version that is spoken here."""

TRACED = 12
"""The version that sends the epoch of the last record read, and answers where the log diverges from it."""

NO_EPOCH = -1
"""The epoch where none is known."""

DIVERGING = 0
"""The tagged field of an answer that tells where the log parts from what was read."""

NO_SESSION = (0, -1)
"""Id and epoch of a fetch outside of any session."""

_LENGTH = Struct(">i")
_HEADER = Struct(">hhih")
"""Request, version, correlation, length of the client's name."""
_REQUEST = Struct(">iiiibii")
"""Replica, wait (ms), least bytes, most bytes, isolation level, session id and epoch."""
_ASKED = Struct(">iiqiqix")
"""Partition, leader epoch, offset, last fetched epoch, start of the log, most bytes, no tagged fields."""
_REST = b"\x01\x01\x00"
"""No forgotten topics, an empty rack, no tagged fields."""
_RESPONSE = Struct(">ihi")
"""Throttle time (ms), error, session id."""
_ANSWERED = Struct(">ihqqq")
"""Partition, error, high watermark, last stable offset, start of the log."""
_LONE = Struct(">BihiB16sBihqqqBi")
"""An answer by topic ids that is about one partition alone, up to its records: tagged fields, what `_RESPONSE` has,
topics, the topic's id, partitions, what `_ANSWERED` has, aborted transactions, the replica to prefer."""
_ONE = 2
"""A count of one, as arrays are counted."""
_LONE_END = bytes(3)
"""No tagged fields: of the partition, of the topic, of the answer."""
_ABORTED = Struct(">qq")
_DIVERGING = Struct(">iq")
"""The last epoch that the log has of those up to the one that was read last, and its end there."""


class FetchPosition(NamedTuple):
    """The position of a partition's reader: the offset, the epoch of the record before it, and the epoch of the
    leader. Each is as far as it is known."""

    offset: int
    read: int = NO_EPOCH
    leader: int = NO_EPOCH


class Fetched(NamedTuple):
    """The answer of a broker about one partition. `end` is the offset after the last record that it can serve,
    `start` the first offset that it has. `aborted` holds the producer and the first offset of each transaction.
    `cut` is an epoch and the offset at which it ends, if the log diverges from the records read; None otherwise.
    `traced` says whether the broker can tell."""

    partition: TopicPartition
    error: int
    end: int
    aborted: Sequence[tuple[int, int]]
    records: bytes
    start: int = -1
    cut: tuple[int, int] | None = None
    traced: bool = True


class FetchLimits(NamedTuple):
    """How long the broker may wait for something (ms), and how many bytes it may send: in all, and of a partition."""

    wait: int
    size: int
    partition_size: int


class FetchRequest:
    """Asks one broker for records, from a position in each partition; `ids` has the id of each topic."""

    def __init__(
        self, positions: Mapping[TopicPartition, FetchPosition], ids: Mapping[str, bytes], limits: FetchLimits
    ) -> None:
        self._positions = positions
        self._ids = ids
        self._limits = limits
        self._topics: dict[str, list[tuple[int, FetchPosition]]] = {}
        for (topic, partition), position in positions.items():
            self._topics.setdefault(topic, []).append((partition, position))
        self._old: Any = None
        self._version = BY_ID
        self.throttled = 0
        """After `read`: for how long the broker wants no other request (ms)."""

    def encode(self, versions: Mapping[int, tuple[int, int]], correlation: int, client: bytes) -> bytes:
        """The bytes of the request for a broker of these versions. Raises aiokafka's errors if they are too old."""
        least, most = versions.get(FETCH, (0, 0))
        if least <= NEWEST and most >= TRACED:
            self._version, tags = min(most, NEWEST), b"\0"
            body = self._pack()
        else:
            self._old = self._by_name().prepare(versions)
            self._version, tags, body = self._old.API_VERSION, b"", self._old.encode()
        head = _HEADER.pack(FETCH, self._version, correlation, len(client)) + client + tags
        return b"".join((_LENGTH.pack(len(head) + len(body)), head, body))

    def read(self, frame: bytes, correlation: int) -> list[Fetched]:
        """The answer for each requested partition. Raises LogUnavailable if it is malformed, names other partitions,
        or is an error as a whole."""
        try:
            if _LENGTH.unpack_from(frame)[0] != correlation:
                raise ValueError("it answers another request")
            error, found = self._unpack_lone(frame) or self._unpack(frame)
            if not all(fetched.partition in self._positions for fetched in found):
                raise ValueError("it contains partitions that were not requested")
        except (ValueError, LookupError, TypeError, struct.error) as mistake:
            raise LogUnavailable(f"Kafka: an answer to a fetch is malformed: {mistake!r}") from mistake
        if error:
            raise LogUnavailable(f"Kafka: fetch: {for_code(error).__name__}")
        return found

    def _pack(self) -> bytes:
        wait, size, partition_size = self._limits
        parts = [
            _REQUEST.pack(CONSUMER, wait, 1, size, READ_COMMITTED, *NO_SESSION),
            _varint(len(self._topics) + 1),
        ]
        for topic, partitions in self._topics.items():
            parts += (self._name(topic), _varint(len(partitions) + 1))
            parts += [
                _ASKED.pack(number, position.leader, position.offset, position.read, -1, partition_size)
                for number, position in partitions
            ]
            parts.append(b"\0")
        parts.append(_REST)
        return b"".join(parts)

    def _name(self, topic: str) -> bytes:
        """A topic as this version writes it."""
        if self._version >= BY_ID:
            return self._ids[topic]
        name = topic.encode()
        return _varint(len(name) + 1) + name

    def _unpack_lone(self, frame: bytes) -> tuple[int, list[Fetched]] | None:
        """What `_unpack` says of an answer about one partition that tells nothing unusual, as those to lone events do;
        None for others. It takes a fifth of the time."""
        if self._version != BY_ID or len(frame) < _LENGTH.size + _LONE.size:
            return None
        tags, throttled, error, _, topics, topic_id, partitions, number, code, _, end, start, aborted, _ = (
            _LONE.unpack_from(frame, _LENGTH.size)
        )
        topic = next((name for name in self._topics if self._ids[name] == topic_id), None)
        if tags or topics != _ONE or partitions != _ONE or aborted > 1 or topic is None:
            return None
        body = _Body(frame, _LENGTH.size + _LONE.size)
        records = body.take(max(0, body.varint() - 1))
        if body.rest() != _LONE_END:
            return None
        self.throttled = throttled
        return error, [Fetched(TopicPartition(topic, number), code, end, [], records, start)]

    def _unpack(self, frame: bytes) -> tuple[int, list[Fetched]]:
        if self._old is not None:
            return self._read_by_name(frame)
        by_id = self._version >= BY_ID
        names = {self._ids[topic] if by_id else topic.encode(): topic for topic in self._topics}
        body = _Body(frame, _LENGTH.size)
        body.skip_tags()
        self.throttled, error, _ = body.unpack(_RESPONSE)
        found = []
        for _ in range(body.varint() - 1):
            topic = names[body.take(16 if by_id else max(0, body.varint() - 1))]
            for _ in range(body.varint() - 1):
                number, code, _, end, start = body.unpack(_ANSWERED)
                aborted = []
                for _ in range(body.varint() - 1):
                    producer, first = body.unpack(_ABORTED)
                    aborted.append((producer, first))
                    body.skip_tags()
                body.take(4)  # the replica to prefer, of those in this rack
                records = body.take(max(0, body.varint() - 1))
                told = body.tag(DIVERGING)
                cut = None if told is None else _DIVERGING.unpack_from(told)
                asked = TopicPartition(topic, number)
                found.append(Fetched(asked, code, end, aborted, records, start, cut))
            body.skip_tags()
        body.skip_tags()
        return error, found

    def _by_name(self) -> Any:
        wait, size, partition_size = self._limits
        topics = [
            (topic, [(number, position.offset, partition_size) for number, position in partitions])
            for topic, partitions in self._topics.items()
        ]
        return NamedFetchRequest(wait, 1, size, READ_COMMITTED, topics)

    def _read_by_name(self, frame: bytes) -> tuple[int, list[Fetched]]:
        response = self._old.RESPONSE_TYPE.decode(BytesIO(frame[_LENGTH.size :]))
        self.throttled = getattr(response, "throttle_time_ms", 0)
        found = [
            Fetched(
                TopicPartition(topic, fields[0]),
                fields[1],
                fields[3 if response.API_VERSION >= 4 else 2],
                fields[5 if response.API_VERSION >= 5 else 4] or [],
                fields[-1] or b"",
                fields[4] if response.API_VERSION >= 5 else -1,
                traced=False,
            )
            for topic, partitions in response.topics
            for fields in partitions
        ]
        return getattr(response, "error_code", 0), found


class _Body:
    """Bytes that are read from the front to the end. Every method raises ValueError, struct.error or IndexError if
    fewer bytes are left than it needs. So no count in the bytes can make it read beyond them."""

    __slots__ = ("_at", "_bytes")

    def __init__(self, data: bytes, at: int) -> None:
        self._bytes = data
        self._at = at

    def unpack(self, form: Struct) -> tuple[int, ...]:
        found = form.unpack_from(self._bytes, self._at)
        self._at += form.size
        return found

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._bytes):
            raise ValueError("it is cut off")
        found = self._bytes[self._at : end]
        self._at = end
        return found

    def rest(self) -> bytes:
        return self._bytes[self._at :]

    def varint(self) -> int:
        value = shift = 0
        while shift < 35:
            byte = self._bytes[self._at]
            self._at += 1
            if byte < 0x80:
                return value | byte << shift
            value |= (byte & 0x7F) << shift
            shift += 7
        raise ValueError("a number is too long")

    def skip_tags(self) -> None:
        self.tag(-1)

    def tag(self, wanted: int) -> bytes | None:
        """Pass over tagged fields; the content of this one, where it is there."""
        found = None
        for _ in range(self.varint()):
            number = self.varint()
            content = self.take(self.varint())
            if number == wanted:
                found = content
        return found


def _varint(number: int) -> bytes:
    if number <= 0x7F:
        return bytes((number,))
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)

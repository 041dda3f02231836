"""The layout of a compact position: a slot of some digits for each partition, and a head that says how many.

A digit is one of base64url's, and has six bits. A slot holds a number (an offset, or how many records of a time were
seen) and then a time, which counts from a base. To keep ids short, slots are as narrow as most partitions need. The few
that need more have a wide slot: a record without a time, or one from the year 3000. An empty partition has none. The
layout stays the same from id to id, so that one id differs from the next only in a slot. That is cheap to write, and to
compress.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import groupby
from typing import NamedTuple

from gateway.errors import InvalidPosition
from gateway.model.position.entry import LARGEST_INTEGER, SMALLEST_TIME, Entry, RequestedPosition
from gateway.model.record import TopicPartition

HEADROOM = 1 << 20
"""Milliseconds that times may advance before a slot is too narrow for them."""
DIGIT_BITS = 6
WIDE_DIGITS = 22
"""Of a slot that takes every entry there may be: 63 bits and 64."""
MOST_PARTITIONS = 1 << 14
MOST_NAMES = 1 << 20
"""Partitions, and bytes of all topics, in one position that is read."""
RUN_BYTES = 4
"""Bytes, roughly, that a partition whose slot differs in shape from its neighbours takes in the head."""


class Kind(IntEnum):
    """The content of an entry. From an EMPTY partition nothing was read."""

    EMPTY = 0
    OFFSET = 1
    TIME = 2
    OFFSET_ALONE = 3


Parts = tuple[Kind, int, int]
"""An entry: the kind, the number, the time."""


def parts_of(position: Entry) -> Parts:
    """A position of a partition as an entry. Beside an offset, what was seen says nothing."""
    offset, timestamp, seen = position
    if offset is None:
        return (Kind.TIME, seen, timestamp or 0) if timestamp or seen else (Kind.EMPTY, 0, 0)
    return (Kind.OFFSET_ALONE, offset, 0) if timestamp is None else (Kind.OFFSET, offset, timestamp)


class Shape(NamedTuple):
    """A kind of slot: `time_bits` of its bits are those of the time, which counts from `base`."""

    kind: Kind
    digits: int
    time_bits: int
    base: int

    def pack(self, parts: Parts) -> int | None:
        """The value of the slot, or None where the entry does not fit."""
        kind, number, time = parts
        time -= self.base
        if kind != self.kind or time < 0 or time >> self.time_bits:
            return None
        value = number << self.time_bits | time
        return None if value >> (DIGIT_BITS * self.digits) else value

    def unpack(self, value: int) -> RequestedPosition:
        """The content of the slot. Raises InvalidPosition for a value that no position has."""
        number = value >> self.time_bits
        time = (value & ((1 << self.time_bits) - 1)) + self.base
        if number > LARGEST_INTEGER or not SMALLEST_TIME <= time <= LARGEST_INTEGER:
            raise InvalidPosition("it holds numbers that no record has")
        if self.kind is Kind.OFFSET:
            return RequestedPosition(number, time)
        return (
            RequestedPosition(number, None) if self.kind is Kind.OFFSET_ALONE else RequestedPosition(None, time, number)
        )


WIDE = {
    Kind.EMPTY: Shape(Kind.EMPTY, 0, 0, 0),
    Kind.OFFSET: Shape(Kind.OFFSET, WIDE_DIGITS, 64, SMALLEST_TIME),
    Kind.TIME: Shape(Kind.TIME, WIDE_DIGITS, 64, SMALLEST_TIME),
    Kind.OFFSET_ALONE: Shape(Kind.OFFSET_ALONE, 11, 0, 0),
}
"""The slots that take everything."""


def fit(entries: Sequence[Parts]) -> list[Shape]:
    """A shape for each entry, so that all together are short."""
    narrow = {
        kind: _narrow(kind, [(number, time) for other, number, time in entries if other == kind])
        for kind in {entry[0] for entry in entries} - {Kind.EMPTY}
    }
    return [shape_for(entry, narrow.get(entry[0])) for entry in entries]


def shape_for(entry: Parts, shape: Shape | None) -> Shape:
    """This shape where the entry fits, else the wide one."""
    return shape if shape is not None and shape.pack(entry) is not None else WIDE[entry[0]]


def _narrow(kind: Kind, entries: list[tuple[int, int]]) -> Shape:
    """The shape that most of the entries fit into. Those with numbers or times far from the others are left out where
    that makes the whole shorter."""
    if kind is Kind.OFFSET_ALONE:
        return Shape(kind, max(1, _digits(max(number for number, _ in entries).bit_length())), 0, 0)
    times = sorted(time for _, time in entries)
    middle = times[len(times) // 2]
    cells = Counter(
        (_digits(number.bit_length()), _digits(abs(time - middle).bit_length())) for number, time in entries
    )
    numbers, distances = {number for number, _ in cells}, {distance for _, distance in cells}

    def cost(bounds: tuple[int, int]) -> int:
        inside = sum(count for cell, count in cells.items() if cell[0] <= bounds[0] and cell[1] <= bounds[1])
        return inside * (sum(bounds) + 1) + (len(entries) - inside) * (WIDE_DIGITS + RUN_BYTES)

    most, furthest = min(((number, distance) for number in numbers for distance in distances), key=cost)
    inside = [
        (number, time)
        for number, time in entries
        if _digits(number.bit_length()) <= most and _digits(abs(time - middle).bit_length()) <= furthest
    ]
    if not inside:
        return WIDE[kind]
    number_bits = max(number for number, _ in inside).bit_length()
    base, last = min(time for _, time in inside), max(time for _, time in inside)
    digits = _digits(number_bits + (last - base + HEADROOM).bit_length())
    return (
        WIDE[kind] if digits >= WIDE_DIGITS else Shape(kind, digits, min(64, DIGIT_BITS * digits - number_bits), base)
    )


def _digits(bits: int) -> int:
    return -(-bits // DIGIT_BITS)


# The head: the shapes, then each topic with its runs of partitions whose slots have one shape.


def write_head(partitions: Sequence[TopicPartition], shapes: Sequence[Shape]) -> bytes:
    """The head of a position over these partitions, in order. Its length is a multiple of three, as base64 likes it."""
    table = list(dict.fromkeys(shapes))
    numbers = {shape: number for number, shape in enumerate(table, 1)}
    topics = [
        (topic, list(group)) for topic, group in groupby(zip(partitions, shapes, strict=True), lambda one: one[0].topic)
    ]
    out = bytearray()
    _write(out, len(table))
    for shape in table:
        out.append(shape.kind << 5 | shape.digits)
        _write(out, shape.time_bits)
        _write(out, -2 * shape.base - 1 if shape.base < 0 else 2 * shape.base)
    _write(out, len(topics))
    before = b""
    for topic, entries in topics:
        name = topic.encode()
        shared = _shared(before, name)
        _write(out, shared)
        _write(out, len(name) - shared)
        out += name[shared:]
        runs = list(_runs((partition.partition, numbers[shape]) for partition, shape in entries))
        for position, (count, number) in enumerate(runs, 1):
            _write(out, count << 1 | (position < len(runs)))
            _write(out, number)
        before = name
    return bytes(out + bytes(-len(out) % 3))


def _runs(entries: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """(how many, number of the shape); 0 is no shape: partitions that the position does not name."""
    count, number, next_partition = 0, 0, 0
    for partition, shape in entries:
        if partition > next_partition:
            if count:
                yield count, number
            yield partition - next_partition, 0
            count = 0
        elif shape != number and count:
            yield count, number
            count = 0
        count, number, next_partition = count + 1, shape, partition + 1
    yield count, number


def _shared(one: bytes, other: bytes) -> int:
    length = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        length += 1
    return length


def _write(out: bytearray, value: int) -> None:
    """A number in groups of seven bits, the lowest first (LEB128)."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def longest_head(partitions: Sequence[TopicPartition]) -> int:
    """Bytes of the longest head that there may be over these partitions."""
    shapes = 2 * len(Kind) * (1 + 2 + 10)
    topics = sum(len(topic.encode()) + 10 for topic in {partition.topic for partition in partitions})
    gaps = sum(
        10
        for before, partition in zip((None, *partitions), partitions, strict=False)
        if partition.partition and before != TopicPartition(partition.topic, partition.partition - 1)
    )
    return 8 + shapes + topics + 3 * len(partitions) + gaps


class Head(NamedTuple):
    """The content of a head: the partitions, and the shape of each."""

    partitions: list[TopicPartition]
    shapes: list[Shape]


def read_head(data: bytes) -> Head:
    """Raises InvalidPosition for what was never written."""
    reader = _Reader(data)
    table = [_read_shape(reader) for _ in range(reader.number(2 * len(Kind)))]
    partitions: list[TopicPartition] = []
    shapes: list[Shape] = []
    name, size = b"", 0
    for _ in range(reader.number(MOST_PARTITIONS)):
        before = name
        name = name[: reader.number(len(name))] + reader.take(reader.number(len(data)))
        size += len(name)
        if name <= before or size > MOST_NAMES:
            raise InvalidPosition("its topics are not in order, or too long")
        _read_topic(reader, name, table, partitions, shapes)
    if len(reader.rest) > 2 or any(reader.rest):
        raise InvalidPosition("its head is longer than what it says")
    return Head(partitions, shapes)


def _read_shape(reader: _Reader) -> Shape:
    first, time_bits, base = reader.number(0xFF), reader.number(64), reader.number(2**65)
    base = -(base >> 1) - 1 if base & 1 else base >> 1
    return Shape(Kind(first >> 5 & 3), first & 31, time_bits, base)


def _read_topic(
    reader: _Reader, name: bytes, table: list[Shape], partitions: list[TopicPartition], shapes: list[Shape]
) -> None:
    try:
        topic = name.decode()
    except UnicodeDecodeError:
        raise InvalidPosition("a topic in it is not a string") from None
    partition, more = 0, True
    while more:
        count = reader.number(2 * LARGEST_INTEGER + 1)
        count, more = count >> 1, bool(count & 1)
        shape = reader.number(len(table))
        if shape:
            if count + len(partitions) > MOST_PARTITIONS:
                raise InvalidPosition(f"it names more than {MOST_PARTITIONS} partitions")
            partitions += [TopicPartition(topic, number) for number in range(partition, partition + count)]
            shapes += [table[shape - 1]] * count
        partition += count


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def rest(self) -> bytes:
        return self._data[self._at :]

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise InvalidPosition("it ends in the middle")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, most: int) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if value > most or shift > 70:
                raise InvalidPosition("it holds a number that is too large")
            if byte < 0x80:
                return value

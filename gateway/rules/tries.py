"""The history of an event that waits for another try: a header of its record in the topics of the rule. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from gateway.model.record import NewRecord, Record, TopicPartition

HEADER = "gateway-rule"
LONGEST_TOLD = 500
"""Characters of the last answer that are carried along."""


class _Stored(msgspec.Struct, array_like=True):
    """The header's form: a JSON array."""

    rule: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    tries: int = 0
    action: int = 0
    first: int = 0
    sequence: int = 0
    told: str = ""


_DECODER = msgspec.json.Decoder(_Stored)


@dataclass(frozen=True, slots=True)
class Tries:
    """`partition`, `offset` and `timestamp` are those of the event in its stream. `tries` of action number `action`
    were made, the first of all at `first` (ms; 0: none yet). `sequence` orders the events of a key where the rule is
    `ordered`; 0 is for what comes from the stream itself. `told` is what came of the last try."""

    rule: str
    partition: TopicPartition
    offset: int
    timestamp: int
    tries: int = 0
    action: int = 0
    first: int = 0
    sequence: int = 0
    told: str = ""

    def header(self) -> tuple[str, bytes]:
        """The header of a record that carries it."""
        stored = _Stored(
            self.rule, *self.partition, self.offset, self.timestamp,
            self.tries, self.action, self.first, self.sequence, self.told[:LONGEST_TOLD],
        )  # fmt: skip
        return HEADER, msgspec.json.encode(stored)

    def anew(self) -> Tries:
        """The same event, as if it had never been tried."""
        return replace(self, tries=0, action=0, first=0, sequence=0, told="")


def tries_of(record: Record) -> Tries | None:
    """What a record carries; None where it carries nothing that can be read."""
    value = next((value for name, value in record.headers if name == HEADER), None)
    if value is None:
        return None
    try:
        found = _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    place = TopicPartition(found.topic, found.partition)
    return Tries(
        found.rule, place, found.offset, found.timestamp,
        found.tries, found.action, found.first, found.sequence, found.told,
    )  # fmt: skip


def first_tries(rule: str, record: Record) -> Tries:
    """Of an event that comes from its stream."""
    return Tries(rule, TopicPartition(record.topic, record.partition), record.offset, record.timestamp)


def with_tries(record: Record, tries: Tries) -> NewRecord:
    """The record again, carrying this."""
    kept = tuple((name, value) for name, value in record.headers if name != HEADER)
    return NewRecord(record.value, record.key, None, 0, (*kept, tries.header()))


def as_in_stream(record: Record, tries: Tries) -> Record:
    """The record as it stood in its stream: expressions see that place and time."""
    return record._replace(
        topic=tries.partition.topic,
        partition=tries.partition.partition,
        offset=tries.offset,
        timestamp=tries.timestamp,
    )

"""The history of an event that waits for another try: a header of its record in the topics of the rule. Pure."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from gateway.model.record import NewRecord, Record, TopicPartition

HEADER = "gateway-rule"
"""The name of the header."""
LONGEST_TOLD = 500
"""Characters of the last answer that are carried along."""


class Tries(msgspec.Struct, frozen=True, array_like=True):
    """`topic`, `number`, `offset` and `timestamp` are those of the event in its stream. `tries` of action number
    `action` were made, the first of all at `first` (ms; 0: none yet). `sequence` orders the events of a key where the
    rule is `ordered`; 0 is for what comes from the stream itself. `told` is what came of the last try.

    In the header it is a JSON array of these members."""

    rule: str
    topic: str
    number: int
    offset: int
    timestamp: int
    tries: int = 0
    action: int = 0
    first: int = 0
    sequence: int = 0
    told: str = ""

    @property
    def partition(self) -> TopicPartition:
        """Where the event is in its stream."""
        return TopicPartition(self.topic, self.number)

    def header(self) -> tuple[str, bytes]:
        """The header of a record that carries it."""
        return HEADER, msgspec.json.encode(replace(self, told=self.told[:LONGEST_TOLD]))

    def anew(self) -> Tries:
        """The same event, as if it had never been tried."""
        return replace(self, tries=0, action=0, first=0, sequence=0, told="")


_DECODER = msgspec.json.Decoder(Tries)


def tries_of(record: Record) -> Tries | None:
    """What a record carries; None where it carries nothing that can be read."""
    value = next((value for name, value in record.headers if name == HEADER), None)
    if value is None:
        return None
    try:
        return _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def first_tries(rule: str, record: Record) -> Tries:
    """Of an event that comes from its stream."""
    return Tries(rule, record.topic, record.partition, record.offset, record.timestamp)


def with_tries(record: Record, tries: Tries) -> NewRecord:
    """The record again, carrying this."""
    kept = tuple((name, value) for name, value in record.headers if name != HEADER)
    return NewRecord(record.value, record.key, None, 0, (*kept, tries.header()))


def as_in_stream(record: Record, tries: Tries) -> Record:
    """The record as it stood in its stream: expressions see that place and time."""
    return record._replace(topic=tries.topic, partition=tries.number, offset=tries.offset, timestamp=tries.timestamp)

"""The part of `EventLog.offer` that the adapters share: its bounds, and `append` in terms of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.errors import LogError, LogUnavailable
from gateway.model.record import NewRecord, TopicPartition

OFFER_SECONDS = 4.5
"""An offer has ended by then: who offers may have promised an answer within five seconds."""

RECORD_BYTES = 16 * 1024 * 1024
"""The largest record that any log takes; Kafka's brokers and topics have bounds of their own (`max.message.bytes`)."""

Fate = tuple[TopicPartition, int] | LogError
"""The fate of a record: its location (partition and offset), or why it has none. After LogUnavailable it may have one
all the same."""

REPEATED: Final[Fate] = (TopicPartition("", -1), -1)
"""In place of a location, this very object: a record with the same `once` is stored, and this one is not."""


def refusal(new: NewRecord) -> LogError | None:
    """Why no log takes this record."""
    value, key, _, _, headers, _ = new
    size = len(value or b"") + len(key or b"")
    if headers:
        size += sum(len(name.encode()) + len(value) for name, value in headers)
    if size <= RECORD_BYTES:
        return None
    return LogError(f"a record of {size:,} bytes is too large: at most {RECORD_BYTES:,} are taken")


def all_stored(fates: Sequence[Fate]) -> list[tuple[TopicPartition, int]]:
    """The location of each record. Raises what became of the first that has none; what will not pass comes first."""
    locations = [fate for fate in fates if not isinstance(fate, LogError)]
    if len(locations) < len(fates):
        errors = [fate for fate in fates if isinstance(fate, LogError)]
        raise min(errors, key=lambda error: isinstance(error, LogUnavailable))
    return locations

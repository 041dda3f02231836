"""A gap: events that a subscription asked for, and that are gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway import json_text
from gateway.client.frame import StreamEvent
from gateway.client.place import Places
from gateway.text import printable

TOO_LARGE = "too_large"
"""The reason of a gap that the client makes itself."""


@dataclass(frozen=True)
class Gap:
    """Events between a position and the next existing one are gone. `requested` and `resumed` are usually offsets.
    `reason` is `expired`, `future` or `unknown`. The client itself adds `too_large`: it left out the event at
    `requested`, which is larger than it reads. Missing values are None or empty. `id` is the position at which the
    stream continues, `data` the server's whole message."""

    topic: str
    partition: int | None
    requested: int | None
    resumed: int | None
    reason: str
    id: str
    data: bytes

    def __str__(self) -> str:
        """In words, safe to be shown."""
        if self.reason == TOO_LARGE:
            place = "" if self.partition is None else f": {self.topic[:300]}/{self.partition} at {self.requested}"
            return printable(f"gap: an event is left out that is larger than is read{place}")
        if self.partition is None:
            return printable(f"gap: {self.data[:500].decode(errors='replace')}")
        place = f"{self.topic[:300]}/{self.partition}"
        told = f"gap: {place} goes on at {self.resumed}; {self.requested} was asked for ({self.reason[:100]})"
        return printable(told)


def read_gap(event: StreamEvent) -> Gap:
    """The gap in a server's message; parts that cannot be understood are left out."""
    try:
        told = json_text.loads(event.data)
    except ValueError:
        told = None
    found = told if isinstance(told, dict) else {}
    numbers = (found.get(name) for name in ("partition", "requested", "resumed"))
    partition, requested, resumed = (number if type(number) is int else None for number in numbers)
    topic, reason = str(found.get("topic", "")), str(found.get("reason", ""))
    return Gap(topic, partition, requested, resumed, reason, event.id, event.data)


def gap_of_large(event: StreamEvent, before: str, maximum_bytes: int) -> StreamEvent:
    """A gap in the place of an event that was left out; `before` is the id of the event before it."""
    told: dict[str, Any] = {"reason": TOO_LARGE, "maximum_bytes": maximum_bytes}
    place = Places(before).read(event.id)
    if place is not None:
        after = None if place.offset is None else place.offset + 1
        told |= {"topic": place.topic, "partition": place.partition, "requested": place.offset, "resumed": after}
    return event._replace(event="gap", data=json_text.dumps(told))

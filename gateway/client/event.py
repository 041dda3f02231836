"""The items of a subscription: events, and gaps."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from gateway.client.errors import EventUnreadable
from gateway.client.parser import StreamEvent
from gateway.client.place import Place, Places
from gateway.errors import BadRecord
from gateway.model.event import parse_event
from gateway.text import printable


@dataclass(frozen=True)
class Event:
    """An event of a stream. `data` is its bytes as they are stored, `id` the position once it has been read: what to
    send back to go on after it, empty where a server names none. `name` is `message`, where another server says nothing
    else. `before` is the id of the event before; what has changed since is the event's place."""

    data: bytes
    id: str = ""
    before: str = field(default="", repr=False, compare=False)
    name: str = "message"

    @cached_property
    def place(self) -> Place | None:
        """Where it is in the log; None where the ids do not tell."""
        return Places(self.before).read(self.id)

    @property
    def topic(self) -> str | None:
        """The topic; this and what follows is None as far as the ids do not tell."""
        return self.place and self.place.topic

    @property
    def partition(self) -> int | None:
        """The partition of the topic."""
        return self.place and self.place.partition

    @property
    def offset(self) -> int | None:
        """The number of the record in its partition."""
        return self.place and self.place.offset

    @property
    def timestamp(self) -> int | None:
        """The record's time, in milliseconds since the epoch."""
        return self.place and self.place.timestamp

    @cached_property
    def json(self) -> dict[str, Any]:
        """The event. Raises EventUnreadable where it is no JSON object, which a gateway never sends."""
        try:
            return parse_event(self.data)
        except BadRecord as error:
            raise EventUnreadable(str(error), self.id) from None


TOO_LARGE = "too_large"
"""The reason of a gap that the client makes itself."""


@dataclass(frozen=True)
class Gap:
    """Events between a position and the next one that exists are gone. `requested` and `resumed` are offsets as a rule;
    `reason` is `expired`, `future` or `unknown`, or, of the client's own making, `too_large`: the event at `requested`
    is left out, since it is larger than the client reads. What a server does not say is None or empty. `id` is the
    position at which the stream goes on, `data` all that the server said."""

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
    """A gap that was told; what cannot be understood of it is left out."""
    try:
        told = orjson.loads(event.data)
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
    return event._replace(event="gap", data=orjson.dumps(told))

"""The events of a subscription."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gateway.client.errors import EventUnreadable
from gateway.client.place import Place, Places
from gateway.errors import BadRecord
from gateway.model.event import parse_event


@dataclass(frozen=True)
class Event:
    """An event of a stream. `data` is its bytes as they are stored. `id` is the position after it: send it back to
    resume there; empty if a server sends none. `name` is `message`, unless another server sends another one.
    `before` is the id of the event before; the part that has changed since is the event's location."""

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

"""A stream: what clients subscribe to, and the topics that its events are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Resume = Literal["offset", "timestamp"]


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a topic is kept where the gateway creates it; None is without bound. `size` is bytes a partition."""

    milliseconds: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of the catalogue. `resume_overlap` is in milliseconds.

    `partitions` and `retention` apply where the gateway creates a topic itself. `timestamp_field` and the entries of
    `message_key_fields` are dotted paths into an event. A stream without `schema_title` takes no events by intake.
    """

    name: str
    topics: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    title: str = ""
    description: str = ""
    schema_title: str | None = None
    canary_events_enabled: bool = False
    resume: Resume = "offset"
    resume_overlap: int = 0
    partitions: int = 1
    retention: Retention = Retention()
    timestamp_field: str | None = None
    message_key_fields: tuple[str, ...] = ()

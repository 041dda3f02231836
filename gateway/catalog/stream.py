"""A stream: what clients subscribe to, and the topics that its events are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.catalog.derivation import Derivation
from gateway.catalog.titles import matches

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
    `message_key_fields` are dotted paths into an event. A stream without `schema_title`, which is a title or a
    /regular expression/ of titles, takes no events by intake. What is not valid goes to the stream that `error_stream`
    names, as a dead letter. A stream that is not `public` exists on the admin port alone. `derive` says what it is made
    of, where it is made of other streams.
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
    public: bool = True
    error_stream: str | None = None
    derive: Derivation | None = None

    def takes(self, title: str) -> bool:
        """Whether events of the schema with this title may enter the stream."""
        return self.schema_title is not None and matches(self.schema_title, title)

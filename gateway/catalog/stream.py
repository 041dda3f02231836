"""A stream: what clients subscribe to, and the topics that its events are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.catalog.derivation import Derivation, topic_of
from gateway.catalog.titles import matches

FORMER_VERSIONS = 10
"""Versions of a derived stream before the present one whose ids are accepted."""

Resume = Literal["offset", "timestamp"]
Form = Literal["json", "avro", "protobuf", "json-schema", "cloudevents"]
"""How the values of a topic are written, and become JSON."""
KeyForm = Literal["string", "json", "avro", "protobuf"]
REGISTERED = ("avro", "protobuf", "json-schema")
"""The forms of which a registry has the schemas."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a topic is kept where the gateway creates it; None is without bound. `size` is bytes a partition.
    `compacted`: only the newest record of each key is of lasting use, and a log that can removes the others."""

    milliseconds: int | None = None
    size: int | None = None
    compacted: bool = False


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of the catalogue. `resume_overlap` is in milliseconds.

    `partitions` and `retention` apply where the gateway creates a topic itself. `timestamp_field` and the entries of
    `message_key_fields` are dotted paths into an event. A stream without `schema_title`, which is a title or a
    /regular expression/ of titles, takes no events by intake. What is not valid goes to the stream that `error_stream`
    names, as a dead letter. A stream that is not `public` exists on the admin port alone. `derive` says what it is made
    of, where it is made of other streams. A stream that is archived is written to a table; `keep` is for how many
    milliseconds, None without bound. `form` and `key_form` say how values and keys are written (`format` and
    `key_format` in the file).
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
    archive: bool = False
    keep: int | None = None
    form: Form = "json"
    key_form: KeyForm = "string"
    awaited: tuple[str, ...] = ()
    """The topics of the version that the name will mean, where it means an earlier one for now."""

    @property
    def needs_registry(self) -> bool:
        """Whether its records are written with schemas that a registry has."""
        return self.form in REGISTERED or self.key_form in REGISTERED

    @property
    def former_topics(self) -> tuple[str, ...]:
        """Those of the earlier versions of a derived stream, as far as anybody may still come from there."""
        if self.derive is None:
            return ()
        present = self.derive.version
        return tuple(topic_of(self.name, version) for version in range(max(1, present - FORMER_VERSIONS), present))

    def takes(self, title: str) -> bool:
        """Whether events of the schema with this title may enter the stream."""
        return self.schema_title is not None and matches(self.schema_title, title)

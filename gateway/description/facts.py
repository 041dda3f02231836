"""The facts in the documents that differ between gateways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.catalog.view import View
from gateway.schemas.repository import Schema, SchemaRepository


@dataclass(frozen=True, slots=True)
class Limits:
    """See the settings of the same names."""

    maximum_streams: int
    last_event_id_max: int
    filter_max_length: int
    intake_max_bytes: int
    intake_max_events: int
    intake_event_max_bytes: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Streams and schemas in force, bounds, and what is open to whom."""

    version: str
    catalog: Catalog
    """The described streams."""
    schemas: SchemaRepository
    limits: Limits
    intake: bool = True
    """Whether events are taken in here."""
    intake_token: bool = False
    """Whether only who shows a token may send events."""
    tokens: bool = False
    """Whether there are tokens that would be accepted."""
    cookie: str | None = None
    """The cookie that may hold one."""
    views: tuple[View, ...] = ()
    """The described views, each of one of the described streams."""
    trials: bool = False
    """Whether declarations may be tried here."""

    def schemas_of(self, stream: Stream) -> list[Schema]:
        """The newest schema of each title that the stream takes, or what a schema registry has for it."""
        return self.schemas.newest_of(stream)

    @staticmethod
    def takes_json(stream: Stream) -> bool:
        """Whether the stream takes events by the intake that name their schema."""
        return stream.schema_title is not None and stream.form != "cloudevents"

    def example_stream(self) -> Stream | None:
        """The stream that examples are about: one with a schema, where there is such."""
        streams = list(self.catalog.streams.values())
        return next((one for one in streams if self.schemas_of(one)), streams[0] if streams else None)

    def example_event(self) -> dict[str, Any] | None:
        """An event that the intake takes: the example of a schema, for a stream of it."""
        for stream in filter(self.takes_json, self.catalog.streams.values()):
            for schema in self.schemas_of(stream):
                for example in schema.examples:
                    meta = example.get("meta")
                    named = {**(meta if isinstance(meta, dict) else {}), "stream": stream.name}
                    event = {**example, "$schema": schema.uri, "meta": named}
                    if not schema.faults(event):
                        return event
        return None

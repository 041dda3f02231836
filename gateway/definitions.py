"""The streams and schemas that are in force, held by all who use them, and replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.schemas.repository import SchemaRepository


@dataclass(frozen=True, slots=True)
class Definitions:
    """Streams and schemas that were read and checked together."""

    catalog: Catalog
    """All streams: for the admin port and for what runs inside."""
    schemas: SchemaRepository
    error_stream: str | None = None
    """The stream that invalid events go to where theirs names no other."""
    public_catalog: Catalog = field(init=False)
    """The streams that exist for the public port, be it to read or to write: all but those with `public: false`."""

    def __post_init__(self) -> None:
        public = Catalog(stream for stream in self.catalog.streams.values() if stream.public)
        object.__setattr__(self, "public_catalog", public)

    def error_stream_of(self, stream: Stream | None) -> Stream | None:
        """Where the invalid events of a stream go, or those of none that exists."""
        name = self.error_stream if stream is None or stream.error_stream is None else stream.error_stream
        return None if name is None else self.catalog.streams.get(name)


class Current:
    """The definitions in force. Whoever needs several parts of them that belong together takes `definitions` once, or
    all of them without waiting in between."""

    __slots__ = ("definitions",)

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions

    @property
    def catalog(self) -> Catalog:
        """All streams."""
        return self.definitions.catalog

    @property
    def public_catalog(self) -> Catalog:
        """The streams that exist for the public port."""
        return self.definitions.public_catalog

    @property
    def schemas(self) -> SchemaRepository:
        """The schemas of the repositories."""
        return self.definitions.schemas

    def replace(self, definitions: Definitions) -> None:
        """Put others in force."""
        self.definitions = definitions

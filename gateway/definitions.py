"""The streams and schemas in force, held by all who use them, and replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.access.grant import NOBODY, Grant
from gateway.access.trust import NO_TRUST, Trust
from gateway.catalog.catalog import Catalog, glob_matches
from gateway.catalog.stream import Stream
from gateway.catalog.view import View
from gateway.schemas.repository import Described, SchemaRepository

VIEWS = 256
"""Different sets of rights of which is remembered what streams there are for them."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """Streams and schemas that were read and checked together."""

    catalog: Catalog
    """All streams: for the admin port and for what runs inside."""
    schemas: SchemaRepository
    error_stream: str | None = None
    """The stream that invalid events go to where theirs names no other."""
    trust: Trust = NO_TRUST
    """Whose tokens are accepted, and on which terms."""
    report_stream: str | None = None
    """The stream that takes reports of browsers."""
    rules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The rules that read a stream, by its name."""
    views: tuple[View, ...] = ()
    """Of all streams: those of private ones exist for whoever may read these."""
    public_catalog: Catalog = field(init=False)
    """The streams that exist for the public port, be it to read or to write: all but those with `public: false`."""
    public_schemas: SchemaRepository = field(init=False)
    """Those that the public port shows: of what a schema registry has, that of these streams alone."""

    def __post_init__(self) -> None:
        public = Catalog(stream for stream in self.catalog.streams.values() if stream.public)
        object.__setattr__(self, "public_catalog", public)
        object.__setattr__(self, "public_schemas", self.schemas.only(public.streams.keys()))

    def with_registered(self, described: Mapping[str, Described]) -> Definitions:
        """The same, with what a schema registry says of streams."""
        return replace(self, schemas=self.schemas.with_registered(described))

    def error_stream_of(self, stream: Stream | None) -> Stream | None:
        """Where the invalid events of a stream go, or those of none that exists."""
        name = self.error_stream if stream is None or stream.error_stream is None else stream.error_stream
        return None if name is None else self.catalog.streams.get(name)


class Current:
    """The definitions in force. Whoever needs several parts of them that belong together takes `definitions` once, or
    all of them without waiting in between."""

    __slots__ = ("_catalogs", "_described", "_views", "definitions")

    def __init__(self, definitions: Definitions) -> None:
        self._described: Mapping[str, Described] = {}
        self.replace(definitions)

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
        """The schemas."""
        return self.definitions.schemas

    @property
    def trust(self) -> Trust:
        """Whose tokens are accepted."""
        return self.definitions.trust

    def readable(self, grant: Grant) -> Catalog:
        """The streams that exist for whoever may read this. All who may read the same get the same catalogue."""
        return self._view(grant.read, public=True)

    def writable(self, grant: Grant) -> Catalog:
        """The streams that exist for whoever may write this."""
        return self._view(grant.write, public=grant.writes_public)

    def replace(self, definitions: Definitions) -> None:
        """Put others in force. What a schema registry says of their streams is added."""
        self.definitions = definitions.with_registered(self._described) if self._described else definitions
        self._forget()

    def describe(self, described: Mapping[str, Described]) -> None:
        """Put in force what a schema registry says of streams, by their names."""
        self._described = described
        self.definitions = self.definitions.with_registered(described)
        self._forget()

    def _forget(self) -> None:
        every, public = self.definitions.catalog, self.definitions.public_catalog
        self._views: dict[tuple[tuple[str, ...], bool], Catalog] = {(NOBODY.read, True): public}
        self._catalogs = {frozenset(catalog.streams): catalog for catalog in (every, public)}

    def _view(self, globs: tuple[str, ...], public: bool) -> Catalog:
        found = self._views.get((globs, public))
        if found is not None:
            return found
        if len(self._views) >= VIEWS:
            self._forget()
        streams = [
            stream
            for stream in self.definitions.catalog.streams.values()
            if (public and stream.public) or any(glob_matches(glob, stream.name) for glob in globs)
        ]
        names = frozenset(stream.name for stream in streams)
        catalog = self._catalogs.get(names)
        if catalog is None:
            catalog = self._catalogs[names] = Catalog(streams)
        self._views[globs, public] = catalog
        return catalog

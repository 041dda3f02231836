"""The schemas of some directories by title and version, dereferenced and compiled once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_rs

from gateway.catalog.catalog import Catalog
from gateway.catalog.document import did_you_mean
from gateway.catalog.names import Names
from gateway.catalog.stream import REGISTERED, Stream
from gateway.catalog.titles import is_title
from gateway.errors import ConfigurationError
from gateway.schemas.files import Source, Sources, Version, parse_uri, parse_version, read_sources, version_text
from gateway.schemas.references import BadReferenceError, dereference, ignored_keywords, named_schemas
from gateway.schemas.validator import BadSchemaError, compile_validator, draft_of, faults

SHOWN_VERSIONS = 10
"""Versions that are named where the one asked for is not there."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of a schema, without `$ref`s. `released`: it stands in a file of its version."""

    title: str
    version: str
    document: dict[str, Any]
    path: Path
    draft: str
    released: bool
    _validator: Callable[[], jsonschema_rs.Validator] = field(repr=False, compare=False)
    encode: Callable[[Any, int], bytes] | None = field(default=None, repr=False, compare=False)
    """Of a registry's schema: makes a value of its form, of an event and of the bytes of its JSON. Raises BadRecord."""

    @property
    def uri(self) -> str:
        """The title and version in the `$schema` of an event."""
        return f"/{self.title}/{self.version}"

    @property
    def examples(self) -> list[dict[str, Any]]:
        """The events that the schema gives as examples."""
        examples = self.document.get("examples")
        return [one for one in examples if isinstance(one, dict)] if isinstance(examples, list) else []

    def faults(self, event: object) -> list[str]:
        """The faults of an event, each beginning with the path of the value; empty for a valid one."""
        return faults(self._validator(), event)

    def bad_examples(self) -> list[str]:
        """The examples that are not valid, each with its location and reason."""
        return [
            f"{self.path}: example {number} is not valid: {found[0]}"
            for number, example in enumerate(self.examples, 1)
            if (found := self.faults(example))
        ]


class Described(NamedTuple):
    """What a schema registry says of the events of a stream: the schemas by title and version, the newest first, and
    one that any of them satisfies."""

    together: Schema
    each: tuple[Schema, ...]


class SchemaRepository:
    """All schemas of some directories; where two hold the same version, the earlier directory wins.

    Raises ConfigurationError with every mistake of every file. `warnings` names examples that are not valid.
    """

    def __init__(self, directories: Iterable[Path | str]) -> None:
        mistakes: list[str] = []
        self._set_up(read_sources([Path(directory) for directory in directories], mistakes), mistakes)

    def __getstate__(self) -> tuple[Sources, dict[str, tuple[_Bare, list[_Bare]]]]:
        """The content that was read: validators stay in the process that has compiled them."""
        bare = {
            name: (_bare(one.together), [_bare(each) for each in one.each]) for name, one in self._described.items()
        }
        return self._sources, bare

    def __setstate__(self, state: tuple[Sources, dict[str, tuple[_Bare, list[_Bare]]]]) -> None:
        sources, bare = state
        self._set_up(sources, [])
        self._add(
            {
                name: Described(registered(*together), tuple(registered(*one) for one in each))
                for name, (together, each) in bare.items()
            }
        )

    def _set_up(self, sources: Sources, mistakes: list[str]) -> None:
        self.warnings: list[str] = []
        self._sources = sources
        self._schemas: dict[str, dict[Version, Schema]] = {}
        self._by_uri: dict[str, Schema] = {}
        self._taken_by: dict[str, Schema | None] = {}
        self._settled: dict[str, bool] = {}
        self._described: Mapping[str, Described] = {}
        self._files: SchemaRepository | None = None
        """The same without what a registry says, where it says something."""
        for (title, version), source in sorted(self._sources.versions.items()):
            try:
                schema = self.compiled(source)
            except ConfigurationError as error:
                mistakes += error.mistakes
                continue
            self._schemas.setdefault(title, {})[version] = schema
            self._by_uri[schema.uri] = schema
            self.warnings += schema.bad_examples()
            if schema.draft < "2019":
                self.warnings += [
                    f"{schema.path}: at {pointer}: beside a $ref, its draft ignores {', '.join(names)}; "
                    "put the $ref into an allOf beside it"
                    for pointer, names in ignored_keywords(source.document)
                ]
        self._titles = Names(self._schemas)
        if mistakes:
            raise ConfigurationError(mistakes)

    def __repr__(self) -> str:
        return f"<SchemaRepository of {len(self._sources.versions)} schemas of {len(self._schemas)} titles>"

    def with_registered(self, described: Mapping[str, Described]) -> SchemaRepository:
        """These schemas, and what a registry says of streams, by their names, instead of what it has said before. A
        title that the directories have stays theirs."""
        files = self._files or self
        if not described:
            return files
        made = copy.copy(files)
        made._files = files
        made._add(described)
        return made

    def __copy__(self) -> SchemaRepository:
        made = object.__new__(SchemaRepository)
        made.__dict__.update(self.__dict__)
        return made

    def _add(self, described: Mapping[str, Described]) -> None:
        self._described = described
        own, added = self._schemas, dict[str, dict[Version, Schema]]()
        for schema in (one for found in described.values() for one in found.each):
            if schema.title not in own:
                added.setdefault(schema.title, {})[_version(schema)] = schema
        self._schemas = own | {title: dict(sorted(versions.items())) for title, versions in sorted(added.items())}
        self._by_uri = self._by_uri | {one.uri: one for versions in added.values() for one in versions.values()}
        self._taken_by = {}
        self._titles = Names(self._schemas)

    def only(self, streams: Collection[str]) -> SchemaRepository:
        """These schemas without what a registry says of other streams."""
        kept = {name: one for name, one in self._described.items() if name in streams}
        return self if len(kept) == len(self._described) else self.with_registered(kept)

    def described(self, stream: str) -> Described | None:
        """What a registry says of a stream."""
        return self._described.get(stream)

    def newest_of(self, stream: Stream) -> list[Schema]:
        """The newest schema of each title that a stream takes, or that a registry has for it."""
        if (registry := self._described.get(stream.name)) is not None:
            return list({one.title: one for one in reversed(registry.each)}.values())[::-1]
        return [found for title in self._schemas if stream.takes(title) and (found := self.get(title)) is not None]

    def all(self) -> dict[str, Schema]:
        """Every schema by what the `$schema` of its events says."""
        return {schema.uri: schema for versions in self._schemas.values() for schema in versions.values()}

    def titles(self) -> tuple[str, ...]:
        """All titles, sorted."""
        return tuple(self._schemas)

    def versions(self, title: str) -> tuple[str, ...]:
        """The versions of a title, the newest last; none for an unknown title."""
        return tuple(version_text(version) for version in self._schemas.get(title, {}))

    def released(self, title: str) -> list[Schema]:
        """The versions of a title that have a file of their own, the newest last."""
        return [schema for schema in self._schemas.get(title, {}).values() if schema.released]

    def current(self, title: str) -> Schema | None:
        """The schema that is being written, also where its version is released. Raises ConfigurationError."""
        source = self._sources.currents.get(title)
        return self.compiled(source) if source is not None else None

    def references(self, schema: Schema) -> list[str]:
        """The other schemas that a released one refers to, each once."""
        source = self._sources.versions.get((schema.title, _version(schema)))
        return sorted(set(named_schemas(source.uri, source.document))) if source is not None else []

    def is_settled(self, schema: Schema) -> bool:
        """Whether a version stays as it is for ever: it is released, and so is all that it refers to, by its number."""
        if schema.uri not in self._settled:
            targets = [self.named(path) for path in self.references(schema)]
            # References go round in no circle: these are refused.
            self._settled[schema.uri] = schema.released and all(
                target is not None and self.is_settled(target) for target in targets
            )
        return self._settled[schema.uri]

    def get(self, title: str, version: str = "latest") -> Schema | None:
        """A version of a schema, or the newest."""
        versions = self._schemas.get(title)
        if not versions:
            return None
        wanted = max(versions) if version == "latest" else parse_version(version)
        return versions.get(wanted) if wanted is not None else None

    def taken_by(self, stream: Stream) -> Schema | None:
        """What a registry says of a stream, else the newest schema of its `schema_title`; of the first title where that
        is an expression."""
        if (registry := self._described.get(stream.name)) is not None:
            return registry.together
        asked = stream.schema_title
        if asked is None:
            return None
        if asked not in self._taken_by:
            # Remembered, since this is shown for every event that is wrong.
            title = next((title for title in self._schemas if stream.takes(title)), None)
            self._taken_by[asked] = None if title is None else self.get(title)
        return self._taken_by[asked]

    def missing(self, title: str, version: str) -> str:
        """The message if there is no such title or version, with similar ones."""
        if versions := self.versions(title):
            known = ", ".join(versions[-SHOWN_VERSIONS:])
            return f"{title} has no version {version[:50]!r}; there are {known} and latest"
        close = self._titles.close_to(title, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"there is no schema {title[:100]!r}{hint}"

    def named(self, uri: str) -> Schema | None:
        """The schema that the `$schema` of an event names, such as /wiki/change/1.0.0."""
        if (schema := self._by_uri.get(uri)) is not None:
            return schema
        found = parse_uri(uri)
        return self._schemas.get(found[0], {}).get(found[1]) if found is not None else None

    def _find(self, path: str) -> tuple[str, dict[str, Any]] | None:
        """The `$id` and the document of a reference."""
        title, _, wanted = path.strip("/").rpartition("/")
        if wanted == "latest":
            version = max((found for name, found in self._sources.versions if name == title), default=None)
        else:
            version = parse_version(wanted)
        source = self._sources.versions.get((title, version)) if version is not None else None
        return (source.uri, source.document) if source is not None else None

    def compiled(self, source: Source) -> Schema:
        """A schema as it is read, beside those that are here. Raises ConfigurationError."""
        try:
            draft = draft_of(source.document)
            document = dereference(source.uri, source.document, self._find, draft >= "2019")
            validator = compile_validator(document, draft)
        except (BadReferenceError, BadSchemaError) as error:
            raise ConfigurationError([f"{source.path}: {error}"]) from error
        version = version_text(source.version)
        return Schema(source.title, version, document, source.path, draft, source.released, lambda: validator)


_Bare = tuple[str, str, dict[str, Any]]


def _bare(schema: Schema) -> _Bare:
    return schema.title, schema.version, schema.document


def registered(
    title: str, version: str, document: dict[str, Any], encode: Callable[[Any, int], bytes] | None = None
) -> Schema:
    """A schema that a registry gives, without `$ref`s. There may be very many of which nobody validates an event: its
    validator is made at first use. Raises BadSchemaError for a draft that is not known."""
    draft = draft_of(document)
    validator = cache(partial(compile_validator, document, draft))
    return Schema(title, version, document, Path(title), draft, False, validator, encode)


def _version(schema: Schema) -> Version:
    version = parse_version(schema.version)
    assert version is not None
    return version


def check_streams(
    catalog: Catalog, schemas: SchemaRepository, places: Mapping[tuple[str, str], str] | None = None
) -> list[str]:
    """The streams whose schema is in no repository, as mistakes; `places` has that (`file:line`) of a stream's key."""
    mistakes = []
    for stream in catalog.streams.values():
        asked = stream.schema_title
        # What a registry has is not known yet.
        if asked is None or stream.form in REGISTERED or schemas.taken_by(stream) is not None:
            continue
        if is_title(asked):
            what = f"{asked}, which is in no schema repository{did_you_mean(asked, schemas.titles())}"
        else:
            what = f"{asked}, which matches no title in the schema repositories"
        place = (places or {}).get((stream.name, "schema_title"))
        mistakes.append(f"{place + ': ' if place else ''}{stream.name}: schema_title is {what}")
    return mistakes

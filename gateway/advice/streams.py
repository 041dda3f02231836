"""Advises on requests for streams, by what is known of their events. It remembers a bounded number of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

from gateway.advice.advice import MOST_ADVICE, Advice
from gateway.advice.expression import advise_on_filter
from gateway.advice.fields import advise_on_paths, leaves
from gateway.bounded_cache import BoundedCache
from gateway.catalog.stream import Stream
from gateway.filters.compile import Filter
from gateway.schemas.reading import ANYTHING, Reading, Readings, TooLarge
from gateway.schemas.repository import SchemaRepository

STEPS = 20_000
"""Parts of schemas that are put together for one reading: some hundredths of a second."""
REMEMBERED = 256
"""Readings of streams, and answers to requests."""
_ENVELOPE = ("id", "dt", "request_id", "stream", "domain", "uri")
"""Members of `meta` that the gateway writes or reads itself, whatever a schema says of them."""


class _Registered(NamedTuple):
    """A stream that is described by a registry."""

    stream: str


_Kinds = frozenset[str | _Registered | None]
"""Of streams: a `schema_title`, or what a registry has; None where nothing is known."""


class Advisor:
    """Knows the events of streams by the schemas of a repository."""

    def __init__(self, schemas: SchemaRepository) -> None:
        self._schemas = ref(schemas)
        self._of_title: dict[str, Reading] = {}
        self._events: BoundedCache[_Kinds, Reading] = BoundedCache(REMEMBERED)
        self._told: BoundedCache[tuple[object, ...], tuple[Advice, ...]] = BoundedCache(REMEMBERED)

    @property
    def _repository(self) -> SchemaRepository:
        schemas = self._schemas()
        assert schemas is not None  # Whoever asks holds it.
        return schemas

    def advise(
        self, streams: Sequence[Stream], values: Mapping[str, str], asked: Filter | None, paths: Sequence[str]
    ) -> tuple[Advice, ...]:
        """What the parameters `filter` and `paths` of a request name that no event of these streams has."""
        if asked is None and not any(name in values for name in paths):
            return ()
        kinds = self._kinds(streams)
        key = (kinds, values.get("filter"), *((name, values.get(name)) for name in paths))
        found = self._told.get(key)
        if found is None:
            found = self._find(kinds, values, asked, paths)
            self._told.put(key, found, 1)
        return found

    def columns(self, streams: Sequence[Stream]) -> list[str]:
        """The top-level members of the events of these streams that are neither objects nor arrays."""
        return list(leaves(self._event(self._kinds(streams))))

    def _kinds(self, streams: Sequence[Stream]) -> _Kinds:
        """What tells which events these streams have."""
        repository = self._repository
        return frozenset(
            stream.schema_title if repository.described(stream.name) is None else _Registered(stream.name)
            for stream in streams
        )

    def _find(
        self, kinds: _Kinds, values: Mapping[str, str], asked: Filter | None, paths: Sequence[str]
    ) -> tuple[Advice, ...]:
        event, readings = self._event(kinds), Readings(STEPS)
        found: list[Advice] = []
        if event is ANYTHING:
            return ()
        try:
            if asked is not None:
                found += advise_on_filter(values["filter"], asked.root, event, readings)
            for name in paths:
                if name in values:
                    found += advise_on_paths(name, values[name], event, readings)
        except TooLarge:
            pass  # What was found until then is told.
        return tuple(found[:MOST_ADVICE])

    def _event(self, kinds: _Kinds) -> Reading:
        """What an event of one of these streams may be; anything where nothing is known of one."""
        known = self._events.get(kinds)
        if known is None:
            try:
                known = self._either(kinds)
            except TooLarge:
                known = ANYTHING
            self._events.put(kinds, known, 1)
        return known

    def _either(self, kinds: _Kinds) -> Reading:
        if None in kinds:
            return ANYTHING
        named = {name for kind in kinds if isinstance(kind, str) for name in self._named(kind)}
        found = [self._reading(name) for name in sorted(named)]
        found += [self._registered(kind.stream) for kind in kinds if isinstance(kind, _Registered)]
        if not found or any(one is ANYTHING for one in found):
            return ANYTHING
        event = Readings(STEPS).either(found)
        # What is written by a registry's schema is that and nothing else.
        return _with_envelope(event) if named else replace(event, open=not event.is_closed)

    def _registered(self, stream: str) -> Reading:
        """Of all versions that a registry has for a stream."""
        described = self._repository.described(stream)
        return ANYTHING if described is None else Readings(STEPS).of(described.together.document)

    def _named(self, title: str) -> list[str]:
        """The titles that a `schema_title` means: one, or those that an expression matches."""
        stream = Stream("", (), schema_title=title)
        return [known for known in self._repository.titles() if stream.takes(known)]

    def _reading(self, title: str) -> Reading:
        """Of all versions of a schema: older events are of an older one."""
        known = self._of_title.get(title)
        if known is None:
            readings, repository = Readings(STEPS), self._repository
            versions = [repository.get(title, version) for version in repository.versions(title)]
            try:
                known = readings.either([readings.of(schema.document) for schema in versions if schema is not None])
            except TooLarge:
                known = ANYTHING
            self._of_title[title] = known
        return known


def _with_envelope(event: Reading) -> Reading:
    """With what the gateway writes into every event."""
    meta = event.fields.get("meta", ANYTHING)
    if meta.fields:
        meta = replace(meta, fields={**dict.fromkeys(_ENVELOPE, ANYTHING), **meta.fields})
    fields = {**event.fields, "$schema": event.fields.get("$schema", ANYTHING), "meta": meta}
    return replace(event, fields=fields, open=not event.is_closed)


_ADVISORS: WeakKeyDictionary[SchemaRepository, Advisor] = WeakKeyDictionary()


def advisor_of(schemas: SchemaRepository) -> Advisor:
    """The one of a repository."""
    found = _ADVISORS.get(schemas)
    if found is None:
        found = _ADVISORS[schemas] = Advisor(schemas)
    return found

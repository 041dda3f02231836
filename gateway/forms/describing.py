"""Keeps what a schema registry says of streams up to date, in the background: nothing waits for it.

Of each topic these are the versions of the subject that serializers name after it by default, and of that which a
stream names in its `schema_title`. The schemas of values that were read here join them, whatever their subjects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

from gateway.catalog.stream import REGISTERED, Stream
from gateway.errors import BadRecord
from gateway.forms.description import PREFIX, Undescribed, describe, title_of, together
from gateway.forms.registry import NotRegistered, Registry, RegistryAway
from gateway.forms.schema import Source, size_of
from gateway.observability import telemetry
from gateway.schemas.repository import Described, Schema

REFRESH_SECONDS = 60.0
"""Seconds after which versions that came meanwhile are known."""
TOPIC_SECONDS = 0.6
"""The same for each topic, where there are more than a hundred: a registry serves others too."""
RETRY_SECONDS = 6.0
"""Seconds after which it is asked again where it did not answer."""
LOOK_SECONDS = 2.0
"""Seconds between two looks whether values of other schemas were read, or other streams are in force."""
NEWEST_VERSIONS = 10
"""Versions of a subject that are described."""
MOST_FAILURES = 5
"""Requests that fail in one pass; the others are made in the next one."""
DESCRIBED_CHARACTERS = 8 * 1024 * 1024
"""Of all schemas that are described together."""


class Version(NamedTuple):
    """A version of a subject, and the id of its schema."""

    subject: str
    version: int
    number: int
    source: Source


_T = TypeVar("_T")
Paths = frozenset[tuple[int, ...]]
"""Messages of Protobuf that values were."""
_Key = tuple[str, int, Paths]
_Plan = dict[str, list[tuple[Version, Paths]]]
"""What describes each stream, the newest first."""


class Describing:
    """Of one process. `streams` are those in force; `put` is told what is known of them, by their names."""

    def __init__(
        self,
        registry: Registry,
        streams: Callable[[], Iterable[Stream]],
        put: Callable[[Mapping[str, Described]], None],
    ) -> None:
        self._registry = registry
        self._streams = streams
        self._put = put
        self._subjects: dict[str, list[int]] = {}
        """The newest versions of each subject, as the registry listed them last."""
        self._versions: dict[tuple[str, int], Version] = {}
        self._paths: dict[int, Paths] = {}
        """Of each schema of Protobuf."""
        self._made: dict[_Key, Schema | Undescribed] = {}
        self._given: dict[str, list[_Key]] = {}
        self._failing: set[str] = set()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            state = self._state()
            await self.look()
            for _ in range(max(1, round(self._pause() / LOOK_SECONDS))):
                await asyncio.sleep(LOOK_SECONDS)
                if self._state() != state:
                    break

    def _pause(self) -> float:
        """Seconds until the registry is asked again."""
        return RETRY_SECONDS if self._failing else max(REFRESH_SECONDS, TOPIC_SECONDS * len(self._topics()))

    async def look(self) -> None:
        """Ask the registry for what is not known yet, and put what is known in force."""
        failures: list[str] = []
        for topic, subjects in self._topics().items():
            try:
                await self._learn(topic, subjects)
                self._failing.discard(topic)
            except RegistryAway as error:
                self._failing.add(topic)
                failures.append(str(error))
                if len(failures) >= MOST_FAILURES:
                    break
        telemetry.registry_describes(failures[0] if failures else "")
        plan = {stream.name: found for stream in self._registered() if (found := self._plan(stream))}
        keys = {name: [_key(*one) for one in found] for name, found in plan.items()}
        if keys != self._given:
            taking = {stream.name for stream in self._registered() if stream.schema_title is not None}
            described = await asyncio.to_thread(self._describe, plan, taking)
            self._given = keys
            used = {key for found in keys.values() for key in found}
            self._made = {key: made for key, made in self._made.items() if key in used}
            self._put(described)

    def _registered(self) -> list[Stream]:
        return [stream for stream in self._streams() if stream.form in REGISTERED]

    def _topics(self) -> dict[str, list[str]]:
        """Those with values that are described, with the subjects of these; those that failed last come last."""
        found: dict[str, list[str]] = {}
        for stream in self._registered():
            for topic in stream.topics:
                found.setdefault(topic, []).extend(_subjects(stream, topic))
        topics = sorted(found, key=lambda topic: topic in self._failing)
        return {topic: list(dict.fromkeys(found[topic])) for topic in topics}

    def _state(self) -> object:
        """What a pass depends on beside the registry."""
        seen = {topic: sorted(self._registry.seen.get(topic, ())) for topic in self._topics()}
        return seen, {number: self._paths_of(number) for numbers in seen.values() for number in numbers}

    async def _learn(self, topic: str, subjects: list[str]) -> None:
        """Fetch the versions of a topic's subjects, and the schemas that its values were written with. Raises
        RegistryAway."""
        for subject in subjects:
            listed = self._subjects[subject] = (await self._registry.versions(subject))[-NEWEST_VERSIONS:]
            for version in reversed(listed):
                await self._fetch(subject, version)
        known = {one.number for one in self._versions.values()}
        for number in sorted(self._registry.seen.get(topic, set()) - known):
            found = await self._registry.subject_of(number)
            if found is not None:
                await self._fetch(*found)
            # A registry may not tell, or tell of a version that is another schema by now.
            if all(one.number != number for one in self._versions.values()):
                source = await self._found(self._registry.source(number))
                if source is not None:
                    self._keep(Version(f"ids/{number}", 1, number, source))

    async def _fetch(self, subject: str, version: int) -> None:
        if (subject, version) not in self._versions:
            found = await self._found(self._registry.version(subject, version))
            if found is not None:
                self._keep(Version(subject, version, *found))

    @staticmethod
    async def _found(asked: Awaitable[_T]) -> _T | None:
        """The answer; None where it was deleted meanwhile."""
        try:
            return await asked
        except NotRegistered:
            return None

    def _keep(self, version: Version) -> None:
        if sum(size_of(one.source) for one in self._versions.values()) + size_of(version.source) > DESCRIBED_CHARACTERS:
            telemetry.undescribed(f"{version.subject[:200]}: all schemas together are too large")
            return
        self._versions[version.subject, version.version] = version

    def _plan(self, stream: Stream) -> list[tuple[Version, Paths]]:
        """The versions that a stream's values are written with, the newest of its own subject first."""
        by_number = {one.number: one for one in self._versions.values()}
        found: dict[tuple[str, int], Version] = {}
        for topic in stream.topics:
            own = [
                self._versions.get((subject, version))
                for subject in _subjects(stream, topic)
                for version in reversed(self._subjects.get(subject, []))
            ]
            others = [by_number.get(number) for number in sorted(self._registry.seen.get(topic, ()), reverse=True)]
            for one in (*own, *others):
                if one is not None:
                    found.setdefault((one.subject, one.version), one)
        return [(one, self._paths_of(one.number)) for one in found.values()]

    def _paths_of(self, number: int) -> Paths:
        """Kept, since the registry forgets schemas that were not used for long."""
        known = self._paths.get(number, frozenset())
        seen = self._registry.paths(number)
        if seen - known:
            known = self._paths[number] = known | seen
        return known

    def _describe(self, plan: _Plan, taking: set[str]) -> dict[str, Described]:
        """What is known of each stream. Takes long for large schemas; so does their first use, where streams are
        `taking` events."""
        described: dict[str, Described] = {}
        for name, versions in plan.items():
            made = [one for one in (self._schema(*version) for version in versions) if isinstance(one, Schema)]
            for schema in made if name in taking else ():
                schema.faults({})
                with suppress(BadRecord):
                    assert schema.encode is not None
                    schema.encode({}, 0)
            if made:
                described[name] = together(made)
        return described

    def _schema(self, version: Version, paths: Paths) -> Schema | Undescribed:
        key = _key(version, paths)
        if key not in self._made:
            try:
                self._made[key] = describe(version.subject, version.version, version.source, paths, version.number)
            except Undescribed as error:
                self._made[key] = error
                telemetry.undescribed(str(error))
        return self._made[key]


def _subjects(stream: Stream, topic: str) -> list[str]:
    """Those of the values of one of a stream's topics: the one that the stream writes by, and the one that serializers
    name after the topic."""
    named = (stream.schema_title or "").removeprefix(PREFIX)
    return [*([named] if title_of(named) == stream.schema_title else []), f"{topic}-value"]


def _key(version: Version, paths: Paths) -> _Key:
    return version.subject, version.version, paths

"""Gets schemas from a registry, by their ids: each once, in the background, and bounded.

A reader never waits here. It asks for a schema; where that is not known yet, it is being fetched, and the reader asks
again. A schema never changes under its id. An id that the registry does not know is asked for again after a minute.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gateway.bounded_cache import BoundedCache
from gateway.clock import Clock
from gateway.cooperative import retrieve
from gateway.errors import BadRecord
from gateway.forms.bounds import REFERENCES, SCHEMA_BYTES
from gateway.forms.schema import Schema, Source
from gateway.observability import telemetry

CACHE_BYTES = 64 * 1024 * 1024
"""Of all schemas, as they weigh when they are compiled."""
WEIGHT = 20
"""Bytes of a compiled schema for each of its text."""
FETCHES = 8
"""Schemas that are fetched at once."""
PENDING = 1000
"""Schemas that wait to be fetched; who asks for more asks again later."""
UNKNOWN_SECONDS = 60.0
"""Seconds for which an id counts as unknown after the registry has said so."""
UNKNOWN_IDS = 10_000
SEEN_IDS = 50
"""Schemas of one topic that are described."""
RETRY_WAIT = (0.2, 5.0)
"""Seconds between two tries of a schema: the first, and the longest."""


class RegistryAway(Exception):
    """The registry cannot be asked now; the message is for the operator."""


class NotRegistered(Exception):
    """The registry says that it does not have it."""


Get = Callable[[str], Awaitable[Any]]
"""Asks the registry for the JSON under a path. Raises RegistryAway and NotRegistered."""


async def without_registry(path: str) -> Any:
    """Where no registry is configured, none answers."""
    raise RegistryAway("no schema_registry is configured")


@dataclass(slots=True)
class _Pending:
    task: asyncio.Task[None]
    failure: str = ""
    """Why the last try has failed; empty while the first is under way."""


class Registry:
    """The schemas of one registry, as far as they are known here."""

    def __init__(self, get: Get, clock: Clock) -> None:
        self._get = get
        self._clock = clock
        self._schemas: BoundedCache[int, Schema] = BoundedCache(CACHE_BYTES, 1000)
        self._unknown: OrderedDict[int, float] = OrderedDict()
        self._pending: dict[int, _Pending] = {}
        self._permits = asyncio.Semaphore(FETCHES)
        self._news: asyncio.Future[None] | None = None
        self.seen: dict[str, set[int]] = {}
        """The schemas that values of a topic were written with, as far as they were read here; SEEN_IDS at most."""
        self.failure = ""
        """Why the registry did not answer last; empty where it did."""

    def known(self, number: int) -> Schema | None:
        """The schema of an id; None where it has to be fetched. Raises BadRecord where there is none."""
        schema = self._schemas.get(number)
        if schema is None and (until := self._unknown.get(number)) is not None:
            if self._clock.monotonic() < until:
                raise BadRecord(f"the schema registry has no schema {number}")
            del self._unknown[number]
        return schema

    def note(self, topic: str, number: int) -> None:
        """A value of the topic was written with this schema."""
        seen = self.seen.setdefault(topic, set())
        if number not in seen and len(seen) < SEEN_IDS:
            seen.add(number)

    def paths(self, number: int) -> frozenset[tuple[int, ...]]:
        """The messages of a schema of Protobuf that values were, as far as it is remembered."""
        schema = self._schemas.get(number)
        return frozenset(schema.paths.copy()) if schema is not None else frozenset()

    def want(self, numbers: Iterable[int]) -> None:
        """Fetch these schemas."""
        for number in numbers:
            if number not in self._pending and len(self._pending) < PENDING:
                task = asyncio.create_task(self._fetch(number), name=f"schema {number}")
                task.add_done_callback(retrieve)
                self._pending[number] = _Pending(task)

    def has(self, number: int) -> bool:
        """Whether the schema, or that there is none, is known."""
        try:
            return self.known(number) is not None
        except BadRecord:
            return True

    def is_pending(self, number: int) -> bool:
        """Whether the schema is being fetched."""
        return number in self._pending

    def trouble(self, number: int) -> str:
        """Why a schema that is wanted is not there, after a try at least; empty while nothing is known to be wrong."""
        pending = self._pending.get(number)
        return pending.failure if pending is not None else ""

    async def news(self, seconds: float) -> None:
        """Wait until something about a schema has become known, for so long at most."""
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._news)
        except TimeoutError:
            pass

    async def close(self) -> None:
        """Fetch nothing more."""
        tasks = [pending.task for pending in self._pending.values()]
        self._pending.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, number: int) -> None:
        wait = RETRY_WAIT[0]
        try:
            while True:
                try:
                    async with self._permits:
                        await self._try(number)
                    return
                except RegistryAway as error:
                    self._fail(number, str(error))
                except Exception as error:
                    telemetry.mistake("schema registry", error)
                    self._fail(number, f"an internal error ({type(error).__name__})")
                await asyncio.sleep(wait)
                wait = min(2 * wait, RETRY_WAIT[1])
        finally:
            self._pending.pop(number, None)
            self._tell()

    async def _try(self, number: int) -> None:
        try:
            source = await self.source(number)
        except NotRegistered:
            self._unknown[number] = self._clock.monotonic() + UNKNOWN_SECONDS
            if len(self._unknown) > UNKNOWN_IDS:
                self._unknown.popitem(last=False)
        else:
            schema = await asyncio.to_thread(Schema, source)
            self._schemas.put(number, schema, WEIGHT * schema.size)
        self.failure = ""

    def _fail(self, number: int, why: str) -> None:
        self.failure = why
        if (pending := self._pending.get(number)) is not None:
            pending.failure = why
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def source(self, number: int) -> Source:
        """The text of a schema, with all that it refers to. Raises RegistryAway and NotRegistered."""
        return await self._source(await self._get(f"/schemas/ids/{number}"))

    async def subject_of(self, number: int) -> tuple[str, int] | None:
        """A subject and a version that a schema has; None where the registry names none. Raises RegistryAway."""
        try:
            answer = await self._get(f"/schemas/ids/{number}/versions")
        except NotRegistered:
            return None
        first = answer[0] if isinstance(answer, list) and answer else None
        subject, version = _member(first, "subject"), _member(first, "version")
        return (subject, version) if isinstance(subject, str) and type(version) is int else None

    async def versions(self, subject: str) -> list[int]:
        """The versions of a subject, the newest last; none where there is no such subject. Raises RegistryAway."""
        try:
            answer = await self._get(f"/subjects/{quote(subject, safe='')}/versions")
        except NotRegistered:
            return []
        if not isinstance(answer, list):
            raise RegistryAway("the schema registry answers without a list of versions")
        return sorted(one for one in answer if type(one) is int and one > 0)

    async def version(self, subject: str, version: int) -> tuple[int, Source]:
        """The id of a version, and its text with all that it refers to. Raises RegistryAway and NotRegistered."""
        answer = await self._get(f"/subjects/{quote(subject, safe='')}/versions/{version}")
        number = _member(answer, "id")
        if type(number) is not int:
            raise RegistryAway("the schema registry answers with a version without an id")
        return number, await self._source(answer)

    async def _source(self, answer: Any) -> Source:
        referred: dict[tuple[str, int], Source] = {}
        left = await self._referred(answer, referred, SCHEMA_BYTES)
        if left < 0:
            return Source(_kind(answer), " " * (SCHEMA_BYTES + 1))
        return Source(_kind(answer), _text(answer), "", tuple(referred.values()))

    async def _referred(self, answer: Any, found: dict[tuple[str, int], Source], left: int) -> int:
        """Add the schemas that this one refers to, each behind those that it needs; returns the bytes that are left."""
        left -= len(_text(answer))
        references = answer.get("references") or []
        for reference in references if isinstance(references, list) else []:
            name, subject, version = (_member(reference, key) for key in ("name", "subject", "version"))
            if not isinstance(name, str) or not isinstance(subject, str) or type(version) is not int:
                raise RegistryAway("the schema registry names a reference without name, subject and version")
            key = (subject, version)
            if key in found:
                continue
            if len(found) >= REFERENCES or left < 0:
                return -1
            found[key] = Source("", "")  # One that refers to itself ends here.
            try:
                other = await self._get(f"/subjects/{quote(subject, safe='')}/versions/{version}")
            except NotRegistered:
                raise RegistryAway(f"the schema registry does not have {subject}, to which a schema refers") from None
            left = await self._referred(other, found, left)
            if left < 0:
                return left
            del found[key]
            found[key] = Source(_kind(answer), _text(other), name)
        return left


def _member(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _kind(answer: Any) -> str:
    """A registry leaves the kind out where it is Avro."""
    kind = _member(answer, "schemaType")
    return kind if isinstance(kind, str) else "AVRO"


def _text(answer: Any) -> str:
    text = _member(answer, "schema")
    if not isinstance(text, str):
        raise RegistryAway("the schema registry answers without a schema")
    return text

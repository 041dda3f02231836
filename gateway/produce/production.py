"""Produces from lines or other entries of an input: each is validated, and stored in the order of the input."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.cooperative import Yielder, give_way
from gateway.errors import ConfigurationError
from gateway.eventlog.port import EventLog
from gateway.intake.split import read_one
from gateway.intake.validate import TIMESTAMP_AHEAD, InvalidEvent, validate
from gateway.model.record import NewRecord
from gateway.produce.entry import MAXIMUM_BYTES, Entry
from gateway.schemas.repository import SchemaRepository

BATCH_RECORDS = 2000
EXCERPT_CHARACTERS = 80
"""The part of an entry that a complaint shows."""
REASON_CHARACTERS = 600
"""The longest complaint."""

Complain = Callable[[str, str], None]
"""Receives the place of an entry, and its fault."""


def with_fields(stream: Stream, key: str | None, timestamp: str | None) -> Stream:
    """The stream with other fields for the records' keys and timestamps: dotted paths. Raises ConfigurationError."""
    for flag, path in (("--key", key), ("--timestamp", timestamp)):
        if path is not None and not all(path.split(".")):
            raise ConfigurationError([f"{flag}: {path!r} is not a path to a field, such as meta.dt"])
    if key is not None:
        stream = replace(stream, message_key_fields=(key,))
    return stream if timestamp is None else replace(stream, timestamp_field=timestamp)


class Production:
    """Appends each valid entry to the stream's first topic, and complains of the others.

    `settled` is the number of the last entry before which every one is stored or was complained of; so at whatever
    point a run ends, another can go on behind it. The first `skipped` ones are so by what was done before.
    """

    def __init__(
        self,
        stream: Stream,
        catalog: Catalog,
        schemas: SchemaRepository,
        log: EventLog,
        clock: Clock,
        complain: Complain,
        max_errors: int | None = None,
        ahead_ms: int = TIMESTAMP_AHEAD,
        skipped: int = 0,
    ) -> None:
        self._stream = stream
        self._catalog = catalog
        self._schemas = schemas
        self._log = log
        self._clock = clock
        self._complain = complain
        self._max_errors = max_errors
        self._ahead_ms = ahead_ms
        self._batch: list[NewRecord] = []
        self.stored = 0
        self.invalid = 0
        self.settled = skipped

    @property
    def too_many_errors(self) -> bool:
        """Whether `max_errors` invalid entries were met, and no more are wanted."""
        return self._max_errors is not None and self.invalid >= self._max_errors

    async def run(self, parts: AsyncIterator[list[Entry]], stop: asyncio.Event) -> None:
        """Run to the end of the input, to the bound of errors, or until `stop` is set. Raises LogError if the log
        cannot store them. None of the entries after `settled` is then known to be stored, though those of one append
        may be."""
        await self._log.create(self._stream.topics[0], self._stream.partitions, self._stream.retention)
        work = Yielder()
        async for entries in parts:
            for entry in entries:
                self._take(entry)
                # A thousand entries may take seconds, after which a signal has to be seen.
                await work.give_way()
                if len(self._batch) >= BATCH_RECORDS:
                    await self._append(entry.number)
                if self.too_many_errors or stop.is_set():
                    await self._append(entry.number)
                    return
            if entries:
                await self._append(entries[-1].number)
                # What is stored at once, as in a log in memory, must not keep a signal from being seen.
                await give_way()

    def _take(self, entry: Entry) -> None:
        data = entry.data.strip()
        if not data:
            return
        try:
            if len(entry.data) < entry.length:
                raise InvalidEvent(f"longer than {MAXIMUM_BYTES:,} bytes: it has {entry.length:,}")
            piece = read_one(data)
            if piece.fault is not None:
                raise InvalidEvent(piece.fault)
            now = self._clock.now()
            accepted = validate(
                data, piece.event, self._catalog, self._schemas, now, stream=self._stream, ahead_ms=self._ahead_ms
            )
        except InvalidEvent as error:
            self.invalid += 1
            self._complain(entry.place, f"{error}: {excerpt(data)}")
            return
        self._batch.append(accepted.record)

    async def _append(self, last: int) -> None:
        """Store what was taken in up to this entry."""
        batch, self._batch = self._batch, []
        if batch:
            self.stored += len(await self._log.append(self._stream.topics[0], batch))
        self.settled = last


def excerpt(data: bytes) -> str:
    """The beginning of an entry."""
    return cut(data[: 4 * EXCERPT_CHARACTERS].decode(errors="replace"), EXCERPT_CHARACTERS)


def cut(text: str, length: int) -> str:
    """The text, or its beginning where it is longer."""
    return text if len(text) <= length else text[:length] + "…"


class Complaints:
    """Says the first complaints and counts the others."""

    def __init__(self, say: Callable[[str], None], shown: int) -> None:
        self._say = say
        self._shown = shown
        self._count = 0

    def __call__(self, place: str, reason: str) -> None:
        """Complain of what stands at a place."""
        self._count += 1
        if self._count <= self._shown:
            self._say(f"{place}: {cut(reason, REASON_CHARACTERS)}")
        if self._count == self._shown:
            self._say("further invalid ones are only counted")

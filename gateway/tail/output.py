"""Writes events: as lines for people, or as they are for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

from rich.console import Console
from rich.text import Text

from gateway.client import Event
from gateway.clock import Clock
from gateway.errors import BadRecord
from gateway.model.event import one_line, parse_event
from gateway.tail.columns import Path, suggest
from gateway.tail.line import event_line
from gateway.tail.schemas import Schemas
from gateway.text import printable

REMEMBERED = 1000
"""Kinds of events whose columns are remembered."""


class Output(Protocol):
    """Takes events in their order."""

    async def write(self, events: list[Event]) -> None:
        """Written and flushed when it returns. Raises OutputFailed."""
        ...


class JsonLines:
    """The stored bytes, one event a line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def write(self, events: list[Event]) -> None:
        """See Output."""
        self._file.write(b"".join(one_line(event.data) + b"\n" for event in events))
        self._file.flush()


class Lines:
    """One line an event; `fields` are the columns that were asked for, None where they are to be suggested."""

    def __init__(self, console: Console, clock: Clock, schemas: Schemas, fields: str | None = None) -> None:
        self._console = console
        self._clock = clock
        self._schemas = schemas
        self._asked = None if fields is None else [tuple(path.strip().split(".")) for path in fields.split(",")]
        self._suggested: dict[str, list[Path]] = {}

    async def write(self, events: list[Event]) -> None:
        """See Output."""
        lines = [await self._line(event) for event in events]
        if lines:
            self._console.print(Text("\n").join(lines), no_wrap=True, overflow="ellipsis", crop=True)

    async def _line(self, event: Event) -> Text:
        try:
            parsed = parse_event(event.data)
        except BadRecord:
            return Text(printable(event.data[:1000].decode(errors="replace")), no_wrap=True, overflow="ellipsis")
        meta = parsed.get("meta")
        named = meta.get("stream") if isinstance(meta, Mapping) else None
        stream = named if isinstance(named, str) else event.topic or event.name
        columns = self._asked
        if columns is None:
            columns = await self._suggest(parsed, stream)
        return event_line(parsed, event.timestamp, stream, columns, self._asked is not None, self._clock.now())

    async def _suggest(self, event: Mapping[str, Any], stream: str) -> list[Path]:
        kind = str(event.get("$schema", stream))
        if kind not in self._suggested:
            if len(self._suggested) >= REMEMBERED:
                self._suggested.clear()
            self._suggested[kind] = suggest(event, await self._schemas.get(event.get("$schema")))
        return self._suggested[kind]

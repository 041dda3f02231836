"""Writes events: as lines for people, or as they are for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

from rich.console import Console
from rich.text import Text

from gateway.client import Event
from gateway.clock import Clock
from gateway.errors import BadRecord
from gateway.filters.rows import compile_rows, rows_of
from gateway.model.event import one_line, parse_event
from gateway.tail.columns import Path, suggest
from gateway.tail.line import LineWriter
from gateway.tail.schemas import Schemas
from gateway.text import printable, printable_json

REMEMBERED = 1000
"""Kinds of events whose columns are remembered."""


class Output(Protocol):
    """Takes events in their order."""

    async def write(self, events: list[Event]) -> None:
        """Written and flushed when it returns. Raises OutputFailed."""
        ...


class JsonLines:
    """The stored bytes, one event a line; on a terminal, characters that would steer it are escapes of JSON."""

    def __init__(self, file: BinaryIO, terminal: bool = False) -> None:
        self._file = file
        self._shown: Callable[[bytes], bytes] = printable_json if terminal else lambda data: data

    async def write(self, events: list[Event]) -> None:
        """See Output."""
        self._file.write(b"".join(self._shown(one_line(event.data)) + b"\n" for event in events))
        self._file.flush()


class Lines:
    """One line an event; `fields` are the columns that were asked for, None where they are to be suggested. `named`:
    the stream stands on each line, since there are several."""

    def __init__(
        self, console: Console, clock: Clock, schemas: Schemas, fields: str | None = None, named: bool = True
    ) -> None:
        self._writer = LineWriter(named)
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
        return self._writer.line(parsed, event.timestamp, stream, columns, self._asked is not None, self._clock.now())

    async def _suggest(self, event: Mapping[str, Any], stream: str) -> list[Path]:
        kind = str(event.get("$schema", stream))
        if kind not in self._suggested:
            if len(self._suggested) >= REMEMBERED:
                self._suggested.clear()
            self._suggested[kind] = suggest(event, await self._schemas.get(event.get("$schema")))
        return self._suggested[kind]


class Table:
    """CSV (RFC 4180), with a header line; `fields` are the columns, None where they are the plain members of the first
    event. On a terminal, characters that would steer it are escapes, which make the table another one."""

    def __init__(self, file: BinaryIO, fields: str | None = None, terminal: bool = False) -> None:
        self._file = file
        self._shown: Callable[[bytes], bytes] = _printable_table if terminal else lambda data: data
        self._rows = None if fields is None else compile_rows(fields)
        self._begun = False

    async def write(self, events: list[Event]) -> None:
        """See Output."""
        for event in events:
            try:
                parsed = parse_event(event.data)
            except BadRecord:
                continue
            if self._rows is None:
                self._rows = rows_of(_plain_members(parsed) or ["$schema"])
            if not self._begun:
                self._file.write(self._shown(self._rows.header))
                self._begun = True
            self._file.write(self._shown(self._rows.cut(event.data, parsed)))
        self._file.flush()


def _printable_table(data: bytes) -> bytes:
    lines = data.decode("utf-8", "replace").split("\n")
    return "\n".join(printable(line.removesuffix("\r")) for line in lines).encode()


def _plain_members(event: Mapping[str, Any]) -> list[str]:
    return [name for name, value in event.items() if name != "$schema" and not isinstance(value, (dict, list))]

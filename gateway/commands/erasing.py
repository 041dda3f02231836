"""The work of `gateway erase`, and its report: the places that it reached, and those that it did not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import orjson

from gateway.archive.columns import columns_of
from gateway.archive.open import missing_libraries, open_archive
from gateway.archive.options import ArchiveOptions
from gateway.catalog.stream import Stream
from gateway.catalog.view import View
from gateway.definitions import Definitions
from gateway.errors import LogError
from gateway.eventlog.port import EventLog
from gateway.filters.compile import Filter
from gateway.filters.subject import Subject
from gateway.filters.values import OutOfSteps
from gateway.model.record import Record
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from gateway.state.files import discard
from gateway.state.options import ViewOptions, directory_of
from gateway.text import counted


class Matcher:
    """Says which records are to be erased: those of a key, or those for which a filter is true."""

    def __init__(self, key: bytes | None, where: Filter | None) -> None:
        self._key = key
        self._where = where

    def __call__(self, record: Record) -> bool:
        """Raises LogError where the filter needs too many steps to tell."""
        if self._where is None:
            return record.key == self._key
        try:
            event = orjson.loads(record.value or b"")
        except ValueError:
            return False
        if not isinstance(event, dict):
            return False
        subject = Subject(event, record.topic, record.partition, record.offset, record.timestamp, record.key)
        try:
            return self._where.judge(subject, [self._where.steps])
        except OutOfSteps:
            place = f"{record.topic}/{record.partition} at offset {record.offset}"
            raise LogError(f"--where needs more than {self._where.steps:,} steps on {place}") from None


async def erase_everywhere(
    stream: Stream,
    definitions: Definitions,
    log: EventLog,
    settings: Settings,
    matches: Matcher,
    now: bool,
    say: Callable[[str], None],
) -> None:
    """Erase, first from the log, from which the archive is copied and views are built, and report. Raises LogError."""
    if log.erasable:
        say(f"log: {counted(sum([await log.erase(topic, matches) for topic in stream.topics]), 'record')} emptied")
    else:
        say("log: not reached: Kafka keeps records until their retention ends, or a tombstone compacts their key")
    # A stream may have been archived before.
    if settings.archive is None:
        say("archive: no place is set (--archive)")
    elif missing := missing_libraries():
        say(f"archive: not reached: {' and '.join(missing)} are not installed")
    else:
        await asyncio.to_thread(_erase_from_archive, stream, definitions.schemas, settings, matches, now, say)
    _erase_from_views([view for view in definitions.views if view.stream == stream.name], settings, say)
    if made := _made_of(stream, definitions):
        say(f"not reached: what is made of {stream.name}: {', '.join(made)}; erase from each")
    say("not reached: the memory of gateways that run; restart them")
    say("not reached: caches in front of gateways, backups, and copies that others have made")


def _made_of(stream: Stream, definitions: Definitions) -> list[str]:
    """The streams that are derived from this one, and from those."""
    streams, made = definitions.catalog.streams.values(), [stream.name]
    for source in made:
        made += [one.name for one in streams if one.derive and source in one.derive.inputs and one.name not in made]
    return made[1:]


def _erase_from_views(views: Sequence[View], settings: Settings, say: Callable[[str], None]) -> None:
    """A value may be merged from many events. So the files go, and the views are built again from what is left."""
    directory = directory_of(settings.of(ViewOptions), settings.log)
    for view in views:
        if discard(directory, view):
            say(f"views: {view.name} is built again; it knows no state from before the log, or its archive, begins")
        else:
            say(f"views: no file of {view.name} here; erase it where the view is built, too")


def _erase_from_archive(
    stream: Stream,
    schemas: SchemaRepository,
    settings: Settings,
    matches: Matcher,
    now: bool,
    say: Callable[[str], None],
) -> None:
    from gateway.archive.erasure import announce, erase
    from gateway.archive.table import Table

    options = settings.of(ArchiveOptions)
    archive, schema = open_archive(options, stream.name), schemas.taken_by(stream)
    table = archive.table
    assert isinstance(table, Table)
    announce(table)
    if table.version < 0:
        say(f"archive: {stream.name} has none")
        return
    columns = table.prepare(columns_of(schema.document) if schema is not None else {})
    erased = erase(table, archive, columns, matches)
    say(f"archive: {counted(erased.records, 'record')} erased from {counted(erased.files, 'file')}")
    if now:
        say(f"archive: {counted(table.vacuum(0), 'replaced file')} deleted")
    elif erased.files:
        until = datetime.now(UTC) + timedelta(seconds=options.archive_vacuum)
        say(f"archive: older versions of the table hold them until about {until:%Y-%m-%d %H:%M} UTC; --now ends that")

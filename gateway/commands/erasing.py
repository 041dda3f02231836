"""The work of `gateway erase`, and its report: the places that it reached, and those that it did not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from gateway.archive.columns import columns_of
from gateway.archive.log import ERASURE_SECONDS
from gateway.archive.open import missing_libraries, open_archive
from gateway.archive.options import REFRESH_SECONDS, ArchiveOptions
from gateway.catalog.stream import Stream
from gateway.catalog.view import View
from gateway.definitions import Definitions
from gateway.errors import BadRecord, LogError, TopicAbsent
from gateway.eventlog.port import EventLog
from gateway.filters.compile import Filter
from gateway.filters.subject import Subject
from gateway.filters.values import OutOfSteps
from gateway.hub.options import HubOptions
from gateway.model.event import parse_again
from gateway.model.record import Record
from gateway.rules.rule import Produce, Rule, replay_topic, retry_topic
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from gateway.state.files import discard, over, remove
from gateway.state.options import ViewOptions, directory_of
from gateway.text import counted


class Matcher:
    """Says which records are to be erased: those of a key, or those for which a filter is true."""

    def __init__(self, key: bytes | None, where: Filter | None) -> None:
        if (key is None) == (where is None):
            raise ValueError("either a key or a filter")
        self._key = key
        self._where = where

    def __call__(self, record: Record) -> bool:
        """Raises LogError where the filter needs too many steps to tell."""
        if self._where is None:
            return record.key == self._key
        try:
            # All that streams deliver is read here, too: what clients get and the filter matches is to be erased.
            event: object = parse_again(record.value)
        except BadRecord:
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
    rules: Sequence[Rule],
    log: EventLog,
    settings: Settings,
    matches: Matcher,
    now: bool,
    say: Callable[[str], None],
) -> None:
    """Erase, first from the log, from which the archive is copied and views are built, and report. Raises LogError."""
    if log.erasable:
        say(f"log: {counted(await _erase_from_log(stream, definitions, log, matches), 'record')} emptied")
    else:
        say("log: not reached: Kafka keeps records until their retention ends, or a tombstone compacts their key")
    views = [view for view in definitions.views if view.stream == stream.name]
    # A stream may have been archived before.
    if settings.archive is None:
        say("archive: no place is set (--archive)")
    elif missing := missing_libraries():
        say(f"archive: not reached: {' and '.join(missing)} are not installed")
    else:
        replaced = await asyncio.to_thread(
            _erase_from_archive, stream, definitions.schemas, settings, matches, now, say
        )
        if replaced and views:
            # For so long a gateway may know the files from before, and would build its views from them again.
            await asyncio.sleep(REFRESH_SECONDS)
    _erase_from_views(views, _topics_of(stream, definitions), settings, say)
    holding = _holding(stream, definitions, rules)
    if others := ", ".join(holding[1:]):
        say(f"not reached: what else holds events of {stream.name}, or is made of them: {others}; erase from each")
    if topics := _retry_topics(holding, rules):
        say(f"not reached: what rules try again, and have tried again: the topics {', '.join(topics)}")
    # A gateway forgets at the look that finds the erasure, and at the one after it (`hub/recovery.py`).
    seconds = ERASURE_SECONDS + 2 * settings.of(HubOptions).metadata_interval
    say(f"memory: gateways that run forget it within {seconds:g} s")
    say("not reached: caches in front of gateways, backups, and copies that others have made")


async def _erase_from_log(stream: Stream, definitions: Definitions, log: EventLog, matches: Matcher) -> int:
    """Empty what matches; returns how many records. A topic may not be there yet. The name of a derived stream may
    still mean an earlier version, whose topic is there as well."""
    count = 0
    for topic in _topics_of(stream, definitions):
        with suppress(TopicAbsent):
            count += await log.erase(topic, matches)
    return count


def _topics_of(stream: Stream, definitions: Definitions) -> list[str]:
    """The topics of a stream, and those of its earlier versions that no other stream has."""
    former = [topic for topic in stream.former_topics if topic not in definitions.catalog.topics]
    return [*stream.topics, *former]


def _holding(stream: Stream, definitions: Definitions, rules: Sequence[Rule]) -> list[str]:
    """This stream, and the others that hold its events or what is made of them."""
    streams = definitions.catalog.streams
    holding = [stream.name]
    for name in holding:
        holding += [other for other in _reached_from(streams[name], definitions, rules) if other not in holding]
    return holding


def _reached_from(stream: Stream, definitions: Definitions, rules: Sequence[Rule]) -> list[str]:
    """The streams that get the events of this one at once, or what is made of them, each named once."""
    streams = definitions.catalog.streams.values()
    found = [one.name for one in streams if not set(one.topics).isdisjoint(stream.topics)]
    found += [one.name for one in streams if one.derive and stream.name in one.derive.inputs]
    for rule in rules:
        if stream.name in rule.sources:
            found += [action.stream for action in rule.actions if isinstance(action, Produce)]
            found.append(rule.dead_stream)
    errors = definitions.error_stream_of(stream)
    if errors is not None and stream.schema_title is not None:
        found.append(errors.name)
    return list(dict.fromkeys(found))


def _retry_topics(streams: Sequence[str], rules: Sequence[Rule]) -> list[str]:
    """The topics in which rules of these streams keep events that are to be tried again."""
    return [
        topic
        for rule in rules
        if not set(rule.sources).isdisjoint(streams)
        for topic in (*(retry_topic(rule.name, delay) for delay in rule.policy.delays), replay_topic(rule.name))
    ]


def _erase_from_views(
    views: Sequence[View], topics: Sequence[str], settings: Settings, say: Callable[[str], None]
) -> None:
    """A value may be merged from many events. So the files go, and the views are built again from what is left."""
    directory = directory_of(settings.of(ViewOptions), settings.log)
    for view in views:
        if discard(directory, view):
            say(f"views: {view.name} is built again; it knows no state from before the log, or its archive, begins")
        else:
            say(f"views: no file of {view.name} here; erase it where the view is built, too")
    for path in over(directory, topics):
        remove(path)
        say(f"views: {path.name} is removed, too: its view is over the same events, and may be declared again")


def _erase_from_archive(
    stream: Stream,
    schemas: SchemaRepository,
    settings: Settings,
    matches: Matcher,
    now: bool,
    say: Callable[[str], None],
) -> bool:
    """Whether files were replaced."""
    from gateway.archive.erasure import announce, erase
    from gateway.archive.table import Table

    options = settings.of(ArchiveOptions)
    archive, schema = open_archive(options, stream.name), schemas.taken_by(stream)
    table = archive.table
    assert isinstance(table, Table)
    announce(table)
    if table.version < 0:
        say(f"archive: {stream.name} has none")
        return False
    columns = table.prepare(columns_of(schema.document) if schema is not None else {})
    erased = erase(table, archive, columns, matches)
    # Whoever reads the table learns that what he has of it in memory may be erased, once he has the files without it.
    announce(table)
    say(f"archive: {counted(erased.records, 'record')} erased from {counted(erased.files, 'file')}")
    if now:
        say(f"archive: {counted(table.vacuum(0), 'replaced file')} deleted")
    elif erased.files:
        until = datetime.now(UTC) + timedelta(seconds=options.archive_vacuum)
        say(f"archive: older versions of the table hold them until about {until:%Y-%m-%d %H:%M} UTC; --now ends that")
    return erased.files > 0

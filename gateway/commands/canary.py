"""`gateway canary`: chooses streams, and reports what became of their canary events."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click

from gateway.app.composition import open_log, open_schemas
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.commands.ending import fail
from gateway.commands.options import read_settings, stream_of, with_settings
from gateway.errors import ConfigurationError, LogError, LogUnavailable
from gateway.eventlog.port import EventLog, TopicState
from gateway.intake.canary import canary_event
from gateway.intake.validate import Accepted, InvalidEvent
from gateway.settings.table import Settings

Say = Callable[[str], None]
Maker = Callable[[], Accepted]
"""Makes one more canary event of a stream."""


def chosen(catalog: Catalog, named: Sequence[Stream]) -> list[Stream]:
    """The streams named, or else all that have canary events. To a derived stream they come from its sources. Raises
    ConfigurationError where there is none, or one that is named has none."""
    enabled = [
        stream for stream in named or catalog.streams.values() if stream.canary_events_enabled and stream.derive is None
    ]
    if derived := [f"{one.name} is derived; its canary events come from its sources" for one in named if one.derive]:
        raise ConfigurationError(derived)
    if mistakes := [f"{one.name} has no canary_events_enabled: true" for one in named if one not in enabled]:
        raise ConfigurationError(mistakes)
    if not enabled:
        raise ConfigurationError(["no stream has canary_events_enabled: true"])
    return enabled


def run_canary(settings: Settings, catalog: Catalog, named: Sequence[Stream], say: Say, complain: Say) -> int:
    """One event into each partition of each stream; returns the exit status. Raises ConfigurationError."""
    streams = chosen(catalog, named)
    schemas = open_schemas(settings)
    now = SystemClock().now()
    makers: dict[str, Maker] = {}
    for stream in streams:
        maker = partial(canary_event, stream, catalog, schemas, now)
        try:
            maker()
        except InvalidEvent as error:
            complain(f"{stream.name}: {error}")
        else:
            makers[stream.name] = maker
    able = [stream for stream in streams if stream.name in makers]
    stored = asyncio.run(_store(open_log(settings, catalog), able, makers, say, complain)) if able else 0
    return 0 if stored == len(streams) else 1


async def _store(log: EventLog, streams: Sequence[Stream], makers: Mapping[str, Maker], say: Say, complain: Say) -> int:
    """Append the events of all streams; returns of how many streams they are stored."""
    stored = 0
    try:
        await log.open()
        outcomes = await asyncio.gather(
            *(_append(log, stream, makers[stream.name]) for stream in streams), return_exceptions=True
        )
    except LogError as error:
        complain(str(error))
        return 0
    finally:
        await log.close()
    for stream, outcome in zip(streams, outcomes, strict=True):
        if isinstance(outcome, LogError):
            complain(f"{stream.name}: {outcome}")
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            stored += 1
            many = f"{len(outcome)} canary events stored, one in each partition"
            say(f"{stream.name}: {f'canary event {outcome[0]} stored' if len(outcome) == 1 else many}")
    return stored


async def _append(log: EventLog, stream: Stream, make: Maker) -> list[str | None]:
    """One event into each partition of each topic; their ids. A derived stream waits for the partition that is furthest
    behind, so that each of them needs to hear what time it is."""
    for topic in stream.topics:
        await log.create(topic, stream.partitions, stream.retention)
    topics = await log.describe(stream.topics)
    ids: list[str | None] = []
    for topic in stream.topics:
        state = topics.get(topic)
        if not isinstance(state, TopicState):
            raise LogUnavailable(f"nothing is known of the topic {topic}: {state or 'it is not there'}")
        made = [make() for _ in range(state.partitions)]
        records = [one.record._replace(partition=number) for number, one in enumerate(made)]
        await log.append(topic, records)
        ids += [one.given_id for one in made]
    return ids


@click.command()
@click.argument("streams", nargs=-1, metavar="[STREAM]...")
@with_settings("config", "log", "schema_repositories")
def canary(streams: tuple[str, ...], **flags: Any) -> None:
    """Store one canary event in each STREAM, or in all streams with canary_events_enabled.

    The event is the first example of the stream's schema, with meta.domain canary. Subscribers see it only with
    canary=true. Run this every few minutes to distinguish an idle stream from a broken one.

    Exit status: 0; 1 if an event was not stored.
    """
    configured = read_settings(flags)
    try:
        named = [stream_of(configured, name) for name in streams]
        status = run_canary(configured.settings, configured.catalog, named, click.echo, _complain)
    except ConfigurationError as error:
        fail([f"gateway canary: {mistake}" for mistake in error.mistakes])
    sys.exit(status)


def _complain(line: str) -> None:
    click.echo(f"gateway canary: {line}", err=True)

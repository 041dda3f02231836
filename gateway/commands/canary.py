"""`gateway canary`: chooses streams, and reports what became of their canary events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.app.composition import open_log, open_schemas
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.errors import ConfigurationError, LogError
from gateway.eventlog.port import EventLog
from gateway.intake.canary import canary_event
from gateway.intake.validate import Accepted, InvalidEvent
from gateway.settings.table import Settings

Say = Callable[[str], None]


def chosen(catalog: Catalog, named: Sequence[Stream]) -> list[Stream]:
    """The streams named, or else all that have canary events. Raises ConfigurationError where there is none, or one
    that is named has none."""
    enabled = [stream for stream in named or catalog.streams.values() if stream.canary_events_enabled]
    if mistakes := [f"{one.name} has no canary_events_enabled: true" for one in named if one not in enabled]:
        raise ConfigurationError(mistakes)
    if not enabled:
        raise ConfigurationError(["no stream has canary_events_enabled: true"])
    return enabled


def run_canary(settings: Settings, catalog: Catalog, named: Sequence[Stream], say: Say, complain: Say) -> int:
    """One event into each stream; returns the exit status. Raises ConfigurationError."""
    streams = chosen(catalog, named)
    schemas = open_schemas(settings)
    now = SystemClock().now()
    accepted = []
    for stream in streams:
        try:
            accepted.append(canary_event(stream, catalog, schemas, now))
        except InvalidEvent as error:
            complain(f"{stream.name}: {error}")
    stored = asyncio.run(_store(settings, accepted, say, complain)) if accepted else 0
    return 0 if stored == len(streams) else 1


async def _store(settings: Settings, accepted: Sequence[Accepted], say: Say, complain: Say) -> int:
    """Append all of them; returns how many are stored."""
    log = open_log(settings)
    stored = 0
    try:
        await log.open()
        outcomes = await asyncio.gather(*(_append(log, one) for one in accepted), return_exceptions=True)
    except LogError as error:
        complain(str(error))
        return 0
    finally:
        await log.close()
    for one, outcome in zip(accepted, outcomes, strict=True):
        if isinstance(outcome, LogError):
            complain(f"{one.stream.name}: {outcome}")
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            stored += 1
            say(f"{one.stream.name}: canary event {one.given_id} stored")
    return stored


async def _append(log: EventLog, accepted: Accepted) -> None:
    await log.create(accepted.topic, accepted.stream.partitions, accepted.stream.retention)
    await log.append(accepted.topic, [accepted.record])
